package report_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/soundcheck-io/latency-operator/internal/report"
	"github.com/soundcheck-io/latency-operator/internal/sample"
)

// stretch is samples in a row that had the same outcome.
type stretch struct {
	from, every time.Duration // since start
	n           int
	status      sample.Status
}

// over is the outcomes of a job that now has a slot every cadence.
func over(cadence time.Duration, stretches []stretch, gaps []report.Gap, gapsFirst bool) *report.Report {
	b := report.NewBuilder(report.Job{Cadence: cadence, Duration: 24 * time.Hour, StartedAt: start})
	if gapsFirst {
		for _, g := range gaps {
			b.Gap(g)
		}
	}
	for _, s := range stretches {
		for i := range s.n {
			b.Sample(report.Sample{ScheduledAt: start.Add(s.from + time.Duration(i)*s.every), Status: s.status})
		}
	}
	if !gapsFirst {
		for _, g := range slices.Backward(gaps) {
			b.Gap(g)
		}
	}
	return b.Report()
}

func outage(from, to time.Duration, missed int64, lasted time.Duration) *report.Outage {
	return &report.Outage{From: start.Add(from), To: start.Add(to), Missed: missed, Lasted: lasted}
}

func TestAnOutageIsBrokenByGapsAndNotByTheCadence(t *testing.T) {
	const s, m, h = time.Second, time.Minute, time.Hour
	hole := func(from, to time.Duration, slots int64) report.Gap {
		return report.Gap{From: start.Add(from), To: start.Add(to), Slots: slots, Reason: "OperatorDown"}
	}
	for name, c := range map[string]struct {
		cadence time.Duration
		samples []stretch
		gaps    []report.Gap
		want    *report.Outage
		outages int64
	}{
		"half an hour at a longer cadence, then answers": {10 * s, []stretch{{0, m, 30, sample.Missed}, {30 * m, 10 * s, 180, sample.Success}}, nil,
			outage(0, 29*m, 30, 30*m), 1},
		"the same, with a gap elsewhere": {10 * s, []stretch{{0, m, 30, sample.Missed}, {30 * m, 10 * s, 180, sample.Success}},
			[]report.Gap{hole(h, h+10*s, 2)}, outage(0, 29*m, 30, 30*m), 1},
		"answers at the new cadence before the next slot of the old": {10 * s, []stretch{{0, m, 30, sample.Missed}, {29*m + 20*s, 10 * s, 9, sample.Success}}, nil,
			outage(0, 29*m, 30, 29*m+20*s), 1},
		"silence over a shortened cadence": {10 * s, []stretch{{0, m, 10, sample.Missed}, {9*m + 30*s, 10 * s, 12, sample.Missed}, {11*m + 30*s, 10 * s, 9, sample.Success}}, nil,
			outage(0, 11*m+20*s, 22, 11*m+30*s), 1},
		"silence over a lengthened cadence": {m, []stretch{{0, 10 * s, 12, sample.Missed}, {2 * m, m, 10, sample.Missed}, {12 * m, m, 2, sample.Success}}, nil,
			outage(0, 11*m, 22, 12*m), 1},
		"misses at a shorter cadence stand for that": {m, []stretch{{0, 10 * s, 6, sample.Missed}, {m, m, 9, sample.Success}}, nil,
			outage(0, 50*s, 6, m), 1},
		"one slot of a longer cadence": {10 * s, []stretch{{0, 10 * s, 3, sample.Missed}, {h, 10 * s, 3, sample.Missed}, {h + 30*s, 10 * s, 1, sample.Success}},
			[]report.Gap{hole(2*h, 2*h, 1)}, outage(0, h+20*s, 6, h+30*s), 1},
		"a gap in the run": {10 * s, []stretch{{0, 10 * s, 4, sample.Missed}, {50 * s, 10 * s, 3, sample.Missed}},
			[]report.Gap{hole(40*s, 40*s, 1)}, outage(0, 30*s, 4, 40*s), 2},
		"a gap of a shorter cadence in the run": {m, []stretch{{0, 10 * s, 4, sample.Missed}, {m, m, 3, sample.Missed}},
			[]report.Gap{hole(40*s, 50*s, 2)}, outage(m, 3*m, 3, 3*m), 2},
		"a gap behind the run, to the end": {10 * s, []stretch{{0, m, 4, sample.Missed}},
			[]report.Gap{hole(4*m, h, 57)}, outage(0, 3*m, 4, 4*m), 1},
		"gaps that overlap": {10 * s, []stretch{{0, 10 * s, 4, sample.Missed}, {2 * m, 10 * s, 3, sample.Missed}},
			[]report.Gap{hole(40*s, 110*s, 8), hole(50*s, 60*s, 2)}, outage(0, 30*s, 4, 40*s), 2},
		"a hole, and nobody knows of gaps": {10 * s, []stretch{{0, m, 4, sample.Missed}, {h, 10 * s, 3, sample.Missed}}, nil,
			outage(0, 3*m, 4, 4*m), 2},
		"started anew after a while": {10 * s, []stretch{{-2 * h, 10 * s, 3, sample.Missed}, {0, 10 * s, 4, sample.Missed}},
			[]report.Gap{hole(40*s, 40*s, 1)}, outage(0, 30*s, 4, 40*s), 2},
		"failed polls before and behind": {10 * s, []stretch{{0, m, 2, sample.SystemError}, {2 * m, m, 3, sample.Missed}, {5 * m, m, 2, sample.SystemError}}, nil,
			outage(2*m, 4*m, 3, 3*m), 1},
		"two misses around failed polls, and an outage that is shorter": {10 * s, []stretch{{0, 10 * s, 1, sample.Missed}, {10 * s, 10 * s, 20, sample.SystemError}, {210 * s, 10 * s, 1, sample.Missed},
			{220 * s, 10 * s, 5, sample.Success}, {270 * s, 10 * s, 3, sample.Missed}, {300 * s, 10 * s, 2, sample.Success}}, nil, outage(270*s, 290*s, 3, 30*s), 1},
		"somebody else's samples, which come last": {10 * s, []stretch{{m, 10 * s, 3, sample.Missed}, {0, 10 * s, 2, sample.Missed}}, nil,
			outage(m, 80*s, 3, 30*s), 1},
	} {
		for order, first := range map[string]bool{"gaps first": true, "gaps last": false} {
			t.Run(name+", "+order, func(t *testing.T) {
				r := over(c.cadence, c.samples, c.gaps, first)
				if diff := cmp.Diff(c.want, r.Outage); diff != "" || r.Outages != c.outages {
					t.Errorf("%d outages, want %d; the longest: %s", r.Outages, c.outages, diff)
				}
			})
		}
	}
}

func TestTheVerdictKnowsAnOutageOfAnEarlierCadence(t *testing.T) {
	r := over(10*time.Second, []stretch{{0, time.Minute, 30, sample.Missed}, {30 * time.Minute, 10 * time.Second, 180, sample.Success}}, nil, false)
	want := "The device was silent once, for 30m from 2026-11-24 08:00:00 UTC on. It missed 30 of 210 polls (14.29%)."
	if diff := cmp.Diff(want, r.Says()); diff != "" || r.Verdict() != report.DeviceDropped {
		t.Errorf("%s: %s", r.Verdict(), diff)
	}
}
