// Package report says what became of a job, in figures and in plain words. It knows neither where samples come from nor how
// a report is shown.
package report

import (
	"cmp"
	"slices"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/sample"
)

// Job is what a report is about.
type Job struct {
	// ID is the id of the job's row, a UUID in lower case.
	ID string
	// Target is the address that was measured; empty where the job never had one.
	Target string
	// Cadence is the time between two slots, and Duration how long the job was to run; both are positive.
	Cadence, Duration time.Duration
	// StartedAt is when the first slot was due.
	StartedAt time.Time
	// EndedAt is when the job was over; zero while it runs.
	EndedAt time.Time
}

// Sample is one outcome.
type Sample struct {
	// ScheduledAt is when it was due, or where nobody says, when it was measured.
	ScheduledAt time.Time
	// Status is the outcome. What is none of the constants of package sample counts as system_error.
	Status sample.Status
	// RTT and Jitter are in milliseconds; nil without one.
	RTT, Jitter *float64
}

// Gap is a stretch of slots that have no sample.
type Gap struct {
	// From and To are when the first and the last of them were due.
	From, To time.Time
	// Slots is how many there are.
	Slots int64
	// Reason is why, in the words of `sample_gaps`.
	Reason string
}

// Report is what became of a job so far. Shares are between 0 and 1.
type Report struct {
	Job Job
	// First and Last are when the first and the last of the samples were due; zero without any.
	First, Last time.Time

	// Success, Missed and SystemError count samples.
	Success, Missed, SystemError int64
	// Unmeasured counts slots without a sample by reason.
	Unmeasured map[string]int64

	// RTT sums up the round-trip times, Jitter the differences between two successful ones in a row. Nil without any.
	RTT, Jitter *Spread
	// Outage is the longest of the runs that Outages counts, or where there are none, of fewer missed samples; nil if none was missed.
	Outage *Outage
	// Ongoing is the run of missed samples that neither an answer nor a gap has ended; nil without one.
	Ongoing *Outage
	// Outages counts runs of at least OutageAfter missed samples.
	Outages int64
	// Gap is the longest gap; nil without any.
	Gap *Gap
}

// OutageAfter is how many samples missed in a row make an outage: one or two are loss, as the event TargetDown has it.
const OutageAfter = 3

// Samples counts all samples.
func (r *Report) Samples() int64 { return r.Success + r.Missed + r.SystemError }

// UnmeasuredSlots counts all slots without a sample.
func (r *Report) UnmeasuredSlots() (n int64) {
	for _, slots := range r.Unmeasured {
		n += slots
	}
	return n
}

// ReasonSlots is how many slots have no sample for a reason.
type ReasonSlots struct {
	// Name is the reason's, in the words of `sample_gaps`.
	Name  string
	Slots int64
}

// Reasons are those for which slots have no sample, the one of most slots first.
func (r *Report) Reasons() []ReasonSlots {
	var all []ReasonSlots
	for name, slots := range r.Unmeasured {
		all = append(all, ReasonSlots{name, slots})
	}
	slices.SortFunc(all, func(a, b ReasonSlots) int { return cmp.Or(cmp.Compare(b.Slots, a.Slots), cmp.Compare(a.Name, b.Name)) })
	return all
}

// Slots counts the slots that have an outcome: a sample or a reason.
func (r *Report) Slots() int64 { return r.Samples() + r.UnmeasuredSlots() }

// Loss is the share of missed samples among those that say something about the device; false where none does.
func (r *Report) Loss() (share float64, ok bool) { return ratio(r.Missed, r.Success+r.Missed) }

// Errors is the share of samples that could not be measured; false without samples.
func (r *Report) Errors() (share float64, ok bool) { return ratio(r.SystemError, r.Samples()) }

// Completeness is the share of the slots due at asOf that have a sample; false where none was due.
func (r *Report) Completeness(asOf time.Time) (share float64, ok bool) {
	return ratio(r.Samples(), r.Due(asOf))
}

func ratio(part, whole int64) (float64, bool) {
	if whole == 0 {
		return 0, false
	}
	return float64(part) / float64(whole), true
}

// Spread sums up values in milliseconds.
type Spread struct {
	// Count is how many there are, at least one.
	Count int64
	// Min, Avg and Max are the smallest, the mean and the largest.
	Min, Avg, Max float64
	// P50 to P99 are percentiles by nearest rank: the smallest value that at least that share of all do not exceed, which is
	// PostgreSQL's percentile_disc.
	P50, P90, P95, P99 float64
}

// Outage is a run of missed samples: none was answered between them, and no slot was left unmeasured. A run goes on over a changed
// cadence.
type Outage struct {
	// From and To are when the first and the last of them were due.
	From, To time.Time
	// Missed is how many there are.
	Missed int64
	// Lasted is the time that they stand for: from From until the next slot after To was due.
	Lasted time.Duration
}
