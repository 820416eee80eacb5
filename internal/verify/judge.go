package verify

import (
	"fmt"
	"math"
	"strings"
	"time"
)

const (
	// overdue is how long after its end a job may still say running before that is worth a warning.
	overdue = 5 * time.Minute
	// rounding is how far avg_rtt_ms and packet_loss_percent may lie from the figures of the samples: both are for people,
	// who see three digits after the point.
	rounding = 0.0005 + 1e-9
)

// Job is what was found out about one job. Counts of slots concern those that were due.
type Job struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	// Due is how many slots must have an outcome.
	Due int64 `json:"due"`
	// Samples is how many rows of samples there are; Unscheduled of them do not say when they were due.
	Samples     int64 `json:"samples"`
	Unscheduled int64 `json:"unscheduled,omitempty"`
	// Gaps counts the slots in sample_gaps by reason.
	Gaps map[string]int64 `json:"gaps,omitempty"`
	// WithoutOutcome and TwoOutcomes count slots that have neither a sample nor a gap, and slots that have both, or two gaps.
	// WithoutOutcomeAt and TwoOutcomesAt are the first of them.
	WithoutOutcome   int64       `json:"withoutOutcome"`
	TwoOutcomes      int64       `json:"twoOutcomes"`
	WithoutOutcomeAt []time.Time `json:"withoutOutcomeAt,omitempty"`
	TwoOutcomesAt    []time.Time `json:"twoOutcomesAt,omitempty"`
	// SameTime and SameNumber count samples whose scheduled_at or sequence_number another sample of the job has too.
	// SameNumberAt is when the first of the latter were due.
	SameTime     int64       `json:"sameTime"`
	SameNumber   int64       `json:"sameNumber"`
	SameNumberAt []time.Time `json:"sameNumberAt,omitempty"`
	// OffGrid counts outcomes at instants at which no slot is due.
	OffGrid int64 `json:"offGrid"`
	// Edited says that the job had another cadence, duration or start before: then only the slots after its last outcome on
	// an older grid are looked at.
	Edited bool `json:"edited,omitempty"`
	// Flaws are the broken promises, a sentence each. Warnings are worth a look.
	Flaws    []string `json:"flaws,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

func judge(r row, f found, opts Options) Job {
	_, known := opts.Periods[r.id]
	j := Job{
		ID: r.id, Status: r.status, Due: f.due, Samples: f.samples, Unscheduled: f.unscheduled, Gaps: f.gaps,
		WithoutOutcome: f.missing, TwoOutcomes: f.twice, SameTime: f.sameTime, SameNumber: f.sameNumber, OffGrid: f.off,
		Edited: f.off > 0 && !known,
	}
	j.WithoutOutcomeAt, j.TwoOutcomesAt, j.SameNumberAt = times(f.firstMissing), times(f.firstTwice), times(f.firstNumber)
	if f.unscheduled > 0 {
		// They are outcomes of slots, but nobody knows of which.
		j.Due, j.WithoutOutcome, j.WithoutOutcomeAt = 0, 0, nil
		j.warn("%s without scheduled_at: which slots have an outcome is not known", several(f.unscheduled, "sample"))
	}
	if known {
		j.flaw(f.off, "outcome", "on none of the job's grids", times(f.firstOff))
	}
	j.flaw(j.WithoutOutcome, "slot", "without an outcome", j.WithoutOutcomeAt)
	j.flaw(f.twice, "slot", "with two outcomes", j.TwoOutcomesAt)
	j.flaw(f.sameTime, "sample", "with the scheduled_at of another", nil)
	j.flaw(f.sameNumber, "sample", "with the sequence_number of another", j.SameNumberAt)
	j.judgeTotals(r, f)
	j.judgePing(r, f, opts)
	if end := r.grid.End(); r.status == "running" && opts.Now.Sub(end) > overdue {
		j.warn("still running, though it was over at %s", instant(end))
	}
	return j
}

// judgeTotals compares what the row of a completed job says with the samples.
func (j *Job) judgeTotals(r row, f found) {
	if r.status != "completed" || f.unscheduled > 0 { // then others wrote samples too, who may have kept no figures
		return
	}
	if r.samples == nil || *r.samples != f.samples {
		j.fail("total_samples is %s, and there are %d", number(r.samples), f.samples)
	}
	if !same(r.avgRTT, f.avgRTT) {
		j.fail("avg_rtt_ms is %s, and that of the samples is %s", number(r.avgRTT), number(f.avgRTT))
	}
	if !same(r.loss, f.loss) {
		j.fail("packet_loss_percent is %s, and that of the samples is %s", number(r.loss), number(f.loss))
	}
}

// judgePing compares last_ping_at of a job that ended with the samples. A completed one has it exact from the start; the
// last sample of a job that the app ended may take a moment.
func (j *Job) judgePing(r row, f found, opts Options) {
	if r.status == "running" || f.newest == nil {
		return
	}
	if r.status != "completed" && r.ended != nil && opts.Now.Sub(*r.ended) < opts.Grace {
		return
	}
	// It may be a little newer: a slot that two processes asked about has the sample of the first.
	if r.lastPing == nil || r.lastPing.Before(*f.newest) || r.lastPing.Sub(*f.newest) >= r.grid.Cadence {
		ping := "null"
		if r.lastPing != nil {
			ping = instant(*r.lastPing)
		}
		j.fail("last_ping_at is %s, and the newest sample is of %s", ping, instant(*f.newest))
	}
}

// flaw notes n things that are wrong, and when the first of them were due.
func (j *Job) flaw(n int64, what, how string, at []time.Time) {
	if n == 0 {
		return
	}
	text := several(n, what) + " " + how
	if len(at) > 0 {
		var first []string
		for _, t := range at[:min(len(at), defaultList)] {
			first = append(first, instant(t))
		}
		text += ": " + strings.Join(first, ", ")
		if n > int64(len(first)) {
			text += ", …"
		}
	}
	j.Flaws = append(j.Flaws, text)
}

// times reads microseconds since 1970.
func times(micros []int64) []time.Time {
	out := make([]time.Time, 0, len(micros))
	for _, m := range micros {
		out = append(out, time.UnixMicro(m).UTC())
	}
	return out
}

func (j *Job) fail(format string, args ...any) {
	j.Flaws = append(j.Flaws, fmt.Sprintf(format, args...))
}
func (j *Job) warn(format string, args ...any) {
	j.Warnings = append(j.Warnings, fmt.Sprintf(format, args...))
}

func same(a, b *float64) bool {
	return a == nil && b == nil || a != nil && b != nil && math.Abs(*a-*b) <= rounding
}

func number[T any](p *T) string {
	if p == nil {
		return "null"
	}
	return fmt.Sprint(*p)
}

func instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.999999Z") }

func several(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
