package main

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/sample"
)

const (
	// reaction is how long the operator may take to see a change in the app: its sync interval of a second, and some more
	// for a busy machine.
	reaction = 3 * time.Second
	// lastMoment is the time before the operator was stopped in which it need not have polled any more.
	lastMoment = time.Second
)

// measured is a row of samples.
type measured struct {
	due    time.Time // zero if the row does not tell
	status sample.Status
}

// outcome is what there is to see of a job at the end.
type outcome struct {
	job *job
	// stopped is when the operator was told to stop.
	stopped time.Time
	// row is the status of the job's row.
	row     string
	samples []measured
	// mirrored says that there is a LatencyJob; unmeasured is what it counts, and why.
	mirrored   bool
	unmeasured int64
	why        string
}

// verdict is an outcome in figures.
type verdict struct {
	due    int64
	counts map[sample.Status]int
	// problem is empty when all is as it should be.
	problem string
}

// judge compares what came of a job with what should have:
//   - a simulated job has no samples and no LatencyJob;
//   - every other job has exactly one sample for each slot in which it could be measured, and none for another instant;
//   - a job whose time is over is completed, a cancelled one stays cancelled, the others run.
func judge(o outcome) verdict {
	v := verdict{counts: map[sample.Status]int{}}
	for _, s := range o.samples {
		v.counts[s.status]++
	}
	if o.job.simulated {
		v.problem = first(judgeUntouched(o), judgeRow(o))
		return v
	}
	v.due = o.job.grid.At(o.end()) + 1
	for _, s := range o.samples { // until the operator had seen the end
		v.due = max(v.due, o.job.grid.At(s.due)+1)
	}
	v.problem = first(judgeSlots(o), judgeStatuses(o), judgeRow(o))
	return v
}

// end is when the measuring was over: cancelled, or stopped.
func (o outcome) end() time.Time {
	if !o.job.over.IsZero() && o.job.over.Before(o.stopped) {
		return o.job.over
	}
	return o.stopped
}

func judgeUntouched(o outcome) string {
	switch {
	case len(o.samples) > 0:
		return "has " + several(len(o.samples), "sample") + ", but nobody was to measure it"
	case o.mirrored:
		return "has a LatencyJob, but nobody was to measure it"
	}
	return ""
}

func judgeSlots(o outcome) string {
	grid := o.job.grid
	seen := map[int64]bool{}
	for _, s := range o.samples {
		slot := grid.At(s.due)
		switch {
		case s.due.IsZero():
			return "has a sample that does not say when it was due"
		case slot < 0 || !grid.Due(slot).Equal(s.due):
			return "has a sample for " + clockTime(s.due) + ", when nothing was due"
		case seen[slot]:
			return "was measured twice at " + clockTime(s.due)
		case s.due.After(o.end().Add(reaction)):
			return "was still polled at " + clockTime(s.due) + ", though it was over at " + clockTime(o.end())
		}
		seen[slot] = true
	}
	from := grid.Start
	if o.job.measurable.After(from) {
		from = o.job.measurable.Add(reaction)
	}
	var missing []time.Time
	for slot := grid.After(from.Add(-1)); slot <= grid.At(o.end().Add(-lastMoment)); slot++ {
		if !seen[slot] {
			missing = append(missing, grid.Due(slot))
		}
	}
	if len(missing) == 0 {
		return ""
	}
	problem := "has no sample for " + several(len(missing), "slot") + ", the first at " + clockTime(missing[0])
	if o.why != "" {
		problem += " (unmeasured: " + o.why + ")"
	}
	return problem
}

func judgeStatuses(o outcome) string {
	for _, s := range o.samples {
		// On a machine that is too busy a poll may time out, which is the truth and not a mistake.
		if s.status != sample.SystemError && !slices.Contains(o.job.outcomes, s.status) {
			return fmt.Sprintf("has a sample with status %s at %s", s.status, clockTime(s.due))
		}
	}
	return ""
}

func judgeRow(o outcome) string {
	want := "running"
	switch {
	case !o.job.over.IsZero():
		want = "cancelled"
	case !o.job.simulated && !o.job.grid.End().After(o.stopped):
		want = "completed"
	}
	if o.row != want {
		return fmt.Sprintf("is %s in the table jobs, and should be %s", o.row, want)
	}
	return ""
}

func first(problems ...string) string {
	for _, p := range problems {
		if p != "" {
			return p
		}
	}
	return ""
}

// several is such as "1 slot" and "2 slots".
func several(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func clockTime(t time.Time) string { return t.UTC().Format("15:04:05.000") }

// summary is the table at the end.
func summary(outcomes []outcome) (lines []string, problems []string) {
	rows := [][]string{{"JOB", "SLOTS DUE", "SAMPLES", "SUCCESS", "MISSED", "SYSTEM ERROR", "UNMEASURED", "ROW", "VERDICT"}}
	for _, o := range outcomes {
		v := judge(o)
		mark := "ok"
		if v.problem != "" {
			mark = v.problem
			problems = append(problems, o.job.name+" "+v.problem)
		}
		row := []string{o.job.name}
		for _, n := range []int{int(v.due), len(o.samples), v.counts[sample.Success], v.counts[sample.Missed], v.counts[sample.SystemError], int(o.unmeasured)} {
			row = append(row, fmt.Sprint(n))
		}
		rows = append(rows, append(row, o.row, mark))
	}
	return align(rows), problems
}

// because makes a sentence of the first problem; the table has the others.
func because(problems []string) error {
	if more := len(problems) - 1; more > 0 {
		return fmt.Errorf("%s, and %s went wrong too: see the table", problems[0], several(more, "other job"))
	}
	return errors.New(problems[0])
}
