// Package ledger keeps account of the slots of one job: every slot that has come due was measured, is unmeasured for a
// reason, or is being polled right now. Nothing here reads a clock or does I/O.
package ledger

import (
	"time"

	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/schedule"
)

// Reason says why nobody asked in a slot.
type Reason int

// The reasons, in the order in which they are listed everywhere.
const (
	// OperatorDown: no operator was polling the job.
	OperatorDown Reason = iota
	// Busy: the poll before it was still running.
	Busy
	// Overload: the limits that protect SpreeDB were reached.
	Overload
	// Suspended: a person had paused the job.
	Suspended
	// NoTarget: there was no address to ask for.
	NoTarget

	// Reasons is how many there are.
	Reasons
)

// String is the name of the reason in metrics, status and database.
func (r Reason) String() string {
	return [Reasons]string{"OperatorDown", "Busy", "Overload", "Suspended", "NoTarget"}[r]
}

const (
	// DownAfter is how many misses without a success between them make a target count as down.
	DownAfter = 3
	// AwayAfter is how many system errors in a row make SpreeDB count as away for a job.
	AwayAfter = 3
)

// Account is what is settled about a job: its value is safe to store and to go on from after a restart, because a poll
// in flight is not part of it.
type Account struct {
	// Until is the due time of the newest slot in the account; zero when there is none.
	Until time.Time
	// Unmeasured counts slots in which nobody asked, by reason.
	Unmeasured [Reasons]int64
	// Totals sums up the samples.
	Totals Totals
	// Last is the newest sample; its Status is empty when there is none.
	Last Outcome
	// LastError is the newest outcome that was not a success; its Status is empty when there is none.
	LastError Outcome
	// MissesInARow counts the misses since the newest success; system errors between them neither count nor end the row.
	// ErrorsInARow counts the newest samples that were all system errors.
	MissesInARow, ErrorsInARow int64
}

// Outcome is a sample with what is known about it beyond what is stored in the database.
type Outcome struct {
	sample.Sample
	// Message says what went wrong; empty for a success.
	Message string
	// Poller is the name of the SpreeDB poller that answered, if one did.
	Poller string
}

// UnmeasuredTotal counts slots in which nobody asked.
func (a *Account) UnmeasuredTotal() int64 {
	var n int64
	for _, c := range a.Unmeasured {
		n += c
	}
	return n
}

// Slots counts the slots in the account: each has one outcome.
func (a *Account) Slots() int64 { return a.Totals.Samples() + a.UnmeasuredTotal() }

// Down tells whether the target has stopped answering.
func (a *Account) Down() bool { return a.MissesInARow >= DownAfter }

// Away tells whether SpreeDB cannot measure for this job.
func (a *Account) Away() bool { return a.ErrorsInARow >= AwayAfter }

// Ledger is the account of a job and the poll that is in flight for it, if any. The zero Ledger is that of a job
// nobody has looked at yet. It is not safe for concurrent use.
type Ledger struct {
	account Account
	flight  *flight
}

// flight is a poll that has begun and not ended, with the slots that came due meanwhile.
type flight struct {
	slot int64
	due  time.Time
	busy int64     // slots that came due since
	last time.Time // due time of the newest of them, or due
}

// Resume gives a Ledger that goes on from an account.
func Resume(a Account) Ledger { return Ledger{account: a} }

// Account is what is settled so far.
func (l *Ledger) Account() Account { return l.account }

// Down tells whether the target has stopped answering.
func (l *Ledger) Down() bool { return l.account.Down() }

// InFlight tells whether a poll is running.
func (l *Ledger) InFlight() bool { return l.flight != nil }

// Due counts the slots that have come due: those in the account, the one being polled, and those it made busy.
func (l *Ledger) Due() int64 {
	n := l.account.Slots()
	if l.flight != nil {
		n += 1 + l.flight.busy
	}
	return n
}

// Until is the due time of the newest slot that has an outcome, is being polled or was made busy by that.
func (l *Ledger) Until() time.Time {
	if l.flight != nil {
		return l.flight.last
	}
	return l.account.Until
}

// First is the number of the first slot of the grid that nothing is known about yet; g.Slots() when there is none.
func (l *Ledger) First(g schedule.Grid) int64 {
	if until := l.Until(); !until.IsZero() {
		return g.After(until)
	}
	return 0
}

// Skip notes that nobody asked in the slots from First to through, and says how many these are and for which reason. While
// a poll is in flight the reason is Busy whatever is given, since that is why nobody could.
func (l *Ledger) Skip(g schedule.Grid, through int64, why Reason) (n int64, as Reason) {
	n = max(0, through-l.First(g)+1)
	switch {
	case l.flight != nil && n > 0:
		l.flight.busy += n
		l.flight.last = g.Due(through)
		return n, Busy
	case n > 0:
		l.account.Unmeasured[why] += n
		l.account.Until = g.Due(through)
	}
	return n, why
}

// Begin notes that the slot is being polled. The slots before it must have been skipped, and no poll be in flight.
func (l *Ledger) Begin(g schedule.Grid, slot int64) {
	due := g.Due(slot)
	l.flight = &flight{slot: slot, due: due, last: due}
}

// Jitter is the absolute difference of a round-trip time to the newest successful one before it; nil without one.
func (l *Ledger) Jitter(rtt *float64) *float64 { return l.account.Totals.jitter(rtt) }

// Finish settles the poll in flight with its outcome.
func (l *Ledger) Finish(o Outcome) {
	l.settle()
	a := &l.account
	a.Totals.add(o.Sample)
	a.Last = o
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
	a.LastError = o
}

// Abandon settles the poll in flight without an outcome: nobody asked to the end. Unless later slots came due
// meanwhile, its slot is as open as before, for whoever polls the job next. It tells whether the slot counts as unmeasured.
func (l *Ledger) Abandon(why Reason) (unmeasured bool) {
	if l.flight == nil {
		return false
	}
	if l.flight.busy == 0 {
		l.flight = nil
		return false
	}
	l.settle()
	l.account.Unmeasured[why]++
	return true
}

// settle moves the flight's slots into the account.
func (l *Ledger) settle() {
	if l.flight == nil {
		return
	}
	l.account.Unmeasured[Busy] += l.flight.busy
	l.account.Until = l.flight.last
	l.flight = nil
}
