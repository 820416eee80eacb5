package verify

import (
	"context"
	_ "embed"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/soundcheck-io/latency-operator/internal/schedule"
)

//go:embed job.sql
var jobSQL string

// plan is what to expect of a job's outcomes.
type plan struct {
	required, allowed stretches
	// known says that the grids were told and not taken from the row.
	known bool
}

// stretches are runs of slots, in the form in which SQL takes them: instants in microseconds since 1970.
type stretches struct{ first, last, cadence []int64 }

func (s *stretches) add(g schedule.Grid, from, until int64) {
	if from > until {
		return
	}
	s.first = append(s.first, g.Due(from).UnixMicro())
	s.last = append(s.last, g.Due(until).UnixMicro())
	s.cadence = append(s.cadence, g.Cadence.Microseconds())
}

// plan says which slots of the job must have an outcome by now, and on which grids outcomes may lie.
func (r row) plan(opts Options) plan {
	periods, known := opts.Periods[r.id]
	if !known {
		periods = []Period{{Grid: r.grid}}
	}
	p := plan{known: known}
	for _, period := range periods {
		until := r.dueBefore(period.Grid, opts)
		if !period.Until.IsZero() && period.Until.Before(until) {
			until = period.Until
		}
		from := period.Grid.Start
		if period.From.After(from) {
			from = period.From
		}
		p.required.add(period.Grid, period.Grid.After(from.Add(-1)), period.Grid.At(until.Add(-1)))
		p.allowed.add(period.Grid, 0, period.Grid.Slots()-1)
	}
	return p
}

// dueBefore is the first instant at which slots of the grid need no outcome: when the job was over, or just now.
func (r row) dueBefore(g schedule.Grid, opts Options) time.Time {
	until := opts.Now
	switch {
	case r.status == "running":
		if recent := opts.Now.Add(-2*g.Cadence - opts.Grace); recent.Before(g.End()) {
			until = recent
		}
	case r.ended != nil && r.ended.Before(until):
		until = *r.ended
	case r.ended == nil && r.status != "completed":
		return g.Start // it has no outcome at all, and nobody knows whether it should
	}
	return until
}

// found is what the tables hold of a job.
type found struct {
	due, samples, unscheduled                       int64
	gaps                                            map[string]int64
	missing, twice, sameTime, sameNumber, off       int64
	firstMissing, firstTwice, firstNumber, firstOff []int64
	newest                                          *time.Time
	avgRTT, loss                                    *float64
}

func inspect(ctx context.Context, conn *pgx.Conn, r row, p plan, list int) (f found, err error) {
	err = reading(ctx, conn, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, jobSQL, r.id,
			p.required.first, p.required.last, p.required.cadence,
			p.allowed.first, p.allowed.last, p.allowed.cadence, !p.known, list,
		).Scan(&f.due, &f.samples, &f.unscheduled, &f.gaps, &f.missing, &f.firstMissing, &f.twice, &f.firstTwice,
			&f.sameTime, &f.sameNumber, &f.firstNumber, &f.off, &f.firstOff, &f.newest, &f.avgRTT, &f.loss)
	})
	return f, err
}
