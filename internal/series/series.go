// Package series keeps what became of a job's slots over time in a bounded number of columns, for a plot. A column of many slots
// keeps the smallest and the largest round-trip time and how many slots had which outcome, so that whatever happened is in it,
// however many days the plot covers.
package series

import (
	"math"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/sample"
)

// Column is what became of some neighbouring slots.
type Column struct {
	// From is when the first of them was due, and To when the first of the next column is.
	From, To time.Time
	// Success, Missed and SystemError count samples, Unmeasured slots without one.
	Success, Missed, SystemError, Unmeasured int64
	// Min and Max are the smallest and the largest round-trip time in milliseconds, Sum is the sum of all RTTs, and RTTs how many
	// there are.
	Min, Max, Sum float64
	RTTs          int64
	// Reason is why the first of the unmeasured slots has no sample.
	Reason string
}

// Avg is the mean round-trip time; false where there is none.
func (c *Column) Avg() (ms float64, ok bool) {
	if c.RTTs == 0 {
		return 0, false
	}
	return c.Sum / float64(c.RTTs), true
}

// Slots counts the slots that have an outcome.
func (c *Column) Slots() int64 { return c.Success + c.Missed + c.SystemError + c.Unmeasured }

// add adds what another column has.
func (c *Column) add(o *Column) {
	c.Success += o.Success
	c.Missed += o.Missed
	c.SystemError += o.SystemError
	if c.Unmeasured == 0 {
		c.Reason = o.Reason
	}
	c.Unmeasured += o.Unmeasured
	switch {
	case o.RTTs == 0:
	case c.RTTs == 0:
		c.Min, c.Max = o.Min, o.Max
	default:
		c.Min, c.Max = min(c.Min, o.Min), max(c.Max, o.Max)
	}
	c.Sum += o.Sum
	c.RTTs += o.RTTs
}

// Join makes one column of neighbours, at least one.
func Join(columns []Column) Column {
	joined, rest := columns[0], columns[1:]
	for i := range rest {
		joined.add(&rest[i])
	}
	joined.To = columns[len(columns)-1].To
	return joined
}

// Series collects outcomes. It is not safe for concurrent use.
type Series struct {
	start   time.Time
	cadence time.Duration
	most    int
	// slots is how many slots a column stands for: a power of two, so that neighbours can be joined.
	slots   int64
	columns []Column
}

// New begins a series of at most so many columns, an even number, on a grid with a positive cadence. What was due before the start
// is in the first column.
func New(start time.Time, cadence time.Duration, most int) *Series {
	return &Series{start: start, cadence: cadence, most: most, slots: 1}
}

// Width is the time that a column stands for.
func (s *Series) Width() time.Duration { return time.Duration(s.slots) * s.cadence }

// Slots is how many slots a column stands for.
func (s *Series) Slots() int64 { return s.slots }

// Sample adds a sample that was due at an instant, with its round-trip time in milliseconds or nil.
func (s *Series) Sample(at time.Time, status sample.Status, rtt *float64) {
	c := Column{}
	switch status {
	case sample.Success:
		c.Success = 1
		if rtt != nil && !math.IsNaN(*rtt) && !math.IsInf(*rtt, 0) {
			c.RTTs, c.Sum, c.Min, c.Max = 1, *rtt, *rtt, *rtt
		}
	case sample.Missed:
		c.Missed = 1
	default:
		c.SystemError = 1
	}
	s.at(at).add(&c)
}

// mostSlots is how many slots a job can have: one a second for a year. A gap that claims more is none of ours.
const mostSlots = 366 * 86400

// Gap adds slots without a sample, the first due at from and the last at to, which are at equal distances.
func (s *Series) Gap(from, to time.Time, slots int64, reason string) {
	if slots <= 0 || to.Before(from) {
		return
	}
	slots = min(slots, mostSlots)
	step := time.Duration(0)
	if slots > 1 {
		step = to.Sub(from) / time.Duration(slots-1)
	}
	s.at(to) // so that columns are joined once
	for i := range slots {
		s.at(from.Add(time.Duration(i) * step)).add(&Column{Unmeasured: 1, Reason: reason})
	}
}

// at is the column of an instant. Half a cadence is for what was measured off the grid.
func (s *Series) at(t time.Time) *Column {
	slot := int64(max(0, t.Sub(s.start)+s.cadence/2) / s.cadence)
	for slot/s.slots >= int64(s.most) {
		s.join()
	}
	i := int(slot / s.slots)
	for len(s.columns) <= i {
		s.columns = append(s.columns, Column{})
	}
	return &s.columns[i]
}

// join makes one column of two neighbours.
func (s *Series) join() {
	s.slots *= 2
	joined := s.columns[:0]
	for i := 0; i < len(s.columns); i += 2 {
		joined = append(joined, Join(s.columns[i:min(i+2, len(s.columns))]))
	}
	s.columns = joined
}

// Columns gives the columns from the start to the newest outcome, without holes. They are copies.
func (s *Series) Columns() []Column {
	out := make([]Column, len(s.columns))
	for i, c := range s.columns {
		c.From = s.start.Add(time.Duration(i) * s.Width())
		c.To = c.From.Add(s.Width())
		out[i] = c
	}
	return out
}
