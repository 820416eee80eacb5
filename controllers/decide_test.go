package controllers

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/ledger"
	"github.com/soundcheck-io/latency-operator/internal/sample"
)

const jobID = "0b9c3f0e-5a54-4c6e-9d0c-2a4f6f1f7a11"

var start = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

// specOf is a job of one minute with a slot every ten seconds, changed as a test needs it.
func specOf(change func(*v1alpha1.LatencyJobSpec)) *v1alpha1.LatencyJobSpec {
	spec := &v1alpha1.LatencyJobSpec{
		JobID: jobID, TargetIP: "10.1.2.3", CadenceSeconds: 10, DurationMinutes: 1,
		StartedAt: metav1.MicroTime{Time: start}, State: v1alpha1.StateRunning,
	}
	if change != nil {
		change(spec)
	}
	return spec
}

// played is a ledger to which something happened.
func played(play func(*ledger.Ledger)) *ledger.Ledger {
	l := &ledger.Ledger{}
	if play != nil {
		play(l)
	}
	return l
}

// measured plays polls of the slots up to and including the last one.
func measured(last int64) func(*ledger.Ledger) {
	return func(l *ledger.Ledger) {
		grid := gridOf(specOf(nil))
		for slot := l.First(grid); slot <= last; slot++ {
			l.Begin(grid, slot)
			l.Finish(ledger.Outcome{Sample: sample.Sample{Status: sample.Success, ScheduledAt: grid.Due(slot), RTT: new(10.0)}})
		}
	}
}

func TestDecide(t *testing.T) {
	at := func(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }
	none := decision{poll: -1}
	for name, tc := range map[string]struct {
		spec   func(*v1alpha1.LatencyJobSpec)
		byHand bool
		gone   bool
		ended  v1alpha1.JobState
		ledger func(*ledger.Ledger)
		closed bool
		held   int
		hold   time.Time
		waits  bool
		now    time.Time
		want   decision
		skips  bool
		skip   skip
	}{
		"made by hand":         {byHand: true, now: at(5), want: none},
		"row gone":             {gone: true, now: at(5), want: none},
		"cancelled in the app": {spec: state(v1alpha1.StateCancelled), now: at(5), want: decision{phase: v1alpha1.PhaseCancelled, poll: -1, settling: true, close: true}},
		"failed in the app":    {spec: state(v1alpha1.StateFailed), now: at(5), want: decision{phase: v1alpha1.PhaseFailed, poll: -1, settling: true, close: true}},
		"completed in the app": {spec: state(v1alpha1.StateCompleted), now: at(5), want: decision{phase: v1alpha1.PhaseCompleted, poll: -1, settling: true, close: true}},
		"ended by us":          {ended: v1alpha1.StateCompleted, closed: true, now: at(61), want: decision{phase: v1alpha1.PhaseCompleted, poll: -1}},
		"cancelled and closed": {spec: state(v1alpha1.StateCancelled), closed: true, now: at(5), want: decision{phase: v1alpha1.PhaseCancelled, poll: -1}},
		"cancelled, held":      {spec: state(v1alpha1.StateCancelled), held: 1, now: at(5), want: decision{phase: v1alpha1.PhaseCancelled, poll: -1, settling: true}},
		"cancelled, in flight": {spec: state(v1alpha1.StateCancelled), ledger: inFlight(0), now: at(5), want: decision{phase: v1alpha1.PhaseCancelled, poll: -1, settling: true}},

		"before the start":        {now: at(-3), want: decision{phase: v1alpha1.PhasePending, poll: -1, wake: at(0)}},
		"at the start":            {now: at(0), want: decision{phase: v1alpha1.PhaseRunning, poll: 0, wake: at(10)}, skips: true, skip: skip{-1, ledger.OperatorDown}},
		"woken early":             {ledger: measured(0), now: at(4), want: decision{phase: v1alpha1.PhaseRunning, poll: -1, wake: at(10)}, skips: true, skip: skip{-1, ledger.OperatorDown}},
		"next slot":               {ledger: measured(0), now: at(10), want: decision{phase: v1alpha1.PhaseRunning, poll: 1, wake: at(20)}, skips: true, skip: skip{0, ledger.OperatorDown}},
		"found late":              {now: at(34), want: decision{phase: v1alpha1.PhaseRunning, poll: 3, wake: at(40)}, skips: true, skip: skip{2, ledger.OperatorDown}},
		"last slot":               {ledger: measured(4), now: at(50), want: decision{phase: v1alpha1.PhaseRunning, poll: 5, wake: at(60)}, skips: true, skip: skip{4, ledger.OperatorDown}},
		"poll before still runs":  {ledger: inFlight(1), now: at(20), want: decision{phase: v1alpha1.PhaseRunning, poll: -1, wake: at(30)}, skips: true, skip: skip{2, ledger.Busy}},
		"suspended":               {spec: suspend, ledger: measured(0), now: at(25), want: decision{phase: v1alpha1.PhaseSuspended, poll: -1, wake: at(30)}, skips: true, skip: skip{2, ledger.Suspended}},
		"no target leaves a slot": {spec: target(""), now: at(25), want: decision{phase: v1alpha1.PhaseWaiting, poll: -1, wake: at(30)}, skips: true, skip: skip{1, ledger.NoTarget}},
		"suspended without target": {spec: func(s *v1alpha1.LatencyJobSpec) { suspend(s); target("")(s) }, now: at(25),
			want: decision{phase: v1alpha1.PhaseSuspended, poll: -1, wake: at(30)}, skips: true, skip: skip{2, ledger.Suspended}},

		"the database is asked first": {hold: at(26), now: at(25), want: decision{phase: v1alpha1.PhaseRunning, poll: -1, wake: at(26)}},
		"asked until the next slot":   {hold: at(32), now: at(25), want: decision{phase: v1alpha1.PhaseRunning, poll: -1, wake: at(30)}},
		"asked for long enough":       {hold: at(25), now: at(25), want: decision{phase: v1alpha1.PhaseRunning, poll: 2, wake: at(30)}, skips: true, skip: skip{1, ledger.OperatorDown}},
		"suspended while it is asked": {spec: suspend, hold: at(26), now: at(25), want: decision{phase: v1alpha1.PhaseSuspended, poll: -1, wake: at(30)}, skips: true, skip: skip{2, ledger.Suspended}},

		"no room yet":           {waits: true, ledger: measured(0), now: at(15), want: decision{phase: v1alpha1.PhaseRunning, poll: 1, wake: at(20)}, skips: true, skip: skip{0, ledger.Overload}},
		"no room in its slot":   {waits: true, ledger: measured(0), now: at(20), want: decision{phase: v1alpha1.PhaseRunning, poll: 2, wake: at(30)}, skips: true, skip: skip{1, ledger.Overload}},
		"no room until the end": {waits: true, ledger: measured(4), now: at(60), want: decision{phase: v1alpha1.PhaseCompleting, poll: -1, settling: true, close: true}, skips: true, skip: skip{5, ledger.Overload}},

		"over, poll in flight":   {ledger: inFlight(5), now: at(60), want: decision{phase: v1alpha1.PhaseCompleting, poll: -1, settling: true}, skips: true, skip: skip{5, ledger.OperatorDown}},
		"over, samples held":     {ledger: measured(5), held: 1, now: at(60), want: decision{phase: v1alpha1.PhaseCompleting, poll: -1, settling: true}, skips: true, skip: skip{5, ledger.OperatorDown}},
		"over":                   {ledger: measured(5), now: at(60), want: decision{phase: v1alpha1.PhaseCompleting, poll: -1, settling: true, close: true}, skips: true, skip: skip{5, ledger.OperatorDown}},
		"over while we were off": {now: at(9999), want: decision{phase: v1alpha1.PhaseCompleting, poll: -1, settling: true, close: true}, skips: true, skip: skip{5, ledger.OperatorDown}},
		"over, never a target":   {spec: target(""), now: at(60), want: decision{phase: v1alpha1.PhaseCompleting, poll: -1, settling: true, close: true}, skips: true, skip: skip{5, ledger.NoTarget}},
		"over, target lost":      {spec: target(""), ledger: measured(2), now: at(60), want: decision{phase: v1alpha1.PhaseCompleting, poll: -1, settling: true, close: true}, skips: true, skip: skip{5, ledger.NoTarget}},
		"over while suspended":   {spec: suspend, ledger: measured(2), now: at(60), want: decision{phase: v1alpha1.PhaseCompleting, poll: -1, settling: true, close: true}, skips: true, skip: skip{5, ledger.Suspended}},
		"restarted with another grid": {
			spec: func(s *v1alpha1.LatencyJobSpec) { s.StartedAt.Time = at(100) }, ledger: measured(5), now: at(100),
			want: decision{phase: v1alpha1.PhaseRunning, poll: 0, wake: at(110)}, skips: true, skip: skip{-1, ledger.OperatorDown},
		},
		"clock stepped back over measured slots": {ledger: measured(3), now: at(12), want: decision{phase: v1alpha1.PhaseRunning, poll: -1, wake: at(20)}, skips: true, skip: skip{0, ledger.OperatorDown}},
	} {
		t.Run(name, func(t *testing.T) {
			got := decide(view{
				spec: specOf(tc.spec), mirrored: !tc.byHand, gone: tc.gone, ended: tc.ended, closed: tc.closed, ledger: played(tc.ledger), held: tc.held, hold: tc.hold, waits: tc.waits,
			}, tc.now)
			if tc.skips {
				tc.want.skip = &tc.skip
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(decision{}, skip{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAJobFailsThatNeverHadATarget(t *testing.T) {
	for name, tc := range map[string]struct {
		spec   func(*v1alpha1.LatencyJobSpec)
		ledger func(*ledger.Ledger)
		want   v1alpha1.JobState
	}{
		"measured":                    {ledger: measured(5), want: v1alpha1.StateCompleted},
		"never a target":              {spec: target(""), want: v1alpha1.StateFailed},
		"target lost":                 {spec: target(""), ledger: measured(2), want: v1alpha1.StateCompleted},
		"a target that nobody polled": {want: v1alpha1.StateCompleted},
		"none since it was started anew": {
			spec: func(s *v1alpha1.LatencyJobSpec) { target("")(s); s.StartedAt.Time = start.Add(time.Hour) }, ledger: measured(5), want: v1alpha1.StateFailed,
		},
	} {
		t.Run(name, func(t *testing.T) {
			account := played(tc.ledger).Account()
			if got := endOf(specOf(tc.spec), &account); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func state(s v1alpha1.JobState) func(*v1alpha1.LatencyJobSpec) {
	return func(spec *v1alpha1.LatencyJobSpec) { spec.State = s }
}

func target(ip string) func(*v1alpha1.LatencyJobSpec) {
	return func(spec *v1alpha1.LatencyJobSpec) { spec.TargetIP = ip }
}

func suspend(spec *v1alpha1.LatencyJobSpec) { spec.Suspend = new(true) }

// inFlight plays polls up to a slot whose poll does not end.
func inFlight(slot int64) func(*ledger.Ledger) {
	return func(l *ledger.Ledger) {
		measured(slot - 1)(l)
		l.Begin(gridOf(specOf(nil)), slot)
	}
}

func BenchmarkDecide(b *testing.B) {
	v := view{spec: specOf(nil), mirrored: true, ledger: played(measured(2))}
	now := start.Add(31 * time.Second)
	b.ReportAllocs()
	for b.Loop() {
		if d := decide(v, now); d.poll != 3 {
			b.Fatal(d)
		}
	}
}
