// Package controllers holds the reconcilers: the sync controller mirrors the rows of Sound Check into LatencyJobs, the
// LatencyJob reconciler decides slot by slot what to poll, the completion reconciler ends jobs in the database, and the
// status reconciler writes what people see.
package controllers

import (
	"context"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/ledger"
	"github.com/soundcheck-io/latency-operator/internal/sample"
)

const (
	// forgetAfter is how long a job is remembered after its LatencyJob is gone: one deleted by hand comes back at the
	// next sync and goes on where it was.
	forgetAfter = 10 * time.Minute
	// soonest is the least time until a requeue: controller-runtime takes zero for never.
	soonest = time.Millisecond
	// longest is the most: a timer does not notice when the clock is set, so a decision is never further away.
	longest = time.Minute
	// askFirst is how long the first poll of a job waits for the database to tell what came before: a new process would not
	// know the round-trip time that the jitter is taken to.
	askFirst = 1500 * time.Millisecond
	// goneFor is how long a job is not polled whose row does not exist. By then its LatencyJob has been taken away, or the row
	// is there after all: the process that mirrors may be another, and cannot tell this one.
	goneFor = 2 * time.Minute
)

// Outbox takes the samples that were measured.
type Outbox interface {
	// Put takes responsibility for a sample, or says why not. It does not wait for the database.
	Put(s sample.Sample) error
	// PutGap takes responsibility for a gap, which may be a longer form of one that it took before.
	PutGap(g sample.Gap)
	// Pending counts the outcomes of a job that it holds.
	Pending(jobID string) int
	// Overtaking tells whether it delivers newer samples before older ones at present.
	Overtaking() bool
	// Inherited counts those of a job that an earlier process left.
	Inherited(jobID string) int
	// LastRTT is the newest successful round-trip time among these, in milliseconds, and when it was due.
	LastRTT(jobID string) (rtt float64, due time.Time, ok bool)
	// Forget drops what is remembered about a job that is over.
	Forget(jobID string)
	// Resume tells the highest sequence number that a job's samples have, where it is known.
	Resume(jobID string, highest int64)
	// Highest is the highest sequence number given to a sample of the job; -1 when none is known.
	Highest(jobID string) int64
}

// Observer is told what the reconcilers did.
type Observer interface {
	// Polled is called after each poll that yielded a sample: how late it was sent, and how long the answer took.
	Polled(status sample.Status, lateness, took time.Duration, at time.Time)
	// Unmeasured is called when slots turned out to have no sample.
	Unmeasured(why ledger.Reason, slots int64)
	// StatusWritten is called after each status that was written to the API server.
	StatusWritten()
	// Synced is called after each sync that went through, with the number of rows that cannot be mirrored as they are.
	Synced(at time.Time, invalid int)
}

// LatencyJobReconciler decides, for one job at a time, what to do in the current slot, and comes back at the next.
// Polls run beside it, so that it never waits for the network.
type LatencyJobReconciler struct {
	Clock       clock.PassiveClock
	Board       *Board
	Poller      *Poller
	Outbox      Outbox
	Ownership   Ownership
	Observer    Observer
	Health      *PollHealth
	Completions *CompletionReconciler
	Statuses    *StatusReconciler
	Auditor     *Auditor
	// PollTimeout is how long one request to SpreeDB may take; see schedule.Deadline.
	PollTimeout time.Duration
	// Workers is how many jobs are decided about at once.
	Workers int
	// Lag is how long it takes at most, when all is well, until a change of a row arrives.
	Lag time.Duration
	// Cached is the LatencyJobs that there are.
	Cached *Cached

	log  logr.Logger
	bell *bell
	late *rate.Limiter // of the polls of slots that are late, those that need not wait
}

// SetupWithManager registers the reconciler. Reconciling wakes only on changes of the spec and on the clock.
func (r *LatencyJobReconciler) SetupWithManager(mgr ctrl.Manager, namespace string) error {
	r.log = mgr.GetLogger().WithName("latencyjob")
	r.bell = &bell{namespace: namespace}
	quiet := terse(r.log)
	r.late = rate.NewLimiter(latePerSecond, lateAtOnce)
	r.Poller.called(r.Wake)
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.LatencyJob{}, builder.WithPredicates(specChanged)).
		Named("latencyjob").
		WatchesRawSource(r.bell.source()).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: r.Workers,
			NeedLeaderElection:      new(false),
			NewQueue:                unmetered,
			LogConstructor:          func(*reconcile.Request) logr.Logger { return quiet },
		}).
		Complete(r)
}

// Wake has a job decided about now.
func (r *LatencyJobReconciler) Wake(jobID string) { r.bell.ring(jobID, urgent) }

// specChanged lets through what decisions and messages are made from: spec, labels and annotations, and not our own status
// writes.
var specChanged = predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, predicate.LabelChangedPredicate{}, predicate.AnnotationChangedPredicate{})

// Reconcile decides about one job and acts on it.
func (r *LatencyJobReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	job, err := r.Cached.Get(ctx, req.Name)
	if err != nil {
		return ctrl.Result{}, err
	}
	if job == nil {
		return r.absent(req.Name), nil
	}
	if r.Poller.Draining() {
		return ctrl.Result{}, nil
	}
	now := r.Clock.Now()
	mine, since := r.owns(job, now)
	if !mine {
		r.release(job, now)
		return ctrl.Result{}, nil
	}
	e := r.Board.entry(job)

	e.mu.Lock()
	defer e.mu.Unlock()
	e.absentSince = time.Time{}
	e.leaving = false
	r.adopt(e, job, now, since)
	e.follow(job, now, r.Lag)
	e.wake = time.Time{}
	if left := e.gone.Add(goneFor).Sub(now); left > 0 {
		r.quit(e, job.Name)
		return ctrl.Result{RequeueAfter: left, Priority: new(routine)}, nil
	} else if !e.gone.IsZero() {
		e.gone = time.Time{}
		r.Outbox.Forget(job.Name)
	}
	d := r.decide(e, job, now)
	r.act(e, job, d, now)
	if d.wake.IsZero() {
		return ctrl.Result{}, nil
	}
	e.wake = now.Add(d.wake.Sub(now)) // which keeps the monotonic reading: setting the clock makes nothing overdue
	// A requeue keeps the priority that the key came with, which is low for everything found at start: say it.
	return ctrl.Result{RequeueAfter: min(max(d.wake.Sub(r.Clock.Now()), soonest), longest), Priority: new(routine)}, nil
}

// decide decides about a job. The caller holds e.mu.
func (r *LatencyJobReconciler) decide(e *entry, job *v1alpha1.LatencyJob, now time.Time) decision {
	d := decide(e.view(job, r.Outbox.Pending(job.Spec.JobID)), now)
	if d.poll < 0 {
		r.quit(e, job.Name)
		return d
	}
	due := e.grid.Due(d.poll)
	if e.waits || !e.ramp.IsZero() || now.Sub(due) < lateAfter || r.late.AllowN(now, 1) {
		return d
	}
	e.ramp = now.Add(ramp(job.Name, due.Add(e.grid.Cadence).Sub(now)))
	d.poll, d.wake = -1, earliest(d.wake, e.ramp)
	return d
}

// owns tells whether the job is this process's to decide about, and since which hand-over. One that was handed over still is
// while the slot is open that came due before, for some seconds.
func (r *LatencyJobReconciler) owns(job *v1alpha1.LatencyJob, now time.Time) (mine bool, since time.Time) {
	if mine, since = r.Ownership.Owns(job.Name, now); mine {
		return true, since
	}
	e := r.Board.lookup(job.Name)
	grid := gridOf(&job.Spec)
	slot := grid.At(now)
	if e == nil || slot < 0 || !now.Before(grid.End()) || job.Spec.State != v1alpha1.StateRunning {
		return false, time.Time{}
	}
	e.mu.Lock()
	open := e.ledger.First(grid) <= slot
	e.mu.Unlock()
	if !open {
		return false, time.Time{}
	}
	due, _ := r.Ownership.Owns(job.Name, grid.Due(slot))
	lately, _ := r.Ownership.Owns(job.Name, now.Add(-overtime))
	return due && lately, time.Time{}
}

// quit gives up the place in the line at the gate. The caller holds e.mu.
func (r *LatencyJobReconciler) quit(e *entry, name string) {
	if e.waits {
		e.waits = false
		r.Poller.gate.Quit(name)
	}
}

// release lets a job go that another process polls now. What was measured of it is still delivered.
func (r *LatencyJobReconciler) release(job *v1alpha1.LatencyJob, now time.Time) {
	name := job.Name
	e := r.Board.lookup(name)
	if e == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.waits || !e.ramp.IsZero() { // in vain, and nobody else can know why
		ours := e.grid.At(now)
		if mine, _ := r.Ownership.Owns(name, e.grid.Due(ours)); !mine {
			ours--
		}
		r.skip(e, job.Spec.JobID, &skip{through: ours, why: ledger.Overload})
	}
	r.quit(e, name)
	e.wake = time.Time{}
	if e.leaving = e.ledger.InFlight(); !e.leaving {
		r.drop(name)
	}
}

// drop forgets a job.
func (r *LatencyJobReconciler) drop(name string) {
	r.Board.forget(name)
	r.Outbox.Forget(name)
}

// adopt begins with a job that this process has not seen before, and has had since a hand-over or, if that is zero, always. The
// outbox learns its highest number if the status can be trusted with it, and the database is asked what became of the slots
// that the status does not cover: after a hand-over not before whoever polled the job until then must have delivered what it
// measured. The caller holds e.mu.
func (r *LatencyJobReconciler) adopt(e *entry, job *v1alpha1.LatencyJob, now, since time.Time) {
	if e.adopted || job.Labels[v1alpha1.MirroredLabel] != v1alpha1.MirroredValue {
		return
	}
	e.adopted = true
	id := job.Spec.JobID
	if highest, ok := numberedUntil(job); ok {
		r.Outbox.Resume(id, highest)
	}
	if rtt, due, ok := r.Outbox.LastRTT(id); ok {
		e.ledger.Recall(ledger.Duration(rtt), due)
	}
	if job.Spec.State == v1alpha1.StateRunning && e.end.state == "" {
		grid := gridOf(&job.Spec)
		theirs := grid.Due(grid.At(now)).Before(since)
		e.ledger.Adopt(grid, now, theirs, idleReason(&job.Spec))
		switch {
		case !since.IsZero():
			e.since = since
		case job.Status.ObservedGeneration > 0: // another process may have measured it until now
			// Waiting must not cost the slot that it is for.
			e.hold = earliest(now.Add(askFirst), grid.Due(grid.At(now)+1).Add(-grid.Cadence/10))
		}
		r.Auditor.Need(id, e)
	}
}

// absent deals with a LatencyJob that does not exist: it is forgotten some time later.
func (r *LatencyJobReconciler) absent(name string) ctrl.Result {
	e := r.Board.lookup(name)
	if e == nil {
		return ctrl.Result{}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.gone.IsZero() { // nothing of it is worth keeping, and should it be made again, its row is there
		r.drop(name)
		return ctrl.Result{}
	}
	now := r.Clock.Now()
	if e.absentSince.IsZero() {
		e.absentSince = now
		r.quit(e, name)
	}
	if left := e.absentSince.Add(forgetAfter).Sub(now); left > 0 {
		return ctrl.Result{RequeueAfter: left, Priority: new(routine)}
	}
	r.drop(name)
	return ctrl.Result{}
}

// act carries out a decision. The caller holds e.mu.
func (r *LatencyJobReconciler) act(e *entry, job *v1alpha1.LatencyJob, d decision, now time.Time) {
	e.decided = d.phase
	skipped := r.skip(e, job.Spec.JobID, d.skip)
	if d.poll >= 0 {
		r.poll(e, job, d.poll, now)
	}
	if d.settling {
		r.Completions.bell.ring(job.Name, routine)
	}
	switch {
	case d.phase != e.phase || d.phase != job.Status.Phase:
		r.Statuses.mark(e, job.Name, urgent)
	case skipped > 0 || job.Status.ObservedGeneration != job.Generation || !strings.Contains(job.Status.Message, job.Annotations[v1alpha1.RowProblemAnnotation]):
		r.Statuses.mark(e, job.Name, routine)
	}
}

func (r *LatencyJobReconciler) skip(e *entry, jobID string, s *skip) int64 {
	if s == nil {
		return 0
	}
	n, lost := e.ledger.Skip(e.grid, s.through, s.why)
	r.lose(jobID, lost)
	if n > 0 && s.why == ledger.OperatorDown {
		r.Auditor.Need(jobID, e)
	}
	return n
}

// lose hands gaps over.
func (r *LatencyJobReconciler) lose(jobID string, lost []ledger.Unmeasured) {
	handOver(r.Outbox, r.Observer, jobID, lost)
}

// handOver hands the gaps of a job to the outbox, and counts their slots.
func handOver(box Outbox, observer Observer, jobID string, lost []ledger.Unmeasured) {
	for _, u := range lost {
		observer.Unmeasured(u.Gap.Reason, u.Slots)
		box.PutGap(u.Gap.Of(jobID))
	}
}
