package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/soundcheck-io/latency-operator/internal/verify"
)

// poll is a question that SpreeDB answered.
type poll struct{ arrived, left time.Time }

// stored is a row of samples.
type stored struct {
	due, sent time.Time
	// spoke says that the row tells what SpreeDB said: success or missed.
	spoke bool
}

// unmeasured is a slot in a row of sample_gaps.
type unmeasured struct {
	due    time.Time
	reason string
}

// account is what there is to see of one job in the end.
type account struct {
	*job
	polls   []poll
	samples []stored
	gaps    []unmeasured
	// checked is what internal/verify says of it.
	checked verify.Job
}

// collect reads SpreeDB's ledger and the tables.
func (r *rig) collect(ctx context.Context) ([]*account, error) {
	r.say("Comparing what SpreeDB answered with what the database holds.")
	conn, err := r.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	accounts, byIP, byID := []*account{}, map[string]*account{}, map[string]*account{}
	opts := verify.Options{Now: time.Now(), Periods: map[string][]verify.Period{}, List: 1_000_000}
	for _, j := range r.jobs.all {
		if !j.deleted.IsZero() {
			continue // its samples went with it
		}
		a := &account{job: j}
		accounts = append(accounts, a)
		byIP[j.ip], byID[j.id] = a, a
		opts.Periods[j.id] = j.periods
	}
	for _, p := range r.SpreeDB.Polls() {
		if a := byIP[p.Target.String()]; a != nil && p.Code != 0 {
			a.polls = append(a.polls, poll{p.Arrived, p.Left})
		}
	}
	report, err := verify.Check(ctx, conn, opts)
	if err != nil {
		return nil, err
	}
	for _, checked := range report.Jobs {
		if a := byID[checked.ID]; a != nil {
			a.checked = checked
		}
	}
	for _, a := range accounts {
		if err := a.read(ctx, conn); err != nil {
			return nil, fmt.Errorf("read what became of job %s: %w", a.id, err)
		}
	}
	return accounts, nil
}

func (a *account) read(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, `select coalesce(scheduled_at, 'epoch'), recorded_at, status <> 'system_error' from samples where job_id = $1 order by recorded_at, scheduled_at`, a.id)
	if err != nil {
		return err
	}
	a.samples, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (s stored, err error) {
		err = row.Scan(&s.due, &s.sent, &s.spoke)
		return s, err
	})
	if err != nil {
		return err
	}
	rows, err = conn.Query(ctx, `
		select from_at + (to_at - from_at) * k / greatest(slots - 1, 1), reason
		from sample_gaps, generate_series(0, slots - 1) k where job_id = $1 order by 1`, a.id)
	if err != nil {
		return err
	}
	a.gaps, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (u unmeasured, err error) {
		err = row.Scan(&u.due, &u.reason)
		return u, err
	})
	return err
}
