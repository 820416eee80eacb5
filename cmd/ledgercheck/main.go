// Command ledgercheck looks into a database and tells whether every slot of every job has exactly one outcome. It only
// reads. What the operator still holds, because the database was away until a moment ago, is not in the database and shows
// up as slots without an outcome.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"github.com/jackc/pgx/v5"

	"github.com/soundcheck-io/latency-operator/internal/verify"
)

// The exit codes.
const (
	kept = iota
	broken
	cannotLook
)

type options struct {
	DatabaseURL string        `env:"DATABASE_URL" required:"" help:"Connection string of the database, such as postgresql://reader:secret@host:5432/postgres. A role that may read is enough; row-level security must not hide rows from it." placeholder:"URL"`
	Job         []string      `help:"Id of a job to look at; may be repeated. Default: all of them." placeholder:"ID"`
	Since       time.Duration `help:"Only jobs that started within this time, such as 24h." placeholder:"DURATION"`
	Grace       time.Duration `default:"30s" help:"How long a sample may be on its way: slots of running jobs that came due within twice the cadence and this are not looked at."`
	Output      string        `short:"o" default:"table" enum:"table,json" help:"table or json."`
}

func main() {
	var opts options
	kong.Parse(&opts, kong.Name("ledgercheck"),
		kong.Description("Checks that every slot of every latency job has exactly one outcome in the database: a sample, or a reason in sample_gaps. Exits with 1 if not, and with 2 if it cannot look."),
		kong.ShortUsageOnError(), kong.Exit(func(code int) {
			if code != 0 {
				code = cannotLook
			}
			os.Exit(code)
		}))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code, err := run(ctx, opts, time.Now(), os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "ledgercheck:", err)
	}
	os.Exit(code)
}

// run prints what it found to out and returns the exit code.
func run(ctx context.Context, opts options, now time.Time, out io.Writer) (int, error) {
	if opts.Grace < 0 || opts.Since < 0 {
		return cannotLook, fmt.Errorf("--grace and --since must not be negative")
	}
	conn, err := connect(ctx, opts.DatabaseURL)
	if err != nil {
		return cannotLook, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	check := verify.Options{Jobs: opts.Job, Now: now, Grace: opts.Grace}
	if opts.Since > 0 {
		check.Since = now.Add(-opts.Since)
	}
	report, err := verify.Check(ctx, conn, check)
	if err != nil {
		return cannotLook, err
	}
	if err := write(out, report, opts.Output); err != nil {
		return cannotLook, err
	}
	switch {
	case len(report.Jobs) == 0: // an empty answer is what row-level security looks like
		return cannotLook, nil
	case report.Flawed() > 0:
		return broken, nil
	}
	return kept, nil
}

// connect prepares no statements: a pooler may give each transaction another connection.
func connect(ctx context.Context, url string) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL is not a connection string: %w", err)
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	return conn, nil
}

func write(out io.Writer, report *verify.Report, format string) error {
	if format == "table" {
		return report.WriteTable(out)
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(struct {
		Verdict string `json:"verdict"`
		*verify.Report
	}{report.Verdict(), report})
}
