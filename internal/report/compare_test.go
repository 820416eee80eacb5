package report_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/soundcheck-io/latency-operator/internal/report"
	"github.com/soundcheck-io/latency-operator/internal/sample"
)

// path measures a path a number of times, every n-th poll missed, with a round-trip time that varies by a few percent.
func path(polls, missEvery int, rtt float64) *report.Report {
	b := report.NewBuilder(report.Job{ID: "a", Target: "10.1.2.3", Cadence: 10 * time.Second, Duration: time.Hour, StartedAt: start})
	for i := range polls {
		s := report.Sample{ScheduledAt: due(i), Status: sample.Success, RTT: new(rtt * (1 + float64(i%5)/100)), Jitter: new(0.5)}
		if missEvery > 0 && i%missEvery == 0 {
			s = report.Sample{ScheduledAt: due(i), Status: sample.Missed}
		}
		b.Sample(s)
	}
	return b.Report()
}

func TestAComparisonIsNoMoreSureThanTheFigures(t *testing.T) {
	for name, c := range map[string]struct {
		before, after *report.Report
		loss, rtt     report.Change
		overall       report.Change
		says          string
	}{
		"repaired": {path(360, 10, 20), path(360, 0, 20), report.Better, report.Same, report.Better,
			"It got better. Loss fell from 10.00% (36 of 360 polls) to 0.00% (0 of 360). " +
				"Round-trip times are about the same: the median went from 20.4 ms to 20.4 ms, the 95th percentile from 20.8 ms to 20.8 ms."},
		"broken": {path(360, 0, 20), path(360, 10, 30), report.Worse, report.Worse, report.Worse, "It got worse. Loss rose"},
		"the same": {path(360, 0, 20), path(360, 0, 20), report.Same, report.Same, report.Same,
			"Nothing shows that it got better or worse. No poll was missed before or after. Round-trip times are about the same"},
		"too few misses to tell": {path(360, 180, 20), path(360, 0, 20), report.Same, report.Same, report.Same, "which chance alone may do"},
		"sure and too small":     {path(500_000, 2000, 20), path(500_000, 2500, 20), report.Same, report.Same, report.Same, "chance"},
		"faster":                 {path(360, 0, 40), path(360, 0, 20), report.Same, report.Better, report.Better, "Round-trip times fell"},
		"a little faster":        {path(360, 0, 5), path(360, 0, 4.4), report.Same, report.Same, report.Same, "about the same"},
		"less loss, but slower":  {path(360, 10, 20), path(360, 0, 40), report.Better, report.Worse, report.Mixed, "Some of it got better and some worse."},
		"dead before":            {path(60, 1, 20), path(360, 0, 20), report.Better, report.Unknown, report.Better, "Loss fell from 100.00%"},
		"too little": {path(10, 0, 20), path(360, 0, 20), report.Unknown, report.Unknown, report.Unknown,
			"The two cannot be compared: the job before has 10 samples that say something about the device, and at least 20 are needed."},
		"nothing after":       {path(360, 0, 20), of(""), report.Unknown, report.Unknown, report.Unknown, "the job after has 0 samples"},
		"SpreeDB was away":    {path(360, 0, 20), of(strings.Repeat("es", 50)), report.Unknown, report.Unknown, report.Unknown, "in the job after measuring failed in 50 of 100 polls"},
		"few RTTs in the p95": {path(60, 0, 20), spiky(60), report.Same, report.Same, report.Same, "about the same"},
		"a tail":              {path(360, 0, 20), spiky(360), report.Same, report.Worse, report.Worse, "Round-trip times rose: the median went from 20.4 ms to 20.0 ms, the 95th percentile from 20.8 ms to 200 ms."},
	} {
		t.Run(name, func(t *testing.T) {
			got := report.Compare(c.before, c.after)
			if got.Loss != c.loss || got.RTT != c.rtt || got.Overall() != c.overall {
				t.Errorf("loss %s, RTT %s, overall %s; want %s, %s, %s", got.Loss, got.RTT, got.Overall(), c.loss, c.rtt, c.overall)
			}
			if !strings.Contains(got.Says(), c.says) {
				t.Error(got.Says())
			}
		})
	}
}

// spiky is a path whose every tenth round-trip time is ten times as long.
func spiky(polls int) *report.Report {
	b := report.NewBuilder(report.Job{ID: "b", Target: "10.1.2.3", Cadence: 10 * time.Second, Duration: time.Hour, StartedAt: start.Add(time.Hour)})
	for i := range polls {
		rtt := 20.0
		if i%10 == 0 {
			rtt = 200
		}
		b.Sample(report.Sample{ScheduledAt: due(i), Status: sample.Success, RTT: &rtt})
	}
	return b.Report()
}

func TestAComparisonNamesWhatSpeaksAgainstIt(t *testing.T) {
	before, after := path(3600, 0, 20), of(strings.Repeat("s", 97)+"eee-----", gap(100, 5, "Busy"))
	after.Job.ID, after.Job.Target, after.Job.Cadence, after.Job.StartedAt = "b", "", 30*time.Second, start.Add(-time.Hour)
	want := []string{
		"The targets differ: 10.1.2.3 before, none after.",
		"The job given as after began before the other: give the earlier job first.",
		"The cadences differ (10s and 30s), so that a short outage shows in one rather than in the other.",
		"One was measured for 17m and the other for 10h: what happens once a day may lie in the longer one alone.",
		"In the job after measuring failed in 3 of 100 polls (3.00%).",
		"In the job after nobody measured in 5 of 105 slots (4.76%).",
	}
	got := report.Compare(before, after).Cautions()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := report.Compare(before, path(3600, 0, 20)).Cautions(); len(got) != 1 || got[0] != "Both are the same job." {
		t.Error(got)
	}
	if got := report.Compare(before, spiky(3600)).Cautions(); len(got) != 0 {
		t.Error(got)
	}
}

func TestMillisecondsHaveThreeDigits(t *testing.T) {
	for want, ms := range map[string]float64{"0.42 ms": .42, "1.0 ms": 1, "12.3 ms": 12.345, "123 ms": 123.45, "1234 ms": 1234} {
		if got := report.Millis(ms); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
