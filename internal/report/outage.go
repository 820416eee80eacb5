package report

import (
	"cmp"
	"slices"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/sample"
)

// silence collects the samples that runs of missed ones are made of, and the gaps that break them. Runs are made at the end, because
// gaps may come last, and because a cadence shows only in what comes before and after.
type silence struct {
	// moments are missed and failed samples from the first missed one on, and the samples around: one before, and the answer that
	// ends it. Each takes 16 bytes.
	moments []moment
	// open tells that the newest moment is in a run, and last is the newest sample, if there is any.
	open, any bool
	last      moment
	gaps      []span
}

// moment is a sample. Times are in microseconds since 1970.
type moment struct {
	at   int64
	kind kind
}

type kind uint8

const (
	answered kind = iota
	missed
	failed // says nothing about the device: a run neither ends nor grows
)

// span is a gap: when the first and the last of its slots were due.
type span struct{ from, to int64 }

// kindOf takes what is no known status for a failure.
func kindOf(status sample.Status) kind {
	switch status {
	case sample.Success:
		return answered
	case sample.Missed:
		return missed
	default:
		return failed
	}
}

func (s *silence) sample(at time.Time, status sample.Status) {
	m := moment{at.UnixMicro(), kindOf(status)}
	switch {
	case s.open:
		s.moments = append(s.moments, m)
		s.open = m.kind != answered
	case m.kind == missed:
		if before := (moment{s.last.at, answered}); s.any && (len(s.moments) == 0 || s.moments[len(s.moments)-1] != before) {
			s.moments = append(s.moments, before) // outside of a run, whatever it was
		}
		s.moments = append(s.moments, m)
		s.open = true
	}
	s.last, s.any = m, true
}

func (s *silence) gap(g *Gap) {
	s.gaps = append(s.gaps, span{g.From.UnixMicro(), g.To.UnixMicro()})
}

// outages hands over the runs of missed samples, in the order in which the samples came, and whether one is still open: nothing that
// came after it ends it.
func (s *silence) outages(job *Job, do func(run Outage, open bool)) {
	s.join()
	var run Outage
	var newest int // the newest missed sample of the run
	end := func(open bool) {
		if run.Missed > 0 {
			run.To = instant(s.moments[newest].at)
			run.Lasted = run.To.Sub(run.From) + s.stood(job, newest, run.Missed > 1)
			do(run, open)
		}
		run = Outage{}
	}
	for i, m := range s.moments {
		if m.kind == answered || i > 0 && s.broken(job, i-1) {
			end(false)
		}
		if m.kind == missed {
			if run.Missed == 0 {
				run.From = instant(m.at)
			}
			run.Missed++
			newest = i
		}
	}
	_, unseen := s.after(s.last.at)
	end(!unseen)
}

// join sorts the gaps and makes one of those that overlap, so that both of their ends ascend.
func (s *silence) join() {
	slices.SortFunc(s.gaps, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	joined := s.gaps[:0]
	for _, g := range s.gaps {
		if n := len(joined); n > 0 && g.from <= joined[n-1].to {
			joined[n-1].to = max(joined[n-1].to, g.to)
			continue
		}
		joined = append(joined, g)
	}
	s.gaps = joined
}

// after is the first gap that has a slot after an instant.
func (s *silence) after(at int64) (g span, ok bool) {
	i, _ := slices.BinarySearchFunc(s.gaps, at, func(g span, at int64) int {
		if g.to <= at {
			return -1
		}
		return 1
	})
	if i == len(s.gaps) {
		return span{}, false
	}
	return s.gaps[i], true
}

// broken tells whether something between moment i and the next may have been answered: what was not seen is not called an outage.
// Every slot that was due has a sample or lies in a gap, so that distance alone says nothing: the cadence may have been another.
// It counts only where nobody knows of gaps, and before the job began, because a job that is started anew keeps its old samples.
func (s *silence) broken(job *Job, i int) bool {
	from, to := s.moments[i].at, s.moments[i+1].at
	if to < from {
		return true
	}
	if g, ok := s.after(from); ok && g.from < to {
		return true
	}
	if len(s.gaps) > 0 && from >= job.StartedAt.UnixMicro() {
		return false
	}
	// The larger of the cadences before and after; half of it is for what was measured off the grid.
	cadence := max(job.Cadence.Microseconds(), s.step(i-1), s.step(i+1))
	return to-from > cadence+cadence/2
}

// step is the time between moment i and the next; 0 where there are not both, or others may have been between them.
func (s *silence) step(i int) int64 {
	if i < 0 || i+1 >= len(s.moments) || s.moments[i].kind == answered && s.moments[i+1].kind == answered {
		return 0
	}
	return s.moments[i+1].at - s.moments[i].at
}

// stood is how long missed sample i stands for, the last of its run: until the next slot was due, whatever the cadence was then.
// inRun tells that the run has more than that one.
func (s *silence) stood(job *Job, i int, inRun bool) time.Duration {
	at := s.moments[i].at
	next, known := int64(0), false
	if i+1 < len(s.moments) && !s.broken(job, i) {
		next, known = s.moments[i+1].at, true
	} else if g, ok := s.after(at); ok && g.from > at && (i+1 == len(s.moments) || g.from < s.moments[i+1].at) {
		next, known = g.from, true
	}
	switch {
	case known:
		return time.Duration(next-at) * time.Microsecond
	case i+1 < len(s.moments) && inRun: // an unexplained hole follows: the cadence is that of the run
		return time.Duration(max(s.step(i-1), 0)) * time.Microsecond
	default:
		return job.Cadence
	}
}

func instant(micro int64) time.Time { return time.UnixMicro(micro).UTC() }
