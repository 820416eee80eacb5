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
	closed   bool // each slot of the job that ended has its outcome in the database
	ledger   *ledger.Ledger
	held     int       // outcomes of the job that are not stored yet
	hold     time.Time // until then no poll begins
	waits    bool      // the limits that protect SpreeDB left no room for the open slot so far
}

// decision is what to do about a job now.
type decision struct {
	phase v1alpha1.JobPhase
	// skip lists the slots, up to and including through, that nobody asked in. Slots that are accounted for are not in it.
	skip *skip
	// poll is the slot to poll now; -1 for none.
	poll int64
	// settling says that the job is over and something of it remains to be done.
	settling bool
	// close says that nothing of it is on its way any more, so that its books can be closed.
	close bool
	// wake is when to decide again; zero for never, unless something happens.
	wake time.Time
}

type skip struct {
	through int64
	why     ledger.Reason
}

// decide says what to do about a job at now:
//   - a job that no row stands behind, or whose row is gone, is left alone;
//   - a job that ended, in the app or here, is over; its books are closed once its poll in flight and its samples are through;
//   - a job before its start waits for it;
//   - a job past its end is finished, once its poll in flight and its samples are through;
//   - a suspended job lets its slots pass;
//   - a job without a target leaves the current slot open, in case one comes;
//   - any other job polls the current slot, unless that has an outcome, or the poll before it still runs, or it is held: while
//     the database is asked what came before, or because too many slots are late at once.
func decide(v view, now time.Time) decision {
	switch grid := gridOf(v.spec); {
	case !v.mirrored || v.gone:
		return decision{poll: -1}
	case v.spec.State != v1alpha1.StateRunning:
		return settling(v, finalPhase(v.spec.State))
	case v.ended != "":
		return settling(v, finalPhase(v.ended))
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
	case now.Before(v.hold):
		d.phase = v1alpha1.PhaseRunning
		d.wake = earliest(d.wake, v.hold)
	default:
		d.phase = v1alpha1.PhaseRunning
		d.skip = &skip{slot - 1, unpolled(v)}
		if v.ledger.First(grid) <= slot {
			d.poll = slot
		}
	}
	return d
}

// atEnd decides about a job whose duration has passed.
func atEnd(v view, grid schedule.Grid) decision {
	d := settling(v, v1alpha1.PhaseCompleting)
	d.skip = &skip{grid.Slots() - 1, idleReason(v.spec)}
	if d.skip.why == ledger.OperatorDown {
		d.skip.why = unpolled(v)
	}
	return d
}

// unpolled is why nobody asked in slots that passed although the job could have been polled.
func unpolled(v view) ledger.Reason {
	if v.waits {
		return ledger.Overload
	}
	return ledger.OperatorDown
}

// settling decides about a job that is over.
func settling(v view, phase v1alpha1.JobPhase) decision {
	return decision{
		phase: phase, poll: -1, settling: !v.closed,
		close: !v.closed && !v.ledger.InFlight() && v.held == 0,
	}
}

// endOf is the status that the row of a job gets whose duration has passed, and whose account this is.
func endOf(spec *v1alpha1.LatencyJobSpec, account *ledger.Account) v1alpha1.JobState {
	if spec.TargetIP == "" && !account.MeasuredSince(spec.StartedAt.Time) {
		return v1alpha1.StateFailed
	}
	return v1alpha1.StateCompleted
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

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
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
