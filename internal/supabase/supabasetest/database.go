package supabasetest

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/jackc/pgx/v5"

	migrations "github.com/soundcheck-io/latency-operator/config/supabase"
)

//go:embed roles.sql
var roles string

// CreateRoles gives a plain PostgreSQL the roles that a Supabase project has: anon, authenticated, service_role and
// authenticator, with the statement timeouts of a hosted project. dsn is a superuser's.
func CreateRoles(ctx context.Context, dsn string) error {
	return execute(ctx, dsn, "create roles", roles)
}

// Migrate applies the operator's migrations. They may have been applied before.
func Migrate(ctx context.Context, dsn string) error { return apply(ctx, dsn, migrations.All()) }

// MigrateOptional applies the optional migrations after those of Migrate. They may have been applied before.
func MigrateOptional(ctx context.Context, dsn string) error {
	return apply(ctx, dsn, migrations.Optional())
}

func apply(ctx context.Context, dsn string, list []migrations.Migration) error {
	for _, m := range list {
		if err := execute(ctx, dsn, "apply "+m.Name, m.SQL); err != nil {
			return err
		}
	}
	return nil
}

// execute runs several statements in one transaction.
func execute(ctx context.Context, dsn, what, sql string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
