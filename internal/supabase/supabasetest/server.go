package supabasetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log" //nolint:depguard // for ReverseProxy.ErrorLog, which takes no other
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest/auth"
	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest/postgrest"
)

const (
	// restPrefix is where the project's REST API is.
	restPrefix = "/rest/v1"
	// authPrefix is where Supabase Auth is.
	authPrefix = "/auth/v1"
	// startPatience bounds the wait for the database at start.
	startPatience = 10 * time.Second
	defaultSecret = "a-secret-for-tests-and-the-demo-that-everybody-knows"
)

// Options of a Server. One of DSN and Upstream is required.
type Options struct {
	// DSN of the database, as authenticator or as a superuser.
	DSN string
	// Upstream is the URL of a real PostgREST to stand before, in place of the stand-in for it.
	Upstream string
	// JWTSecret signs tokens and legacy keys; empty is a well-known one. It has to be Upstream's own.
	JWTSecret string
	// JWKS holds the public keys of the project's signing keys (ES256), as a JWK Set or as the list that the Supabase CLI keeps in
	// signing_keys.json; empty is none. A real PostgREST has to know them itself.
	JWKS []byte
	// Users can sign in at /auth/v1, which is not there without any.
	Users []auth.User
	// SecretKey and PublishableKey are the first keys; empty makes random ones.
	SecretKey, PublishableKey string
	// Listen is host:port; empty is a free port on 127.0.0.1.
	Listen string
	// MaxRows is the most rows that a read returns; 0 is 1,000.
	MaxRows int
	// PoolSize is how many requests the database works on at a time; 0 is 10. A request waits PoolTimeout for its turn;
	// 0 is 10 s.
	PoolSize    int
	PoolTimeout time.Duration
	// KeepRequests is how many of the latest requests Requests returns; 0 is 1,000.
	KeepRequests int
	// Now replaces the clock of tokens and of the header Date.
	Now func() time.Time
}

func (o *Options) setDefaults() {
	if o.JWTSecret == "" {
		o.JWTSecret = defaultSecret
	}
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if o.KeepRequests == 0 {
		o.KeepRequests = 1000
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// Server is a Supabase project.
type Server struct {
	opts Options
	url  string
	api  http.Handler
	// rest is nil where Upstream does its work.
	rest *postgrest.Handler
	// auth is nil without users.
	auth http.Handler
	http *http.Server
	stop context.CancelFunc

	keys   *keyring
	faults faults
	log    requestLog

	mu      sync.Mutex
	closing bool
	active  sync.WaitGroup
}

// Start returns when the project answers. It goes on after ctx has ended, until Close.
func Start(ctx context.Context, opts Options) (*Server, error) {
	opts.setDefaults()
	s := &Server{opts: opts, keys: newKeyring(opts), log: requestLog{keep: opts.KeepRequests}}
	if len(opts.Users) > 0 {
		accounts, err := auth.New(auth.Options{Users: opts.Users, Secret: []byte(opts.JWTSecret), Now: opts.Now})
		if err != nil {
			return nil, err
		}
		s.auth = accounts
	}
	if err := s.openAPI(ctx); err != nil {
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", opts.Listen)
	if err != nil {
		s.closeAPI()
		return nil, fmt.Errorf("listen for requests: %w", err)
	}
	s.url = "http://" + reachable(listener.Addr())
	base, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.http = &http.Server{
		Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return base },
	}
	go func() { _ = s.http.Serve(listener) }() // it ends with Close
	return s, nil
}

func (s *Server) openAPI(ctx context.Context) error {
	switch {
	case s.opts.Upstream != "":
		upstream, err := url.Parse(s.opts.Upstream)
		if err != nil {
			return fmt.Errorf("read the URL of PostgREST: %w", err)
		}
		s.api = &httputil.ReverseProxy{
			Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(upstream) },
			ErrorLog: log.New(io.Discard, "", 0), // a client that went away is no news
		}
		return nil
	case s.opts.DSN == "":
		return errors.New("neither a database nor a PostgREST is given")
	}
	rest, err := postgrest.New(postgrest.Options{
		DSN: s.opts.DSN, Secret: []byte(s.opts.JWTSecret), JWKS: s.opts.JWKS, MaxRows: int64(s.opts.MaxRows), PoolSize: s.opts.PoolSize,
		PoolTimeout: s.opts.PoolTimeout, Now: s.opts.Now,
	})
	if err != nil {
		return err
	}
	s.rest, s.api = rest, rest
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	if err := rest.Reload(ctx); err != nil {
		rest.Close()
		return err
	}
	return nil
}

func (s *Server) closeAPI() {
	if s.rest != nil {
		s.rest.Close()
	}
}

// Close cuts off what still runs. It may be called again.
func (s *Server) Close() {
	s.mu.Lock()
	closed := s.closing
	s.closing = true
	s.mu.Unlock()
	if closed {
		return
	}
	s.stop()
	_ = s.http.Close()
	s.closeAPI()
	s.active.Wait()
}

// URL is the project's, without /rest/v1.
func (s *Server) URL() string { return s.url }

// DSN is the database's connection string.
func (s *Server) DSN() string { return s.opts.DSN }

// Exec runs SQL as the user of the DSN, who sees and may do everything where that is a superuser.
func (s *Server) Exec(ctx context.Context, sql string, args ...any) error {
	conn, err := pgx.Connect(ctx, s.opts.DSN)
	if err != nil {
		return fmt.Errorf("connect to the database: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, sql, args...); err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}

// Text returns the one value of an SQL query as a text, "null" for a null. What the query gives has to be text.
func (s *Server) Text(ctx context.Context, sql string, args ...any) (string, error) {
	conn, err := pgx.Connect(ctx, s.opts.DSN)
	if err != nil {
		return "", fmt.Errorf("connect to the database: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var out *string
	if err := conn.QueryRow(ctx, sql, args...).Scan(&out); err != nil {
		return "", fmt.Errorf("%s: %w", sql, err)
	}
	if out == nil {
		return "null", nil
	}
	return *out, nil
}

// ReloadSchema makes the REST API see tables and columns that are new, without the NOTIFY that does so a little later.
func (s *Server) ReloadSchema(ctx context.Context) error {
	if s.rest == nil {
		return s.Exec(ctx, "notify pgrst, 'reload schema'")
	}
	return s.rest.Reload(ctx)
}

// reachable is an address to connect to, also for a server that listens on all.
func reachable(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return addr.String()
	}
	return fmt.Sprintf("127.0.0.1:%d", tcp.Port)
}
