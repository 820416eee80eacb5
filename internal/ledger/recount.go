package ledger

import (
	"slices"
	"sort"

	"github.com/soundcheck-io/latency-operator/internal/sample"
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

// Samples is how many it has.
func (c *Count) Samples() int64 { return c.account.Totals.Samples() }

// Balance is what a job's account comes to once it is over, and what has to be changed in the database so that each slot has
// one outcome there.
type Balance struct {
	Account Account
	// Put are gaps to write, also in the place of longer ones; after that, Remove are gaps to remove.
	Put, Remove []Gap
	// Lost are those of Put that nobody knew about.
	Lost []Unmeasured
}

// Close balances the account of a job that is over, of which no poll is in flight and everything handed over is stored,
// against all that the database has of it: gaps are sorted by time. A sample outweighs a gap, and an earlier gap a later
// one. What is still unknown and has no outcome there becomes a gap.
func (l *Ledger) Close(c *Count, gaps []Gap) Balance {
	b := Balance{Account: c.account}
	a := &b.Account
	a.Until, a.Cadence = l.account.Until, l.account.Cadence
	a.keepWords(&l.account.Recent)
	var covered, reach []span // reach are those that a gap which begins later may still overlap
	for _, gap := range gaps {
		reach = slices.DeleteFunc(reach, func(s span) bool { return s.to < gap.span().from })
		rest := gap.minus(sorted(append(c.within(gap.span()), reach...)))
		if len(rest) != 1 || rest[0].Slots != gap.Slots {
			b.replace(gap, rest)
		}
		for _, part := range rest {
			a.Unmeasured[gap.Reason] += part.Slots
			covered, reach = append(covered, part.span()), append(reach, part.span())
		}
	}
	for i := range l.unknown {
		u := &l.unknown[i]
		taken := append(c.within(span{u.after.UnixMicro(), u.until.UnixMicro()}), covered...)
		taken = append(taken, u.bridges(c.duesAfter(u))...)
		for _, hole := range u.slots.minus(sorted(taken)) {
			a.Unmeasured[u.why] += hole.Slots
			gap := Gap{Stretch: hole, Reason: u.why}
			b.Put = append(b.Put, gap)
			b.Lost = append(b.Lost, Unmeasured{Slots: hole.Slots, Gap: gap})
		}
	}
	b.Remove = slices.DeleteFunc(b.Remove, func(gone Gap) bool { // one that is put takes its place
		return slices.ContainsFunc(b.Put, func(put Gap) bool { return put.From.Equal(gone.From) })
	})
	return b
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
	first := sort.Search(len(c.dues), func(i int) bool { return c.dues[i] >= s.from })
	last := sort.Search(len(c.dues), func(i int) bool { return c.dues[i] > s.to })
	return points(c.dues[first:last])
}

func (c *Count) duesAfter(u *unknown) []int64 {
	first := sort.Search(len(c.dues), func(i int) bool { return c.dues[i] > u.after.UnixMicro() })
	return c.dues[first:]
}

func sorted(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return int(a.from - b.from) })
	return spans
}
