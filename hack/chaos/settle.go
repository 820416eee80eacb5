package main

import (
	"context"
	"errors"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/schedule"
)

const (
	// settlePatience is how long the last jobs may take to end: those that were just started last a minute.
	settlePatience = 150 * time.Second
	// mebibyte is the unit of the limits.
	mebibyte = 1 << 20
	// An hour without Supabase at 500 samples a second may take this much.
	memoryLimit = 150 * mebibyte
	diskLimit   = 200 * mebibyte
)

// settle has every job end and every sample stored, and stops the operator.
func (c *conductor) settle(ctx context.Context) error {
	r := c.rig
	e := &episode{fault: fault{name: "end"}, began: time.Now(), felt: 1}
	c.episodes = append(c.episodes, e)
	r.say("%s  All jobs end now.", clockTime(e.began))
	if err := r.jobs.end(ctx); err != nil {
		return err
	}
	running := 0
	ok, err := r.await(ctx, settlePatience, func() (_ bool, err error) {
		if err := r.watch(); err != nil {
			return false, err
		}
		running, err = r.count(ctx, `select count(*) from jobs where status = 'running' and monitoring_mode = 'real_polling'`)
		return running == 0, err
	})
	if err != nil {
		return err
	}
	if !ok {
		r.complain("%d jobs still run %s after the end", running, settlePatience)
	}
	for _, j := range r.jobs.all {
		j.over = true
	}
	if err := r.drained(ctx, recoveryPatience); err != nil {
		return err
	}
	if err := c.awaitStatuses(ctx); err != nil {
		return err
	}
	if err := r.stop(ctx, r.operator); err != nil {
		r.complain("%s", err)
	}
	e.ended = time.Now()
	return nil
}

// footprints are what the operator took at most, in bytes, and before.
type footprints struct {
	memoryBefore, memory, disk int64
}

// longOutage takes Supabase away for long, with many more jobs, and sees what that takes of the machine.
func (c *conductor) longOutage(ctx context.Context) error {
	r, opts := c.rig, c.rig.opts
	e := &episode{fault: fault{name: "long-outage"}, began: time.Now()}
	c.episodes = append(c.episodes, e)
	// They end soon after the outage, so that the rest is played with the usual number.
	last := (opts.Outage + 3*time.Minute).Round(time.Minute)
	for range opts.Load {
		grid := schedule.Grid{Start: time.Now().Add(10 * time.Second).UTC().Truncate(time.Microsecond), Cadence: time.Second, Duration: last}
		j, err := r.jobs.add(ctx, grid)
		if err != nil {
			return err
		}
		j.once = true
	}
	if err := c.recover(ctx, "the start of many jobs", 2*recoveryPatience); err != nil {
		return err
	}
	away := outage(r)
	c.footprints = &footprints{}
	var err error
	if c.footprints.memoryBefore, _, err = r.footprint(); err != nil {
		return err
	}
	for end := time.Now().Add(opts.Outage); time.Now().Before(end); {
		if err := errors.Join(r.wait(ctx, time.Second), r.watch()); err != nil {
			return err
		}
		memory, disk, err := r.footprint()
		if err != nil {
			return err
		}
		c.footprints.memory, c.footprints.disk = max(c.footprints.memory, memory), max(c.footprints.disk, disk)
	}
	e.felt = away.Count()
	away.Remove()
	back := time.Now()
	if err := r.drained(ctx, recoveryPatience+opts.Outage); err != nil {
		return err
	}
	drained := time.Since(back)
	if err := c.recover(ctx, e.name, recoveryPatience); err != nil {
		return err
	}
	e.ended = time.Now()
	grown := c.footprints.memory - c.footprints.memoryBefore
	r.say("%s  %-22s %s at %d samples/s: %d MiB of disk, %d MiB more memory, drained in %.0f s", clockTime(e.began), e.name,
		opts.Outage, opts.Load, c.footprints.disk/mebibyte, grown/mebibyte, drained.Seconds())
	if grown >= memoryLimit {
		r.complain("memory grew by %d MiB in the outage", grown/mebibyte)
	}
	if c.footprints.disk >= diskLimit {
		r.complain("the spool took %d MiB in the outage", c.footprints.disk/mebibyte)
	}
	return nil
}
