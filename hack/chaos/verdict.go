package main

import (
	"fmt"
	"slices"
	"time"
)

// slack is how long before and after an episode a slot may be due that it explains: a slot that came due a little before
// may not have been polled yet.
const slack = time.Second

// namedProblems is how many of a kind are named for each fault.
const namedProblems = 4

// figures are counted for each fault and in total.
type figures struct {
	// Injected is how often the operator felt the fault.
	Injected int `json:"injected"`
	// Polls are those that SpreeDB answered, Samples the rows of slots that came due, while the fault and the recovery from
	// it lasted.
	Polls   int `json:"polls"`
	Samples int `json:"samples"`
	// Lost are polls that have no sample, Duplicate samples that are there twice and slots with two outcomes, Invented
	// samples that tell of an answer that SpreeDB never gave, NoOutcome slots with neither a sample nor a reason.
	Lost      int `json:"lost"`
	Duplicate int `json:"duplicate"`
	Invented  int `json:"invented"`
	NoOutcome int `json:"noOutcome"`
	// Undecided are polls that were answered in the instant in which a process was killed, Destroyed those whose samples the
	// fault itself destroyed and the operator told so, Repeated those of slots that were polled before.
	Undecided int `json:"undecided"`
	Destroyed int `json:"destroyed"`
	Repeated  int `json:"repeated"`
	// Gaps counts slots without a sample by reason, Unexplained those for which no fault is the reason.
	Gaps        map[string]int64 `json:"gaps,omitempty"`
	Unexplained int              `json:"unexplained"`

	// What is wrong, one by one.
	lost, invented, unexplained []string
}

// line is one fault in the result.
type line struct {
	Fault   string `json:"fault"`
	Played  int    `json:"played"`
	Skipped string `json:"skipped,omitempty"`
	figures
}

// result is the verdict.
type result struct {
	Seed  uint64  `json:"seed"`
	Took  string  `json:"took"`
	Lines []line  `json:"faults"`
	Total figures `json:"total"`
	// Jobs is how many jobs there were; Deleted of them were deleted, with all that they had.
	Jobs    int `json:"jobs"`
	Deleted int `json:"deleted"`
	// Kept says that every promise was kept; Problems are the broken ones.
	Kept     bool     `json:"kept"`
	Problems []string `json:"problems,omitempty"`
}

// verdict compares the evidence with what is promised.
func (c *conductor) verdict(accounts []*account) *result {
	res := &result{Seed: c.rig.opts.Seed, Took: time.Since(c.began).Round(time.Second).String(), Jobs: len(c.rig.jobs.all), Deleted: len(c.rig.jobs.all) - len(accounts)}
	res.Problems = slices.Clone(c.rig.problems)
	lines := make([]figures, len(c.episodes))
	for _, a := range accounts {
		c.judge(a, lines)
		for _, flaw := range a.checked.Flaws {
			res.Problems = append(res.Problems, fmt.Sprintf("job %s: %s", a.id, flaw))
		}
	}
	for i, e := range c.episodes {
		lines[i].Injected = e.felt
		res.add(e, lines[i])
	}
	for _, l := range res.Lines {
		res.problem(l.Fault, "lost sample", l.lost)
		res.problem(l.Fault, "invented sample", l.invented)
		res.problem(l.Fault, "slot that nobody measured, which the fault does not explain", l.unexplained)
	}
	if res.Total.Polls == 0 {
		res.Problems = append(res.Problems, "nothing was measured, so nothing was proved")
	}
	res.Kept = len(res.Problems) == 0
	return res
}

// judge counts what became of a job, each thing in the episode in which it happened.
func (c *conductor) judge(a *account, lines []figures) {
	c.judgePolls(a, lines)
	seen := map[int64]bool{}
	for _, s := range a.samples {
		l := &lines[c.at(s.due)]
		l.Samples++
		if seen[s.due.UnixMicro()] {
			l.Duplicate++
		}
		seen[s.due.UnixMicro()] = true
	}
	for _, due := range a.checked.TwoOutcomesAt {
		lines[c.at(due)].Duplicate++
	}
	for _, due := range a.checked.WithoutOutcomeAt {
		lines[c.at(due)].NoOutcome++
	}
	for _, g := range a.gaps {
		l := &lines[c.at(g.due)]
		if l.Gaps == nil {
			l.Gaps = map[string]int64{}
		}
		l.Gaps[g.reason]++
		if !c.explained(a.job, g.due, g.reason, func(*episode) bool { return true }) {
			l.Unexplained++
			l.unexplained = append(l.unexplained, fmt.Sprintf("of job %s, due at %s, %s", a.id, clockTime(g.due), g.reason))
		}
	}
}

// judgePolls counts what became of the polls that SpreeDB answered.
func (c *conductor) judgePolls(a *account, lines []figures) {
	fates, invented := a.match(c.rig.deaths, func(due time.Time, reason string) bool {
		return c.explained(a.job, due, reason, func(e *episode) bool { return e.destroys || e.of != nil && reason == lost })
	})
	for i, p := range a.polls {
		l := &lines[c.at(p.arrived)]
		l.Polls++
		switch fates[i] {
		case kept:
		case repeated:
			l.Repeated++
		case undecided:
			l.Undecided++
		case destroyed:
			l.Destroyed++
		case vanished:
			l.Lost++
			l.lost = append(l.lost, fmt.Sprintf("of job %s, polled at %s, %s", a.id, clockTime(p.arrived), a.whereabouts(p.arrived)))
		}
	}
	for _, s := range invented {
		l := &lines[c.at(s.due)]
		l.Invented++
		l.invented = append(l.invented, fmt.Sprintf("of job %s, due at %s", a.id, clockTime(s.due)))
	}
}

// whereabouts is what the tables say of the slot whose turn it was.
func (a *account) whereabouts(at time.Time) string {
	for _, g := range a.gaps {
		if slices.ContainsFunc(a.due(at), g.due.Equal) {
			return "whose slot is in a gap: " + g.reason
		}
	}
	return "whose slot is nowhere"
}

// problem says how many things of a kind are wrong, and which the first are.
func (r *result) problem(fault, kind string, all []string) {
	for _, one := range all[:min(len(all), namedProblems)] {
		r.Problems = append(r.Problems, fmt.Sprintf("%s: %s %s", fault, kind, one))
	}
	if more := len(all) - namedProblems; more > 0 {
		r.Problems = append(r.Problems, fmt.Sprintf("%s: %s, %d more", fault, kind, more))
	}
}

func clockTime(t time.Time) string { return t.UTC().Format("15:04:05.000") }

// at is the episode that something belongs to: the newest that had begun.
func (c *conductor) at(t time.Time) int {
	for i := len(c.episodes) - 1; i > 0; i-- {
		if !c.episodes[i].began.After(t) {
			return i
		}
	}
	return 0
}

// explained tells whether a fault of the given kind can be why a slot of a job has no sample, for this reason.
func (c *conductor) explained(j *job, due time.Time, reason string, kind func(*episode) bool) bool {
	return slices.ContainsFunc(c.episodes, func(e *episode) bool {
		began := e.began.Add(-slack - j.grid().Cadence)
		if e.name == "start" {
			began = time.Time{} // jobs may have started long before
		}
		return slices.Contains(e.explains, reason) && due.After(began) && due.Before(e.ended.Add(slack)) &&
			(e.of == nil || e.of == j) && kind(e)
	})
}

// add adds an episode to the line of its fault, and to the total.
func (r *result) add(e *episode, f figures) {
	i := slices.IndexFunc(r.Lines, func(l line) bool { return l.Fault == e.name })
	if i < 0 {
		i = len(r.Lines)
		r.Lines = append(r.Lines, line{Fault: e.name})
	}
	l := &r.Lines[i]
	if e.skipped != "" {
		l.Skipped = e.skipped
	} else {
		l.Played++
	}
	l.add(f)
	r.Total.add(f)
}

func (f *figures) add(o figures) {
	for _, pair := range []struct{ to, from *int }{
		{&f.Injected, &o.Injected}, {&f.Polls, &o.Polls}, {&f.Samples, &o.Samples}, {&f.Lost, &o.Lost}, {&f.Duplicate, &o.Duplicate},
		{&f.Invented, &o.Invented}, {&f.NoOutcome, &o.NoOutcome}, {&f.Undecided, &o.Undecided}, {&f.Destroyed, &o.Destroyed},
		{&f.Repeated, &o.Repeated}, {&f.Unexplained, &o.Unexplained},
	} {
		*pair.to += *pair.from
	}
	f.lost, f.invented, f.unexplained = append(f.lost, o.lost...), append(f.invented, o.invented...), append(f.unexplained, o.unexplained...)
	for reason, n := range o.Gaps {
		if f.Gaps == nil {
			f.Gaps = map[string]int64{}
		}
		f.Gaps[reason] += n
	}
}
