package controllers

import (
	"fmt"
	"time"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/ledger"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

// What monitor_state says to the technician.
const (
	monitorWaiting      = "waiting"
	monitorMeasuring    = "measuring"
	monitorNotMeasuring = "not_measuring"
)

// reportOf is what the technician should read about a job in a phase, whose row has a problem or none; false when what was told
// last may stay. What hits every job at once is not in it, because that would be a write for each of them: pollers tells it.
func reportOf(phase v1alpha1.JobPhase, problem string, start time.Time, account *ledger.Account) (supabase.Report, bool) {
	switch phase {
	case v1alpha1.PhasePending:
		return supabase.Report{State: monitorWaiting, Message: startsAt(start)}, true
	case v1alpha1.PhaseWaiting:
		return supabase.Report{State: monitorWaiting, Message: waitsFor(problem)}, true
	case v1alpha1.PhaseSuspended:
		return supabase.Report{State: monitorNotMeasuring, Message: "Paused by whoever runs the cluster; the slots that pass meanwhile are not measured"}, true
	case v1alpha1.PhaseRunning:
		switch {
		case problem != "":
			return supabase.Report{State: monitorMeasuring, Message: clip("Goes on as before, because the change cannot be used: "+problem, maxText)}, true
		case account.Down():
			return supabase.Report{State: monitorMeasuring, Message: "The device does not answer"}, true
		default:
			return supabase.Report{State: monitorMeasuring}, true
		}
	default:
		return supabase.Report{}, false
	}
}

// reportOfEnd is what the technician should read about a job that is over. By its first word the optional SQL that removes old
// samples knows that the books are closed: see soundcheck.jobs_to_empty.
func reportOfEnd(state v1alpha1.JobState, account *ledger.Account) supabase.Report {
	said := map[v1alpha1.JobState]string{
		v1alpha1.StateCompleted: "Over",
		v1alpha1.StateCancelled: "Cancelled",
		v1alpha1.StateFailed:    "Failed",
	}[state]
	measured, slots := account.Totals.Samples()-account.Foreign, account.Slots()
	switch {
	case slots == 0:
	case measured == 0 && account.Unmeasured[ledger.NoTarget] > 0:
		said += "; there was no usable target IP"
	case measured == slots:
		said += fmt.Sprintf("; all %d polls were made", slots)
	default:
		said += fmt.Sprintf("; %d of %d polls were made", measured, slots)
	}
	return supabase.Report{State: monitorNotMeasuring, Message: said}
}

// summaryOf is what the app's job list shows.
func summaryOf(account *ledger.Account) supabase.Summary {
	sum := supabase.Summary{Samples: account.Totals.Samples()}
	if mean, ok := account.Totals.RTTMean(); ok {
		sum.AvgRTT = new(ledger.Milliseconds(mean))
	}
	if loss, ok := account.Totals.Loss(); ok {
		sum.LossPercent = new(loss * 100)
	}
	return sum
}
