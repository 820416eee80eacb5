package main

import (
	"context"
	"fmt"
	"io"
	"log" //nolint:depguard // for ReverseProxy.ErrorLog, which takes no other
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/soundcheck-io/latency-operator/hack/bench/tables"
	"github.com/soundcheck-io/latency-operator/internal/stack"
)

// throughGateway passes requests on to the stack's gateway, which has PostgreSQL behind it.
func throughGateway(to string) (http.Handler, error) {
	target, err := url.Parse(to)
	if err != nil {
		return nil, fmt.Errorf("read the URL of the gateway: %w", err)
	}
	return &httputil.ReverseProxy{
		Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ErrorLog: log.New(io.Discard, "", 0), // a client that went away is no news
	}, nil
}

// postgres is the stack's database. postmaster is the process whose children serve its connections.
type postgres struct {
	*stack.Stack
	postmaster int
}

func newPostgres(ctx context.Context, s *stack.Stack, jobs []tables.Job) (*postgres, error) {
	conn, err := s.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	columns := []string{"id", "account_number", "target_ip", "cadence_seconds", "duration_minutes", "monitoring_mode", "started_at"}
	_, err = conn.CopyFrom(ctx, pgx.Identifier{"jobs"}, columns, pgx.CopyFromSlice(len(jobs), func(i int) ([]any, error) {
		j := jobs[i]
		return []any{j.ID, "bench", j.TargetIP, j.CadenceSeconds, j.DurationMinutes, "real_polling", j.StartedAt}, nil
	}))
	if err != nil {
		return nil, fmt.Errorf("put the jobs into the database: %w", err)
	}
	if _, err := conn.Exec(ctx, `analyze jobs`); err != nil { // as autovacuum does a minute later
		return nil, err
	}
	p := &postgres{Stack: s}
	if err := conn.QueryRow(ctx, `select split_part(pg_read_file('postmaster.pid'), E'\n', 1)::int`).Scan(&p.postmaster); err != nil {
		return nil, fmt.Errorf("ask for the process of PostgreSQL: %w", err)
	}
	return p, nil
}

func (p *postgres) stored(ctx context.Context, from, to time.Time) (n int, err error) {
	conn, err := p.Connect(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	err = conn.QueryRow(ctx, `select count(*) from samples where scheduled_at >= $1 and scheduled_at < $2`, from, to).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count the samples: %w", err)
	}
	return n, nil
}

func (p *postgres) sampled(population) (time.Time, bool) { return time.Time{}, false }

func (p *postgres) ignored() int64 { return 0 }

func (p *postgres) cpu() (time.Duration, error) { return cpuWithChildren(p.postmaster) }

func (p *postgres) problems() []string { return nil }
