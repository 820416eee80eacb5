// Package pgtest runs a real PostgreSQL for tests, for the demo and for outage experiments.
//
// It takes the newest PostgreSQL of the machine, or unpacks an embedded one. The server trusts everybody who can
// reach 127.0.0.1 and does not survive a power cut: never keep anything in it. It dies with the process that
// started it, also when that process is killed.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/soundcheck-io/latency-operator/internal/child"
)

const superuser = "postgres"

// Options of a Server; the zero value is a fresh server on a free port.
type Options struct {
	// Dir holds the data. It is made if it does not exist, reused if a server left its data there, and kept by
	// Stop. Empty: a temporary directory that Stop removes. When root starts the server, the directory must be
	// reachable by the user postgres (or nobody), so not below a directory that only root may enter.
	Dir string
	// Port on 127.0.0.1; 0 takes a free one. Kill and Restart keep it.
	Port int
	// Log receives what PostgreSQL prints; nil drops it. Errors quote its last line in either case.
	Log io.Writer
}

// Server is one PostgreSQL. Its methods may be called from several goroutines.
type Server struct {
	bin     string
	dir     string
	ownsDir bool
	port    int
	user    *account
	log     *tail

	mu      sync.Mutex
	process *child.Process
}

// Start runs initdb if need be and returns as soon as the server accepts connections, usually within a second.
func Start(ctx context.Context, opts Options) (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	user, err := serverAccount()
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, port: opts.Port, user: user, log: &tail{next: opts.Log}}
	if s.dir, s.ownsDir, err = dataDir(opts.Dir, user); err != nil {
		return nil, err
	}
	if err := s.init(ctx); err != nil {
		s.Stop()
		return nil, err
	}
	if err := s.run(ctx); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// URL is the connection string of the superuser for a database, "postgres" for the one that always exists.
func (s *Server) URL(db string) string { return s.URLAs(superuser, db) }

// URLAs is URL for another role. No password is asked for.
func (s *Server) URLAs(role, db string) string {
	return fmt.Sprintf("postgres://%s@127.0.0.1:%d/%s?sslmode=disable", role, s.port, db)
}

// Port is the port on 127.0.0.1.
func (s *Server) Port() int { return s.port }

// CreateDatabase makes an empty database. Roles belong to the whole server and are shared by its databases.
func (s *Server) CreateDatabase(ctx context.Context, name string) error {
	return s.admin(ctx, "create database "+pgx.Identifier{name}.Sanitize())
}

// DropDatabase removes a database and throws out whoever is connected to it.
func (s *Server) DropDatabase(ctx context.Context, name string) error {
	return s.admin(ctx, "drop database if exists "+pgx.Identifier{name}.Sanitize()+" with (force)")
}

func (s *Server) admin(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}

// Stop ends the server, cleanly if it obeys within five seconds, and removes its temporary directory. It may be
// called again.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(os.Interrupt)
	if s.ownsDir {
		_ = os.RemoveAll(s.dir)
	}
}

// Kill crashes the server: clients are cut off in the middle of what they do, and the next Restart recovers what was
// committed.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(crashSignal)
}

// Restart starts the server again with the same port and data, after Kill or instead of a running one.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(os.Interrupt)
	return s.launch(ctx)
}

func (s *Server) end(sig os.Signal) {
	if s.process != nil {
		s.process.Stop(stopPatience, sig, crashSignal)
		s.process = nil
	}
}

// run starts the server for the first time. Another program may take the free port before PostgreSQL does, so that
// it chooses another one a few times.
func (s *Server) run(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.port != 0 {
		return s.launch(ctx)
	}
	var err error
	for range 3 {
		if s.port, err = freePort(); err != nil {
			return err
		}
		if err = s.launch(ctx); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}

func (s *Server) launch(ctx context.Context) error {
	p, err := child.Start(s.command(context.WithoutCancel(ctx), "postgres",
		"-D", s.dir, "-p", strconv.Itoa(s.port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
		// Nothing waits for a disk, yet what was committed is with the kernel and so outlives Kill.
		"-c", "fsync=off", "-c", "full_page_writes=off",
		"-c", "wal_level=minimal", "-c", "max_wal_senders=0",
		"-c", "shared_buffers=32MB", "-c", "jit=off",
		"-c", "timezone=UTC", "-c", "log_timezone=UTC"), crashSignal)
	if err != nil {
		return fmt.Errorf("start %s: %w", filepath.Join(s.bin, "postgres"), err)
	}
	if err := s.await(ctx, p); err != nil {
		p.Stop(stopPatience, crashSignal)
		return err
	}
	s.process = p
	return nil
}

// await returns when this server answers, and not another one that had the port before.
func (s *Server) await(ctx context.Context, p *child.Process) error {
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for {
		dir, err := s.servedDir(ctx)
		if err == nil && dir == s.dir {
			return nil
		}
		select {
		case <-retry.C:
		case <-p.Done():
			return fmt.Errorf("PostgreSQL stopped while it started: %s", s.log.last())
		case <-ctx.Done():
			return fmt.Errorf("wait for PostgreSQL to accept connections: %w", errors.Join(ctx.Err(), err))
		}
	}
}

func (s *Server) servedDir(ctx context.Context) (dir string, err error) {
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(ctx) }()
	err = conn.QueryRow(ctx, "show data_directory").Scan(&dir)
	return dir, err
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}
