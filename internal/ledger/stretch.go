package ledger

import (
	"time"

	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/schedule"
)

// Stretch is neighbouring slots of a grid. The zero Stretch has none.
type Stretch struct {
	// From is when the first of them is due.
	From time.Time
	// Every is the time between two; it need not be known of a single one.
	Every time.Duration
	// Slots is how many there are.
	Slots int64
}

// Gap is a stretch of slots that have no sample, all for the same reason.
type Gap struct {
	Stretch
	Reason Reason
}

func stretchOf(g schedule.Grid, first, last int64) Stretch {
	return Stretch{From: g.Due(first), Every: g.Cadence, Slots: last - first + 1}
}

// GapOf reads a gap as it is stored.
func GapOf(g sample.Gap) Gap {
	s := Stretch{From: g.From, Slots: g.Slots}
	if g.Slots > 1 {
		s.Every = g.To.Sub(g.From) / time.Duration(g.Slots-1)
	}
	return Gap{Stretch: s, Reason: ReasonOf(g.Reason)}
}

// Of is the gap as it is stored for a job.
func (g Gap) Of(jobID string) sample.Gap {
	return sample.Gap{JobID: jobID, From: g.From.UTC(), To: g.To().UTC(), Slots: g.Slots, Reason: g.Reason.String()}
}

// To is when the last of the slots is due.
func (s Stretch) To() time.Time { return s.From.Add(time.Duration(s.Slots-1) * s.Every) }

// part is the slots from one number to another, counted within the stretch.
func (s Stretch) part(first, last int64) Stretch {
	return Stretch{From: s.From.Add(time.Duration(first) * s.Every), Every: s.Every, Slots: last - first + 1}
}

// follows tells whether the stretch begins with the slot after the last one of another.
func (s Stretch) follows(before Stretch) bool {
	return before.Slots > 0 && before.Every == s.Every && before.To().Add(s.Every).Equal(s.From)
}

// span is a time from one instant to another, both included, in microseconds since 1970: the resolution of the database.
type span struct{ from, to int64 }

func (s Stretch) span() span { return span{s.From.UnixMicro(), s.To().UnixMicro()} }

// minus is what is left of a stretch without the slots that lie in the spans, which are sorted by their beginning.
func (s Stretch) minus(covered []span) []Stretch {
	var left []Stretch
	from, every := s.From.UnixMicro(), max(s.Every.Microseconds(), 1)
	next := int64(0) // the first slot that nothing has been said about
	for _, c := range covered {
		first := max(next, -floorDiv(from-c.from, every))
		last := min(s.Slots-1, floorDiv(c.to-from, every))
		if first > last {
			continue
		}
		if first > next {
			left = append(left, s.part(next, first-1))
		}
		next = last + 1
	}
	if next < s.Slots {
		left = append(left, s.part(next, s.Slots-1))
	}
	return left
}

// within is the slots of a stretch that are due after one instant and not after another.
func (s Stretch) within(after, until time.Time) Stretch {
	if s.Slots <= 0 {
		return Stretch{}
	}
	from, every := s.From.UnixMicro(), max(s.Every.Microseconds(), 1)
	first := max(0, floorDiv(after.UnixMicro()-from, every)+1)
	last := min(s.Slots-1, floorDiv(until.UnixMicro()-from, every))
	if first > last {
		return Stretch{}
	}
	return s.part(first, last)
}

// floorDiv divides towards minus infinity.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}
