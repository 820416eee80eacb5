package controllers

import (
	"fmt"
	"time"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/ledger"
)

// maxText is how many characters a sentence for people has at most, as the API accepts it.
const maxText = 512

// message says in a sentence why the job is in its phase, and what to do if somebody has to do something. It changes only when
// something has happened: figures are beside it in the status.
func message(job *v1alpha1.LatencyJob, f facts) string {
	problem := job.Annotations[v1alpha1.RowProblemAnnotation]
	switch f.decision.phase {
	case v1alpha1.PhasePending:
		return startsAt(job.Spec.StartedAt.Time)
	case v1alpha1.PhaseWaiting:
		return waitsFor(problem)
	case v1alpha1.PhaseSuspended:
		return "Paused by spec.suspend: slots pass without a poll, and the job still ends in time; set it to false to go on"
	case v1alpha1.PhaseCompleting:
		if f.held > 0 {
			return fmt.Sprintf("Its time is over; %d outcomes are not in Sound Check's database yet", f.held)
		}
		return "Its time is over; its last poll ends, or its row in Sound Check is being set to completed"
	case v1alpha1.PhaseCompleted:
		return ended("Ran to its end", f)
	case v1alpha1.PhaseCancelled:
		return ended("Cancelled in Sound Check", f)
	case v1alpha1.PhaseFailed:
		account := f.ledger.Account()
		if account.Totals.Samples() == 0 && account.Unmeasured[ledger.NoTarget] > 0 {
			return "Had no usable target IP through its whole duration; start it anew in Sound Check with one"
		}
		return ended("Set to failed in Sound Check", f)
	case v1alpha1.PhaseRunning:
		return running(f, problem)
	default:
		return "Made by hand: no row in Sound Check stands behind it, so it is never polled; delete it, and start the job in Sound Check"
	}
}

// ended says how a job ended, and what it came to once that is known.
func ended(how string, f facts) string {
	if !f.closed || f.report == nil {
		return how
	}
	return clip(how+". "+f.report.Message, maxText)
}

func startsAt(start time.Time) string { return "Starts at " + clockTime(start) }

// clockTime is an instant for people, to the second.
func clockTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func waitsFor(problem string) string {
	if problem != "" {
		return clip("Waits for a usable target IP, to be entered in Sound Check: "+problem, maxText)
	}
	return "Waits for a target IP: the job has none in Sound Check yet; enter it there"
}

func running(f facts, problem string) string {
	account := f.ledger.Account()
	switch {
	case problem != "":
		return clip("Goes on as it was before its row in Sound Check became unusable; correct the row: "+problem, maxText)
	case account.Away():
		return clip("SpreeDB cannot measure, which says nothing about the device: "+account.LastError.Message, maxText)
	case account.Down():
		return "The device does not answer; it is polled as before"
	case f.ledger.Unknown() > 0:
		return fmt.Sprintf("Measuring; what became of %d slots that this operator did not see is being looked up in Sound Check", f.ledger.Unknown())
	default:
		return "Measuring"
	}
}

// refused says what has become of samples that the database refuses for good.
func refused(why string) string {
	return clip("Sound Check's database refuses samples of this job for good; they are in the operator's log, and their slots count as lost: "+why, maxText)
}
