package controllers

import (
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/ledger"
	"github.com/soundcheck-io/latency-operator/internal/report"
	"github.com/soundcheck-io/latency-operator/internal/sample"
)

// maxReported is how many samples of a job a report is made of at most: its percentiles need all round-trip times at once. A job with
// a slot each second has as many after 11 days. They take 16 MB, and 27 MB if every third one was missed (BenchmarkReport); more for a
// while if the ledger did not know of them.
const maxReported = 1_000_000

// manySamples is how many samples make a job a large one, whose books are closed while no other large one's are: eight workers, each
// with a report of the most samples, would need more memory than the operator asks for. Seven of this many beside it need 19 MB.
const manySamples = 100_000

// turns lets one large job in at a time.
type turns struct{ taken sync.Mutex }

// take asks for a turn of a job with so many samples or slots. Unless it is ok, another large one has it; the caller may ask again
// later, and does not wait, so that large jobs hold up no small ones. done gives the turn back.
func (t *turns) take(samples int64) (done func(), ok bool) {
	switch {
	case samples <= manySamples:
		return func() {}, true
	case t.taken.TryLock():
		return t.taken.Unlock, true
	default:
		return nil, false
	}
}

// findings collects what status.report is made of, from what is read when the books of a job are closed: nothing is read for it.
type findings struct {
	builder *report.Builder // nil where there are too many
	left    int
}

// newFindings begins with nothing. What is expected need not come: it says how much room is made.
func newFindings(spec *v1alpha1.LatencyJobSpec, over time.Time, expected *ledger.Totals) *findings {
	grid := gridOf(spec)
	f := &findings{left: maxReported, builder: report.NewBuilder(report.Job{
		ID: spec.JobID, Target: spec.TargetIP, Cadence: grid.Cadence, Duration: grid.Duration, StartedAt: grid.Start, EndedAt: over,
	})}
	if expected.Samples() <= maxReported {
		f.builder.Grow(expected.Success, expected.Missed)
	}
	return f
}

// add takes a sample, in the order in which they were due. One of somebody else, who keeps no schedule, belongs to no slot: it is in
// the totals of the status, and in no report.
func (f *findings) add(s *sample.Sample) {
	if s.ScheduledAt.IsZero() {
		return
	}
	if f.left--; f.left < 0 {
		f.builder = nil
		return
	}
	f.builder.Sample(report.Sample{ScheduledAt: s.ScheduledAt, Status: s.Status, RTT: s.RTT, Jitter: s.Jitter})
}

// report is what a job came to that has these gaps too; nil where there is nothing to tell.
func (f *findings) report(gaps []ledger.Gap) *v1alpha1.JobReport {
	if f.builder == nil {
		return nil
	}
	for _, g := range gaps {
		f.builder.Gap(report.Gap{From: g.From, To: g.To(), Slots: g.Slots, Reason: g.Reason.String()})
	}
	r := f.builder.Report()
	if r.Samples() == 0 {
		return nil
	}
	return jobReport(r)
}

// jobReport writes a report down as the API has it.
func jobReport(r *report.Report) *v1alpha1.JobReport {
	out := &v1alpha1.JobReport{
		Verdict:      string(r.Verdict()),
		Message:      clip(r.Says(), 2*maxText),
		Completeness: share(r.Samples(), r.Slots()),
		Loss:         share(r.Missed, r.Success+r.Missed),
		Errors:       share(r.SystemError, r.Samples()),
		Samples:      v1alpha1.SampleCounts{Total: r.Samples(), Success: r.Success, Missed: r.Missed, SystemError: r.SystemError},
		Unmeasured:   r.UnmeasuredSlots(),
		Outages:      r.Outages,
	}
	if s := r.RTT; s != nil {
		out.RTT = &v1alpha1.RTTDistribution{Min: rounded(s.Min), Avg: rounded(s.Avg), P50: rounded(s.P50), P95: rounded(s.P95), P99: rounded(s.P99), Max: rounded(s.Max)}
	}
	if s := r.Jitter; s != nil {
		out.Jitter = rounded(s.Avg)
	}
	if o := r.Outage; o != nil && r.Outages > 0 {
		out.LongestOutage = &v1alpha1.Outage{From: metav1.MicroTime{Time: o.From}, Duration: o.Lasted.Round(time.Millisecond).String(), Missed: o.Missed}
	}
	return out
}

// share writes a share of a whole for people: 0.28%. Nothing where the whole is.
func share(part, whole int64) string {
	if whole == 0 {
		return ""
	}
	return report.Percent(part, whole)
}

// rounded writes milliseconds for people: 12.345ms.
func rounded(ms float64) string { return milliseconds(ledger.Duration(ms), 1) }
