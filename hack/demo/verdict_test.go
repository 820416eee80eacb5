package main

import (
	"strings"
	"testing"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/schedule"
)

var noon = time.Date(2026, time.November, 25, 12, 0, 0, 123456000, time.UTC)

// ran is the outcome of a job that was measured at every slot from first to last, two seconds apart, and stopped at 12:01.
func ran(first, last int64, change ...func(*outcome)) outcome {
	grid := schedule.Grid{Start: noon, Cadence: 2 * time.Second, Duration: time.Hour}
	o := outcome{
		job:     &job{fate: fate{name: "j", outcomes: []sample.Status{sample.Success}}, grid: grid, measurable: noon},
		stopped: noon.Add(time.Minute), row: "running", mirrored: true,
	}
	for slot := first; slot <= last; slot++ {
		o.samples = append(o.samples, measured{grid.Due(slot), sample.Success})
	}
	for _, c := range change {
		c(&o)
	}
	return o
}

func TestJudge(t *testing.T) {
	short := func(o *outcome) { o.job.grid.Duration = time.Minute }
	simulated := func(o *outcome) { o.job.simulated, o.mirrored = true, false }
	cancelled := func(o *outcome) { o.job.over, o.row = noon.Add(20*time.Second), "cancelled" }
	row := func(status string) func(*outcome) { return func(o *outcome) { o.row = status } }
	for name, tc := range map[string]struct {
		outcome outcome
		due     int64
		want    string
	}{
		"measured up to the end":                      {ran(0, 30), 31, ""},
		"the slot of the last moment may be missing":  {ran(0, 29), 31, ""},
		"the one before may not":                      {ran(0, 28), 31, "has no sample for 1 slot, the first at 12:00:58.123"},
		"nothing arrived":                             {ran(0, -1), 31, "has no sample for 30 slots, the first at 12:00:00.123"},
		"the reasons of the operator are passed on":   {ran(0, 20, func(o *outcome) { o.why = "Busy 9" }), 31, "(unmeasured: Busy 9)"},
		"measured twice":                              {ran(0, 30, func(o *outcome) { o.samples = append(o.samples, o.samples[3]) }), 31, "was measured twice at 12:00:06.123"},
		"off the grid":                                {ran(0, 30, func(o *outcome) { o.samples[1].due = noon.Add(time.Second) }), 31, "has a sample for 12:00:01.123, when nothing was due"},
		"before the start":                            {ran(-1, 30), 31, "has a sample for 11:59:58.123, when nothing was due"},
		"without its slot":                            {ran(0, 30, func(o *outcome) { o.samples[1].due = time.Time{} }), 31, "does not say when it was due"},
		"a wrong status":                              {ran(0, 30, func(o *outcome) { o.samples[1].status = sample.Missed }), 31, "has a sample with status missed at 12:00:02.123"},
		"a poll that timed out is no mistake":         {ran(0, 30, func(o *outcome) { o.samples[1].status = sample.SystemError }), 31, ""},
		"address later":                               {ran(9, 30, func(o *outcome) { o.job.measurable = noon.Add(15 * time.Second) }), 31, ""},
		"address later, and seen at once":             {ran(7, 30, func(o *outcome) { o.job.measurable = noon.Add(15 * time.Second) }), 31, ""},
		"address later, and seen late":                {ran(10, 30, func(o *outcome) { o.job.measurable = noon.Add(15 * time.Second) }), 31, "has no sample for 1 slot, the first at 12:00:18.123"},
		"completed":                                   {ran(0, 29, short, row("completed")), 30, ""},
		"over and not completed":                      {ran(0, 29, short), 30, "is running in the table jobs, and should be completed"},
		"completed too early":                         {ran(0, 30, row("completed")), 31, "is completed in the table jobs, and should be running"},
		"polled beyond the end":                       {ran(0, 30, short, row("completed")), 30, "has a sample for 12:01:00.123, when nothing was due"},
		"cancelled":                                   {ran(0, 10, cancelled), 11, ""},
		"cancelled, and seen with the next look":      {ran(0, 11, cancelled), 12, ""},
		"cancelled, and polled on":                    {ran(0, 12, cancelled), 13, "was still polled at 12:00:24.123, though it was over at 12:00:20.123"},
		"cancelled, and completed by the operator":    {ran(0, 10, cancelled, row("completed")), 11, "is completed in the table jobs, and should be cancelled"},
		"simulated":                                   {ran(0, -1, simulated), 0, ""},
		"simulated, with a sample":                    {ran(0, 0, simulated), 0, "has 1 sample, but nobody was to measure it"},
		"simulated, with a LatencyJob":                {ran(0, -1, simulated, func(o *outcome) { o.mirrored = true }), 0, "has a LatencyJob, but nobody was to measure it"},
		"simulated, and completed":                    {ran(0, -1, simulated, row("completed")), 0, "is completed in the table jobs, and should be running"},
		"simulated jobs stay even when they are over": {ran(0, -1, simulated, short), 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			v := judge(tc.outcome)
			if v.due != tc.due {
				t.Errorf("%d slots due, want %d", v.due, tc.due)
			}
			if (v.problem == "") != (tc.want == "") || !strings.Contains(v.problem, tc.want) {
				t.Errorf("problem %q, want %q", v.problem, tc.want)
			}
		})
	}
}

func TestSummary(t *testing.T) {
	good, bad := ran(0, 30), ran(0, 30, func(o *outcome) { o.job.name, o.row, o.unmeasured = "k", "failed", 2 })
	lines, problems := summary([]outcome{good, bad})
	want := []string{
		"JOB   SLOTS DUE   SAMPLES   SUCCESS   MISSED   SYSTEM ERROR   UNMEASURED   ROW       VERDICT",
		"j     31          31        31        0        0              0            running   ok",
		"k     31          31        31        0        0              2            failed    is failed in the table jobs, and should be running",
	}
	if got := strings.Join(lines, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s", got)
	}
	if len(problems) != 1 || problems[0] != "k is failed in the table jobs, and should be running" {
		t.Errorf("problems %q", problems)
	}
}

func TestBecause(t *testing.T) {
	for want, problems := range map[string][]string{
		"a is late": {"a is late"},
		"a is late, and 1 other job went wrong too: see the table":  {"a is late", "b"},
		"a is late, and 2 other jobs went wrong too: see the table": {"a is late", "b", "c"},
	} {
		if got := because(problems).Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestEventsFitIntoTheDemo(t *testing.T) {
	var jobs []*job
	for _, f := range fates() {
		jobs = append(jobs, &job{fate: f})
	}
	for length, want := range map[time.Duration][]time.Duration{
		0:                {15 * time.Second, 30 * time.Second},
		time.Minute:      {15 * time.Second, 30 * time.Second},
		shortest:         {5 * time.Second, 10 * time.Second},
		10 * time.Minute: {15 * time.Second, 5 * time.Minute},
	} {
		all := events(jobs, length)
		if len(all) != 2 || all[0].at != want[0] || all[1].at != want[1] {
			t.Errorf("%s: %v, want %v", length, all, want)
		}
	}
}

func TestOptionsTellHowLong(t *testing.T) {
	for given, ok := range map[time.Duration]bool{0: true, time.Minute: true, shortest: true, 5 * time.Second: false, -time.Minute: false} {
		if err := (&options{For: given}).Validate(); (err == nil) != ok {
			t.Errorf("%s: %v", given, err)
		}
	}
}
