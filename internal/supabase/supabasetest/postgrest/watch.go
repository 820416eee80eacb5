package postgrest

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// retryPause is short, so that tests need not wait long after a database is back. PostgREST waits for 1 to 32 seconds.
const retryPause = 100 * time.Millisecond

// watch keeps the schema up to date until the handler is closed.
func (h *Handler) watch(config *pgx.ConnConfig) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-h.closed
		cancel()
	}()
	config = config.Copy()
	config.RuntimeParams["application_name"] = "postgrest listener"
	retry := time.NewTicker(retryPause)
	defer retry.Stop()
	for ctx.Err() == nil {
		h.listen(ctx, config)
		h.pool.reset() // what ended this connection ended the others, too
		select {
		case <-retry.C:
		case <-ctx.Done():
		}
	}
}

// listen reloads the schema when it connects and at each notification, until something goes wrong.
func (h *Handler) listen(ctx context.Context, config *pgx.ConnConfig) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	h.mu.Lock()
	h.relisten = cancel
	h.mu.Unlock()

	conn, err := connect(ctx, config)
	if err != nil {
		return
	}
	defer discard(conn)
	if _, err := conn.Exec(ctx, "listen pgrst"); err != nil {
		return
	}
	for {
		if h.load(ctx, conn) != nil {
			return
		}
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return
		}
	}
}

// load reads the schema. Without one nothing can be answered.
func (h *Handler) load(ctx context.Context, conn *pgx.Conn) error {
	h.loading.Lock()
	defer h.loading.Unlock()
	s, err := loadSchema(ctx, conn)
	h.schema.Store(s)
	return err
}

// lost forgets the schema after a request did not reach the database, until it is there again.
func (h *Handler) lost() {
	h.schema.Store(nil)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.relisten()
}

// Reload reads the schema at once, as NOTIFY pgrst does a little later.
func (h *Handler) Reload(ctx context.Context) error {
	conn, err := connect(ctx, h.pool.config)
	if err != nil {
		return fmt.Errorf("load the schema: %w", err)
	}
	defer discard(conn)
	if err := h.load(ctx, conn); err != nil {
		return fmt.Errorf("load the schema: %w", err)
	}
	return nil
}
