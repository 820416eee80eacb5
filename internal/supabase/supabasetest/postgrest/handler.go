// Package postgrest answers like PostgREST 14 for as much of it as the operator and its tests use: reads and writes of
// tables with plain columns. It translates requests to SQL for a real PostgreSQL, so that constraints, grants, policies,
// timeouts and their errors are the real ones. What it does not know it answers with 501, never with a guess.
package postgrest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// Options of a Handler.
type Options struct {
	// DSN of the database, as authenticator or as a superuser, who becomes authenticator if there is such a role.
	DSN string
	// Secret verifies tokens that are signed with HS256.
	Secret []byte
	// JWKS holds the public keys that verify those signed with ES256, as a JWK Set or a list of JWKs; empty is none.
	JWKS []byte
	// MaxRows is the highest number of rows that a read returns; 0 is 1,000.
	MaxRows int64
	// PoolSize is how many requests the database sees at a time; 0 is 10. A request waits PoolTimeout for its turn; 0 is 10 s.
	PoolSize    int
	PoolTimeout time.Duration
	// AllowUnfiltered lets updates and deletes without a filter through, which a Supabase project refuses.
	AllowUnfiltered bool
	// Now replaces the clock that tokens expire by.
	Now func() time.Time
}

// Handler is the API of one database. It outlives the database: while that is away, it answers 503.
type Handler struct {
	opts Options
	// verifier is made of the options.
	verifier verifier
	pool     *pool

	// schema is nil while it is not known.
	schema atomic.Pointer[schema]
	// loading keeps an older state from overwriting a newer one.
	loading sync.Mutex

	mu sync.Mutex
	// relisten ends the present connection that waits for notifications.
	relisten context.CancelFunc

	closed  chan struct{}
	watcher sync.WaitGroup
}

// New returns a handler that begins to learn the schema. It need not reach the database for that; Reload tells.
func New(opts Options) (*Handler, error) {
	if opts.MaxRows == 0 {
		opts.MaxRows = 1000
	}
	if opts.PoolSize == 0 {
		opts.PoolSize = 10
	}
	if opts.PoolTimeout == 0 {
		opts.PoolTimeout = 10 * time.Second
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	tokens := verifier{secret: opts.Secret}
	if len(opts.JWKS) > 0 {
		var err error
		if tokens.keys, err = parseJWKS(opts.JWKS); err != nil {
			return nil, err
		}
	}
	config, err := pgx.ParseConfig(opts.DSN)
	if err != nil {
		return nil, fmt.Errorf("read the connection string: %w", err)
	}
	config.RuntimeParams["application_name"] = "postgrest"
	h := &Handler{opts: opts, verifier: tokens, pool: newPool(config, opts.PoolSize), closed: make(chan struct{}), relisten: func() {}}
	h.watcher.Go(func() { h.watch(config) })
	return h, nil
}

// Close cuts off what still runs.
func (h *Handler) Close() {
	close(h.closed)
	h.watcher.Wait()
	h.pool.close()
}

// ServeHTTP answers one request, whose path is that of a table.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client went away
	}
	// Like PostgREST, it finishes what a client no longer waits for.
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	defer cancel()
	go func() {
		select {
		case <-h.closed:
			cancel()
		case <-ctx.Done():
		}
	}()
	if err := h.serve(ctx, w, r, body); err != nil {
		if err.Code == "PGRST000" {
			h.lost()
		}
		err.write(w)
	}
}

func (h *Handler) serve(ctx context.Context, w http.ResponseWriter, r *http.Request, body []byte) *apiError {
	who, err := identify(r.Header, h.verifier, h.opts.Now())
	if err != nil {
		return err
	}
	known := h.schema.Load()
	if known == nil {
		return noSchemaCache()
	}
	req, err := parse(r, body, known)
	if err != nil {
		return err
	}
	if req.reads() && (req.window.limit < 0 || req.window.limit > h.opts.MaxRows) {
		req.window.limit = h.opts.MaxRows
	}
	res, err := h.run(ctx, req, session{identity: who, settings: known.settings[who.role], http: r})
	if err != nil {
		return err
	}
	req.answer(w, res)
	return nil
}
