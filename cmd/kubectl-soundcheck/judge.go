package main

import (
	"cmp"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/render"
	"github.com/soundcheck-io/latency-operator/internal/report"
)

// staleAfter is how old the status of a running job may be before that is what is said of it. In the largest installations a
// status is written every few minutes.
const staleAfter = 15 * time.Minute

// justBegun is how long it may take until the first samples of a job are in its status.
const justBegun = time.Minute

// judgement is a LatencyJob in a few words.
type judgement struct {
	words string
	// rank sorts: what somebody should look at first comes first.
	rank int
}

// The ranks.
const (
	rankAct = iota
	rankSilent
	rankLoss
	rankUnmeasured
	rankWaiting
	rankUnclear
	rankWell
)

// judge says of a job what its status tells:
//   - that somebody has to do something, or that the operator has not written for long;
//   - while it is measured: whether the device answers now, and if it does, how well it has answered;
//   - after its end: the verdict of its report;
//   - before: what it waits for.
func judge(job *v1alpha1.LatencyJob, now time.Time) judgement {
	status := &job.Status
	if stalled := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionStalled); stalled != nil && stalled.Status == metav1.ConditionTrue {
		return judgement{"stalled: see MESSAGE in -o wide", rankAct}
	}
	switch status.Phase {
	case v1alpha1.PhaseRunning:
		return judgeRunning(job, now)
	case v1alpha1.PhaseCompleted, v1alpha1.PhaseCancelled, v1alpha1.PhaseFailed, v1alpha1.PhaseCompleting:
		verdict := counts(status).Verdict()
		if status.Report != nil && status.Report.Verdict != "" {
			verdict = report.Verdict(status.Report.Verdict)
		}
		return ofVerdict(verdict)
	case v1alpha1.PhaseWaiting:
		return judgement{"waits for a target IP", rankWaiting}
	case v1alpha1.PhasePending:
		return judgement{"has not begun", rankUnclear}
	case v1alpha1.PhaseSuspended:
		return judgement{"suspended", rankWaiting}
	default:
		return judgement{"no status yet: does the operator run?", rankUnmeasured}
	}
}

func judgeRunning(job *v1alpha1.LatencyJob, now time.Time) judgement {
	status := &job.Status
	cadence := time.Duration(job.Spec.CadenceSeconds) * time.Second
	if status.AsOf != nil && now.Sub(status.AsOf.Time) > staleAfter+cadence {
		return judgement{fmt.Sprintf("no news for %s: does the operator run?", report.Duration(now.Sub(status.AsOf.Time).Truncate(time.Minute))), rankUnmeasured}
	}
	if ready := meta.FindStatusCondition(status.Conditions, v1alpha1.ConditionReady); ready != nil && ready.Reason == v1alpha1.ReasonSpreeDBUnavailable {
		return judgement{"measuring fails: SpreeDB is away", rankUnmeasured}
	}
	if last := status.Last; last != nil && last.MissesInARow >= report.OutageAfter {
		return judgement{fmt.Sprintf("silent now, %d misses in a row", last.MissesInARow), rankSilent}
	}
	if status.Samples.Total == 0 && now.Sub(job.Spec.StartedAt.Time) < justBegun+cadence {
		return judgement{"just begun", rankUnclear}
	}
	return ofVerdict(counts(status).Verdict())
}

// counts is the report that a status can give: its counts, without what depends on the order of samples.
func counts(status *v1alpha1.LatencyJobStatus) *report.Report {
	s := status.Samples
	return &report.Report{Success: s.Success, Missed: s.Missed, SystemError: s.SystemError}
}

func ofVerdict(v report.Verdict) judgement {
	words := lowerFirst(render.Title(v))
	switch v {
	case report.DeviceSilent:
		return judgement{words, rankSilent}
	case report.DeviceDropped, report.Lossy:
		return judgement{words, rankLoss}
	case report.MeasuringFailed, report.NothingMeasured:
		return judgement{words, rankUnmeasured}
	case report.Healthy:
		return judgement{words, rankWell}
	default:
		return judgement{words, rankUnclear}
	}
}

// lossOf is the loss as a number, to sort by; -1 without samples.
func lossOf(job *v1alpha1.LatencyJob) float64 {
	if loss, ok := counts(&job.Status).Loss(); ok {
		return loss
	}
	return -1
}

// newestFirst compares by start.
func newestFirst(a, b *v1alpha1.LatencyJob) int {
	return cmp.Or(b.Spec.StartedAt.Compare(a.Spec.StartedAt.Time), cmp.Compare(a.Name, b.Name))
}
