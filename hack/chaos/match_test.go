package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/schedule"
	"github.com/soundcheck-io/latency-operator/internal/verify"
)

var began = time.Date(2026, time.January, 1, 12, 0, 0, 123456789, time.UTC)

func after(d time.Duration) time.Time { return began.Add(d) }

const ms = time.Millisecond

// asked is a poll that arrived so long after the start and was answered at once.
func asked(d time.Duration) poll { return poll{after(d), after(d + ms)} }

// row is the sample of a second's slot, sent 5 ms after it was due.
func row(slot int) stored {
	due := after(time.Duration(slot) * time.Second).Truncate(time.Microsecond)
	return stored{due: due, sent: due.Add(5 * ms), spoke: true}
}

// sentAt is a sample that was sent at another time.
func sentAt(s stored, d time.Duration) stored {
	s.sent = after(d)
	return s
}

func TestMatch(t *testing.T) {
	names := map[fate]string{kept: "kept", repeated: "repeated", undecided: "undecided", destroyed: "destroyed", vanished: "vanished"}
	silent := row(1)
	silent.spoke = false
	for name, tc := range map[string]struct {
		polls    []poll
		samples  []stored
		gaps     []unmeasured
		deaths   []time.Duration
		want     string
		invented int
	}{
		"each poll has its sample":             {polls: []poll{asked(6 * ms), asked(1006 * ms)}, samples: []stored{row(0), row(1)}, want: "kept kept"},
		"the last one is lost":                 {polls: []poll{asked(6 * ms), asked(1006 * ms)}, samples: []stored{row(0)}, want: "kept vanished"},
		"the first one is lost":                {polls: []poll{asked(6 * ms), asked(1006 * ms)}, samples: []stored{row(1)}, want: "vanished kept"},
		"one in the middle is lost":            {polls: []poll{asked(6 * ms), asked(1006 * ms), asked(2006 * ms)}, samples: []stored{row(0), row(2)}, want: "kept vanished kept"},
		"a sample without a poll":              {polls: []poll{asked(6 * ms)}, samples: []stored{row(0), row(1)}, want: "kept", invented: 1},
		"an error without a poll":              {polls: []poll{asked(6 * ms)}, samples: []stored{row(0), silent}, want: "kept"},
		"a poll that arrived late":             {polls: []poll{asked(1900 * ms), asked(2006 * ms)}, samples: []stored{row(0), row(2)}, want: "kept kept"},
		"two at once, which pass each other":   {polls: []poll{asked(1060 * ms), asked(1070 * ms)}, samples: []stored{sentAt(row(0), 1040*ms), sentAt(row(1), 1050*ms)}, want: "kept kept"},
		"two at once, of which one is made up": {polls: []poll{asked(1060 * ms)}, samples: []stored{sentAt(row(0), 1040*ms), sentAt(row(1), 1050*ms)}, want: "kept", invented: 1},
		"two polls of a slot":                  {polls: []poll{asked(6 * ms), asked(600 * ms)}, samples: []stored{row(0)}, want: "kept repeated"},
		"the late second poll of a slot":       {polls: []poll{asked(6 * ms), asked(1002 * ms)}, samples: []stored{row(0)}, gaps: []unmeasured{{row(1).due, busy}}, want: "kept repeated"},
		"killed before it was read":            {polls: []poll{asked(6 * ms), asked(1006 * ms)}, samples: []stored{row(0)}, deaths: []time.Duration{1040 * ms}, want: "kept undecided"},
		"killed long after":                    {polls: []poll{asked(6 * ms), asked(1006 * ms)}, samples: []stored{row(0)}, deaths: []time.Duration{1100 * ms}, want: "kept vanished"},
		"destroyed, and told":                  {polls: []poll{asked(6 * ms)}, gaps: []unmeasured{{row(0).due, lost}}, want: "destroyed"},
		"told for a reason of no fault":        {polls: []poll{asked(6 * ms)}, gaps: []unmeasured{{row(0).due, busy}}, want: "vanished"},
		"a gap of another slot":                {polls: []poll{asked(6 * ms)}, gaps: []unmeasured{{row(1).due, lost}}, want: "vanished"},
	} {
		t.Run(name, func(t *testing.T) {
			grid := schedule.Grid{Start: began.Truncate(time.Microsecond), Cadence: time.Second, Duration: time.Minute}
			a := &account{job: &job{periods: []verify.Period{{Grid: grid}}}, polls: tc.polls, samples: tc.samples, gaps: tc.gaps}
			var deaths []time.Time
			for _, d := range tc.deaths {
				deaths = append(deaths, after(d))
			}
			fates, invented := a.match(deaths, func(_ time.Time, reason string) bool { return reason == lost })
			var got []string
			for _, f := range fates {
				got = append(got, names[f])
			}
			if text := strings.Join(got, " "); text != tc.want || len(invented) != tc.invented {
				t.Errorf("%s, %d invented; want %s, %d", text, len(invented), tc.want, tc.invented)
			}
		})
	}
}

// conducted is a run of a minute: a fault of all jobs from second 10 to 20, and one of a single job from 30 to 40.
func conducted(of *job) *conductor {
	return &conductor{rig: &rig{jobs: &population{}}, began: began, episodes: []*episode{
		{fault: fault{name: "start", explains: []string{operatorDown}}, began: began, ended: after(2 * time.Second), felt: 1},
		{fault: fault{name: "kill", explains: []string{operatorDown}}, began: after(10 * time.Second), ended: after(20 * time.Second), felt: 3},
		{fault: fault{name: "poison", explains: []string{lost}}, began: after(30 * time.Second), ended: after(40 * time.Second), felt: 2, of: of},
		{fault: fault{name: "end"}, began: after(50 * time.Second), ended: after(time.Minute), felt: 1},
	}}
}

func TestVerdict(t *testing.T) {
	grid := schedule.Grid{Start: began.Truncate(time.Microsecond), Cadence: time.Second, Duration: time.Minute}
	sound := func(j *job) *account {
		a := &account{job: j, checked: verify.Job{ID: j.id}}
		for slot := range 60 {
			a.polls = append(a.polls, asked(time.Duration(slot)*time.Second+6*ms))
			a.samples = append(a.samples, row(slot))
		}
		return a
	}
	// without takes the sample of a slot away, and the poll too if nobody asked.
	without := func(a *account, slot int, asked bool) {
		a.samples = append(a.samples[:slot:slot], a.samples[slot+1:]...)
		if !asked {
			a.polls = append(a.polls[:slot:slot], a.polls[slot+1:]...)
		}
	}
	gap := func(a *account, slot int, reason string) { a.gaps = append(a.gaps, unmeasured{row(slot).due, reason}) }
	for name, tc := range map[string]struct {
		spoil func(*account, *conductor)
		other bool // the job is not the one that the last fault concerns
		want  string
	}{
		"sound":                      {spoil: func(*account, *conductor) {}},
		"a gap that a kill explains": {spoil: func(a *account, _ *conductor) { without(a, 15, false); gap(a, 15, operatorDown) }},
		"a gap before the kill":      {spoil: func(a *account, _ *conductor) { without(a, 5, false); gap(a, 5, operatorDown) }, want: "start: slot that nobody measured, which the fault does not explain of job j, due at 12:00:05.123, OperatorDown"},
		"a gap for a wrong reason":   {spoil: func(a *account, _ *conductor) { without(a, 15, false); gap(a, 15, busy) }, want: "kill: slot that nobody measured, which the fault does not explain of job j, due at 12:00:15.123, Busy"},
		"a refused row":              {spoil: func(a *account, _ *conductor) { without(a, 35, true); gap(a, 35, lost) }},
		"a refused row of another job": {spoil: func(a *account, _ *conductor) { without(a, 35, true); gap(a, 35, lost) }, other: true,
			want: "poison: lost sample of job j, polled at 12:00:35.129, whose slot is in a gap: Lost; poison: slot that nobody measured, which the fault does not explain of job j, due at 12:00:35.123, Lost"},
		"a lost sample":              {spoil: func(a *account, _ *conductor) { without(a, 15, true); gap(a, 15, operatorDown) }, want: "kill: lost sample of job j, polled at 12:00:15.129, whose slot is in a gap: OperatorDown"},
		"an invented one":            {spoil: func(a *account, _ *conductor) { a.polls = a.polls[:59] }, want: "end: invented sample of job j, due at 12:00:59.123"},
		"what the tables tell":       {spoil: func(a *account, _ *conductor) { a.checked.Flaws = []string{"1 slot without an outcome"} }, want: "job j: 1 slot without an outcome"},
		"what went wrong on the way": {spoil: func(_ *account, c *conductor) { c.rig.problems = []string{"it ended"} }, want: "it ended"},
		"nothing measured":           {spoil: func(a *account, _ *conductor) { a.polls, a.samples = nil, nil }, want: "nothing was measured, so nothing was proved"},
	} {
		t.Run(name, func(t *testing.T) {
			j := &job{id: "j", periods: []verify.Period{{Grid: grid}}}
			c := conducted(j)
			if tc.other {
				c = conducted(&job{})
			}
			a := sound(j)
			tc.spoil(a, c)
			res := c.verdict([]*account{a})
			if got := strings.Join(res.Problems, "; "); got != tc.want || res.Kept != (tc.want == "") {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if res.Total.Injected != 7 || len(res.Lines) != 4 {
				t.Errorf("%d injected in %d lines", res.Total.Injected, len(res.Lines))
			}
		})
	}
}

func TestPrint(t *testing.T) {
	res := &result{Seed: 7, Took: "1m0s", Jobs: 2, Lines: []line{
		{Fault: "sigkill", Played: 1, figures: figures{Injected: 3, Polls: 20, Samples: 19, Undecided: 1, Gaps: map[string]int64{operatorDown: 2}}},
		{Fault: "disk-full", Skipped: "skipped: this machine does not let us"},
	}}
	for _, l := range res.Lines {
		res.Total.add(l.figures)
	}
	var out strings.Builder
	if err := res.print(&out, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"FAULT       INJECTED   POLLS   SAMPLES   LOST   DUPLICATE   NO OUTCOME   POLLED TWICE   GAPS\n",
		"sigkill     3          20      19        0      0           0            0              OperatorDown 2\n",
		"disk-full   skipped: this machine does not let us\n",
		"2 jobs in 1m0s, seed 7. 1 polls were answered in the instant of a kill", "BROKEN, see above.",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}

func TestEveryFaultHasItsOwnName(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range faults() {
		if seen[f.name] || f.name == "" || f.does == "" || f.inject == nil || f.area == "" {
			t.Errorf("%+v", fmt.Sprintf("%q %q", f.name, f.does))
		}
		seen[f.name] = true
	}
}
