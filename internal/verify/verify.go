// Package verify checks a database for what the operator promises: every slot of a job has exactly one outcome, which is a
// sample or a row of sample_gaps; no sample is there twice; and the figures in jobs are those of the samples. It only
// reads, and needs no more than select on jobs, samples and sample_gaps.
package verify

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/soundcheck-io/latency-operator/internal/schedule"
)

// DefaultGrace is how long a sample may take to the database beside twice the cadence of its job, and so what Options.Grace
// usually is.
const DefaultGrace = 30 * time.Second

const defaultList = 5

//go:embed jobs.sql
var jobsSQL string

// Options choose what is checked.
type Options struct {
	// Jobs are the ids of the jobs to look at; none means all.
	Jobs []string
	// Since leaves out jobs that started before; zero leaves out none.
	Since time.Time
	// Now is the time up to which slots are due.
	Now time.Time
	// Grace keeps the newest slots of running jobs out of it: those due within twice the cadence and this before Now. The
	// last_ping_at of a job that ended is judged that much later. Not negative.
	Grace time.Duration
	// Periods are, by id, the grids that jobs went through, where somebody knows. Without them a job is taken to have had
	// the grid of its row, unless its outcomes say otherwise: then it is Edited.
	Periods map[string][]Period
	// List is how many instants of each kind a Job names; 0 is 5.
	List int
}

// Period is a time in which a job had a grid. Periods of a job do not overlap, but there may be time between them, in which
// an outcome may lie on the grid of any period, and none has to be.
type Period struct {
	Grid schedule.Grid
	// Slots of the grid that are due at From or later and before Until must have an outcome. A zero From is the start of
	// the grid, a zero Until its end.
	From, Until time.Time
}

// Check looks at the jobs one after the other, each in a transaction that can only read. An error means that it could not
// look, and not that something is wrong with the data.
func Check(ctx context.Context, conn *pgx.Conn, opts Options) (*Report, error) {
	if opts.List == 0 {
		opts.List = defaultList
	}
	jobs, err := readJobs(ctx, conn, opts)
	if err != nil {
		return nil, explain(err)
	}
	report := &Report{At: opts.Now.UTC(), Jobs: make([]Job, 0, len(jobs))}
	for _, row := range jobs {
		found, err := inspect(ctx, conn, row, row.plan(opts), opts.List)
		if err != nil {
			return nil, explain(fmt.Errorf("look at job %s: %w", row.id, err))
		}
		report.Jobs = append(report.Jobs, judge(row, found, opts))
	}
	return report, nil
}

// explain tells what to do about errors that say nothing to whoever has never seen the code.
func explain(err error) error {
	answer, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case !ok:
		return err
	case answer.Code == "42P01" || answer.Code == "42703":
		return fmt.Errorf("the database lacks what the check reads: apply the migrations in config/supabase/migrations: %w", err)
	case answer.Code == "42501":
		return fmt.Errorf("the role may not read what the check reads: grant it select on jobs, samples and sample_gaps: %w", err)
	}
	return err
}

// row is what jobs says of a job.
type row struct {
	id, status string
	grid       schedule.Grid
	ended      *time.Time // when a job that does not run any more was over, if that is known
	lastPing   *time.Time
	avgRTT     *float64
	loss       *float64
	samples    *int64
}

func readJobs(ctx context.Context, conn *pgx.Conn, opts Options) ([]row, error) {
	var ids []string
	if len(opts.Jobs) > 0 {
		ids = opts.Jobs
	}
	var since *time.Time
	if !opts.Since.IsZero() {
		since = &opts.Since
	}
	var jobs []row
	err := reading(ctx, conn, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, jobsSQL, ids, since)
		if err != nil {
			return err
		}
		jobs, err = pgx.CollectRows(rows, scanRow)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the jobs: %w", err)
	}
	return jobs, nil
}

func scanRow(from pgx.CollectableRow) (r row, err error) {
	var cadence, minutes int64
	err = from.Scan(&r.id, &r.status, &r.grid.Start, &cadence, &minutes, &r.ended, &r.lastPing, &r.avgRTT, &r.loss, &r.samples)
	r.grid.Cadence, r.grid.Duration = time.Duration(cadence)*time.Second, time.Duration(minutes)*time.Minute
	return r, err
}

// reading runs f in a transaction that cannot write and has no statement timeout, since a check of months of samples takes
// longer than a request of the app may.
func reading(ctx context.Context, conn *pgx.Conn, f func(pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "set local statement_timeout = 0"); err != nil {
			return err
		}
		return f(tx)
	})
}
