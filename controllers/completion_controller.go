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
	// FinishJob sets the status of a row that still says that the job runs, and for as long, and tells whether it did.
	FinishJob(ctx context.Context, row supabase.Job, status string, at time.Time) (matched bool, err error)
	// JobsByID looks rows up.
	JobsByID(ctx context.Context, ids []string) ([]supabase.Job, error)
	// TouchJobs moves the time of the jobs' last sample forward to at.
	TouchJobs(ctx context.Context, ids []string, at time.Time) error
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
	e.mu.Lock()
	// Asked under the lock: a poll that ends hands its sample over under it.
	d := decide(e.view(&job, r.Outbox.Pending(job.Spec.JobID)), r.Clock.Now())
	account := e.ledger.Account()
	e.mu.Unlock()
	switch {
	case d.phase != v1alpha1.PhaseCompleting:
		return ctrl.Result{}, nil
	case d.finish == "":
		return ctrl.Result{RequeueAfter: settleWait(&job, r.Clock.Now())}, nil
	}
	state, err := r.finish(ctx, &job, d.finish, account.Last.RecordedAt)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("end job %s in the database: %w", job.Spec.JobID, err)
	}
	if state == v1alpha1.StateRunning {
		return ctrl.Result{RequeueAfter: settleWait(&job, r.Clock.Now())}, nil
	}
	e.mu.Lock()
	e.end = end{state: state, at: r.Clock.Now(), grid: gridOf(&job.Spec)}
	e.mu.Unlock()
	r.log.Info("Job ended", "job", job.Spec.JobID, "as", state)
	r.Statuses.mark(e, job.Name, urgent)
	return ctrl.Result{}, nil
}

// settleWait is how soon a job that is over is looked at again: in an outage of hours thousands may wait.
func settleWait(job *v1alpha1.LatencyJob, now time.Time) time.Duration {
	return min(max(now.Sub(gridOf(&job.Spec).End())/10, settleEvery), 30*time.Second)
}

// finish ends the row and gives the state that it is in then: Running when the question stays open, because the row was not
// found, or says that the job runs on another grid, which the sync brings. A row that no longer says running keeps what it
// says.
func (r *CompletionReconciler) finish(ctx context.Context, job *v1alpha1.LatencyJob, as v1alpha1.JobState, lastPing time.Time) (v1alpha1.JobState, error) {
	rows, err := r.Finisher.JobsByID(ctx, []string{job.Name})
	if err != nil || len(rows) != 1 {
		return v1alpha1.StateRunning, err
	}
	row := &rows[0]
	if state, ok := stateOf(row.Status); ok && state != v1alpha1.StateRunning {
		return state, nil
	}
	if img := imageOf(row); img.spec == nil || !gridOf(img.spec).Equal(gridOf(&job.Spec)) {
		return v1alpha1.StateRunning, nil
	}
	if !lastPing.IsZero() {
		if err := r.Finisher.TouchJobs(ctx, []string{job.Name}, lastPing); err != nil {
			return v1alpha1.StateRunning, err
		}
	}
	matched, err := r.Finisher.FinishJob(ctx, *row, strings.ToLower(string(as)), r.Clock.Now())
	if err != nil || !matched {
		return v1alpha1.StateRunning, err
	}
	return as, nil
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
