// Package schedule is the arithmetic of slots: slot k of a job is due at start + k × cadence, for every k whose due
// time lies before start + duration. There is no jitter and no drift, and nothing here knows about anything but time.
package schedule

import "time"

// Grid is the schedule of one job. The zero Grid has no slots.
type Grid struct {
	// Start is when slot 0 is due.
	Start time.Time
	// Cadence is the time between two slots; a grid whose cadence is not positive has no slots.
	Cadence time.Duration
	// Duration is how long the grid lasts from Start; it ends just before Start + Duration.
	Duration time.Duration
}

// Equal tells whether two grids have the same slots, whatever time zone their starts are written in.
func (g Grid) Equal(o Grid) bool {
	return g.Start.Equal(o.Start) && g.Cadence == o.Cadence && g.Duration == o.Duration
}

// End is the first instant at which the job is over.
func (g Grid) End() time.Time { return g.Start.Add(g.Duration) }

// Slots is how many slots the grid has.
func (g Grid) Slots() int64 {
	if g.Cadence <= 0 || g.Duration <= 0 {
		return 0
	}
	return int64((g.Duration + g.Cadence - 1) / g.Cadence)
}

// Due is when slot k is due. k may lie outside of the grid.
func (g Grid) Due(k int64) time.Time { return g.Start.Add(time.Duration(k) * g.Cadence) }

// At is the number of the slot whose turn it is at now: the newest slot that is due, at most the last one.
// It is -1 before the start and for a grid without slots.
func (g Grid) At(now time.Time) int64 {
	if g.Slots() == 0 || now.Before(g.Start) {
		return -1
	}
	return min(int64(now.Sub(g.Start)/g.Cadence), g.Slots()-1)
}

// After is the number of the first slot that is due after t; it is Slots() when there is none.
func (g Grid) After(t time.Time) int64 {
	n := g.Slots()
	if n == 0 || t.Before(g.Start) {
		return 0
	}
	return min(int64(t.Sub(g.Start)/g.Cadence)+1, n)
}

// Deadline is how long a poll may take: the timeout, but where the cadence is not shorter than the timeout at most
// nine tenths of the cadence, so that a target that hangs still gives every slot an outcome.
func Deadline(cadence, timeout time.Duration) time.Duration {
	if cadence < timeout {
		return timeout
	}
	return min(timeout, cadence*9/10)
}
