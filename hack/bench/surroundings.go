package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/soundcheck-io/latency-operator/hack/bench/spreedb"
	"github.com/soundcheck-io/latency-operator/hack/bench/tables"
	"github.com/soundcheck-io/latency-operator/internal/stack"
)

// surroundings are all that the operator talks to, for one load.
type surroundings struct {
	*stack.Stack
	kube    *kubernetes.Clientset
	spreedb *spreedb.Server
	// project counts the requests to database, and listens at its URL with key.
	project  *tables.Server
	requests *tables.Counter
	database database
	key      string
	jobs     population
	log      io.WriteCloser
	logPath  string
}

// database is where samples end up.
type database interface {
	// stored counts the samples that were due from an instant on and before another.
	stored(ctx context.Context, from, to time.Time) (int, error)
	// sampled is when the last of the jobs whose targets do not hang got its first sample; zero if one of them has none. It tells
	// whether the database knows that.
	sampled(jobs population) (last time.Time, known bool)
	// ignored counts samples that were sent again; 0 where that is not known.
	ignored() int64
	// cpu is how much processor time the processes of the database have used; 0 where it has none of its own.
	cpu() (time.Duration, error)
	// problems are requests that were refused.
	problems() []string
}

func surround(ctx context.Context, l load, opts *options, progress io.Writer) (_ *surroundings, err error) {
	s := &surroundings{}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	s.Stack, err = stack.Start(ctx, stack.Options{Log: progress, WithoutSupabase: !opts.Postgres})
	if err != nil {
		return nil, err
	}
	if s.kube, err = kubernetes.NewForConfig(s.Config); err != nil {
		return nil, fmt.Errorf("make a client for the API server: %w", err)
	}
	if s.spreedb, err = spreedb.Start(opts.Seed); err != nil {
		return nil, err
	}
	s.logPath = opts.Log
	if s.logPath == "" {
		s.logPath = filepath.Join(s.Dir, "program.log")
	}
	if s.log, err = os.OpenFile(s.logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644); err != nil {
		return nil, fmt.Errorf("make a file for the log: %w", err)
	}
	s.jobs = populate(l, opts, time.Now())
	if err := s.fill(ctx, opts); err != nil {
		return nil, err
	}
	s.project, err = tables.Serve(s.requests)
	return s, err
}

// fill puts the jobs into the database.
func (s *surroundings) fill(ctx context.Context, opts *options) (err error) {
	if !opts.Postgres {
		store := tables.NewStore(s.jobs.rows)
		s.database, s.requests, s.key = inMemory{store}, tables.Count(store), "sb_secret_of_nobody"
		return nil
	}
	s.key = s.Gateway.SecretKey()
	gateway, err := throughGateway(s.Gateway.URL())
	if err != nil {
		return err
	}
	s.requests = tables.Count(gateway)
	s.database, err = newPostgres(ctx, s.Stack, s.jobs.rows)
	return err
}

func (s *surroundings) close() {
	if s.project != nil {
		s.project.Close()
	}
	if s.spreedb != nil {
		s.spreedb.Close()
	}
	if s.log != nil {
		_ = s.log.Close()
	}
	if s.Stack != nil {
		s.Close()
	}
}

// inMemory is the database of package tables.
type inMemory struct{ *tables.Store }

func (m inMemory) stored(_ context.Context, from, to time.Time) (int, error) {
	return m.Stored(from, to), nil
}

func (m inMemory) sampled(jobs population) (last time.Time, known bool) {
	for i, row := range jobs.rows {
		if jobs.devices[i].Hangs {
			continue
		}
		at := m.Sampled(row.ID)
		if at.IsZero() {
			return at, true
		}
		if at.After(last) {
			last = at
		}
	}
	return last, true
}

func (m inMemory) ignored() int64 { return m.Ignored() }

func (m inMemory) cpu() (time.Duration, error) { return 0, nil }

func (m inMemory) problems() []string { return m.Problems() }
