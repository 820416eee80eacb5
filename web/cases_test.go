package web_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/report"
	"github.com/soundcheck-io/latency-operator/internal/sample"
)

var update = flag.Bool("update", false, "write src/statistics/cases.json anew")

const casesFile = "src/statistics/cases.json"

// The page sums a job up by itself. Its figures and sentences are to be those of kubectl soundcheck: both are held to these cases, of
// which internal/report gives the results, and src/statistics/statistics.test.ts compares the page's.
type testCase struct {
	Name            string     `json:"name"`
	CadenceSeconds  int        `json:"cadenceSeconds"`
	DurationMinutes int        `json:"durationMinutes"`
	Ended           *float64   `json:"ended"` // as all times in milliseconds since the start
	Now             float64    `json:"now"`
	Samples         [][]any    `json:"samples"` // due, status, rtt, jitter
	Gaps            [][]any    `json:"gaps"`    // from, to, slots, reason
	Want            caseResult `json:"want"`
}

type caseResult struct {
	Success      int64              `json:"success"`
	Missed       int64              `json:"missed"`
	SystemError  int64              `json:"systemError"`
	Unmeasured   int64              `json:"unmeasured"`
	Open         int64              `json:"open"`
	Loss         *float64           `json:"loss"`
	Errors       *float64           `json:"errors"`
	Completeness *float64           `json:"completeness"`
	RTT          *report.Spread     `json:"rtt"`
	Jitter       *report.Spread     `json:"jitter"`
	Outage       map[string]float64 `json:"outage"`
	Outages      int64              `json:"outages"`
	Verdict      report.Verdict     `json:"verdict"`
	Says         string             `json:"says"`
}

var start = time.Date(2026, time.November, 23, 10, 0, 0, 123456000, time.UTC)

func TestThePageIsHeldToTheReportsOfThisVersion(t *testing.T) {
	want, err := json.Marshal(cases())
	if err != nil {
		t.Fatal(err)
	}
	want = append(bytes.ReplaceAll(want, []byte(`{"name"`), []byte("\n{\"name\"")), '\n')
	if *update {
		if err := os.WriteFile(casesFile, want, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(casesFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what internal/report gives: run go test ./web -update, and make web-test", casesFile)
	}
}

// cases are jobs of every kind of luck: the same each time.
func cases() []*testCase {
	var out []*testCase
	for i, luck := range []luck{
		{}, {success: 1}, {missed: 1}, {failed: 1}, {success: 97, missed: 1, failed: 2}, {success: 6, missed: 4}, {success: 3, missed: 1, failed: 6},
		{success: 9, missed: 1, burst: 0.05}, {success: 90, missed: 5, failed: 5, burst: 0.1, gap: 0.03}, {success: 5, missed: 5, failed: 1, burst: 0.2, gap: 0.1},
		{success: 1, gap: 0.5}, {success: 9, missed: 3, hole: 0.1}, {success: 9, missed: 3, burst: 0.1, hole: 0.05, gap: 0.05}, {gap: 1}, {success: 1, missed: 30, gap: 0.01},
	} {
		for j, n := range []int{1, 12, 60} {
			out = append(out, luck.job(fmt.Sprintf("%d of %+v", n, luck), n, rand.New(rand.NewPCG(uint64(i), uint64(j))))) //nolint:gosec // to be the same each time
		}
	}
	return out
}

// luck is how likely an outcome is: the first three against each other, the others at each slot.
type luck struct {
	success, missed, failed int
	burst, gap, hole        float64
}

// draw gives an outcome.
func (l luck) draw(random *rand.Rand) sample.Status {
	n := random.IntN(l.success + l.missed + l.failed)
	switch {
	case n < l.success:
		return sample.Success
	case n < l.success+l.missed:
		return sample.Missed
	default:
		return sample.SystemError
	}
}

// job plays a job of n slots.
func (l luck) job(name string, n int, random *rand.Rand) *testCase {
	cadence := []int{1, 10, 60}[random.IntN(3)]
	c := &testCase{Name: name, CadenceSeconds: cadence, DurationMinutes: max(1, n*cadence/60), Samples: [][]any{}, Gaps: [][]any{}}
	job := report.Job{Cadence: time.Duration(cadence) * time.Second, Duration: time.Duration(c.DurationMinutes) * time.Minute, StartedAt: start}
	now := start.Add(time.Duration(n*cadence)*time.Second + time.Minute)
	if random.IntN(2) == 0 {
		job.EndedAt = start.Add(job.Duration)
		c.Ended = new(milliseconds(job.EndedAt))
	}
	c.Now = milliseconds(now)
	b := report.NewBuilder(job)
	missing := 0
	previous := 0.0
	for k := 0; k < n && l.success+l.missed+l.failed+int(l.gap) > 0; k++ {
		due := start.Add(time.Duration(k) * job.Cadence)
		switch roll := random.Float64(); {
		case roll < l.gap:
			slots := min(1+random.IntN(4), n-k)
			g := report.Gap{From: due, To: due.Add(time.Duration(slots-1) * job.Cadence), Slots: int64(slots), Reason: []string{"OperatorDown", "Busy", "Suspended", "Unheard"}[random.IntN(4)]}
			b.Gap(g)
			c.Gaps = append(c.Gaps, []any{milliseconds(g.From), milliseconds(g.To), slots, g.Reason})
			k += slots - 1
			continue
		case roll < l.gap+l.hole:
			continue
		case roll < l.gap+l.hole+l.burst:
			missing = 2 + random.IntN(5)
		}
		s := report.Sample{ScheduledAt: due, Status: sample.Missed}
		if missing--; missing < 0 {
			s.Status = l.draw(random)
		}
		row := []any{milliseconds(due), s.Status, nil, nil}
		if s.Status == sample.Success {
			rtt := float64(random.IntN(80_000)) / 1000
			s.RTT, row[2] = &rtt, rtt
			if previous > 0 {
				jitter := max(rtt-previous, previous-rtt)
				s.Jitter, row[3] = &jitter, jitter
			}
			previous = rtt
		}
		b.Sample(s)
		c.Samples = append(c.Samples, row)
	}
	c.Want = resultOf(b.Report(), now)
	return c
}

func milliseconds(t time.Time) float64 { return float64(t.Sub(start).Microseconds()) / 1000 }

func resultOf(r *report.Report, now time.Time) caseResult {
	out := caseResult{
		Success: r.Success, Missed: r.Missed, SystemError: r.SystemError, Unmeasured: r.UnmeasuredSlots(), Open: r.Open(now),
		RTT: r.RTT, Jitter: r.Jitter, Outages: r.Outages, Verdict: r.Verdict(), Says: r.Says(),
	}
	known := func(share float64, ok bool) *float64 {
		if !ok {
			return nil
		}
		return &share
	}
	out.Loss, out.Errors, out.Completeness = known(r.Loss()), known(r.Errors()), known(r.Completeness(now))
	if o := r.Outage; o != nil {
		out.Outage = map[string]float64{
			"from": milliseconds(o.From), "to": milliseconds(o.To), "missed": float64(o.Missed), "lasted": float64(o.Lasted.Microseconds()) / 1000,
		}
	}
	return out
}
