package postgrest

import (
	"context"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
)

// pool keeps connections like PostgREST: it looks at none before it gives it away, so that one that broke while it was idle
// fails the next request.
type pool struct {
	config *pgx.ConnConfig
	// turns holds one item for each connection that is given away.
	turns chan struct{}

	mu   sync.Mutex
	idle []*pgx.Conn
	// era changes when all connections of before are to be thrown away.
	era    int
	closed bool
}

// lease is a connection that was given away.
type lease struct {
	*pgx.Conn
	era int
}

func newPool(config *pgx.ConnConfig, size int) *pool {
	return &pool{config: config, turns: make(chan struct{}, size)}
}

// wait returns when there is a turn, or with the error of ctx.
func (p *pool) wait(ctx context.Context) error {
	select {
	case p.turns <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// take gives a connection to whoever has waited for a turn.
func (p *pool) take(ctx context.Context) (*lease, error) {
	if kept := p.kept(); kept != nil {
		return kept, nil
	}
	p.mu.Lock()
	era := p.era
	p.mu.Unlock()
	conn, err := connect(ctx, p.config)
	if err != nil {
		<-p.turns
		return nil, err
	}
	return &lease{Conn: conn, era: era}, nil
}

func (p *pool) kept() *lease {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		return nil
	}
	last := len(p.idle) - 1
	conn := p.idle[last]
	p.idle = p.idle[:last]
	return &lease{Conn: conn, era: p.era}
}

// release takes a connection back, and keeps it if it is as it was.
func (p *pool) release(l *lease) {
	defer func() { <-p.turns }()
	p.mu.Lock()
	keep := !p.closed && l.era == p.era && !l.IsClosed() && l.PgConn().TxStatus() == 'I'
	if keep {
		p.idle = append(p.idle, l.Conn)
	}
	p.mu.Unlock()
	if !keep {
		discard(l.Conn)
	}
}

// reset throws all connections away, those in use as soon as they come back.
func (p *pool) reset() {
	p.mu.Lock()
	idle := p.idle
	p.idle = nil
	p.era++
	p.mu.Unlock()
	discard(idle...)
}

// close waits for the connections that are in use.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.reset()
	for range cap(p.turns) {
		p.turns <- struct{}{}
	}
}

func discard(conns ...*pgx.Conn) {
	for _, conn := range conns {
		_ = conn.Close(context.Background())
	}
}

// connect gives a superuser the rights and settings that PostgREST's own role has.
func connect(ctx context.Context, config *pgx.ConnConfig) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	_, err = conn.Exec(ctx, `
		select set_config(p.name, substr(s.setting, strpos(s.setting, '=') + 1), false)
		from pg_roles r
		cross join unnest(r.rolconfig) s (setting)
		join pg_settings p on lower(p.name) = lower(split_part(s.setting, '=', 1)) and p.context in ('user', 'superuser')
		where r.rolname = 'authenticator' and current_setting('is_superuser') = 'on';
		select set_config('session_authorization', rolname, false) from pg_roles
		where rolname = 'authenticator' and current_setting('is_superuser') = 'on'`)
	if err != nil {
		discard(conn)
		return nil, fmt.Errorf("become authenticator: %w", err)
	}
	return conn, nil
}
