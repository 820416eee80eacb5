// Package controllers holds the reconcilers: the sync controller mirrors the rows of Sound Check into LatencyJobs, the
// LatencyJob reconciler decides slot by slot what to poll, the completion reconciler ends jobs in the database, and the
// status reconciler writes what people see.
package controllers

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/ledger"
	"github.com/soundcheck-io/latency-operator/internal/outbox"
	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/schedule"
	"github.com/soundcheck-io/latency-operator/internal/spreedb"
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

// Ownership decides who polls a job: one process polls all of them, several share them.
type Ownership interface {
	Owns(jobID string) bool
}

// Everything is the Ownership of a process that is alone.
type Everything struct{}

// Owns reports true.
func (Everything) Owns(string) bool { return true }

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
	client.Client
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

	log  logr.Logger
	bell *bell
}

// SetupWithManager registers the reconciler. Reconciling wakes only on changes of the spec and on the clock.
func (r *LatencyJobReconciler) SetupWithManager(mgr ctrl.Manager, namespace string) error {
	r.log = mgr.GetLogger().WithName("latencyjob")
	r.bell = &bell{namespace: namespace}
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.LatencyJob{}, builder.WithPredicates(specChanged)).
		Named("latencyjob").
		WatchesRawSource(r.bell.source()).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: r.Workers,
			NeedLeaderElection:      new(false),
			LogConstructor:          func(*reconcile.Request) logr.Logger { return r.log },
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
	var job v1alpha1.LatencyJob
	if err := r.Get(ctx, req.NamespacedName, &job); err != nil {
		if !apierrors.IsNotFound(err) {
			return ctrl.Result{}, err
		}
		return r.absent(req.Name), nil
	}
	if !r.Ownership.Owns(job.Spec.JobID) || r.Poller.Draining() {
		return ctrl.Result{}, nil
	}
	e := r.Board.entry(&job)

	e.mu.Lock()
	defer e.mu.Unlock()
	now := r.Clock.Now()
	e.absentSince = time.Time{}
	r.adopt(e, &job, now)
	e.follow(&job, now, r.Lag)
	if e.gone {
		e.wake = time.Time{}
		return ctrl.Result{}, nil
	}
	d := decide(e.view(&job, r.Outbox.Pending(job.Spec.JobID)), now)
	r.act(e, &job, d, now)
	e.wake = time.Time{}
	if d.wake.IsZero() {
		return ctrl.Result{}, nil
	}
	e.wake = now.Add(d.wake.Sub(now)) // which keeps the monotonic reading: setting the clock makes nothing overdue
	// A requeue keeps the priority that the key came with, which is low for everything found at start: say it.
	return ctrl.Result{RequeueAfter: min(max(d.wake.Sub(r.Clock.Now()), soonest), longest), Priority: new(routine)}, nil
}

// adopt begins with a job that this process has not seen before: the outbox learns its highest number if the status can be
// trusted with it, and the database is asked what became of the slots that the status does not cover. The caller holds e.mu.
func (r *LatencyJobReconciler) adopt(e *entry, job *v1alpha1.LatencyJob, now time.Time) {
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
		e.ledger.Adopt(grid, now, idleReason(&job.Spec))
		if job.Status.ObservedGeneration > 0 { // another process may have measured it until now
			// Waiting must not cost the slot that it is for.
			e.hold = earliest(now.Add(askFirst), grid.Due(grid.At(now)+1).Add(-grid.Cadence/10))
		}
		r.Auditor.Need()
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
	now := r.Clock.Now()
	if e.absentSince.IsZero() {
		e.absentSince = now
	}
	if left := e.absentSince.Add(forgetAfter).Sub(now); left > 0 {
		return ctrl.Result{RequeueAfter: left, Priority: new(routine)}
	}
	r.Board.forget(name)
	r.Outbox.Forget(name)
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
		r.Auditor.Need()
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

// poll begins the poll of a slot, or notes that the limits leave no room for it.
func (r *LatencyJobReconciler) poll(e *entry, job *v1alpha1.LatencyJob, slot int64, now time.Time) {
	id := job.Spec.JobID
	target, err := netip.ParseAddr(job.Spec.TargetIP)
	if err != nil { // the API server has checked it; whoever gets around that gets a visible reason
		r.skip(e, id, &skip{slot, ledger.NoTarget})
		return
	}
	p := polling{entry: e, name: job.Name, jobID: id, grid: e.grid, slot: slot, sent: now.UTC().Truncate(time.Microsecond)}
	if !r.Poller.start(target, schedule.Deadline(e.grid.Cadence, r.PollTimeout), func(res spreedb.Result) { r.finish(p, res) }) {
		r.skip(e, id, &skip{slot, ledger.Overload})
		return
	}
	e.ledger.Begin(e.grid, slot)
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
	if over {
		r.bell.ring(p.name, urgent)
	}
}

// refused deals with a sample that the outbox does not take. The caller holds the entry.
func (r *LatencyJobReconciler) refused(p polling, err error) {
	lost := p.entry.ledger.Abandon(ledger.OperatorDown)
	if errors.Is(err, outbox.ErrJobGone) {
		p.entry.gone = true
		return
	}
	r.lose(p.jobID, lost)
	r.log.Error(err, "Sample was not taken", "job", p.jobID, "slot", p.slot)
}
