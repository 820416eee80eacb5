package report

import (
	"math"
	"slices"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/sample"
)

// Builder makes a report of samples and gaps that come one by one. It holds 8 bytes per round-trip time and per jitter, 16 per gap and
// per sample that was missed, lies in a run of missed ones or borders on it, and nothing else that grows. It is not safe for
// concurrent use.
type Builder struct {
	report      Report
	rtt, jitter []float64
	silence     silence
}

// NewBuilder begins a report about a job.
func NewBuilder(job Job) *Builder {
	return &Builder{report: Report{Job: job, Unmeasured: map[string]int64{}}}
}

// Grow makes room for so many answers and so many missed samples to come, so that none is moved when more come.
func (b *Builder) Grow(answers, misses int64) {
	b.rtt = slices.Grow(b.rtt, int(answers))
	b.jitter = slices.Grow(b.jitter, int(answers))
	b.silence.moments = slices.Grow(b.silence.moments, int(min(3*misses, answers+misses))) // each may have an answer on both sides
}

// Sample adds one. Samples come in the order in which they were due; one that does not is counted, and tells of an outage what it can.
func (b *Builder) Sample(s Sample) {
	r := &b.report
	if r.Samples() == 0 || s.ScheduledAt.Before(r.First) {
		r.First = s.ScheduledAt
	}
	b.silence.sample(s.ScheduledAt, s.Status)
	switch s.Status {
	case sample.Success:
		r.Success++
		b.rtt = appendFinite(b.rtt, s.RTT)
		b.jitter = appendFinite(b.jitter, s.Jitter)
	case sample.Missed:
		r.Missed++
	default:
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

// outage takes a run of missed samples.
func (r *Report) outage(run Outage, open bool) {
	if open {
		r.Ongoing = &run
	}
	if run.Missed >= OutageAfter {
		r.Outages++
	}
	if r.Outage == nil || run.worse(r.Outage) {
		longest := run // only the longest is worth an allocation
		r.Outage = &longest
	}
}

// worse tells whether a run is more of an outage than another: one or two misses around failed polls may last longer than many.
func (o *Outage) worse(than *Outage) bool {
	if enough := o.Missed >= OutageAfter; enough != (than.Missed >= OutageAfter) {
		return enough
	}
	return o.Lasted > than.Lasted
}

// Gap adds one. Gaps come in any order, before or after the samples around them.
func (b *Builder) Gap(g Gap) {
	b.report.Unmeasured[g.Reason] += g.Slots
	b.silence.gap(&g)
	if longest := b.report.Gap; longest == nil || g.length() > longest.length() || g.length() == longest.length() && g.Slots > longest.Slots {
		b.report.Gap = &g
	}
}

func (g *Gap) length() time.Duration { return g.To.Sub(g.From) }

// Report ends it. The builder is of no use afterwards.
func (b *Builder) Report() *Report {
	b.silence.outages(&b.report.Job, b.report.outage)
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
