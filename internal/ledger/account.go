package ledger

import (
	"math"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/sample"
)

const (
	// DownAfter is how many misses without a success between them make a target count as down.
	DownAfter = 3
	// AwayAfter is how many system errors in a row make SpreeDB count as away for a job.
	AwayAfter = 3
)

// Account is what is settled about a job: its value is safe to store and to go on from after a restart, because a poll
// in flight is not part of it.
type Account struct {
	Sums
	// Start and Cadence are those of the job's grid, as far as is known, and Since is from when on its slots count; zero for
	// all of them. It is later where the job had another grid before.
	Start   time.Time
	Cadence time.Duration
	Since   time.Time
	// Recent is what came last.
	Recent
}

// Sums is the figures of an account.
type Sums struct {
	// Until is the due time of the newest slot in the account; zero when there is none.
	Until time.Time
	// Unmeasured counts slots without a sample, by reason.
	Unmeasured [Reasons]int64
	// Totals sums up the samples.
	Totals Totals
	// Foreign counts those of the samples that belong to no slot, because whoever wrote them keeps no schedule.
	Foreign int64
}

// Recent is what came last in an account.
type Recent struct {
	// Last is the newest sample; its Status is empty when there is none.
	Last Newest
	// LastError is the newest outcome that was not a success; its RecordedAt is zero when there is none.
	LastError Failure
	// RTT is the newest successful round-trip time, of the slot that was due at RTTAt; zero without one.
	RTT   time.Duration
	RTTAt time.Time
	// MissesInARow counts the misses since the newest success; system errors between them neither count nor end the row.
	// ErrorsInARow counts the newest samples that were all system errors.
	MissesInARow, ErrorsInARow int64
}

// Newest is what is kept of the newest sample: an Outcome without its figures, which are in the sums.
type Newest struct {
	Status                  sample.Status
	ScheduledAt, RecordedAt time.Time
	Poller                  string
}

// Failure is what is kept of an outcome that was not a success.
type Failure struct {
	RecordedAt time.Time
	Message    string
}

// Outcome is a sample with what is known about it beyond what is stored in the database.
type Outcome struct {
	sample.Sample
	// Message says what went wrong; empty for a success.
	Message string
	// Poller is the name of the SpreeDB poller that answered, if one did.
	Poller string
}

// UnmeasuredTotal counts slots without a sample.
func (a *Sums) UnmeasuredTotal() int64 {
	var n int64
	for _, c := range a.Unmeasured {
		n += c
	}
	return n
}

// Slots counts the slots in the account: each has one outcome.
func (a *Sums) Slots() int64 { return a.Totals.Samples() - a.Foreign + a.UnmeasuredTotal() }

// Down tells whether the target has stopped answering.
func (r *Recent) Down() bool { return r.MissesInARow >= DownAfter }

// Away tells whether SpreeDB cannot measure for this job.
func (r *Recent) Away() bool { return r.ErrorsInARow >= AwayAfter }

// MeasuredSince tells whether a slot that was due at an instant or later has a sample.
func (r *Recent) MeasuredSince(t time.Time) bool {
	return r.Last.Status != "" && !r.Last.ScheduledAt.Before(t)
}

// add takes a sample into the sums and, unless something newer is known, into what came last.
func (a *Account) add(o Outcome) {
	a.Totals.add(o.Sample)
	if o.RTT != nil && !o.ScheduledAt.Before(a.RTTAt) {
		a.RTT, a.RTTAt = Duration(*o.RTT), o.ScheduledAt
	}
	if a.Last.Status != "" && !o.ScheduledAt.After(a.Last.ScheduledAt) {
		return
	}
	a.Last = Newest{Status: o.Status, ScheduledAt: o.ScheduledAt, RecordedAt: o.RecordedAt, Poller: o.Poller}
	switch o.Status {
	case sample.Success:
		a.MissesInARow, a.ErrorsInARow = 0, 0
		return
	case sample.Missed:
		a.MissesInARow++
		a.ErrorsInARow = 0
	case sample.SystemError:
		a.ErrorsInARow++
	}
	a.LastError = Failure{RecordedAt: o.RecordedAt, Message: o.Message}
}

// lose takes a sample out of the sums that will never be in the database. The shortest and the longest time stay as they are.
func (a *Sums) lose(s *sample.Sample) {
	if s.ScheduledAt.After(a.Until) {
		return
	}
	a.Totals.remove(s)
	a.Unmeasured[Lost]++
}

// jitter is the absolute difference of a round-trip time to the newest successful one before it; nil without one.
func (r *Recent) jitter(rtt *float64) *float64 {
	if rtt == nil || r.RTT == 0 {
		return nil
	}
	d := math.Abs(*rtt - Milliseconds(r.RTT))
	// Both come from the same decimal figures: what lies below a nanosecond is the noise of binary fractions.
	d = math.Round(d*1e6) / 1e6
	return &d
}
