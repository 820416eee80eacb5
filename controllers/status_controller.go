package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/api/equality"
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

// StatusOwner is the field manager of the status.
const StatusOwner = "latency-operator"

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
	if err := r.Budget.Wait(ctx); err != nil {
		return ctrl.Result{}, nil //nolint:nilerr // the process is stopping: Flush writes what is left
	}
	e := r.Board.lookup(req.Name)
	if e == nil {
		return ctrl.Result{}, nil
	}
	return ctrl.Result{}, r.write(ctx, req.NamespacedName, e)
}

// Flush writes, at the end of the process, the statuses that are still to be written, as far as budget and ctx allow.
func (r *StatusReconciler) Flush(ctx context.Context) {
	for id, e := range r.Board.snapshot() {
		if !e.dirty.Load() {
			continue
		}
		if r.Budget.Wait(ctx) != nil {
			return
		}
		_ = r.write(ctx, types.NamespacedName{Namespace: r.bell.namespace, Name: id}, e) // the next process writes it
	}
}

func (r *StatusReconciler) write(ctx context.Context, key types.NamespacedName, e *entry) error {
	var job latencyv1alpha1.LatencyJob
	if err := r.Get(ctx, key, &job); err != nil {
		return client.IgnoreNotFound(err)
	}
	before, status, ok := r.picture(e, &job)
	if !ok {
		return nil
	}
	if err := r.apply(ctx, &job, &status); err != nil {
		e.dirty.Store(true)
		return client.IgnoreNotFound(fmt.Errorf("write status of job %s: %w", job.Name, err))
	}
	r.Observer.StatusWritten()
	for _, t := range transitions(before, &status) {
		r.Recorder.Eventf(&job, nil, t.kind, t.reason, "Measure", "%s", t.note)
	}
	return nil
}

// picture computes the status of a job as it stands, and what people were told before; false when it says nothing new.
func (r *StatusReconciler) picture(e *entry, job *latencyv1alpha1.LatencyJob) (told, latencyv1alpha1.LatencyJobStatus, bool) {
	held := r.Outbox.Pending(job.Spec.JobID)
	e.dirty.Store(false)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.gone {
		return told{}, latencyv1alpha1.LatencyJobStatus{}, false
	}
	now := r.Clock.Now()
	status := statusOf(job, facts{
		decision: decide(e.view(job, held), now),
		ledger:   &e.ledger,
		endedAt:  e.endedAt,
		rejected: e.rejected,
		held:     held,
		delivery: r.Delivery(),
	}, now)
	before := told{e.phase, e.down}
	e.phase, e.down = status.Phase, isDown(&status)
	return before, status, !sameStatus(&job.Status, &status)
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
