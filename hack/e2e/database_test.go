//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	. "github.com/onsi/gomega"

	"github.com/soundcheck-io/latency-operator/internal/verify"
)

const (
	// databasePort is where PostgreSQL listens inside the demo's pod, for nobody else.
	databasePort = 5432
	// settled is how long it may take until every slot has its outcome: a replica that died before it could store what it had
	// measured is waited for for two minutes.
	settled = 3 * time.Minute
)

// withDatabase lends f a connection to the demo's PostgreSQL.
func (s *suite) withDatabase(ctx context.Context, f func(*pgx.Conn) error) error {
	pods, err := s.pods(ctx, demoSelector)
	if err != nil {
		return err
	}
	if len(pods) != 1 {
		return fmt.Errorf("there are %d pods of the demo", len(pods))
	}
	config, err := pgx.ParseConfig("postgres://postgres@127.0.0.1/postgres?sslmode=disable")
	if err != nil {
		return err
	}
	config.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return s.dial(ctx, pods[0].Name, databasePort)
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("connect to the demo's database: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	return f(conn)
}

// query returns the one value of a query.
func query[T any](ctx context.Context, s *suite, sql string, args ...any) (value T, err error) {
	err = s.withDatabase(ctx, func(conn *pgx.Conn) error { return conn.QueryRow(ctx, sql, args...).Scan(&value) })
	return value, err
}

func (s *suite) exec(ctx context.Context, sql string, args ...any) error {
	return s.withDatabase(ctx, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, sql, args...)
		return err
	})
}

// check compares jobs with their samples and gaps, as of an instant.
func (s *suite) check(ctx context.Context, ids []string, now time.Time) (report *verify.Report, err error) {
	err = s.withDatabase(ctx, func(conn *pgx.Conn) error {
		report, err = verify.Check(ctx, conn, verify.Options{Jobs: ids, Now: now})
		return err
	})
	return report, err
}

// awaitOutcomes waits until every slot of the jobs that was due by now has its one outcome in the database.
func (s *suite) awaitOutcomes(t *testing.T, ids []string) *verify.Report {
	t.Helper()
	now := time.Now()
	var report *verify.Report
	NewWithT(t).Eventually(func() (string, error) {
		var err error
		if report, err = s.check(t.Context(), ids, now); err != nil {
			return "", err
		}
		return flaws(report), nil
	}).WithTimeout(settled).WithPolling(time.Second).Should(BeEmpty())
	return report
}

// flaws is empty when every promise is kept.
func flaws(r *verify.Report) string {
	if r.Flawed() == 0 {
		return ""
	}
	var table strings.Builder
	_ = r.WriteTable(&table) // a Builder takes everything
	return table.String()
}
