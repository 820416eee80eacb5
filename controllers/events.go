package controllers

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
)

// transition is one thing that happened to a job and is worth telling.
type transition struct {
	kind   string // Normal or Warning
	reason string
	note   string
}

// The reasons of the events on a LatencyJob.
const (
	EventStarted    = "Started"
	EventWaiting    = "Waiting"
	EventSuspended  = "Suspended"
	EventResumed    = "Resumed"
	EventTargetDown = "TargetDown"
	EventTargetUp   = "TargetUp"
	EventCompleted  = "Completed"
	EventCancelled  = "Cancelled"
	EventFailed     = "Failed"
)

// told is what people were last told about a job.
type told struct {
	phase v1alpha1.JobPhase
	down  bool
}

// transitions lists what happened to a job between two statuses. Only the job's own affairs are in it: what hits every
// job at once is told once, on the operator's pod.
func transitions(before told, after *v1alpha1.LatencyJobStatus) []transition {
	var list []transition
	add := func(kind, reason, note string) { list = append(list, transition{kind, reason, note}) }
	if before.phase != after.Phase {
		switch after.Phase {
		case v1alpha1.PhaseRunning:
			if before.phase == v1alpha1.PhaseSuspended {
				add(corev1.EventTypeNormal, EventResumed, "Measuring goes on")
			} else {
				add(corev1.EventTypeNormal, EventStarted, "Measuring has begun")
			}
		case v1alpha1.PhaseWaiting:
			add(corev1.EventTypeWarning, EventWaiting, after.Message)
		case v1alpha1.PhaseSuspended:
			add(corev1.EventTypeNormal, EventSuspended, after.Message)
		case v1alpha1.PhaseCompleted:
			add(corev1.EventTypeNormal, EventCompleted, after.Message)
		case v1alpha1.PhaseCancelled:
			add(corev1.EventTypeNormal, EventCancelled, after.Message)
		case v1alpha1.PhaseFailed:
			add(corev1.EventTypeWarning, EventFailed, after.Message)
		default:
		}
	}
	switch down := isDown(after); {
	case down && !before.down:
		add(corev1.EventTypeWarning, EventTargetDown, fmt.Sprintf("The device has stopped answering: %d polls in a row without an answer (%s)", after.Last.MissesInARow, after.LastError.Message))
	case !down && before.down && after.Phase == v1alpha1.PhaseRunning:
		add(corev1.EventTypeNormal, EventTargetUp, "The device answers again")
	}
	return list
}
