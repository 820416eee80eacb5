package controllers

import (
	"time"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/ledger"
	"github.com/soundcheck-io/latency-operator/internal/schedule"
)

// view is everything about a job, besides the time, that a decision is made from.
type view struct {
	spec     *v1alpha1.LatencyJobSpec
	mirrored bool // the sync controller made it from a row
	gone     bool // the database refused a sample because the row is gone
	ended    v1alpha1.JobState
	ledger   *ledger.Ledger
	held     int // samples of the job that are not stored yet
}

// decision is what to do about a job now.
type decision struct {
	phase v1alpha1.JobPhase
	// skip lists the slots, up to and including through, that nobody asked in. Slots that are accounted for are not in it.
	skip *skip
	// poll is the slot to poll now; -1 for none.
	poll int64
	// finish is the status to end the row with, once the database confirms it; empty for none.
	finish v1alpha1.JobState
	// wake is when to decide again; zero for never, unless something happens.
	wake time.Time
}

type skip struct {
	through int64
	why     ledger.Reason
}

// decide says what to do about a job at now:
//   - a job that no row stands behind, or whose row is gone, is left alone;
//   - a job that ended, in the app or here, is over;
//   - a job before its start waits for it;
//   - a job past its end is finished, once its poll in flight and its samples are through;
//   - a suspended job lets its slots pass;
//   - a job without a target leaves the current slot open, in case one comes;
//   - any other job polls the current slot, unless that has an outcome or the poll before it still runs.
func decide(v view, now time.Time) decision {
	switch grid := gridOf(v.spec); {
	case !v.mirrored || v.gone:
		return decision{poll: -1}
	case v.spec.State != v1alpha1.StateRunning:
		return decision{phase: finalPhase(v.spec.State), poll: -1}
	case v.ended != "":
		return decision{phase: finalPhase(v.ended), poll: -1}
	case now.Before(grid.Start):
		return decision{phase: v1alpha1.PhasePending, poll: -1, wake: grid.Start}
	case !now.Before(grid.End()):
		return atEnd(v, grid)
	default:
		return within(v, grid, now)
	}
}

// within decides about a job between its start and its end.
func within(v view, grid schedule.Grid, now time.Time) decision {
	slot := grid.At(now)
	d := decision{poll: -1, wake: grid.End()}
	if next := slot + 1; next < grid.Slots() {
		d.wake = grid.Due(next)
	}
	open := v.ledger.First(grid) <= slot
	switch {
	case suspended(v.spec):
		d.phase = v1alpha1.PhaseSuspended
		d.skip = &skip{slot, ledger.Suspended}
	case v.spec.TargetIP == "":
		d.phase = v1alpha1.PhaseWaiting
		d.skip = &skip{slot - 1, ledger.NoTarget}
	case v.ledger.InFlight():
		d.phase = v1alpha1.PhaseRunning
		d.skip = &skip{slot, ledger.Busy}
	default:
		d.phase = v1alpha1.PhaseRunning
		d.skip = &skip{slot - 1, ledger.OperatorDown}
		if open {
			d.poll = slot
		}
	}
	return d
}

// atEnd decides about a job whose duration has passed.
func atEnd(v view, grid schedule.Grid) decision {
	d := decision{phase: v1alpha1.PhaseCompleting, poll: -1, skip: &skip{grid.Slots() - 1, idleReason(v.spec)}}
	if v.ledger.InFlight() || v.held > 0 {
		return d
	}
	d.finish = v1alpha1.StateCompleted
	account := v.ledger.Account()
	if v.spec.TargetIP == "" && account.Totals.Samples() == 0 {
		d.finish = v1alpha1.StateFailed
	}
	return d
}

// idleReason is why nobody asked in slots that passed without a poll.
func idleReason(spec *v1alpha1.LatencyJobSpec) ledger.Reason {
	switch {
	case suspended(spec):
		return ledger.Suspended
	case spec.TargetIP == "":
		return ledger.NoTarget
	default:
		return ledger.OperatorDown
	}
}

func suspended(spec *v1alpha1.LatencyJobSpec) bool { return spec.Suspend != nil && *spec.Suspend }

func gridOf(spec *v1alpha1.LatencyJobSpec) schedule.Grid {
	return schedule.Grid{
		Start:    spec.StartedAt.Time,
		Cadence:  time.Duration(spec.CadenceSeconds) * time.Second,
		Duration: time.Duration(spec.DurationMinutes) * time.Minute,
	}
}

func finalPhase(s v1alpha1.JobState) v1alpha1.JobPhase {
	switch s {
	case v1alpha1.StateCompleted:
		return v1alpha1.PhaseCompleted
	case v1alpha1.StateCancelled:
		return v1alpha1.PhaseCancelled
	default:
		return v1alpha1.PhaseFailed
	}
}

func isFinal(p v1alpha1.JobPhase) bool {
	switch p {
	case v1alpha1.PhaseCompleted, v1alpha1.PhaseCancelled, v1alpha1.PhaseFailed:
		return true
	default:
		return false
	}
}
