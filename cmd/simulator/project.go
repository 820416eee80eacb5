package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"

	"github.com/soundcheck-io/latency-operator/internal/pgtest"
	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest"
)

// databaseName is what it is called in every Supabase project, and is there from the start.
const databaseName = "postgres"

// project is a Supabase project with the operator's migrations, and the PostgreSQL behind it.
type project struct {
	*supabasetest.Server
	postgres *pgtest.Server
}

// startProject returns when the project answers. It goes on after ctx has ended, until close.
func startProject(ctx context.Context, opts options) (p *project, err error) {
	if opts.Data != "" {
		if err := prepareData(opts.Data, opts.Template); err != nil {
			return nil, err
		}
	}
	p = new(project)
	defer func() {
		if err != nil {
			p.close()
			p = nil
		}
	}()
	if p.postgres, err = pgtest.Start(ctx, pgtest.Options{Dir: opts.Data, Port: opts.Database, Log: os.Stderr}); err != nil {
		return p, err
	}
	dsn := p.postgres.URL(databaseName)
	if err := supabasetest.CreateRoles(ctx, dsn); err != nil {
		return p, err
	}
	if err := supabasetest.Migrate(ctx, dsn); err != nil {
		return p, err
	}
	p.Server, err = supabasetest.Start(ctx, supabasetest.Options{
		DSN: dsn, Listen: opts.Supabase, SecretKey: opts.SecretKey, PublishableKey: opts.PublishableKey, KeepRequests: 1,
	})
	return p, err
}

// close ends the project and then its database.
func (p *project) close() {
	if p.Server != nil {
		p.Close()
	}
	if p.postgres != nil {
		p.postgres.Stop()
	}
}

// healthy asks the database, without which nothing works.
func (p *project) healthy(r *http.Request) error {
	if _, err := p.Text(r.Context(), "select 'ok'"); err != nil {
		return fmt.Errorf("the database does not answer: %w", err)
	}
	return nil
}

// prepareData makes the folder from the template, unless it was made before. The copy belongs to whoever runs this and is
// closed to others, which PostgreSQL insists on; initdb, which would do that too, insists on a user with a name, which a
// container on OpenShift has not.
func prepareData(data, template string) error {
	// Only one simulator has the folder, so that this is of one that was killed. The number in it may be a process of this
	// container by now, and then PostgreSQL would not start.
	if err := os.Remove(filepath.Join(data, "postmaster.pid")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove what an earlier PostgreSQL left: %w", err)
	}
	if _, err := os.Stat(data); template == "" || err == nil {
		return nil
	}
	unfinished := data + ".new"
	if err := os.RemoveAll(unfinished); err != nil {
		return fmt.Errorf("remove an unfinished copy: %w", err)
	}
	if err := os.CopyFS(unfinished, os.DirFS(template)); err != nil {
		return fmt.Errorf("copy %s to %s: %w", template, unfinished, err)
	}
	if err := os.Chmod(unfinished, 0o700); err != nil {
		return err
	}
	return os.Rename(unfinished, data)
}
