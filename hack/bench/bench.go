package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/soundcheck-io/latency-operator/hack/bench/spreedb"
)

// trial is one load with its surroundings.
type trial struct {
	*surroundings
	load     load
	programs binaries
	opts     *options
	reporter *reporter
}

// bench measures the operator and then the floor under one load, with new surroundings.
func bench(ctx context.Context, l load, programs binaries, opts *options, r *reporter) (res result, err error) {
	r.say("%s: starting etcd, kube-apiserver and what else there is.", l)
	s, err := surround(ctx, l, opts, r.progress)
	if err != nil {
		return res, err
	}
	defer s.close()
	t := &trial{surroundings: s, load: l, programs: programs, opts: opts, reporter: r}
	switch res, err = t.run(ctx); {
	case ctx.Err() != nil:
		return res, ctx.Err()
	case err != nil:
		return res, fmt.Errorf("%w%s", err, lastWords(s.logPath))
	}
	return res, nil
}

func (t *trial) run(ctx context.Context) (res result, err error) {
	res.Load = t.load
	operator, err := t.start(t.startOperator)
	if err != nil {
		return res, err
	}
	defer operator.program.kill()
	if err := operator.measure(ctx, t.opts.Settle); err != nil {
		return res, err
	}
	res.Operator, res.Problems = operator.figures, operator.problems
	if t.opts.Restart {
		if res.Restart, err = t.again(ctx, &res); err != nil {
			return res, err
		}
		res.Restart.StopSeconds = operator.stopped.Seconds()
	}
	if t.opts.Floor {
		floor, err := t.start(t.startFloor)
		if err != nil {
			return res, err
		}
		defer floor.program.kill()
		if err := floor.measure(ctx, min(floorSettles, t.opts.Settle)); err != nil {
			return res, err
		}
		res.compare(&floor.figures, floor.problems)
	}
	// What surrounds the programs does not know whose request it refused.
	res.Problems = slices.Concat(res.Problems, t.database.problems(), t.spreedb.Problems())
	return res, nil
}

// compare puts the floor beside the operator. A floor that is not to be believed makes the ratio worthless, so that its problems
// are those of the result.
func (res *result) compare(floor *figures, problems []string) {
	res.Floor = floor
	res.CPURatio = ratio(res.Operator.CPUPerPollMicros, floor.CPUPerPollMicros)
	res.Problems = append(res.Problems, problems...)
}

// start starts a program, and has SpreeDB note what it does.
func (t *trial) start(program func() (*program, error)) (*measurement, error) {
	m := &measurement{trial: t, ledger: spreedb.NewLedger(t.jobs.devices)}
	t.spreedb.Use(m.ledger)
	var err error
	m.program, err = program()
	if err != nil {
		m.program.kill()
		return nil, err
	}
	return m, nil
}

// again starts the operator once more, beside the LatencyJobs that are there by now.
func (t *trial) again(ctx context.Context, res *result) (*restart, error) {
	m, err := t.start(t.startOperator)
	if err != nil {
		return nil, err
	}
	defer m.program.kill()
	if err := m.awaitFirstPolls(ctx); err != nil {
		return nil, err
	}
	if err := m.wait(ctx, t.opts.Cadence); err != nil { // the rush may come late
		return nil, err
	}
	came := &restart{FirstPollSeconds: m.figures.FirstPollSeconds, PeakInFlight: m.ledger.Peak(), PeakPerSecond: m.ledger.Rush()}
	if err := m.program.stop(ctx); err != nil {
		m.suspect("%v", err)
	}
	res.Problems = append(res.Problems, m.problems...)
	return came, nil
}
