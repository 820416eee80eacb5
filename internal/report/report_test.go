package report_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/soundcheck-io/latency-operator/internal/report"
	"github.com/soundcheck-io/latency-operator/internal/sample"
)

var start = time.Date(2026, time.November, 24, 8, 0, 0, 0, time.UTC)

// of reports on a job of a 10 s cadence whose slots had these outcomes: s success, m missed, e system_error, and for each other
// sign a slot without a sample.
func of(outcomes string, gaps ...report.Gap) *report.Report {
	b := report.NewBuilder(report.Job{ID: "0b9c3f0e-5a54-4c6e-9d0c-2a4f6f1f7a11", Target: "10.1.2.3", Cadence: 10 * time.Second, Duration: time.Hour, StartedAt: start})
	for i, outcome := range outcomes {
		s := report.Sample{ScheduledAt: due(i)}
		switch outcome {
		case 's':
			s.Status, s.RTT = sample.Success, new(20.0)
		case 'm':
			s.Status = sample.Missed
		case 'e':
			s.Status = sample.SystemError
		default:
			continue
		}
		b.Sample(s)
	}
	for _, gap := range gaps {
		b.Gap(gap)
	}
	return b.Report()
}

func due(slot int) time.Time { return start.Add(time.Duration(slot) * 10 * time.Second) }

func gap(from, slots int, reason string) report.Gap {
	return report.Gap{From: due(from), To: due(from + slots - 1), Slots: int64(slots), Reason: reason}
}

func TestTheDeviceIsSilentUntilItAnswersOrIsNotAsked(t *testing.T) {
	for name, c := range map[string]struct {
		outcomes string
		gaps     []report.Gap
		want     *report.Outage
	}{
		"nothing":                      {"", nil, nil},
		"answered":                     {"smms", nil, nil},
		"missed":                       {"smm", nil, &report.Outage{From: due(1), To: due(2), Missed: 2, Lasted: 20 * time.Second}},
		"failed since":                 {"smmee", nil, &report.Outage{From: due(1), To: due(2), Missed: 2, Lasted: 20 * time.Second}},
		"not asked between":            {"smm--m", []report.Gap{gap(3, 2, "OperatorDown")}, &report.Outage{From: due(5), To: due(5), Missed: 1, Lasted: 10 * time.Second}},
		"not asked since":              {"smmm--", []report.Gap{gap(4, 2, "OperatorDown")}, nil},
		"failed, and not asked since":  {"smmme--", []report.Gap{gap(5, 2, "OperatorDown")}, nil},
		"not asked before it was away": {"s--mmm", []report.Gap{gap(1, 2, "OperatorDown")}, &report.Outage{From: due(3), To: due(5), Missed: 3, Lasted: 30 * time.Second}},
	} {
		if diff := cmp.Diff(c.want, of(c.outcomes, c.gaps...).Ongoing); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestTheLongestOutageIsWhatWasSeen(t *testing.T) {
	for name, c := range map[string]struct {
		outcomes string
		want     *report.Outage
		outages  int64
	}{
		"nothing missed":                  {"sss", nil, 0},
		"one":                             {"sms", &report.Outage{From: due(1), To: due(1), Missed: 1, Lasted: 10 * time.Second}, 0},
		"the longest of several":          {"smmsmmmmsmmm", &report.Outage{From: due(4), To: due(7), Missed: 4, Lasted: 40 * time.Second}, 2},
		"to the end":                      {"smmm", &report.Outage{From: due(1), To: due(3), Missed: 3, Lasted: 30 * time.Second}, 1},
		"a failed poll between ends none": {"mmems", &report.Outage{From: due(0), To: due(3), Missed: 3, Lasted: 40 * time.Second}, 1},
		"an unseen slot between does":     {"mm-mm", &report.Outage{From: due(0), To: due(1), Missed: 2, Lasted: 20 * time.Second}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := of(c.outcomes)
			if diff := cmp.Diff(c.want, r.Outage); diff != "" || r.Outages != c.outages {
				t.Errorf("%d outages, want %d; the longest: %s", r.Outages, c.outages, diff)
			}
		})
	}
}

func TestPercentilesAreOfNearestRank(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for n := 1; n < 300; n++ {
		b := report.NewBuilder(report.Job{Cadence: time.Second})
		values := make([]float64, n)
		for i := range values {
			values[i] = random.ExpFloat64()
			b.Sample(report.Sample{ScheduledAt: due(i), Status: sample.Success, RTT: &values[i]})
		}
		spread := b.Report().RTT
		for p, got := range map[float64]float64{.5: spread.P50, .9: spread.P90, .95: spread.P95, .99: spread.P99} {
			// By definition, counted: no smaller value has as many at or below it.
			reaches := func(v float64) bool {
				below := 0
				for _, w := range values {
					if w <= v {
						below++
					}
				}
				return float64(below) >= p*float64(n)-1e-9
			}
			if !slices.Contains(values, got) || !reaches(got) || slices.ContainsFunc(values, func(v float64) bool { return v < got && reaches(v) }) {
				t.Fatalf("of %d values, the share %g do not exceed %g", n, p, got)
			}
		}
		if spread.Count != int64(n) || spread.Min != slices.Min(values) || spread.Max != slices.Max(values) {
			t.Fatalf("%+v", spread)
		}
	}
}

func TestWhatIsNoNumberIsNoRoundTripTime(t *testing.T) {
	b := report.NewBuilder(report.Job{Cadence: time.Second})
	for i, v := range []*float64{new(1.0), nil, new(math.NaN()), new(math.Inf(1)), new(3.0)} {
		b.Sample(report.Sample{ScheduledAt: due(i), Status: sample.Success, RTT: v, Jitter: v})
	}
	r := b.Report()
	want := &report.Spread{Count: 2, Min: 1, Avg: 2, Max: 3, P50: 1, P90: 3, P95: 3, P99: 3}
	if diff := cmp.Diff(want, r.RTT) + cmp.Diff(want, r.Jitter); diff != "" || r.Success != 5 {
		t.Errorf("%d successes: %s", r.Success, diff)
	}
}

func TestEverySlotIsCountedOnce(t *testing.T) {
	r := of("sssmse--s---", gap(6, 2, "Busy"), gap(9, 3, "OperatorDown"))
	if r.Success != 5 || r.Missed != 1 || r.SystemError != 1 || r.Slots() != 12 {
		t.Errorf("%+v", r)
	}
	if diff := cmp.Diff(map[string]int64{"Busy": 2, "OperatorDown": 3}, r.Unmeasured); diff != "" {
		t.Error(diff)
	}
	if r.Gap.Reason != "OperatorDown" || !r.First.Equal(due(0)) || !r.Last.Equal(due(8)) {
		t.Errorf("%+v", r)
	}
	for name, c := range map[string]struct {
		share func() (float64, bool)
		want  float64
	}{"loss": {r.Loss, 1.0 / 6}, "errors": {r.Errors, 1.0 / 7}, "completeness": {func() (float64, bool) { return r.Completeness(due(11)) }, 7.0 / 12}} {
		if got, ok := c.share(); !ok || math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%s is %g, want %g", name, got, c.want)
		}
	}
	if _, ok := of("").Loss(); ok {
		t.Error("no samples have a loss")
	}
}

func TestTheVerdictTellsDeviceMeasuringAndOperatorApart(t *testing.T) {
	many := func(s string) string { return strings.Repeat(s, 50) }
	for name, c := range map[string]struct {
		report  *report.Report
		verdict report.Verdict
		says    string
	}{
		"nothing yet":    {of(""), report.NothingMeasured, "Nothing has been measured yet."},
		"nothing at all": {ended(of("")), report.NothingMeasured, "Nothing was measured."},
		"nobody polled": {of("", gap(0, 360, "OperatorDown")), report.NothingMeasured,
			"Nothing was measured: 360 slots passed without a poll, because no operator was polling."},
		"no target": {of("", gap(0, 300, "NoTarget"), gap(300, 60, "OperatorDown")), report.NothingMeasured,
			"Nothing was measured: 360 slots passed without a poll, mostly because there was no usable target address."},
		"healthy":          {of(many("ss")), report.Healthy, "The device answered all of 100 polls."},
		"a little loss":    {of(many("ss") + "m"), report.Healthy, "The device is well: it missed only 1 of 101 polls (0.99%), never 3 in a row."},
		"lossy":            {of(many("sssmm")), report.Lossy, "The device answers, and loses packets: it missed 100 of 250 polls (40.00%), never 3 in a row."},
		"silent":           {of(many("m")), report.DeviceSilent, "The device answered none of 50 polls."},
		"away":             {of(many("s") + "mmmmmm" + many("s")), report.DeviceDropped, "The device was silent once, for 1m from 2026-11-24 08:08:20 UTC on. It missed 6 of 106 polls (5.66%)."},
		"too little":       {of("sssm"), report.TooLittleData, "Too little was measured for a judgement: the device answered 3 of 4 polls (75.00%)."},
		"SpreeDB was away": {of(many("e")), report.MeasuringFailed, "Measuring failed in 50 of 50 polls (100.00%): nothing can be said about the device. Look at SpreeDB first."},
		"a dead device behind a slow SpreeDB": {of(many("mme")), report.DeviceSilent,
			"The device answered none of 100 polls. Measuring failed in 50 of 150 polls (33.33%); that says nothing about the device."},
		"holes": {of(many("s")+"-----", gap(50, 5, "Busy")), report.Healthy,
			"The device answered all of 50 polls. Nobody measured in 5 of 55 slots (9.09%), because the poll before was still running."},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.report.Verdict(); got != c.verdict {
				t.Errorf("verdict %s, want %s", got, c.verdict)
			}
			if diff := cmp.Diff(c.says, c.report.Says()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFiguresReadAsInTheStatus(t *testing.T) {
	for want, got := range map[string]string{
		"0.28%": report.Percent(28, 10000), "0.01%": report.Percent(1, 20000), "100.00%": report.Percent(3, 3), "–": report.Percent(0, 0),
		"1d2h": report.Duration(26 * time.Hour), "2m5s": report.Duration(125 * time.Second), "0s": report.Duration(0),
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// ended is a report about a job that is over.
func ended(r *report.Report) *report.Report {
	r.Job.EndedAt = r.Job.StartedAt.Add(r.Job.Duration)
	return r
}
