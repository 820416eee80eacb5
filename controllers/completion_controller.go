package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	"github.com/soundcheck-io/latency-operator/internal/ledger"
	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/schedule"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

const (
	// settleEvery is how often a job that is over is looked at at first, and longestWait at last, while its last samples are on
	// their way.
	settleEvery = 2 * time.Second
	longestWait = 30 * time.Second
	// longestRetry is the same while its row cannot be ended, which takes reading all its samples each time.
	longestRetry = 5 * time.Minute
	// staleEnd is how long a job may go on being measured after its end in the app, when all is well, and more.
	staleEnd = time.Minute
	// gapChunk is how many gaps are written at once.
	gapChunk = 1000
)

// Finisher ends jobs in the database.
type Finisher interface {
	// JobsByID looks rows up.
	JobsByID(ctx context.Context, ids []string) ([]supabase.Job, error)
	// EachSample hands over every sample of a job: those of slots in their order, then the others.
	EachSample(ctx context.Context, jobID string, do func(supabase.Stored)) error
	// GapsSince gives the gaps of jobs that end after an instant each, by job and beginning.
	GapsSince(ctx context.Context, since map[string]time.Time) ([]sample.Gap, error)
	// PutGaps writes gaps, each in the place of one with the same beginning.
	PutGaps(ctx context.Context, gaps []sample.Gap) error
	// DeleteGap removes a gap that is still what it was.
	DeleteGap(ctx context.Context, gap sample.Gap) error
	// TouchJobs moves the time of the jobs' last sample forward to at.
	TouchJobs(ctx context.Context, ids []string, at time.Time) error
	// EndJob sets the status of a row that still says that the job runs, and for as long, with what the job came to, and tells
	// whether it did.
	EndJob(ctx context.Context, row supabase.Job, status string, at time.Time, sum supabase.Summary, say supabase.Report) (matched bool, err error)
	// CloseJob writes what a job came to that still is in the state that its row said.
	CloseJob(ctx context.Context, row supabase.Job, sum supabase.Summary, say supabase.Report) (matched bool, err error)
}

// CompletionReconciler closes the books of jobs that are over, when their last sample is stored: it reads back what the
// database has of the job, sees to it that each slot has one outcome there, and writes what it comes to. A job whose duration
// has passed it sets completed, provided that the row still says running. It has workers of its own, so that a database that
// hangs holds up no poll.
type CompletionReconciler struct {
	client.Client
	Clock    clock.PassiveClock
	Board    *Board
	Outbox   Outbox
	Observer Observer
	Finisher Finisher
	Statuses *StatusReconciler
	Peers    Peers
	// Ahead is how far our clock is ahead of the database's, as far as is known.
	Ahead func() time.Duration
	// KeepsGaps tells whether the database has a place for slots without a sample.
	KeepsGaps func() bool

	log   logr.Logger
	bell  *bell
	turns turns
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
	e.mu.Unlock()
	if !d.settling {
		return ctrl.Result{}, nil
	}
	// Who waits for others need not ask the database each time.
	if !d.close || job.Spec.State == v1alpha1.StateRunning && !r.Peers.Delivered(gridOf(&job.Spec).End()) {
		return ctrl.Result{RequeueAfter: r.wait(e, longestWait)}, nil
	}
	done, ok := r.turns.take(r.size(e))
	if !ok {
		return ctrl.Result{RequeueAfter: settleEvery}, nil
	}
	defer done()
	state, err := r.settle(ctx, &job, e)
	switch {
	case err != nil:
		return ctrl.Result{}, fmt.Errorf("end job %s in the database: %w", job.Spec.JobID, err)
	case state == v1alpha1.StateRunning:
		return ctrl.Result{RequeueAfter: r.wait(e, longestRetry)}, nil
	}
	r.log.Info("Job ended", "job", job.Spec.JobID, "as", state)
	r.Statuses.mark(e, job.Name, urgent)
	return ctrl.Result{}, nil
}

// size is how many samples a job has at most, as far as is known: those in its ledger, or as many as it has slots.
func (r *CompletionReconciler) size(e *entry) int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	account := e.ledger.Account()
	return max(account.Totals.Samples(), e.grid.Slots())
}

// wait is how soon a job that is over is looked at again: the longer ago that was the later, because in an outage of hours
// thousands may wait.
func (r *CompletionReconciler) wait(e *entry, most time.Duration) time.Duration {
	e.mu.Lock()
	over := e.grid.End()
	if !e.endSeen.IsZero() {
		over = earliest(over, e.endSeen)
	}
	e.mu.Unlock()
	return min(max(r.Clock.Since(over)/10, settleEvery), most)
}

// settle closes the books of a job and gives the state that its row is in then: Running when the question stays open. A row that
// no longer says running keeps what it says.
func (r *CompletionReconciler) settle(ctx context.Context, job *v1alpha1.LatencyJob, e *entry) (v1alpha1.JobState, error) {
	rows, err := r.Finisher.JobsByID(ctx, []string{job.Name})
	if err != nil || len(rows) != 1 || !r.ripe(job, &rows[0]) {
		return v1alpha1.StateRunning, err
	}
	row, grid := &rows[0], gridOf(&job.Spec)
	at := over(row, e, grid)
	if !r.Peers.Delivered(at) { // it may have been theirs before
		return v1alpha1.StateRunning, nil
	}
	books, found, err := r.balance(ctx, job, e, at, row.Status != "running" && at.Before(grid.End()))
	if err != nil {
		return v1alpha1.StateRunning, err
	}
	account := &books.Account
	if at := account.Last.RecordedAt; !at.IsZero() {
		if err := r.Finisher.TouchJobs(ctx, []string{job.Name}, at); err != nil {
			return v1alpha1.StateRunning, err
		}
	}
	state, matched, err := r.conclude(ctx, job, row, account)
	if err != nil || !matched {
		return v1alpha1.StateRunning, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ledger.InFlight() || !e.grid.Equal(grid) { // started anew meanwhile
		return v1alpha1.StateRunning, nil
	}
	for _, u := range books.Lost {
		r.Observer.Unmeasured(u.Gap.Reason, u.Slots)
	}
	e.ledger.Settle(*account)
	e.report = reported{known: true, now: reportOfEnd(state, account)}
	e.closed = end{state: state, at: r.Clock.Now(), grid: grid, report: found}
	if job.Spec.State == v1alpha1.StateRunning {
		e.end = e.closed
	}
	return state, nil
}

// ripe tells whether the books can be closed: the row has ended, or may be ended now. It may not be if it runs again, or on
// another grid, both of which the sync brings, or if our clock is ahead and the job is not over yet where its row is.
func (r *CompletionReconciler) ripe(job *v1alpha1.LatencyJob, row *supabase.Job) bool {
	grid := gridOf(&job.Spec)
	switch {
	case row.Status != "running":
		return true
	case job.Spec.State != v1alpha1.StateRunning:
		return false
	case r.Clock.Now().Add(-max(0, r.Ahead())).Before(grid.End()):
		return false
	}
	img := imageOf(row)
	return img.spec != nil && gridOf(img.spec).Equal(grid)
}

// conclude writes what the job came to, and how it ended if its row does not say so yet. It tells whether the row still was what
// it was when it was read.
func (r *CompletionReconciler) conclude(ctx context.Context, job *v1alpha1.LatencyJob, row *supabase.Job, account *ledger.Account) (state v1alpha1.JobState, matched bool, err error) {
	sum := summaryOf(account)
	if row.Status == "running" {
		state = endOf(&job.Spec, account)
		matched, err = r.Finisher.EndJob(ctx, *row, strings.ToLower(string(state)), r.Clock.Now(), sum, reportOfEnd(state, account))
		return state, matched, err
	}
	state, known := stateOf(row.Status)
	if !known { // what says something unknown does not run
		state = v1alpha1.StateFailed
	}
	matched, err = r.Finisher.CloseJob(ctx, *row, sum, reportOfEnd(state, account))
	return state, matched, err
}

// over is when the job was over: at its end, or when somebody ended it in the app. A time from before the job began, or long
// before its newest sample, is of an earlier end.
func over(row *supabase.Job, e *entry, grid schedule.Grid) time.Time {
	if row.Status == "running" {
		return grid.End()
	}
	e.mu.Lock()
	seen, newest := e.endSeen, e.ledger.Account().Last.ScheduledAt
	e.mu.Unlock()
	at, err := time.Parse(time.RFC3339Nano, row.CompletedAt)
	if err != nil || at.Before(grid.Start) || newest.Sub(at) > staleEnd {
		at = seen
	}
	if at.IsZero() {
		return grid.End()
	}
	return earliest(at, grid.End())
}

// balance brings the slots of a job and what the database has of them together: each gets one outcome there. Where the
// database does not tell what it has, what this process knows has to do, and there is no report.
func (r *CompletionReconciler) balance(ctx context.Context, job *v1alpha1.LatencyJob, e *entry, over time.Time, cut bool) (*ledger.Balance, *v1alpha1.JobReport, error) {
	id := job.Name
	var count ledger.Count
	e.mu.Lock()
	expected := e.ledger.Account().Totals
	e.mu.Unlock()
	found := newFindings(&job.Spec, over, &expected)
	err := r.Finisher.EachSample(ctx, id, func(stored supabase.Stored) {
		s := sampleOf(&stored)
		count.Add(s)
		found.add(&s)
	})
	switch {
	case errors.Is(err, supabase.ErrNoHistory):
		return &ledger.Balance{Account: r.guess(id, e)}, nil, nil
	case err != nil:
		return nil, nil, err
	}
	rows, err := r.Finisher.GapsSince(ctx, map[string]time.Time{id: {}})
	if err != nil && !errors.Is(err, supabase.ErrNoHistory) {
		return nil, nil, err
	}
	kept := r.KeepsGaps() && err == nil
	gaps := make([]ledger.Gap, len(rows))
	for i := range rows {
		gaps[i] = ledger.GapOf(rows[i])
	}
	e.mu.Lock()
	if last := e.grid.At(over.Add(-time.Microsecond)); last >= 0 {
		e.ledger.Skip(e.grid, last, ledger.OperatorDown)
	}
	b := e.ledger.Close(e.grid, over, cut, &count, gaps, kept)
	e.mu.Unlock()
	if err := r.post(ctx, id, &b); err != nil || !kept {
		return &b, nil, err
	}
	return &b, found.report(b.Gaps), nil
}

// guess is the account of a job where the database does not show its samples. If there may be some, slots that this process did
// not see stay unknown: better no outcome than two.
func (r *CompletionReconciler) guess(id string, e *entry) ledger.Account {
	e.mu.Lock()
	defer e.mu.Unlock()
	account := e.ledger.Account()
	if account.Totals.Samples() > 0 {
		e.ledger.Forgo()
		return account
	}
	handOver(r.Outbox, r.Observer, id, e.ledger.Resolve(e.grid, nil, nil))
	return e.ledger.Account()
}

// post writes what a balance changes.
func (r *CompletionReconciler) post(ctx context.Context, id string, b *ledger.Balance) error {
	put := make([]sample.Gap, len(b.Put))
	for i, g := range b.Put {
		put[i] = g.Of(id)
	}
	for chunk := range slices.Chunk(put, gapChunk) {
		if err := r.Finisher.PutGaps(ctx, chunk); err != nil {
			return err
		}
	}
	for _, g := range b.Remove {
		if err := r.Finisher.DeleteGap(ctx, g.Of(id)); err != nil {
			return err
		}
	}
	return nil
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
