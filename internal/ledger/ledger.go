// Package ledger keeps account of the slots of one job: every slot that has come due was measured, has no sample for a
// reason, is being polled right now, or is one of which only the database can tell. Nothing here reads a clock or does I/O.
package ledger

import (
	"time"

	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/schedule"
)

// Ledger is the account of a job and what goes on beside it. The zero Ledger is that of a job nobody has looked at yet. It
// is not safe for concurrent use.
type Ledger struct {
	account Account
	// stored is the figures of the newest account known to be in the database to the last outcome, candidate one that will be as soon as
	// what was handed over before it is stored, and handed counts what was handed over since.
	stored, candidate Sums
	handed            int
	unknown           []unknown
	gap               Gap // the newest, which may grow
	flight            *flight
}

// flight is a poll that has begun and not ended, with the slots that came due meanwhile.
type flight struct {
	polled Stretch   // the one slot
	busy   []Stretch // those that came due since, on each grid that the job had
}

// slots counts them all.
func (f *flight) slots() int64 {
	n := f.polled.Slots
	for _, s := range f.busy {
		n += s.Slots
	}
	return n
}

// until is when the newest of them was due.
func (f *flight) until() time.Time {
	if n := len(f.busy); n > 0 {
		return f.busy[n-1].To()
	}
	return f.polled.From
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// wait notes that more slots came due.
func (f *flight) wait(slots Stretch) {
	if n := len(f.busy); n > 0 && slots.follows(f.busy[n-1]) {
		f.busy[n-1].Slots += slots.Slots
		return
	}
	f.busy = append(f.busy, slots)
}

// Unmeasured is slots that have just turned out to have no sample, and the gap that they are part of.
type Unmeasured struct {
	Slots int64
	Gap   Gap
}

// Resume gives a Ledger that goes on from an account that is in the database.
func Resume(a Account) Ledger { return Ledger{account: a, stored: a.Sums, candidate: a.Sums} }

// Account is what is settled so far.
func (l *Ledger) Account() Account { return l.account }

// Stored is the newest account that is known to be in the database to the last outcome: what is not in it can be read
// there, or is on its way. Only the grid and what came last are newer in it.
func (l *Ledger) Stored() Account {
	a := l.account
	a.Sums = l.stored
	return a
}

// Delivered is told how many of the outcomes that were handed over are not in the database yet; they are the newest.
func (l *Ledger) Delivered(waiting int) {
	switch {
	case len(l.unknown) > 0:
	case waiting == 0:
		l.stored, l.candidate, l.handed = l.account.Sums, l.account.Sums, 0
	case waiting <= l.handed:
		l.stored, l.candidate, l.handed = l.candidate, l.account.Sums, 0
	}
}

// Down tells whether the target has stopped answering.
func (l *Ledger) Down() bool { return l.account.Down() }

// InFlight tells whether a poll is running.
func (l *Ledger) InFlight() bool { return l.flight != nil }

// Due counts the slots that have come due: those in the account, those that only the database knows about, the one being
// polled, and those it made busy.
func (l *Ledger) Due() int64 {
	n := l.account.Slots() + l.Unknown()
	if l.flight != nil {
		n += l.flight.slots()
	}
	return n
}

// Until is the due time of the newest slot that Due counts, or just before the slots of the present grid do.
func (l *Ledger) Until() time.Time {
	until := l.account.Until
	if l.flight != nil {
		until = later(until, l.flight.until())
	}
	if since := l.account.Since; !since.IsZero() {
		return later(until, since.Add(-time.Microsecond))
	}
	return until
}

// First is the number of the first slot of the grid that nothing is known about yet; g.Slots() when there is none.
func (l *Ledger) First(g schedule.Grid) int64 {
	if until := l.Until(); !until.IsZero() {
		return g.After(until)
	}
	return 0
}

// Skip notes that nobody here asked in the slots from First to through, and says how many these are. While a poll is in
// flight the reason is Busy whatever is given, since that is why nobody could. That no operator asked at all, only the
// database can tell: those slots are unknown until Resolve.
func (l *Ledger) Skip(g schedule.Grid, through int64, why Reason) (n int64, lost []Unmeasured) {
	first := l.First(g)
	if through < first {
		return 0, nil
	}
	slots := stretchOf(g, first, through)
	switch {
	case l.flight != nil:
		l.flight.wait(slots)
	case why == OperatorDown:
		u := unknown{after: l.account.Until, cadence: g.Cadence, slots: slots, until: slots.To(), why: why}
		for i := range l.unknown { // one without slots reaches further than the account
			u.after = later(u.after, l.unknown[i].until)
		}
		l.doubt(u)
	default:
		lost = l.lose(slots, why)
	}
	return slots.Slots, lost
}

// Begin notes that the slot is being polled. The slots before it must have been skipped, and no poll be in flight.
func (l *Ledger) Begin(g schedule.Grid, slot int64) {
	l.flight = &flight{polled: stretchOf(g, slot, slot)}
}

// Jitter is the absolute difference of a round-trip time to the newest successful one before it; nil without one, and while
// only the database knows whether there is one.
func (l *Ledger) Jitter(rtt *float64) *float64 {
	for i := range l.unknown {
		u := &l.unknown[i]
		if !u.after.Before(l.account.RTTAt) || u.slots.Slots > 0 && u.slots.To().After(l.account.RTTAt) {
			return nil
		}
	}
	return l.account.jitter(rtt)
}

// Recall tells the newest successful round-trip time, where it is known although the account does not have it.
func (l *Ledger) Recall(rtt time.Duration, due time.Time) {
	if due.After(l.account.RTTAt) {
		l.account.RTT, l.account.RTTAt = rtt, due
	}
}

// Finish settles the poll in flight with its outcome.
func (l *Ledger) Finish(o Outcome) []Unmeasured {
	busy := l.land()
	l.account.add(o)
	l.handed++
	return l.loseAll(busy, Busy)
}

// Abandon settles the poll in flight without an outcome: nobody asked to the end. Unless later slots came due
// meanwhile, its slot is as open as before, for whoever polls the job next.
func (l *Ledger) Abandon(why Reason) (lost []Unmeasured) {
	if l.flight == nil {
		return nil
	}
	polled := l.flight.polled
	if len(l.flight.busy) == 0 {
		l.flight = nil
		return nil
	}
	busy := l.land()
	return append(l.lose(polled, why), l.loseAll(busy, Busy)...)
}

// land ends the flight and gives the slots that it made busy.
func (l *Ledger) land() (busy []Stretch) {
	f := l.flight
	l.flight = nil
	l.account.Until = later(l.account.Until, f.polled.From)
	return f.busy
}

func (l *Ledger) loseAll(stretches []Stretch, why Reason) (lost []Unmeasured) {
	for _, slots := range stretches {
		lost = append(lost, l.lose(slots, why)...)
	}
	return lost
}

// lose takes slots without a sample into the account; they are newer than all that is in it. A gap that they go on from
// grows: whoever stores it has one row for hours of the same.
func (l *Ledger) lose(slots Stretch, why Reason) []Unmeasured {
	l.account.Unmeasured[why] += slots.Slots
	l.account.Until = later(l.account.Until, slots.To())
	if l.gap.Reason == why && slots.follows(l.gap.Stretch) {
		l.gap.Slots += slots.Slots
	} else {
		l.gap = Gap{Stretch: slots, Reason: why}
	}
	l.handed++
	return []Unmeasured{{Slots: slots.Slots, Gap: l.gap}}
}

// Follow takes note of the job's grid, which it has had since an instant at the earliest. Where that is another one than
// before, and not one that begins after all that is known, its slots count from that instant on: earlier ones never were slots,
// and a job whose cadence becomes shorter would otherwise seem to have missed many.
func (l *Ledger) Follow(g schedule.Grid, since time.Time) {
	a := &l.account
	changed := !a.sameSlots(g)
	a.Start, a.Cadence = g.Start, g.Cadence
	switch {
	case !changed:
	case l.Until().Before(g.Start):
		a.Since = time.Time{}
	default:
		a.Since = later(since, l.Until().Add(time.Microsecond))
	}
}

// sameSlots tells whether a grid has the instants of the one before, or the first that is known.
func (a *Account) sameSlots(g schedule.Grid) bool {
	return a.Start.IsZero() || a.Cadence == g.Cadence && g.Start.Sub(a.Start)%g.Cadence == 0
}

// Lose takes a sample out of the figures that will never be in the database; its gap is in other hands.
func (l *Ledger) Lose(s sample.Sample) {
	for i := range l.unknown {
		if u := &l.unknown[i]; s.ScheduledAt.After(u.after) && !s.ScheduledAt.After(u.until) {
			return // it was never counted
		}
	}
	for _, a := range []*Sums{&l.account.Sums, &l.stored, &l.candidate} {
		a.lose(&s)
	}
}

// Restarted forgets what is about the run of a job and not about its samples: it is to be called when a job that was over
// begins anew.
func (l *Ledger) Restarted() {
	l.account.MissesInARow, l.account.ErrorsInARow = 0, 0
}

// Settle replaces the account by one that is in the database.
func (l *Ledger) Settle(a Account) { *l = Resume(a) }
