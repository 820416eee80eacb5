package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/soundcheck-io/latency-operator/internal/schedule"
	"github.com/soundcheck-io/latency-operator/internal/spreedb/spreedbtest"
	"github.com/soundcheck-io/latency-operator/internal/verify"
)

const (
	// reaction is how long the operator may take to follow a change in the app: its sync interval of a second, and some
	// more for a busy machine. Which grid a slot of that time belongs to is open.
	reaction = 3 * time.Second
	// moment is how long before a change a slot may come due that the operator did not get to any more.
	moment = 500 * time.Millisecond
	// headStart lets the operator see a job before its first slot is due.
	headStart = 2 * time.Second
	// soon is how long it is waited for a job to end by itself.
	soon = 10 * time.Second
	// longJob is longer than any run.
	longJob = 100 * time.Hour
)

// job is a row of jobs, with a target that no other row has, so that SpreeDB's ledger tells whose poll was whose.
type job struct {
	id, ip string
	// periods are its grids so far; the last is the row's.
	periods []verify.Period
	// short jobs end by themselves; the others are there for the faults.
	short bool
	// over says that the row does not run any more, or is gone.
	over bool
	// deleted is when the row was removed; zero if it is there.
	deleted time.Time
	// once says that no other job takes its place when it is over.
	once bool
	// lent says that a fault has it.
	lent bool
}

func (j *job) grid() schedule.Grid { return j.periods[len(j.periods)-1].Grid }

// population are all jobs that ever were.
type population struct {
	rig  *rig
	all  []*job
	next int
}

func newPopulation(r *rig) *population { return &population{rig: r} }

// devices are how the devices of the jobs behave.
var devices = []spreedbtest.Behaviour{
	spreedbtest.Good(18 * time.Millisecond), spreedbtest.Good(40 * time.Millisecond), spreedbtest.Lossy(0.3),
	{Median: 60 * time.Millisecond}, spreedbtest.Good(5 * time.Millisecond), spreedbtest.Dead(),
}

// add starts a job as the app does.
func (p *population) add(ctx context.Context, grid schedule.Grid) (*job, error) {
	n := p.next
	p.next++
	j := &job{ip: fmt.Sprintf("10.%d.%d.%d", 1+n/62_500, n/250%250, 1+n%250), periods: []verify.Period{{Grid: grid}}, short: grid.Duration < longJob}
	p.rig.SpreeDB.Set(j.ip, devices[n%len(devices)])
	j.id = uuid.NewString()
	err := p.rig.exec(ctx, `
		insert into jobs (id, account_number, target_ip, cadence_seconds, duration_minutes, monitoring_mode, started_at)
		values ($1, 'chaos', $2, $3, $4, 'real_polling', $5)`,
		j.id, j.ip, int(grid.Cadence.Seconds()), int(grid.Duration.Minutes()), grid.Start)
	if err != nil {
		return nil, fmt.Errorf("start a job: %w", err)
	}
	p.all = append(p.all, j)
	return j, nil
}

// fill starts jobs with cadences from 1 to 3 s: long ones, which faults may take, and some that end after a minute or two.
func (p *population) fill(ctx context.Context, n int, ago time.Duration) error {
	start := time.Now().Add(headStart - ago).UTC().Truncate(time.Microsecond)
	for i := range n {
		// Apart from each other, as people start them.
		grid := schedule.Grid{Start: start.Add(time.Duration(i) * time.Second / time.Duration(n)), Cadence: time.Duration(1+i%3) * time.Second, Duration: longJob}
		if i%6 == 5 && ago == 0 {
			grid.Duration = time.Duration(1+i%2) * time.Minute
		}
		if _, err := p.add(ctx, grid); err != nil {
			return err
		}
	}
	return nil
}

// replace starts a job for each short one that is over, and returns when the operator has seen them: only jobs that it knows
// are measured whatever happens.
func (p *population) replace(ctx context.Context) error {
	now, added := time.Now(), false
	for _, j := range p.all {
		if !j.short || j.over || j.grid().End().After(now) {
			continue
		}
		j.over = true
		if j.once {
			continue
		}
		grid := schedule.Grid{Start: now.Add(headStart).UTC().Truncate(time.Microsecond), Cadence: j.grid().Cadence, Duration: time.Minute}
		if _, err := p.add(ctx, grid); err != nil {
			return err
		}
		added = true
	}
	if !added {
		return nil
	}
	return p.rig.wait(ctx, headStart+time.Second)
}

// lend gives a job to a fault, which has it until all faults are over: a long one that nobody has.
func (p *population) lend() (*job, error) {
	start := p.rig.random.IntN(len(p.all))
	for i := range p.all {
		j := p.all[(start+i)%len(p.all)]
		if !j.short && !j.over && !j.lent {
			j.lent = true
			return j, nil
		}
	}
	return nil, fmt.Errorf("every long job is over or in use: give more with --jobs")
}

// release gives back what was lent.
func (p *population) release() {
	for _, j := range p.all {
		j.lent = false
	}
}

// blur is for several faults at once: where a job got another grid between two instants, another fault may have kept the
// operator from knowing, so that the slots from then on may lie on either grid until everything had recovered.
func (p *population) blur(from, to time.Time) {
	for _, j := range p.all {
		for i := 1; i < len(j.periods); i++ {
			before, after := &j.periods[i-1], &j.periods[i]
			if before.Until.After(from) && before.Until.Before(to) && after.Grid.Start.Equal(before.Grid.Start) {
				before.Until, after.From = from, later(after.From, to.Add(reaction))
			}
		}
	}
}

// measurable are the jobs that are polled now and left alone by faults.
func (p *population) measurable() []*job {
	now := time.Now()
	return slices.DeleteFunc(slices.Clone(p.all), func(j *job) bool {
		return j.lent || j.over || !j.grid().End().After(now.Add(-j.grid().Cadence)) || j.grid().Start.After(now)
	})
}

// edit changes cadence and duration while the job runs.
func (p *population) edit(ctx context.Context, j *job, cadence, duration time.Duration) error {
	grid := j.grid()
	grid.Cadence, grid.Duration = cadence, duration
	now := time.Now()
	if err := p.rig.exec(ctx, `update jobs set cadence_seconds = $2, duration_minutes = $3 where id = $1`, j.id, int(cadence.Seconds()), int(duration.Minutes())); err != nil {
		return err
	}
	j.periods[len(j.periods)-1].Until = now.Add(-moment)
	j.periods = append(j.periods, verify.Period{Grid: grid, From: now.Add(reaction)})
	return nil
}

// cancel ends a job in the app.
func (p *population) cancel(ctx context.Context, j *job) error {
	now := time.Now().UTC()
	if err := p.rig.exec(ctx, `update jobs set status = 'cancelled', completed_at = $2 where id = $1`, j.id, now); err != nil {
		return err
	}
	j.over = true
	j.periods[len(j.periods)-1].Until = now.Add(-moment)
	return nil
}

// restart ends a job early and starts it again some time later, both in the app, with another start.
func (p *population) restart(ctx context.Context, j *job, pause time.Duration) error {
	now := time.Now().UTC()
	if err := p.rig.exec(ctx, `update jobs set status = 'completed', completed_at = $2 where id = $1`, j.id, now); err != nil {
		return err
	}
	j.periods[len(j.periods)-1].Until = now.Add(-moment)
	if err := p.rig.wait(ctx, pause); err != nil {
		return err
	}
	grid := j.grid()
	grid.Start = time.Now().Add(time.Second).UTC().Truncate(time.Microsecond)
	if err := p.rig.exec(ctx, `update jobs set status = 'running', completed_at = null, started_at = $2 where id = $1`, j.id, grid.Start); err != nil {
		return err
	}
	j.periods = append(j.periods, verify.Period{Grid: grid})
	return nil
}

// remove deletes the row, and with it the job's samples and gaps.
func (p *population) remove(ctx context.Context, j *job) error {
	if err := p.rig.exec(ctx, `delete from jobs where id = $1`, j.id); err != nil {
		return err
	}
	j.over, j.deleted = true, time.Now()
	return nil
}

// end has all jobs end: some by the app, which cancels them, and some by the operator, since their duration is made as short
// as it can be. Short ones end by themselves unless that takes long.
func (p *population) end(ctx context.Context) error {
	for i, j := range p.all {
		if j.over || j.short && time.Until(j.grid().End()) < soon {
			continue
		}
		shortest := time.Since(j.grid().Start).Truncate(time.Minute)
		var err error
		if i%2 == 0 || j.short || shortest == 0 {
			err = p.cancel(ctx, j)
		} else {
			err = p.edit(ctx, j, j.grid().Cadence, shortest)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
