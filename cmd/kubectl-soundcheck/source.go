package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/outcomes"
	"github.com/soundcheck-io/latency-operator/internal/render"
	"github.com/soundcheck-io/latency-operator/internal/report"
	"github.com/soundcheck-io/latency-operator/internal/series"
)

// source is where the outcomes of jobs come from.
type source interface {
	// find gives the id of the job that a text names.
	find(ctx context.Context, text string) (string, error)
	// read hands the lines of a job to do, the job first; with an instant, only what was due after it. An error comes after do has
	// had what was read before it, unless do gave it.
	read(ctx context.Context, id string, since time.Time, do func(outcomes.Line) error) error
	// now is the time by the clock of whoever answered last, or by ours until then.
	now() time.Time
	// close lets go of what read uses.
	close()
}

// source is the operator, or Supabase where the user says so.
func (c *cli) source() (source, error) {
	if c.supabaseURL != "" {
		from, err := newSupabaseSource(c.supabaseURL, c.clock)
		return printableSource{from}, err
	}
	return printableSource{&operatorSource{reference: &reference{clock: c.clock}, cluster: c.cluster, clock: c.clock}}, nil
}

// errPassing marks what may well succeed a moment later.
var errPassing = errors.New("this may pass")

// passing is an error that may pass.
type passing struct{ error }

func (passing) Is(target error) bool { return target == errPassing }
func (p passing) Unwrap() error      { return p.error }

// collector makes a report of lines.
type collector struct {
	columns int
	job     outcomes.Job
	builder *report.Builder
	series  *series.Series
	// last is when the newest sample was due, and newest when the newest slot with an outcome was.
	last, newest time.Time
}

// add takes a line. The first has to be the job.
func (c *collector) add(line outcomes.Line) error {
	switch {
	case line.Job != nil:
		c.job = *line.Job
		if c.job.CadenceSeconds < 1 || c.job.CadenceSeconds > 86400 || c.job.DurationMinutes < 1 || c.job.DurationMinutes > 525600 {
			return fmt.Errorf("the row of job %s cannot be used: it says every %d s for %d min", c.job.ID, c.job.CadenceSeconds, c.job.DurationMinutes)
		}
		c.builder = report.NewBuilder(reportJob(&c.job))
	case line.Sample != nil:
		s := line.Sample
		at := c.when(s)
		c.builder.Sample(report.Sample{ScheduledAt: at, Status: s.Status, RTT: s.RTT, Jitter: s.Jitter})
		c.over(at).Sample(at, s.Status, s.RTT)
		c.reached(at)
	case line.Gap != nil:
		g := line.Gap
		c.builder.Gap(report.Gap{From: g.FromAt, To: g.ToAt, Slots: g.Slots, Reason: g.Reason})
		c.over(g.FromAt).Gap(g.FromAt, g.ToAt, g.Slots, g.Reason)
		c.reached(g.ToAt)
	}
	return nil
}

func (c *collector) reached(at time.Time) {
	if at.After(c.newest) {
		c.newest = at
	}
}

// when is when a sample was due, or else measured. One that says neither comes last of all, and stays where the others end.
func (c *collector) when(s *outcomes.Sample) time.Time {
	for _, at := range []time.Time{s.ScheduledAt, s.RecordedAt, c.last, c.job.StartedAt} {
		if !at.IsZero() {
			if at.After(c.last) {
				c.last = at
			}
			return at
		}
	}
	return time.Unix(0, 0)
}

func reportJob(job *outcomes.Job) report.Job {
	return report.Job{
		ID: job.ID, Target: job.TargetIP, Cadence: time.Duration(job.CadenceSeconds) * time.Second,
		Duration: time.Duration(job.DurationMinutes) * time.Minute, StartedAt: job.StartedAt, EndedAt: endOf(job),
	}
}

// endOf is when a job was over; zero while it runs, and where the row does not say. One that was started anew still has the end of the time
// before, which says nothing.
func endOf(job *outcomes.Job) time.Time {
	if job.Status == statusRunning || job.CompletedAt.Before(job.StartedAt) {
		return time.Time{}
	}
	return job.CompletedAt
}

// statusRunning is the status of a row whose job is not over.
const statusRunning = "running"

// over is the series. It begins with the job, or where a job that was started anew was measured before, with that.
func (c *collector) over(first time.Time) *series.Series {
	if c.series == nil {
		cadence := time.Duration(c.job.CadenceSeconds) * time.Second
		start := c.job.StartedAt
		if start.IsZero() {
			start = first
		}
		if before := start.Sub(first); before > 0 {
			start = start.Add(-before.Truncate(cadence))
			if start.After(first) {
				start = start.Add(-cadence)
			}
		}
		c.series = series.New(start, cadence, c.columns)
	}
	return c.series
}

// subject is what was collected by now. Whoever cancels a job need not say when: then its newest outcome tells.
func (c *collector) subject(now time.Time) *render.Subject {
	r := c.builder.Report()
	if c.job.Status != statusRunning && r.Job.EndedAt.IsZero() {
		r.Job.EndedAt = c.newest
		if c.newest.Before(r.Job.StartedAt) {
			r.Job.EndedAt = r.Job.StartedAt
		}
	}
	return &render.Subject{Report: r, Series: c.over(now), Status: c.job.Status, AsOf: now}
}

// subject reads all of a job.
func (c *cli) subject(ctx context.Context, from source, text string) (*render.Subject, error) {
	id, err := from.find(ctx, text)
	if err != nil {
		return nil, err
	}
	all := &collector{columns: render.Columns}
	if err := from.read(ctx, id, time.Time{}, all.add); err != nil {
		return nil, err
	}
	return all.subject(from.now()), nil
}

// sentence cuts the line break off that an answer ends with.
func sentence(text string) string { return strings.Join(strings.Fields(text), " ") }
