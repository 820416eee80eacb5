package report

import (
	"math"
	"slices"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/sample"
)

// Builder makes a report of samples and gaps that come one by one. It holds 8 bytes per round-trip time and per jitter, and nothing
// else that grows. It is not safe for concurrent use.
type Builder struct {
	report      Report
	rtt, jitter []float64
	// run is the run of missed samples that the newest sample belongs to.
	run Outage
}

// NewBuilder begins a report about a job.
func NewBuilder(job Job) *Builder {
	return &Builder{report: Report{Job: job, Unmeasured: map[string]int64{}}}
}

// Sample adds one. Samples come in the order in which they were due; one that does not is counted, and tells of an outage what it can.
func (b *Builder) Sample(s Sample) {
	r := &b.report
	if r.Samples() == 0 || s.ScheduledAt.Before(r.First) {
		r.First = s.ScheduledAt
	}
	// A slot between two misses that nobody measured may have been answered: what was not seen is not called an outage. Half a
	// cadence is for what was measured off the grid.
	if b.run.Missed > 0 && s.ScheduledAt.Sub(r.Last) > r.Job.Cadence+r.Job.Cadence/2 {
		b.endRun()
	}
	switch s.Status {
	case sample.Success:
		r.Success++
		b.endRun()
		b.rtt = appendFinite(b.rtt, s.RTT)
		b.jitter = appendFinite(b.jitter, s.Jitter)
	case sample.Missed:
		r.Missed++
		if b.run.Missed == 0 {
			b.run.From = s.ScheduledAt
		}
		b.run.To = s.ScheduledAt
		b.run.Missed++
	default: // says nothing about the device: a run neither ends nor grows
		r.SystemError++
	}
	if s.ScheduledAt.After(r.Last) {
		r.Last = s.ScheduledAt
	}
}

func appendFinite(to []float64, v *float64) []float64 {
	if v == nil || math.IsNaN(*v) || math.IsInf(*v, 0) {
		return to
	}
	return append(to, *v)
}

// endRun closes the run of missed samples.
func (b *Builder) endRun() {
	if b.run.Missed == 0 {
		return
	}
	run := b.run
	b.run = Outage{}
	if run.Missed >= OutageAfter {
		b.report.Outages++
	}
	run.Lasted = run.To.Sub(run.From) + b.report.Job.Cadence
	if b.report.Outage == nil || run.Lasted > b.report.Outage.Lasted {
		b.report.Outage = &run
	}
}

// Gap adds one.
func (b *Builder) Gap(g Gap) {
	b.report.Unmeasured[g.Reason] += g.Slots
	if longest := b.report.Gap; longest == nil || g.length() > longest.length() || g.length() == longest.length() && g.Slots > longest.Slots {
		b.report.Gap = &g
	}
}

func (g *Gap) length() time.Duration { return g.To.Sub(g.From) }

// Report ends it. The builder is of no use afterwards.
func (b *Builder) Report() *Report {
	b.endRun()
	b.report.RTT = spreadOf(b.rtt)
	b.report.Jitter = spreadOf(b.jitter)
	return &b.report
}

// spreadOf sorts values and sums them up.
func spreadOf(values []float64) *Spread {
	if len(values) == 0 {
		return nil
	}
	slices.Sort(values)
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return &Spread{
		Count: int64(len(values)), Min: values[0], Avg: sum / float64(len(values)), Max: values[len(values)-1],
		P50: percentile(values, 50), P90: percentile(values, 90), P95: percentile(values, 95), P99: percentile(values, 99),
	}
}

// percentile is the p-th percentile of sorted values, by nearest rank.
func percentile(sorted []float64, p int) float64 {
	return sorted[max(1, (len(sorted)*p+99)/100)-1]
}
