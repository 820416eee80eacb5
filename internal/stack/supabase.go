package stack

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	migrations "github.com/soundcheck-io/latency-operator/config/supabase"
	"github.com/soundcheck-io/latency-operator/internal/child"
	"github.com/soundcheck-io/latency-operator/internal/pgtest"
	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest"
)

const (
	databaseName = "soundcheck"
	jwtSecret    = "a-secret-of-this-machine-that-everybody-may-know"
	// maxRows is where a Supabase project cuts off an answer.
	maxRows = 1000
)

func (s *Stack) startSupabase(ctx context.Context) error {
	if err := s.startDatabase(ctx); err != nil {
		return err
	}
	opts := supabasetest.Options{DSN: s.DSN, JWTSecret: jwtSecret}
	behind := "our stand-in for PostgREST"
	if path, err := exec.LookPath("postgrest"); err == nil && s.opts.RealPostgREST {
		if opts.Upstream, err = s.startPostgREST(ctx, path); err != nil {
			return err
		}
		s.RealPostgREST, behind = true, path
	}
	if s.opts.Gateway != nil {
		s.opts.Gateway(&opts)
	}
	var err error
	if s.Gateway, err = supabasetest.Start(ctx, opts); err != nil {
		return fmt.Errorf("start the Supabase gateway: %w", err)
	}
	s.opts.Progress("Supabase gateway", s.Gateway.URL()+" before "+behind)
	return nil
}

func (s *Stack) startDatabase(ctx context.Context) error {
	log, err := s.logFile("postgresql.log")
	if err != nil {
		return err
	}
	if s.Postgres, err = pgtest.Start(ctx, pgtest.Options{Log: log}); err != nil {
		return err
	}
	if err := s.Postgres.CreateDatabase(ctx, databaseName); err != nil {
		return err
	}
	s.DSN = s.Postgres.URL(databaseName)
	if err := supabasetest.CreateRoles(ctx, s.DSN); err != nil {
		return err
	}
	if err := s.createTables(ctx); err != nil {
		return err
	}
	s.opts.Progress("PostgreSQL", fmt.Sprintf("127.0.0.1:%d", s.Postgres.Port()))
	return nil
}

func (s *Stack) createTables(ctx context.Context) error {
	if !s.opts.WithoutMigrations {
		return s.Migrate(ctx)
	}
	conn, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	app := migrations.All()[0]
	// Projects made before 2026-05-30 grant new tables to everybody by themselves.
	const grants = "grant all on public.jobs, public.samples to service_role"
	if _, err := conn.Exec(ctx, app.SQL+grants); err != nil {
		return fmt.Errorf("apply %s: %w", app.Name, err)
	}
	return nil
}

// Migrate applies the operator's migrations. They may have been applied before.
func (s *Stack) Migrate(ctx context.Context) error { return supabasetest.Migrate(ctx, s.DSN) }

// startPostgREST returns the URL of a real PostgREST, configured as in a Supabase project.
func (s *Stack) startPostgREST(ctx context.Context, path string) (string, error) {
	log, err := s.logFile("postgrest.log")
	if err != nil {
		return "", err
	}
	port, admin, err := freePorts()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), path)
	cmd.Dir = s.Dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(inherited(),
		"PGRST_DB_URI="+s.Postgres.URLAs("authenticator", databaseName),
		"PGRST_DB_SCHEMAS=public", "PGRST_DB_ANON_ROLE=anon", "PGRST_DB_MAX_ROWS="+strconv.Itoa(maxRows),
		"PGRST_JWT_SECRET="+jwtSecret,
		"PGRST_SERVER_HOST=127.0.0.1", fmt.Sprintf("PGRST_SERVER_PORT=%d", port),
		"PGRST_ADMIN_SERVER_HOST=127.0.0.1", fmt.Sprintf("PGRST_ADMIN_SERVER_PORT=%d", admin),
	)
	if s.postgrest, err = child.Start(cmd, syscall.SIGKILL); err != nil {
		return "", fmt.Errorf("start %s: %w", path, err)
	}
	if err := s.awaitPostgREST(ctx, fmt.Sprintf("http://127.0.0.1:%d/ready", admin)); err != nil {
		return "", fmt.Errorf("%s does not get ready: %w: %s", path, err, lastLine(log.Name()))
	}
	return fmt.Sprintf("http://127.0.0.1:%d", port), nil
}

func (s *Stack) awaitPostgREST(ctx context.Context, url string) error {
	return wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, 15*time.Second, true, func(ctx context.Context) (bool, error) {
		if s.postgrest.Ended() {
			return false, fmt.Errorf("it ended by itself")
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return false, err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false, nil //nolint:nilerr // it does not listen yet
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK, nil
	})
}

func (s *Stack) closeSupabase() {
	if s.Gateway != nil {
		s.Gateway.Close()
	}
	if s.postgrest != nil {
		s.postgrest.Stop(stopPatience, syscall.SIGTERM)
	}
	if s.Postgres != nil {
		s.Postgres.Stop()
	}
}
