package controllers

import (
	"errors"
	"net/netip"
	"time"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/ledger"
	"github.com/soundcheck-io/latency-operator/internal/outbox"
	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/schedule"
	"github.com/soundcheck-io/latency-operator/internal/spreedb"
)

// poll begins the poll of a slot. If the limits leave no room for it, the job waits until its turn comes or the slot is over.
func (r *LatencyJobReconciler) poll(e *entry, job *v1alpha1.LatencyJob, slot int64, now time.Time) {
	id := job.Spec.JobID
	target, err := netip.ParseAddr(job.Spec.TargetIP)
	if err != nil { // the API server has checked it; whoever gets around that gets a visible reason
		r.skip(e, id, &skip{slot, ledger.NoTarget})
		return
	}
	p := polling{entry: e, name: job.Name, jobID: id, grid: e.grid, slot: slot, sent: now.UTC().Truncate(time.Microsecond)}
	e.waits = !r.Poller.start(id, e.polled, target, schedule.Deadline(e.grid.Cadence, r.PollTimeout), func(res spreedb.Result) { r.finish(p, res) })
	if !e.waits {
		e.ramp, e.polled = time.Time{}, now
		e.ledger.Begin(e.grid, slot)
	}
}

// polling is a poll in flight.
type polling struct {
	entry *entry
	name  string
	jobID string
	grid  schedule.Grid
	slot  int64
	sent  time.Time
}

// finish records what a poll found. It runs beside the reconcilers.
func (r *LatencyJobReconciler) finish(p polling, res spreedb.Result) {
	e := p.entry
	e.mu.Lock()
	defer e.mu.Unlock()
	now := r.Clock.Now()
	over := !now.Before(p.grid.End())
	if res.Aborted {
		r.lose(p.jobID, e.ledger.Abandon(ledger.OperatorDown))
		return
	}
	due := p.grid.Due(p.slot).UTC().Truncate(time.Microsecond)
	outcome := ledger.Outcome{
		Sample: sample.Sample{
			JobID: p.jobID, Slot: p.slot, Cadence: p.grid.Cadence, ScheduledAt: due, RecordedAt: p.sent,
			Status: res.Status, RTT: res.RTT, Jitter: e.ledger.Jitter(res.RTT),
		},
		Message: res.Message, Poller: res.Poller,
	}
	e.delivered(r.Outbox, p.jobID)
	if err := r.Outbox.Put(outcome.Sample); err != nil {
		r.refused(p, err)
		return
	}
	wasDown := e.ledger.Down()
	r.lose(p.jobID, e.ledger.Finish(outcome))
	r.Observer.Polled(res.Status, p.sent.Sub(due), now.Sub(p.sent), now)
	r.Health.Note(res.Status, res.Message, now)
	r.log.V(1).Info("Polled", "job", p.jobID, "slot", p.slot, "status", res.Status, "message", res.Message)
	priority := routine
	if e.ledger.Down() != wasDown {
		priority = urgent
	}
	r.Statuses.mark(e, p.name, priority)
	if over || e.leaving {
		r.bell.ring(p.name, urgent)
	}
}

// refused deals with a sample that the outbox does not take. The caller holds the entry.
func (r *LatencyJobReconciler) refused(p polling, err error) {
	lost := p.entry.ledger.Abandon(ledger.OperatorDown)
	if errors.Is(err, outbox.ErrJobGone) {
		p.entry.gone = r.Clock.Now()
		return
	}
	r.lose(p.jobID, lost)
	r.log.Error(err, "Sample was not taken", "job", p.jobID, "slot", p.slot)
}
