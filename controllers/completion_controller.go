package controllers

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

// settleEvery is how often a job that is over is looked at while its last samples are on their way.
const settleEvery = 2 * time.Second

// Finisher ends jobs in the database.
type Finisher interface {
	// FinishJob sets the row's status, if the row still says that the job runs, and tells whether it did.
	FinishJob(ctx context.Context, id, status string, at time.Time) (matched bool, err error)
	// JobsByID looks rows up.
	JobsByID(ctx context.Context, ids []string) ([]supabase.Job, error)
}

// CompletionReconciler ends jobs whose duration has passed: when their last sample is stored, it sets the row completed,
// provided that it still says running. It has workers of its own, so that a database that hangs holds up no poll.
type CompletionReconciler struct {
	client.Client
	Clock    clock.PassiveClock
	Board    *Board
	Outbox   Outbox
	Finisher Finisher
	Statuses *StatusReconciler

	log  logr.Logger
	bell *bell
}

// SetupWithManager registers the reconciler. It is woken by the LatencyJob reconciler.
func (r *CompletionReconciler) SetupWithManager(mgr ctrl.Manager, namespace string) error {
	r.log = mgr.GetLogger().WithName("completion")
	r.bell = &bell{namespace: namespace}
	return ctrl.NewControllerManagedBy(mgr).
		Named("completion").
		WatchesRawSource(r.bell.source()).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: 8,
			NeedLeaderElection:      new(false),
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](500*time.Millisecond, 30*time.Second),
			LogConstructor:          func(*reconcile.Request) logr.Logger { return r.log },
		}).
		Complete(r)
}

// Reconcile brings one job that is over to its end.
func (r *CompletionReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var job v1alpha1.LatencyJob
	if err := r.Get(ctx, req.NamespacedName, &job); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	e := r.Board.lookup(job.Name)
	if e == nil {
		return ctrl.Result{}, nil
	}
	held := r.Outbox.Pending(job.Spec.JobID)
	e.mu.Lock()
	d := decide(e.view(&job, held), r.Clock.Now())
	e.mu.Unlock()
	switch {
	case d.phase != v1alpha1.PhaseCompleting:
		return ctrl.Result{}, nil
	case d.finish == "":
		return ctrl.Result{RequeueAfter: settleEvery}, nil
	}
	ended, at, err := r.finish(ctx, job.Spec.JobID, d.finish)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("end job %s in the database: %w", job.Spec.JobID, err)
	}
	if ended == "" {
		return ctrl.Result{RequeueAfter: settleEvery}, nil
	}
	e.mu.Lock()
	e.ended, e.endedAt, e.endedGrid = ended, at, gridOf(&job.Spec)
	e.mu.Unlock()
	r.log.Info("Job ended", "job", job.Spec.JobID, "as", ended)
	r.Statuses.mark(e, job.Name, urgent)
	return ctrl.Result{}, nil
}

// finish ends the row and gives the state that it is in then. A row that no longer says running keeps what it says; one
// that is not found, or says that it runs though it was not changed, leaves the question open.
func (r *CompletionReconciler) finish(ctx context.Context, id string, as v1alpha1.JobState) (v1alpha1.JobState, time.Time, error) {
	now := r.Clock.Now()
	matched, err := r.Finisher.FinishJob(ctx, id, strings.ToLower(string(as)), now)
	if err != nil || matched {
		return as, now, err
	}
	rows, err := r.Finisher.JobsByID(ctx, []string{id})
	if err != nil || len(rows) != 1 {
		return "", now, err
	}
	if state, ok := stateOf(rows[0].Status); ok && state != v1alpha1.StateRunning {
		return state, now, nil
	}
	return "", now, nil
}

// stateOf is the state of a row; false when the row says something unknown.
func stateOf(status string) (v1alpha1.JobState, bool) {
	switch status {
	case "running":
		return v1alpha1.StateRunning, true
	case "completed":
		return v1alpha1.StateCompleted, true
	case "cancelled":
		return v1alpha1.StateCancelled, true
	case "failed":
		return v1alpha1.StateFailed, true
	default:
		return "", false
	}
}
