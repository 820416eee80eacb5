package ledger

import (
	"cmp"
	"slices"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/schedule"
)

// Count sums up all samples of a job as the database has them. The zero Count has none.
type Count struct {
	account Account
	dues    []int64 // in microseconds since 1970, ascending
}

// Add counts a sample. Those of slots come in the order of their due times; those without one last.
func (c *Count) Add(s sample.Sample) {
	if s.ScheduledAt.IsZero() {
		c.account.Foreign++
		c.account.Totals.add(s)
		return
	}
	c.account.add(Outcome{Sample: s})
	c.dues = append(c.dues, s.ScheduledAt.UnixMicro())
}

// Balance is what a job's account comes to once it is over, and what has to be changed in the database so that each slot has
// one outcome there.
type Balance struct {
	Account Account
	// Put are gaps to write, also in the place of longer ones; after that, Remove are gaps to remove.
	Put, Remove []Gap
	// Gaps are all that it has then, in no order.
	Gaps []Gap
	// Lost are those of Put that nobody knew about.
	Lost []Unmeasured
}

// Close balances the account of a job that was over at an instant, of which no poll is in flight and everything handed over
// is stored, against all that the database has of it: gaps are sorted by time. A sample outweighs a gap, and an earlier gap a
// later one. Slots that have no outcome there become gaps. A database that keeps no gaps is to have none changed. Of a job that was
// cut short somebody may not have heard at once: what came due after that has no gap. Of one whose duration was shortened slots
// beyond its end were due when they came.
func (l *Ledger) Close(g schedule.Grid, over time.Time, cut bool, c *Count, gaps []Gap, kept bool) Balance {
	b := Balance{Account: c.account}
	a, known := &b.Account, &l.account
	a.Until, a.Start, a.Cadence, a.Since = known.Until, known.Start, known.Cadence, known.Since
	a.keepWords(&known.Recent)
	last := over.Add(-time.Microsecond)
	most := last // that can have been due
	if !cut {
		most = forever
	}
	var covered []span
	if kept {
		covered = b.straighten(c, gaps, most)
	} else {
		a.Unmeasured = known.Unmeasured
	}
	for i := range l.unknown {
		u := &l.unknown[i]
		taken := append(c.within(span{u.after.UnixMicro(), u.until.UnixMicro()}), covered...)
		taken = append(taken, u.bridges(c.duesAfter(u))...)
		covered = append(covered, b.fill(u.slots.within(time.Time{}, most), taken, u.why)...)
	}
	if !kept {
		b.Put, b.Gaps = nil, nil
		return b
	}
	// Nothing but what is unknown should be without an outcome. But samples can be deleted, and disks lost.
	if slots := wholeOf(g, a.Since, last); slots.Slots > 0 {
		b.fill(slots, append(c.within(slots.span()), covered...), OperatorDown)
	}
	b.Remove = slices.DeleteFunc(b.Remove, func(gone Gap) bool { // one that is put takes its place
		return slices.ContainsFunc(b.Put, func(put Gap) bool { return put.From.Equal(gone.From) })
	})
	return b
}

// forever is after all that a job can have.
var forever = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// wholeOf is the slots of a grid that are due from an instant to another.
func wholeOf(g schedule.Grid, since, last time.Time) Stretch {
	if g.Slots() == 0 {
		return Stretch{}
	}
	return stretchOf(g, 0, g.Slots()-1).within(since.Add(-time.Microsecond), last)
}

// straighten leaves of each gap what is due by an instant, and neither measured nor in a gap before it. It gives the times
// that gaps then cover.
func (b *Balance) straighten(c *Count, gaps []Gap, last time.Time) (covered []span) {
	var reach []span // those that a gap which begins later may still overlap
	for _, gap := range gaps {
		reach = slices.DeleteFunc(reach, func(s span) bool { return s.to < gap.span().from })
		rest := gap.within(time.Time{}, last).minus(sorted(append(c.within(gap.span()), reach...)))
		if len(rest) != 1 || rest[0].Slots != gap.Slots {
			b.replace(gap, rest)
		}
		for _, part := range rest {
			b.Account.Unmeasured[gap.Reason] += part.Slots
			b.Gaps = append(b.Gaps, Gap{Stretch: part, Reason: gap.Reason})
			covered, reach = append(covered, part.span()), append(reach, part.span())
		}
	}
	return covered
}

// fill makes gaps of the slots that are not taken, and gives the times that they cover.
func (b *Balance) fill(slots Stretch, taken []span, why Reason) (covered []span) {
	if slots.Slots == 0 {
		return nil
	}
	for _, hole := range slots.minus(sorted(taken)) {
		b.Account.Unmeasured[why] += hole.Slots
		gap := Gap{Stretch: hole, Reason: why}
		b.Put = append(b.Put, gap)
		b.Gaps = append(b.Gaps, gap)
		b.Lost = append(b.Lost, Unmeasured{Slots: hole.Slots, Gap: gap})
		covered = append(covered, hole.span())
	}
	return covered
}

// replace notes that a gap is not right as it stands. What is left of it may begin where it did.
func (b *Balance) replace(gap Gap, rest []Stretch) {
	for _, part := range rest {
		b.Put = append(b.Put, Gap{Stretch: part, Reason: gap.Reason})
	}
	if len(rest) == 0 || !rest[0].From.Equal(gap.From) {
		b.Remove = append(b.Remove, gap)
	}
}

// keepWords takes what the database does not have of the newest outcomes: what was said.
func (r *Recent) keepWords(known *Recent) {
	if known.Last.ScheduledAt.Equal(r.Last.ScheduledAt) {
		r.Last.Poller = known.Last.Poller
	}
	if known.LastError.Message != "" {
		r.LastError = known.LastError
	}
}

// within gives the due times in a span.
func (c *Count) within(s span) []span {
	first, _ := slices.BinarySearch(c.dues, s.from)
	last, _ := slices.BinarySearch(c.dues, s.to+1)
	return points(c.dues[first:max(first, last)])
}

func (c *Count) duesAfter(u *unknown) []int64 {
	first, _ := slices.BinarySearch(c.dues, u.after.UnixMicro()+1)
	return c.dues[first:]
}

func sorted(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	return spans
}
