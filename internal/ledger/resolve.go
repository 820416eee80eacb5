package ledger

import (
	"time"

	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/schedule"
)

// unknown is a time of which only the database knows what became of the slots in it: another process may have measured
// them, or nobody.
type unknown struct {
	// after and until bound it; until is in it. cadence is that of the grid before it.
	after, until time.Time
	cadence      time.Duration
	// slots are those of the present grid in it; why is the reason of those that the database knows nothing about.
	slots Stretch
	why   Reason
}

// Unknown counts the slots of which only the database can tell.
func (l *Ledger) Unknown() int64 {
	var n int64
	for i := range l.unknown {
		n += l.unknown[i].slots.Slots
	}
	return n
}

// Asks tells how many questions there are for the database, and after which instant everything in them was due.
func (l *Ledger) Asks() (after time.Time, questions int) {
	for i := range l.unknown {
		if at := l.unknown[i].after; i == 0 || at.Before(after) {
			after = at
		}
	}
	return after, len(l.unknown)
}

// Adopt is for a job that this process begins with: whatever happened after the account, up to the slot whose turn it is at
// now, is unknown; that slot too if it is theirs, who handed the job over. Slots of which the database knows nothing get the
// reason why.
func (l *Ledger) Adopt(g schedule.Grid, now time.Time, theirs bool, why Reason) {
	u := unknown{after: l.account.Until, until: now, cadence: g.Cadence, why: why}
	a := &l.account
	first, through := l.First(g), g.Slots()-1
	changed := !a.sameSlots(g)
	if changed {
		u.cadence = a.Cadence
	}
	a.Start, a.Cadence = g.Start, g.Cadence
	switch slot := g.At(now); {
	case !now.Before(g.End()):
	case theirs:
		through = slot
	default:
		through = slot - 1
		if slot >= first {
			u.until = g.Due(slot).Add(-time.Microsecond) // whoever polls next decides about that slot
		}
	}
	if first <= through {
		u.slots = stretchOf(g, first, through)
	}
	l.doubt(u)
	if changed { // nobody knows when; what comes from now on counts
		a.Since = g.Due(through + 1)
	}
}

func (l *Ledger) doubt(u unknown) {
	if u.slots.Slots > 0 {
		l.account.Until = later(l.account.Until, u.slots.To())
	}
	l.unknown = append(l.unknown, u)
}

// Resolve settles what is unknown by what the database has of it, both sorted by time; more than that does no harm. It
// returns what turned out to have no outcome, and is to get a row now. If the slot whose turn it is has a sample already,
// and no poll runs, that is taken too.
func (l *Ledger) Resolve(g schedule.Grid, samples []sample.Sample, gaps []Gap) (lost []Unmeasured) {
	for i := range l.unknown {
		lost = append(lost, l.unknown[i].resolve(&l.account, samples, gaps)...)
	}
	l.unknown = nil
	if next := l.First(g); l.flight == nil && next < g.Slots() {
		due := g.Due(next)
		for _, s := range samples {
			if s.ScheduledAt.Equal(due) {
				l.account.add(Outcome{Sample: s})
				l.account.Until = due
			}
		}
	}
	l.candidate, l.handed = l.account.Sums, 0
	return lost
}

// Forgo leaves unknown for good what the database will not tell: it counts neither as measured nor as unmeasured.
func (l *Ledger) Forgo() {
	l.unknown = nil
	l.candidate, l.handed = l.account.Sums, 0
}

func (u *unknown) resolve(a *Account, samples []sample.Sample, gaps []Gap) (lost []Unmeasured) {
	var dues []int64
	for _, s := range samples {
		if s.ScheduledAt.After(u.after) && !s.ScheduledAt.After(u.until) {
			a.add(Outcome{Sample: s})
			dues = append(dues, s.ScheduledAt.UnixMicro())
		}
	}
	covered := points(dues)
	for _, gap := range gaps {
		for _, part := range gap.within(u.after, u.until).minus(covered) {
			a.Unmeasured[gap.Reason] += part.Slots
		}
	}
	for _, gap := range gaps {
		covered = append(covered, gap.span())
	}
	for _, hole := range u.slots.minus(sorted(append(covered, u.bridges(dues)...))) {
		a.Unmeasured[u.why] += hole.Slots
		lost = append(lost, Unmeasured{Slots: hole.Slots, Gap: Gap{Stretch: hole, Reason: u.why}})
	}
	return lost
}

// bridges span the time between samples that were neighbours on the grid before: slots of the present one between them never
// came due.
func (u *unknown) bridges(dues []int64) (spans []span) {
	if u.slots.Slots == 0 || u.cadence == u.slots.Every {
		return nil
	}
	if !u.after.IsZero() {
		dues = append([]int64{u.after.UnixMicro()}, dues...)
	}
	for i := 1; i < len(dues); i++ {
		if dues[i]-dues[i-1] == u.cadence.Microseconds() {
			spans = append(spans, span{dues[i-1], dues[i]})
		}
	}
	return spans
}

// points are instants as spans.
func points(dues []int64) []span {
	spans := make([]span, len(dues))
	for i, due := range dues {
		spans[i] = span{due, due}
	}
	return spans
}
