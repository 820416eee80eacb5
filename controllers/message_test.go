package controllers

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/ledger"
	"github.com/soundcheck-io/latency-operator/internal/sample"
)

// What `kubectl describe` says about a job, in the order in which a reader meets it: the message, then the conditions.
func TestEveryPhaseSaysWhyAndWhatToDo(t *testing.T) {
	const (
		stored    = "Delivered: Every sample taken so far is in Sound Check's database or on its way there"
		notOver   = "Complete: The job is not over yet: it ends at 2026-11-23T11:00:00Z"
		over      = "Ready: The job is over"
		unsettled = "Complete: The job is over, and its last outcomes are not in Sound Check's database yet"
		settled   = "Complete: The job is over, and each of its slots has its outcome in Sound Check's database"
	)
	in := func(p v1alpha1.JobPhase) facts { return facts{decision: decision{phase: p}} }
	with := func(f facts, change func(*facts)) facts { change(&f); return f }
	for name, tc := range map[string]struct {
		facts   facts
		problem string
		want    []string
	}{
		"pending": {in(v1alpha1.PhasePending), "", []string{"Starts at 2026-11-23T10:00:00Z", "Ready: =", stored, notOver}},
		"waiting": {in(v1alpha1.PhaseWaiting), "", []string{
			"Waits for a target IP: the job has none in Sound Check yet; enter it there", "Ready: =", stored, notOver,
		}},
		"waiting for another": {in(v1alpha1.PhaseWaiting), `target_ip is "modem-7", which is not an IPv4 or IPv6 address`, []string{
			`Waits for a usable target IP, to be entered in Sound Check: target_ip is "modem-7", which is not an IPv4 or IPv6 address`, "Ready: =", stored, notOver,
		}},
		"running": {in(v1alpha1.PhaseRunning), "", []string{"Measuring", "Ready: =", stored, notOver}},
		"running without an answer": {with(in(v1alpha1.PhaseRunning), func(f *facts) { f.ledger = of(sample.Missed, "timeout") }), "", []string{
			"The device does not answer; it is polled as before", "Ready: =", stored, notOver,
		}},
		"running without SpreeDB": {with(in(v1alpha1.PhaseRunning), func(f *facts) { f.ledger = of(sample.SystemError, "connection refused") }), "", []string{
			"SpreeDB cannot measure, which says nothing about the device: connection refused", "Ready: =", stored, notOver,
		}},
		"running with an unusable row": {in(v1alpha1.PhaseRunning), "cadence_seconds is 0; it must be from 1 to 86400", []string{
			"Goes on as it was before its row in Sound Check became unusable; correct the row: cadence_seconds is 0; it must be from 1 to 86400", "Ready: =", stored, notOver,
		}},
		"running after a restart": {with(in(v1alpha1.PhaseRunning), func(f *facts) { f.ledger = unseen() }), "", []string{
			"Measuring; what became of 2 slots that this operator did not see is being looked up in Sound Check", "Ready: =", stored, notOver,
		}},
		"running without Supabase": {with(in(v1alpha1.PhaseRunning), func(f *facts) {
			f.held, f.delivery = 3, Delivery{v1alpha1.ReasonSupabaseUnavailable, "Supabase does not take samples; they are kept and sent once it does"}
		}), "", []string{"Measuring", "Ready: =", "Delivered: Supabase does not take samples; they are kept and sent once it does", notOver}},
		"running with a refused sample": {with(in(v1alpha1.PhaseRunning), func(f *facts) { f.rejected = "put_samples: violates a check (23514)" }), "", []string{
			"Measuring", "Ready: =",
			"Delivered: Sound Check's database refuses samples of this job for good; they are in the operator's log, and their slots count as lost: put_samples: violates a check (23514)",
			notOver,
		}},
		"suspended": {in(v1alpha1.PhaseSuspended), "", []string{
			"Paused by spec.suspend: slots pass without a poll, and the job still ends in time; set it to false to go on", "Ready: =", stored, notOver,
		}},
		"completing": {in(v1alpha1.PhaseCompleting), "", []string{
			"Its time is over; its last poll ends, or its row in Sound Check is being set to completed", "Ready: =", stored, unsettled,
		}},
		"completing with samples held": {with(in(v1alpha1.PhaseCompleting), func(f *facts) { f.held = 3 }), "", []string{
			"Its time is over; 3 outcomes are not in Sound Check's database yet", "Ready: =", stored, unsettled,
		}},
		"completed": {with(in(v1alpha1.PhaseCompleted), func(f *facts) { f.closed = true }), "", []string{"Ran to its end", over, stored, settled}},
		"completed, with a report": {with(in(v1alpha1.PhaseCompleted), func(f *facts) {
			f.closed, f.report = true, &v1alpha1.JobReport{Message: "The device answered all of 360 polls."}
		}), "", []string{"Ran to its end. The device answered all of 360 polls.", over, stored, settled}},
		"cancelled anew, with the report of before": {with(in(v1alpha1.PhaseCancelled), func(f *facts) {
			f.report = &v1alpha1.JobReport{Message: "The device answered all of 360 polls."}
		}), "", []string{"Cancelled in Sound Check", over, stored, unsettled}},
		"cancelled, not settled": {in(v1alpha1.PhaseCancelled), "", []string{
			"Cancelled in Sound Check", over, stored, unsettled,
		}},
		"failed": {with(in(v1alpha1.PhaseFailed), func(f *facts) { f.closed = true }), "", []string{"Set to failed in Sound Check", over, stored, settled}},
		"failed without a target": {with(in(v1alpha1.PhaseFailed), func(f *facts) { f.closed, f.ledger = true, untargeted() }), "", []string{
			"Had no usable target IP through its whole duration; start it anew in Sound Check with one", over, stored, settled,
		}},
		"made by hand": {in(""), "", []string{
			"Made by hand: no row in Sound Check stands behind it, so it is never polled; delete it, and start the job in Sound Check", "Ready: =", "Stalled: =",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			job := jobOf(func(j *v1alpha1.LatencyJob) {
				j.Spec.DurationMinutes = 60
				j.Annotations = map[string]string{v1alpha1.RowProblemAnnotation: tc.problem}
			})
			if tc.facts.ledger == nil {
				tc.facts.ledger = &ledger.Ledger{}
			}
			if tc.facts.delivery.Reason == "" {
				tc.facts.delivery.Reason = v1alpha1.ReasonUpToDate
			}
			status := statusOf(&job, tc.facts, start)
			got := []string{status.Message}
			for _, kind := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionDelivered, v1alpha1.ConditionComplete, v1alpha1.ConditionStalled} {
				if c := meta.FindStatusCondition(status.Conditions, kind); c != nil {
					got = append(got, kind+": "+strings.Replace(c.Message, status.Message, "=", 1))
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// of is a ledger with three outcomes in a row.
func of(status sample.Status, message string) *ledger.Ledger {
	var l ledger.Ledger
	grid := gridOf(specOf(nil))
	for slot := range int64(3) {
		l.Begin(grid, slot)
		l.Finish(ledger.Outcome{Sample: sample.Sample{Status: status, ScheduledAt: grid.Due(slot), RecordedAt: grid.Due(slot)}, Message: message})
	}
	return &l
}

// unseen is the ledger of a process that came to its job in its third slot.
func unseen() *ledger.Ledger {
	var l ledger.Ledger
	grid := gridOf(specOf(nil))
	l.Adopt(grid, grid.Due(2).Add(time.Second), false, ledger.OperatorDown)
	return &l
}

// untargeted is that of a job whose first slot passed without an address.
func untargeted() *ledger.Ledger {
	var l ledger.Ledger
	l.Skip(gridOf(specOf(nil)), 0, ledger.NoTarget)
	return &l
}
