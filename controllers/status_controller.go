package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/soundcheck-io/latency-operator/api/applyconfiguration/api/v1alpha1"
	latencyv1alpha1 "github.com/soundcheck-io/latency-operator/api/v1alpha1"
)

const (
	// StatusOwner is the field manager of the status.
	StatusOwner = "latency-operator"
	// undeliveredCheck is how soon a status is looked at again that says that samples wait for their delivery.
	undeliveredCheck = 15 * time.Second
	// oldCRDFor is how long no report is sent after the CRD turned out to have none.
	oldCRDFor = time.Minute
	// lastWriters is how many statuses are written at once at the end of the process.
	lastWriters = 16
)

// StatusReconciler is the one place that writes the status of LatencyJobs. A job that is marked waits in its queue, once
// however often it is marked; what is written is the picture at the time of writing. So a small installation sees every
// sample, and a large one a fair round of all jobs under the budget, transitions first.
type StatusReconciler struct {
	client.Client
	Clock    clock.PassiveClock
	Board    *Board
	Outbox   Outbox
	Observer Observer
	// Delivery tells how the outbox fares.
	Delivery func() Delivery
	// Recorder takes the events on a job's own transitions, after the status that shows them was written.
	Recorder events.EventRecorder
	// Budget holds the status writes per second.
	Budget *rate.Limiter

	bell *bell
	// oldCRD is about a CRD that has no report: whether that was told, and until when it is not tried again, if it was.
	oldCRD struct {
		told  sync.Once
		until atomic.Pointer[time.Time]
	}
}

// SetupWithManager registers the reconciler. It is only ever woken by mark.
func (r *StatusReconciler) SetupWithManager(mgr ctrl.Manager, namespace string) error {
	log := mgr.GetLogger().WithName("status")
	r.bell = &bell{namespace: namespace}
	return builder.ControllerManagedBy(mgr).
		Named("status").
		WatchesRawSource(r.bell.source()).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: 4,
			NeedLeaderElection:      new(false),
			NewQueue:                unmetered,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](time.Second, time.Minute),
			LogConstructor:          func(*reconcile.Request) logr.Logger { return log },
		}).
		Complete(r)
}

// mark asks for the job's status to be written.
func (r *StatusReconciler) mark(e *entry, name string, priority int) {
	if !e.dirty.Swap(true) || priority > routine {
		r.bell.ring(name, priority)
	}
}

// Reconcile writes the status of one job, if there is anything new to write.
func (r *StatusReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	e := r.Board.lookup(req.Name)
	if e == nil {
		return ctrl.Result{}, nil
	}
	waits, err := r.write(ctx, req.NamespacedName, e, r.Budget.Wait)
	if err != nil || !waits {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: undeliveredCheck, Priority: new(routine)}, nil
}

// Flush writes, at the end of the process, the statuses that are still to be written, as far as ctx allows: the next
// process goes on from them, so no budget holds them back.
func (r *StatusReconciler) Flush(ctx context.Context) {
	var group errgroup.Group
	group.SetLimit(lastWriters)
	for _, m := range r.Board.snapshot() {
		if !m.entry.dirty.Load() {
			continue
		}
		group.Go(func() error {
			if ctx.Err() == nil {
				_, _ = r.write(ctx, types.NamespacedName{Namespace: r.bell.namespace, Name: m.id}, m.entry, nil) // the next process writes it
			}
			return nil
		})
	}
	_ = group.Wait() // nothing above returns an error
}

// write brings the status of a job up to date, if there is anything new, once the budget lets it. It tells whether the
// status says that samples wait for their delivery, which ends without anything happening to the job.
func (r *StatusReconciler) write(ctx context.Context, key types.NamespacedName, e *entry, budget func(context.Context) error) (waits bool, err error) {
	e.dirty.Store(false) // before anything is read: what comes later asks again
	var job latencyv1alpha1.LatencyJob
	if err := r.Get(ctx, key, &job); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	status, differs := r.picture(e, &job)
	waits = !meta.IsStatusConditionTrue(status.Conditions, latencyv1alpha1.ConditionDelivered) && !isFinal(status.Phase) && status.Phase != ""
	if !differs {
		return waits, nil
	}
	err = r.send(ctx, &job, &status, budget)
	if err != nil && strings.Contains(err.Error(), ".status.report: field not declared in schema") {
		r.reportRefused(ctx)
		status.Report = nil
		if sameStatus(&job.Status, &status) {
			return waits, nil
		}
		err = r.send(ctx, &job, &status, budget)
	}
	if errors.Is(err, errStopping) {
		e.dirty.Store(true)
		return false, nil // Flush writes what is left
	}
	if err != nil {
		if apierrors.IsNotFound(err) {
			return false, nil // deleted meanwhile; should it come back, its reconciler asks
		}
		e.dirty.Store(true)
		return false, fmt.Errorf("write status of job %s: %w", job.Name, err)
	}
	r.Observer.StatusWritten()
	e.mu.Lock()
	before := told{e.phase, e.down}
	e.phase, e.down = status.Phase, isDown(&status)
	e.mu.Unlock()
	for _, t := range transitions(before, &status) {
		r.Recorder.Eventf(&job, nil, t.kind, t.reason, "Measure", "%s", t.note)
	}
	return waits, nil
}

// errStopping says that a status was not sent, because the process is stopping.
var errStopping = errors.New("the process is stopping")

// send is apply, once the budget lets it.
func (r *StatusReconciler) send(ctx context.Context, job *latencyv1alpha1.LatencyJob, status *latencyv1alpha1.LatencyJobStatus, budget func(context.Context) error) error {
	if budget != nil && budget(ctx) != nil {
		return errStopping
	}
	return r.apply(ctx, job, status)
}

// reportRefused takes note that the CRD has no report: none is sent for a while.
func (r *StatusReconciler) reportRefused(ctx context.Context) {
	r.oldCRD.told.Do(func() {
		logr.FromContextOrDiscard(ctx).Info("LatencyJobs get no report, because their CRD is older than the operator: apply config/crd")
	})
	r.oldCRD.until.Store(new(r.Clock.Now().Add(oldCRDFor)))
}

// takesReports tells whether the CRD is to be tried with a report.
func (r *StatusReconciler) takesReports() bool {
	until := r.oldCRD.until.Load()
	return until == nil || !r.Clock.Now().Before(*until)
}

// picture computes the status of a job as it stands, and tells whether it says anything new.
func (r *StatusReconciler) picture(e *entry, job *latencyv1alpha1.LatencyJob) (latencyv1alpha1.LatencyJobStatus, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.gone.IsZero() {
		return latencyv1alpha1.LatencyJobStatus{}, false
	}
	// Asked under the lock: a poll that ends hands its sample over under it.
	held := r.Outbox.Pending(job.Spec.JobID)
	e.delivered(r.Outbox, job.Spec.JobID)
	now := r.Clock.Now()
	v := e.view(job, held)
	status := statusOf(job, facts{
		decision: decide(v, now),
		ledger:   &e.ledger,
		endedAt:  e.closed.at,
		rejected: e.rejected,
		closed:   v.closed,
		report:   e.closed.report,
		held:     held,
		delivery: r.Delivery(),
		sequence: r.Outbox.Highest(job.Spec.JobID),
	}, now)
	if !r.takesReports() {
		status.Report = nil
	}
	return status, !sameStatus(&job.Status, &status)
}

// sameStatus tells whether two statuses differ in nothing but when they were written.
func sameStatus(a, b *latencyv1alpha1.LatencyJobStatus) bool {
	x, y := *a, *b
	x.AsOf, y.AsOf = nil, nil
	return equality.Semantic.DeepEqual(x, y)
}

// apply sends the whole status: what is left out of an apply is removed.
func (r *StatusReconciler) apply(ctx context.Context, job *latencyv1alpha1.LatencyJob, status *latencyv1alpha1.LatencyJobStatus) error {
	raw, err := json.Marshal(status)
	if err != nil {
		return err
	}
	config := v1alpha1.LatencyJobStatus()
	if err := json.Unmarshal(raw, config); err != nil {
		return err
	}
	return r.Status().Apply(ctx, v1alpha1.LatencyJob(job.Name, job.Namespace).WithStatus(config),
		client.FieldOwner(StatusOwner), client.ForceOwnership)
}
