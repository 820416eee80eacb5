//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	. "github.com/onsi/gomega"

	"github.com/soundcheck-io/latency-operator/internal/verify"
)

// databasePort is where PostgreSQL listens inside the demo's pod, for nobody else.
const databasePort = 5432

// openDatabase forwards a port to the demo's PostgreSQL for the rest of the whole test.
func (s *suite) openDatabase(t *testing.T) {
	t.Helper()
	address, _, err := s.forward(t.Context(), s.onePod(t, demoSelector).Name, databasePort)
	if err != nil {
		t.Fatal(err)
	}
	s.database = "postgres://postgres@" + address + "/postgres?sslmode=disable"
}

// withDatabase lends f a connection.
func (s *suite) withDatabase(ctx context.Context, f func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, s.database)
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
	}).WithTimeout(patience).WithPolling(time.Second).Should(BeEmpty())
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
