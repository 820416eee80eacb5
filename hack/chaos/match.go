package main

import (
	"slices"
	"time"
)

// fate is what became of a poll that SpreeDB answered.
type fate int

// The fates of a poll.
const (
	// kept: there is its sample.
	kept fate = iota
	// repeated: its slot was polled before, by a process that was killed then or by one beside this, and has a sample.
	repeated
	// undecided: a process was killed at that instant, and may have read the answer or not.
	undecided
	// destroyed: a fault destroyed the sample or had it refused for good, and the slot is in a gap that tells so.
	destroyed
	// vanished: it should have a sample, and has none.
	vanished
)

// instant is the time around a kill in which it is open whether an answer was read.
const instant = 50 * time.Millisecond

// overlap is how long a poll may take to arrive, on a busy machine, while another process polls the same job.
const overlap = time.Second / 2

// match says what became of each poll of the job, and which samples tell of an answer that SpreeDB never gave. A sample
// says when its poll was sent, and a process polls a job once at a time: so the poll of a sample is the first one that
// arrived from then on and before the next sample's was sent. Around a hand-over two processes may poll a job at once: then it is
// any that arrived soon after.
func (a *account) match(deaths []time.Time, mayDestroy func(due time.Time, reason string) bool) (fates []fate, invented []stored) {
	fates = make([]fate, len(a.polls))
	for i := range fates {
		fates[i] = vanished
	}
	next := 0
	var astray []stored
	for i, s := range a.samples {
		sent := s.sent.Add(-time.Millisecond) // clocks are read in two places
		for next < len(a.polls) && a.polls[next].arrived.Before(sent) {
			next++
		}
		mine := next < len(a.polls) && (i+1 == len(a.samples) || a.polls[next].arrived.Before(a.samples[i+1].sent))
		switch {
		case mine:
			fates[next] = kept
			next++
		case s.spoke:
			astray = append(astray, s)
		}
	}
	for _, s := range astray {
		if i := a.free(fates, s.sent); i >= 0 {
			fates[i] = kept
		} else {
			invented = append(invented, s)
		}
	}
	dues := make(map[int64]bool, len(a.samples))
	for _, s := range a.samples {
		dues[s.due.UnixMicro()] = true
	}
	for i, p := range a.polls {
		if fates[i] == vanished {
			fates[i] = a.explain(p, dues, deaths, mayDestroy)
		}
	}
	return fates, invented
}

// free is the number of a poll that no sample has and that arrived soon after an instant; -1 when there is none.
func (a *account) free(fates []fate, sent time.Time) int {
	first, _ := slices.BinarySearchFunc(a.polls, sent.Add(-time.Millisecond), func(p poll, t time.Time) int { return p.arrived.Compare(t) })
	for i := first; i < len(a.polls) && a.polls[i].arrived.Sub(sent) < overlap; i++ {
		if fates[i] == vanished {
			return i
		}
	}
	return -1
}

// explain says what became of a poll that no sample belongs to.
func (a *account) explain(p poll, measured map[int64]bool, deaths []time.Time, mayDestroy func(time.Time, string) bool) fate {
	due := a.due(p.arrived)
	if a.told(due, busy) { // nobody asked in a busy slot: this is the late poll of the slot before
		due = append(due, a.due(p.arrived.Add(-a.grid().Cadence))...)
	}
	if slices.ContainsFunc(due, func(t time.Time) bool { return measured[t.UnixMicro()] }) {
		return repeated
	}
	if slices.ContainsFunc(deaths, func(d time.Time) bool {
		return !p.arrived.After(d.Add(instant)) && !p.left.Before(d.Add(-instant))
	}) {
		return undecided
	}
	for _, g := range a.gaps {
		if slices.ContainsFunc(due, g.due.Equal) && mayDestroy(g.due, g.reason) {
			return destroyed
		}
	}
	return vanished
}

// told says whether one of the slots is in a gap for the reason.
func (a *account) told(due []time.Time, reason string) bool {
	return slices.ContainsFunc(a.gaps, func(g unmeasured) bool { return g.reason == reason && slices.ContainsFunc(due, g.due.Equal) })
}

// due are the slots whose turn it was at an instant, on each grid that the job ever had.
func (a *account) due(at time.Time) []time.Time {
	var due []time.Time
	for _, period := range a.periods {
		if k := period.Grid.At(at); k >= 0 {
			due = append(due, period.Grid.Due(k).Truncate(time.Microsecond))
		}
	}
	return due
}
