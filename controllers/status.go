package controllers

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/ledger"
)

// Delivery is how the outbox fares, in the words of the Delivered condition.
type Delivery struct {
	// Reason is one of the reasons of the Delivered condition.
	Reason string
	// Message is a sentence about it.
	Message string
}

// facts is everything that a status is computed from, besides the LatencyJob and the time.
type facts struct {
	decision decision
	ledger   *ledger.Ledger
	endedAt  time.Time
	rejected string
	closed   bool                // each slot has its outcome in the database
	report   *v1alpha1.JobReport // what the job came to, if it is closed
	held     int
	delivery Delivery
	sequence int64 // the highest given to a sample; -1 for none
}

// statusOf computes the whole status of a job. It is a function of its arguments alone.
func statusOf(job *v1alpha1.LatencyJob, f facts, now time.Time) v1alpha1.LatencyJobStatus {
	account, stored := f.ledger.Account(), f.ledger.Stored()
	status := v1alpha1.LatencyJobStatus{
		ObservedGeneration: job.Generation,
		Phase:              f.decision.phase,
		AsOf:               &metav1.Time{Time: now},
		Slots:              slotCounts(job, f.ledger, f.decision.phase),
		Samples: v1alpha1.SampleCounts{
			Total:       account.Totals.Samples(),
			Success:     account.Totals.Success,
			Missed:      account.Totals.Missed,
			SystemError: account.Totals.SystemError,
		},
		RTT:        rttSummary(&account),
		Last:       lastSample(&account),
		LastError:  lastError(&account),
		Checkpoint: checkpointOf(&stored, f.sequence),
		Conditions: append([]metav1.Condition(nil), job.Status.Conditions...),
	}
	t := &account.Totals
	status.Loss, status.Errors = share(t.Missed, t.Success+t.Missed), share(t.SystemError, t.Samples())
	if t.JitterCount > 0 {
		status.Jitter = milliseconds(t.JitterSum, t.JitterCount)
	}
	switch f.decision.phase {
	case v1alpha1.PhasePending, v1alpha1.PhaseRunning:
		status.NextPollTime = &metav1.MicroTime{Time: f.decision.wake}
	default:
	}
	if isFinal(status.Phase) {
		if f.closed {
			status.Report = f.report
		}
		status.CompletionTime = completionTime(job, f.endedAt, now)
	}
	status.Message = message(job, f)
	setConditions(&status, job, f, now)
	return status
}

func slotCounts(job *v1alpha1.LatencyJob, l *ledger.Ledger, phase v1alpha1.JobPhase) v1alpha1.SlotCounts {
	account := l.Account()
	due := l.Due()
	counts := v1alpha1.SlotCounts{
		Due: due, Total: due, Unmeasured: account.UnmeasuredTotal(), UnmeasuredBy: unmeasuredCounts(&account),
	}
	if !isFinal(phase) {
		grid := gridOf(&job.Spec)
		counts.Total += grid.Slots() - l.First(grid)
	}
	return counts
}

func rttSummary(a *ledger.Account) *v1alpha1.RTTSummary {
	t := &a.Totals
	if t.RTTCount == 0 {
		return nil
	}
	return &v1alpha1.RTTSummary{
		Last: milliseconds(a.RTT, 1),
		Min:  milliseconds(t.RTTMin, 1),
		Avg:  milliseconds(t.RTTSum, t.RTTCount),
		Max:  milliseconds(t.RTTMax, 1),
	}
}

func lastSample(a *ledger.Account) *v1alpha1.LastSample {
	if a.Last.Status == "" {
		return nil
	}
	return &v1alpha1.LastSample{
		Status:       v1alpha1.SampleStatus(a.Last.Status),
		ScheduledAt:  metav1.MicroTime{Time: a.Last.ScheduledAt},
		RecordedAt:   metav1.MicroTime{Time: a.Last.RecordedAt},
		Poller:       clip(a.Last.Poller, 128),
		MissesInARow: a.MissesInARow,
	}
}

func lastError(a *ledger.Account) *v1alpha1.LastError {
	if a.LastError.RecordedAt.IsZero() {
		return nil
	}
	text := clip(a.LastError.Message, 256)
	if text == "" {
		text = "no reply"
	}
	return &v1alpha1.LastError{Message: text, Time: metav1.MicroTime{Time: a.LastError.RecordedAt}}
}

func completionTime(job *v1alpha1.LatencyJob, endedAt, now time.Time) *metav1.Time {
	switch {
	case job.Status.CompletionTime != nil && isFinal(job.Status.Phase):
		return job.Status.CompletionTime
	case !endedAt.IsZero():
		return &metav1.Time{Time: endedAt}
	default:
		return &metav1.Time{Time: now}
	}
}

func setConditions(status *v1alpha1.LatencyJobStatus, job *v1alpha1.LatencyJob, f facts, now time.Time) {
	set := func(kind string, value metav1.ConditionStatus, reason, text string) {
		meta.SetStatusCondition(&status.Conditions, metav1.Condition{
			Type: kind, Status: value, Reason: reason, Message: text,
			ObservedGeneration: job.Generation, LastTransitionTime: metav1.Time{Time: now},
		})
	}
	ready := readyReason(f)
	value, text := metav1.ConditionFalse, status.Message
	switch ready {
	case v1alpha1.ReasonMeasuring:
		value = metav1.ConditionTrue
	case v1alpha1.ReasonFinished:
		value, text = metav1.ConditionTrue, "The job is over"
	}
	set(v1alpha1.ConditionReady, value, ready, text)

	if ready == v1alpha1.ReasonNotMirrored {
		meta.RemoveStatusCondition(&status.Conditions, v1alpha1.ConditionDelivered)
		meta.RemoveStatusCondition(&status.Conditions, v1alpha1.ConditionComplete)
		set(v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonNotMirrored, status.Message)
		return
	}
	meta.RemoveStatusCondition(&status.Conditions, v1alpha1.ConditionStalled)
	switch {
	case f.rejected != "":
		set(v1alpha1.ConditionDelivered, metav1.ConditionFalse, v1alpha1.ReasonRowRejected, refused(f.rejected))
	case f.held > 0 && f.delivery.Reason != v1alpha1.ReasonUpToDate:
		set(v1alpha1.ConditionDelivered, metav1.ConditionFalse, f.delivery.Reason, clip(f.delivery.Message, maxText))
	default:
		set(v1alpha1.ConditionDelivered, metav1.ConditionTrue, v1alpha1.ReasonUpToDate, "Every sample taken so far is in Sound Check's database or on its way there")
	}
	switch {
	case isFinal(status.Phase) && f.closed:
		set(v1alpha1.ConditionComplete, metav1.ConditionTrue, string(status.Phase), "The job is over, and each of its slots has its outcome in Sound Check's database")
	case isFinal(status.Phase), status.Phase == v1alpha1.PhaseCompleting:
		set(v1alpha1.ConditionComplete, metav1.ConditionFalse, v1alpha1.ReasonNotSettled, "The job is over, and its last outcomes are not in Sound Check's database yet")
	default:
		set(v1alpha1.ConditionComplete, metav1.ConditionFalse, v1alpha1.ReasonNotOver, "The job is not over yet: it ends at "+clockTime(gridOf(&job.Spec).End()))
	}
}

func readyReason(f facts) string {
	switch f.decision.phase {
	case v1alpha1.PhasePending:
		return v1alpha1.ReasonNotStarted
	case v1alpha1.PhaseWaiting:
		return v1alpha1.ReasonWaitingForTarget
	case v1alpha1.PhaseSuspended:
		return v1alpha1.ReasonSuspended
	case v1alpha1.PhaseRunning, v1alpha1.PhaseCompleting:
		account := f.ledger.Account()
		if account.Away() {
			return v1alpha1.ReasonSpreeDBUnavailable
		}
		return v1alpha1.ReasonMeasuring
	case v1alpha1.PhaseCompleted, v1alpha1.PhaseCancelled, v1alpha1.PhaseFailed:
		return v1alpha1.ReasonFinished
	default:
		return v1alpha1.ReasonNotMirrored
	}
}

// isDown tells whether the status says that the target is down.
func isDown(status *v1alpha1.LatencyJobStatus) bool {
	return status.Phase == v1alpha1.PhaseRunning && status.Last != nil && status.Last.MissesInARow >= ledger.DownAfter
}

// milliseconds writes the mean of n round-trip times for people: 12.345ms. It rounds halves up, as PostgreSQL does, so that a figure
// reads the same in both places.
func milliseconds(sum time.Duration, n int64) string {
	unit := n * int64(time.Microsecond)
	micros := int64(sum) / unit
	if 2*(int64(sum)%unit) >= unit {
		micros++
	}
	return fmt.Sprintf("%d.%03dms", micros/1000, micros%1000)
}

// clip bounds a text to what the API accepts, in whole characters.
func clip(s string, n int) string {
	runes := []rune(s)
	if len(runes) <= n {
		return s
	}
	return string(runes[:n-1]) + "…"
}
