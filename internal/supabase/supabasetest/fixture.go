package supabasetest

import (
	"context"

	"github.com/soundcheck-io/latency-operator/internal/pgtest"
)

// Option changes what New makes.
type Option func(*fixture)

type fixture struct {
	options Options
	before  []string
	bare    bool
	// more tells whether the optional migrations are wanted too.
	more bool
}

// WithOptions changes the server's options. The database is New's.
func WithOptions(change func(*Options)) Option {
	return func(f *fixture) { change(&f.options) }
}

// WithSQL runs SQL before the migrations, such as an older state of the app's tables.
func WithSQL(sql string) Option {
	return func(f *fixture) { f.before = append(f.before, sql) }
}

// WithoutMigrations leaves the operator's migrations out. Migrate applies them later.
func WithoutMigrations() Option {
	return func(f *fixture) { f.bare = true }
}

// WithOptionalMigrations applies these too.
func WithOptionalMigrations() Option {
	return func(f *fixture) { f.more = true }
}

// New starts a project with a database of its own on the shared PostgreSQL, with Supabase's roles and the operator's
// migrations. It ends with the test. The package's TestMain should call pgtest.Main.
func New(t pgtest.TB, opts ...Option) *Server {
	t.Helper()
	ctx := context.Background()
	f := &fixture{options: Options{KeepRequests: 100_000}}
	for _, opt := range opts {
		opt(f)
	}
	server, name := pgtest.Database(t)
	f.options.DSN = server.URL(name)
	if err := f.prepare(ctx); err != nil {
		t.Fatal(err)
	}
	s, err := Start(ctx, f.options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func (f *fixture) prepare(ctx context.Context) error {
	if err := CreateRoles(ctx, f.options.DSN); err != nil {
		return err
	}
	for _, sql := range f.before {
		if err := execute(ctx, f.options.DSN, "prepare the database", sql); err != nil {
			return err
		}
	}
	if f.bare {
		return nil
	}
	if err := Migrate(ctx, f.options.DSN); err != nil || !f.more {
		return err
	}
	return MigrateOptional(ctx, f.options.DSN)
}
