package controllers

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/ledger"
	"github.com/soundcheck-io/latency-operator/internal/sample"
)

// story plays a job that has seen a bit of everything: three successes, a miss, an error, and slots that nobody asked in.
func story() *ledger.Ledger {
	var l ledger.Ledger
	grid := gridOf(specOf(func(s *v1alpha1.LatencyJobSpec) { s.DurationMinutes = 60 }))
	poll := func(slot int64, status sample.Status, rtt float64, message string) {
		l.Begin(grid, slot)
		s := sample.Sample{JobID: jobID, Slot: slot, ScheduledAt: grid.Due(slot), RecordedAt: grid.Due(slot).Add(time.Millisecond), Status: status}
		if status == sample.Success {
			s.RTT = &rtt
			s.Jitter = l.Jitter(s.RTT)
		}
		l.Finish(ledger.Outcome{Sample: s, Message: message, Poller: "phoenix-1"})
	}
	l.Follow(grid, start)
	l.Skip(grid, 1, ledger.OperatorDown)
	poll(2, sample.Success, 10, "")
	poll(3, sample.Success, 12.5, "")
	l.Skip(grid, 4, ledger.Suspended)
	poll(5, sample.Missed, 0, "Request timed out")
	poll(6, sample.SystemError, 0, "connection refused")
	poll(7, sample.Success, 11, "")
	l.Resolve(grid, nil, nil) // and the database knows of nobody else who asked
	l.Delivered(0)
	return &l
}

func TestStatusTellsTheStory(t *testing.T) {
	job := jobOf(func(j *v1alpha1.LatencyJob) { j.Generation = 3; j.Spec.DurationMinutes = 60 })
	now := start.Add(75 * time.Second)
	l := story()
	got := statusOf(&job, facts{decision: decision{phase: v1alpha1.PhaseRunning, wake: start.Add(80 * time.Second)}, ledger: l, delivery: Delivery{Reason: v1alpha1.ReasonUpToDate}, sequence: 7}, now)
	micro := func(seconds float64) metav1.MicroTime {
		return metav1.MicroTime{Time: start.Add(time.Duration(seconds * float64(time.Second)))}
	}
	next, until, began := micro(80), micro(70), micro(0)
	want := v1alpha1.LatencyJobStatus{
		ObservedGeneration: 3, Phase: v1alpha1.PhaseRunning, Message: "Measuring", AsOf: &metav1.Time{Time: now},
		Slots:   v1alpha1.SlotCounts{Total: 360, Due: 8, Unmeasured: 3, UnmeasuredBy: &v1alpha1.UnmeasuredCounts{OperatorDown: 2, Suspended: 1}},
		Samples: v1alpha1.SampleCounts{Total: 5, Success: 3, Missed: 1, SystemError: 1},
		Loss:    "25.00%", Errors: "20.00%", Jitter: "2.000ms",
		RTT:          &v1alpha1.RTTSummary{Last: "11.000ms", Min: "10.000ms", Avg: "11.167ms", Max: "12.500ms"},
		Last:         &v1alpha1.LastSample{Status: "success", ScheduledAt: micro(70), RecordedAt: micro(70.001), Poller: "phoenix-1"},
		LastError:    &v1alpha1.LastError{Message: "connection refused", Time: micro(60.001)},
		NextPollTime: &next,
		Checkpoint: &v1alpha1.Checkpoint{
			AccountedUntil: &until, GridStart: &began, CadenceSeconds: 10, Sequence: new(int64(7)), Success: 3, Missed: 1, SystemError: 1,
			Unmeasured: &v1alpha1.UnmeasuredCounts{OperatorDown: 2, Suspended: 1},
			RTTSum:     "33.5ms", RTTCount: 3, RTTMin: "10ms", RTTMax: "12.5ms", JitterSum: "4ms", JitterCount: 2, RTTLast: "11ms", RTTLastAt: &until,
		},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(v1alpha1.LatencyJobStatus{}, "Conditions")); diff != "" {
		t.Error(diff)
	}

	// Whoever goes on from this status has the same account.
	resumed, original := ledger.Resume(accountOf(&got)), l.Account()
	again := resumed.Account()
	if diff := cmp.Diff(original, again, cmpopts.IgnoreFields(ledger.Recent{}, "ErrorsInARow")); diff != "" {
		t.Errorf("resumed:\n%s", diff)
	}
}

func TestConditions(t *testing.T) {
	running := decision{phase: v1alpha1.PhaseRunning}
	for name, tc := range map[string]struct {
		facts facts
		want  string
	}{
		"measuring":                          {facts{decision: running}, "Ready=True/Measuring Delivered=True/UpToDate Complete=False/NotOver"},
		"waiting":                            {facts{decision: decision{phase: v1alpha1.PhaseWaiting}}, "Ready=False/WaitingForTarget Delivered=True/UpToDate Complete=False/NotOver"},
		"not started":                        {facts{decision: decision{phase: v1alpha1.PhasePending}}, "Ready=False/NotStarted Delivered=True/UpToDate Complete=False/NotOver"},
		"suspended":                          {facts{decision: decision{phase: v1alpha1.PhaseSuspended}}, "Ready=False/Suspended Delivered=True/UpToDate Complete=False/NotOver"},
		"over, not settled":                  {facts{decision: decision{phase: v1alpha1.PhaseCancelled}}, "Ready=True/Finished Delivered=True/UpToDate Complete=False/NotSettled"},
		"completed":                          {facts{closed: true, decision: decision{phase: v1alpha1.PhaseCompleted}}, "Ready=True/Finished Delivered=True/UpToDate Complete=True/Completed"},
		"cancelled":                          {facts{closed: true, decision: decision{phase: v1alpha1.PhaseCancelled}}, "Ready=True/Finished Delivered=True/UpToDate Complete=True/Cancelled"},
		"made by hand":                       {facts{decision: decision{}}, "Ready=False/NotMirrored Stalled=True/NotMirrored"},
		"SpreeDB away":                       {facts{decision: running, ledger: of(sample.SystemError, "connection refused")}, "Ready=False/SpreeDBUnavailable Delivered=True/UpToDate Complete=False/NotOver"},
		"Supabase away":                      {facts{decision: running, held: 1, delivery: Delivery{Reason: v1alpha1.ReasonSupabaseUnavailable}}, "Ready=True/Measuring Delivered=False/SupabaseUnavailable Complete=False/NotOver"},
		"away, but none of this job is held": {facts{decision: running, delivery: Delivery{Reason: v1alpha1.ReasonSupabaseUnavailable}}, "Ready=True/Measuring Delivered=True/UpToDate Complete=False/NotOver"},
		"sample refused":                     {facts{decision: running, rejected: "violates a check"}, "Ready=True/Measuring Delivered=False/RowRejected Complete=False/NotOver"},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.facts.ledger == nil {
				tc.facts.ledger = &ledger.Ledger{}
			}
			if tc.facts.delivery.Reason == "" {
				tc.facts.delivery.Reason = v1alpha1.ReasonUpToDate
			}
			job := jobOf(nil)
			status := statusOf(&job, tc.facts, start)
			var got []string
			for _, c := range status.Conditions {
				got = append(got, c.Type+"="+string(c.Status)+"/"+c.Reason)
			}
			if diff := cmp.Diff(tc.want, strings.Join(got, " ")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFiguresAreRoundedAsPostgreSQLDoes(t *testing.T) {
	for _, tc := range []struct{ got, want string }{
		{milliseconds(42973*time.Microsecond, 2), "21.487ms"},
		{milliseconds(42972999*time.Nanosecond, 2), "21.486ms"},
		{milliseconds(time.Microsecond/2, 1), "0.001ms"},
		{milliseconds(24*time.Hour, 1), "86400000.000ms"},
		{share(1, 800), "0.13%"},
		{share(0, 7), "0.00%"},
		{share(7, 7), "100.00%"},
		{share(1, 3), "33.33%"},
		{share(0, 0), ""},
	} {
		if tc.got != tc.want {
			t.Errorf("got %s, want %s", tc.got, tc.want)
		}
	}
}

func TestTransitions(t *testing.T) {
	down := &v1alpha1.LatencyJobStatus{
		Phase: v1alpha1.PhaseRunning, Last: &v1alpha1.LastSample{Status: "missed", MissesInARow: 3}, LastError: &v1alpha1.LastError{Message: "no reply"},
	}
	phase := func(p v1alpha1.JobPhase) *v1alpha1.LatencyJobStatus { return &v1alpha1.LatencyJobStatus{Phase: p} }
	for name, tc := range map[string]struct {
		before told
		after  *v1alpha1.LatencyJobStatus
		want   string
	}{
		"started":         {told{}, phase(v1alpha1.PhaseRunning), "Started"},
		"nothing new":     {told{phase: v1alpha1.PhaseRunning}, phase(v1alpha1.PhaseRunning), ""},
		"resumed":         {told{phase: v1alpha1.PhaseSuspended}, phase(v1alpha1.PhaseRunning), "Resumed"},
		"target came":     {told{phase: v1alpha1.PhaseWaiting}, phase(v1alpha1.PhaseRunning), "Started"},
		"waits":           {told{}, phase(v1alpha1.PhaseWaiting), "Waiting"},
		"suspended":       {told{phase: v1alpha1.PhaseRunning}, phase(v1alpha1.PhaseSuspended), "Suspended"},
		"completing":      {told{phase: v1alpha1.PhaseRunning}, phase(v1alpha1.PhaseCompleting), ""},
		"completed":       {told{phase: v1alpha1.PhaseCompleting}, phase(v1alpha1.PhaseCompleted), "Completed"},
		"cancelled":       {told{phase: v1alpha1.PhaseRunning}, phase(v1alpha1.PhaseCancelled), "Cancelled"},
		"failed":          {told{phase: v1alpha1.PhaseRunning}, phase(v1alpha1.PhaseFailed), "Failed"},
		"down":            {told{phase: v1alpha1.PhaseRunning}, down, "TargetDown"},
		"still down":      {told{phase: v1alpha1.PhaseRunning, down: true}, down, ""},
		"up":              {told{phase: v1alpha1.PhaseRunning, down: true}, phase(v1alpha1.PhaseRunning), "TargetUp"},
		"over while down": {told{phase: v1alpha1.PhaseCompleting, down: true}, phase(v1alpha1.PhaseCompleted), "Completed"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, tr := range transitions(tc.before, tc.after) {
				got = append(got, tr.reason)
			}
			if diff := cmp.Diff(tc.want, strings.Join(got, " ")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTheStatusIsTrustedWithTheNumbers(t *testing.T) {
	until := metav1.MicroTime{Time: start.Add(30 * time.Second)} // slot 3
	for name, tc := range map[string]struct {
		sequence   *int64
		generation int64
		trusted    bool
	}{
		"slot numbers":    {new(int64(3)), 1, true},
		"behind the slot": {new(int64(2)), 1, false},
		"above the slot":  {new(int64(4)), 1, false},
		"not known":       {nil, 1, false},
		"edited since":    {new(int64(3)), 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			job := jobOf(func(j *v1alpha1.LatencyJob) {
				j.Generation, j.Status.ObservedGeneration = tc.generation, 1
				j.Status.Checkpoint = &v1alpha1.Checkpoint{Sequence: tc.sequence}
				j.Status.Last = &v1alpha1.LastSample{ScheduledAt: until}
			})
			highest, ok := numberedUntil(&job)
			if ok != tc.trusted || ok && highest != *tc.sequence {
				t.Errorf("got %d, %v", highest, ok)
			}
		})
	}
}
