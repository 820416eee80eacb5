package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

const (
	// feltPatience is how long a fault may take to be felt, beyond its hold.
	feltPatience = 20 * time.Second
	// recoveryPatience is how long measuring and storing may take to go on after a fault: the operator waits up to 15 s
	// between two tries.
	recoveryPatience = 60 * time.Second
)

// episode is a fault that was played, from its beginning until everything had recovered from it.
type episode struct {
	fault
	began, ended time.Time
	felt         int
	of           *job
	skipped      string
}

// conductor plays the faults and sees that measuring goes on after each.
type conductor struct {
	rig      *rig
	progress io.Writer
	began    time.Time
	episodes []*episode
	// footprints are what the operator took in the long outage.
	footprints *footprints
}

// play plays what the options ask for, and then has everything end.
func (c *conductor) play(ctx context.Context) error {
	r, opts := c.rig, c.rig.opts
	c.began = time.Now()
	if err := errors.Join(r.jobs.fill(ctx, opts.Jobs/2, 0), r.jobs.fill(ctx, opts.Jobs-opts.Jobs/2, opts.backdate)); err != nil {
		return err
	}
	if err := c.begin(ctx); err != nil {
		return err
	}
	if opts.Outage > 0 {
		if err := c.longOutage(ctx); err != nil {
			return err
		}
	}
	if err := c.playAll(ctx); err != nil {
		return err
	}
	return c.settle(ctx)
}

// begin is the start, as an episode: jobs that began before the operator have slots that nobody could measure.
func (c *conductor) begin(ctx context.Context) error {
	e := &episode{fault: fault{name: "start", explains: whileStarting}, began: c.began, felt: 1}
	c.episodes = append(c.episodes, e)
	if err := c.rig.wait(ctx, headStart+time.Second); err != nil {
		return err
	}
	err := c.recover(ctx, e.name, recoveryPatience)
	e.ended = time.Now()
	if err == nil && len(c.rig.problems) > 0 {
		return errors.New("not every job is measured even before the first fault")
	}
	return err
}

func (c *conductor) playAll(ctx context.Context) error {
	opts := c.rig.opts
	programme, err := opts.chosen()
	if err != nil {
		return err
	}
	if opts.Duration == 0 {
		for _, together := range programme {
			if err := c.perform(ctx, together...); err != nil {
				return err
			}
		}
		return nil
	}
	for end := c.began.Add(opts.Duration); time.Now().Before(end); {
		if err := c.perform(ctx, c.draw(programme)...); err != nil {
			return err
		}
	}
	return nil
}

// draw chooses what to play next: one time in three, two faults of different areas at once.
func (c *conductor) draw(programme [][]fault) []fault {
	random := c.rig.random
	first, second := programme[random.IntN(len(programme))], programme[random.IntN(len(programme))]
	a, b := first[0].area, second[0].area
	if random.IntN(3) == 0 && len(first) == 1 && len(second) == 1 && a != b && a != apart && b != apart {
		return []fault{first[0], second[0]}
	}
	return first
}

// perform plays faults, the later ones within the earlier ones, and awaits that everything has recovered.
func (c *conductor) perform(ctx context.Context, together ...fault) error {
	r := c.rig
	var names []string
	for _, f := range together {
		names = append(names, f.name)
	}
	if err := r.jobs.replace(ctx); err != nil {
		return err
	}
	began := time.Now()
	var playing []*episode
	if err := c.within(ctx, together, &playing); err != nil {
		return fmt.Errorf("play %s: %w", strings.Join(names, " and "), err)
	}
	if err := r.watch(); err != nil {
		return err
	}
	healed := time.Now()
	if err := c.recover(ctx, strings.Join(names, " and "), recoveryPatience); err != nil {
		return err
	}
	for _, e := range playing {
		e.ended = time.Now()
	}
	r.jobs.release()
	if len(together) > 1 && slices.ContainsFunc(together, func(f fault) bool { return f.area != app }) {
		r.jobs.blur(began, time.Now())
	}
	for _, e := range playing {
		switch {
		case e.skipped != "":
			r.say("%s  %-22s %s", clockTime(began), e.name, e.skipped)
		case e.felt == 0:
			r.complain("%s was not felt by the operator: it proves nothing", e.name)
		default:
			r.say("%s  %-22s felt %d times in %.1f s, recovered after %.1f s", clockTime(began), e.name, e.felt,
				healed.Sub(began).Seconds(), e.ended.Sub(healed).Seconds())
		}
	}
	return nil
}

// within injects the first fault, plays the others, and heals it.
func (c *conductor) within(ctx context.Context, together []fault, playing *[]*episode) error {
	if len(together) == 0 {
		return nil
	}
	f, r := together[0], c.rig
	e := &episode{fault: f, began: time.Now()}
	c.episodes, *playing = append(c.episodes, e), append(*playing, e)
	effect, err := f.inject(ctx, r)
	if errors.Is(err, errSkipped) {
		e.skipped = err.Error()
		return c.within(ctx, together[1:], playing)
	}
	if err != nil {
		return err
	}
	e.of = effect.of
	if err := r.wait(ctx, time.Duration(float64(f.hold)*r.opts.share)); err != nil {
		return err
	}
	felt := func() (bool, error) {
		n, err := effect.felt(ctx)
		e.felt = max(e.felt, n)
		return e.felt > 0, err
	}
	// What can be seen only afterwards is asked again then.
	if _, err := r.await(ctx, 2*time.Second, felt); err != nil {
		return err
	}
	if err := c.within(ctx, together[1:], playing); err != nil {
		return err
	}
	if effect.heal != nil {
		if err := effect.heal(ctx); err != nil {
			return fmt.Errorf("end it: %w", err)
		}
	}
	_, err = r.await(ctx, feltPatience, felt)
	return err
}

// recover awaits that each job is measured and stored again: that it has a sample that came due after now.
func (c *conductor) recover(ctx context.Context, from string, patience time.Duration) error {
	healed := time.Now()
	waiting := 0
	ok, err := c.rig.await(ctx, patience, func() (bool, error) {
		if err := c.rig.watch(); err != nil {
			return false, err
		}
		var ids []string
		for _, j := range c.rig.jobs.measurable() {
			if j.grid().End().Sub(healed) > 2*j.grid().Cadence {
				ids = append(ids, j.id)
			}
		}
		var err error
		waiting, err = c.rig.count(ctx, `select count(*) from unnest($1::uuid[]) j where not exists (select from samples where job_id = j and scheduled_at > $2)`, ids, healed)
		return waiting == 0, err
	})
	if err == nil && !ok {
		c.rig.complain("%s after %s, %d jobs have no new sample", patience, from, waiting)
	}
	return err
}
