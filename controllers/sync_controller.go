package controllers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/source"

	applyv1alpha1 "github.com/soundcheck-io/latency-operator/api/applyconfiguration/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

const (
	// SyncOwner is the field manager of the spec.
	SyncOwner = "latency-sync"
	// writers is how many LatencyJobs are written at once: enough for thousands in seconds, few enough not to disturb
	// measuring.
	writers = 8
	// rowsAtOnce is how many rows one request names.
	rowsAtOnce = 100
	// leadershipCheck is how soon a process that does not lead looks again.
	leadershipCheck = time.Second
	// reportsPerSync is how many rows are told about their problem in one sync.
	reportsPerSync = 20
)

// Rows reads Sound Check's jobs.
type Rows interface {
	// RunningJobs lists all real_polling rows that say running.
	RunningJobs(ctx context.Context) ([]supabase.Job, error)
	// ChangedJobs lists the real_polling rows that have changed since an instant, whatever they say, the later version of one after
	// an earlier, and the newest change.
	ChangedJobs(ctx context.Context, since time.Time) (rows []supabase.Job, newest time.Time, err error)
	// JobsByID looks up at most 101 rows, whatever they say.
	JobsByID(ctx context.Context, ids []string) ([]supabase.Job, error)
	// ReportJobs tells up to 100 rows the same.
	ReportJobs(ctx context.Context, ids []string, r supabase.Report) error
}

// Leadership tells whether this process is the one that mirrors rows. Two at once would do no harm, only double work.
type Leadership interface {
	Leads() bool
}

// SyncRequest is the one key of the sync controller's queue.
type SyncRequest struct{}

// SyncReconciler mirrors the running real_polling rows into LatencyJobs.
type SyncReconciler struct {
	client.Client
	Namespace  string
	Clock      clock.PassiveClock
	Rows       Rows
	Leadership Leadership
	Board      *Board
	Outbox     Outbox
	Observer   Observer
	// Wake has a job decided about now.
	Wake func(jobID string)
	// Cached is the LatencyJobs that there are.
	Cached *Cached
	// KnowsChanges tells whether the database can say which rows have changed.
	KnowsChanges func() bool
	// Every is the time between two looks at the rows, and FullEvery between two comparisons of all of them.
	Every, FullEvery time.Duration
	// KeepFinished is how long a LatencyJob stays visible after its job has ended.
	KeepFinished time.Duration

	log logr.Logger
	// witness is the id of a row that was seen last: known to exist, unless it was deleted since.
	witness string
	// problems are what keeps rows from being measured, by id; they were logged.
	problems map[string]string
	// compared is when all rows were last compared, and mark up to where changes are known.
	compared time.Time
	mark     supabase.Mark
	meddled  meddling

	mu  sync.Mutex
	err error
}

// SetupWithManager registers the reconciler.
func (r *SyncReconciler) SetupWithManager(mgr ctrl.Manager) error {
	r.log = mgr.GetLogger().WithName("sync")
	start := source.TypedFunc[SyncRequest](func(_ context.Context, q workqueue.TypedRateLimitingInterface[SyncRequest]) error {
		q.Add(SyncRequest{})
		return nil
	})
	return builder.TypedControllerManagedBy[SyncRequest](mgr).
		Named("sync").
		WatchesRawSource(start).
		WatchesRawSource(r.watchMeddling(mgr)).
		WithOptions(controller.TypedOptions[SyncRequest]{
			NeedLeaderElection:    new(false), // Leadership decides: losing it must not end the process
			RateLimiter:           workqueue.NewTypedItemExponentialFailureRateLimiter[SyncRequest](min(r.Every, 500*time.Millisecond), 15*time.Second),
			ReconciliationTimeout: 5 * time.Minute,
			LogConstructor:        func(*SyncRequest) logr.Logger { return r.log },
		}).
		Complete(r)
}

// LastError is why the last sync failed; nil when it went through, or when another process syncs.
func (r *SyncReconciler) LastError() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Reconcile compares rows and LatencyJobs once.
func (r *SyncReconciler) Reconcile(ctx context.Context, _ SyncRequest) (ctrl.Result, error) {
	if !r.Leadership.Leads() {
		r.remember(nil)
		r.compared = time.Time{}
		r.meddled.take()
		return ctrl.Result{RequeueAfter: leadershipCheck}, nil
	}
	began := r.Clock.Now()
	err := r.sync(ctx)
	r.remember(err)
	if err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: max(r.Every-r.Clock.Since(began), soonest)}, nil
}

func (r *SyncReconciler) remember(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

// sync brings the rows that have changed or, now and then and where that cannot be told, compares all of them.
func (r *SyncReconciler) sync(ctx context.Context) error {
	since, known := r.mark.Since()
	if known && r.KnowsChanges() && r.Clock.Since(r.compared) < r.FullEvery {
		err := r.syncChanges(ctx, since)
		if err == nil || supabase.Away(err) {
			return err
		}
		r.log.Info("Changes could not be brought; all rows are compared", "why", err.Error())
	}
	return r.syncAll(ctx)
}

// revive has a job polled again that was taken for gone, and whose row is there.
func (r *SyncReconciler) revive(rows []supabase.Job, gone map[string]bool) {
	for i := range rows {
		if id := rows[i].ID; gone[id] {
			r.Outbox.Forget(id)
			r.Board.Present(id)
			r.Wake(id)
		}
	}
}

// settleMissing looks up the rows of LatencyJobs that are not among the running ones.
func (r *SyncReconciler) settleMissing(ctx context.Context, missing []*v1alpha1.LatencyJob) error {
	var failed error
	for asked := range slices.Chunk(missing, rowsAtOnce) {
		failed = errors.Join(failed, r.settle(ctx, asked))
	}
	return failed
}

// settle asks for rows until an answer brings none of them. A server may return fewer rows than asked for without a word:
// the rows left over are gone only when the last answer held the witness.
func (r *SyncReconciler) settle(ctx context.Context, asked []*v1alpha1.LatencyJob) error {
	for {
		ids := make([]string, len(asked), len(asked)+1)
		for i, job := range asked {
			ids[i] = job.Name
		}
		if r.witness != "" && !slices.Contains(ids, r.witness) {
			ids = append(ids, r.witness)
		}
		answer, err := r.Rows.JobsByID(ctx, ids)
		if err != nil {
			return fmt.Errorf("look up jobs that no longer run: %w", err)
		}
		if len(answer) > 0 {
			r.witness = answer[0].ID
		}
		v := judge(asked, answer)
		if _, err := r.write(ctx, v.apply, v.remove); err != nil {
			return err
		}
		switch {
		case len(v.open) == 0:
			return nil
		case len(v.open) < len(asked):
			asked = v.open
		case v.proven:
			_, err := r.write(ctx, nil, v.open)
			return err
		default:
			r.log.Info("Supabase returns none of the jobs that ran before; they go on", "jobs", len(v.open))
			return nil
		}
	}
}

// write applies and removes LatencyJobs, several at once. One that cannot be written does not hold up the others. What the
// API server will never accept is no failure but a problem of the row, by its id.
func (r *SyncReconciler) write(ctx context.Context, apply []change, remove []*v1alpha1.LatencyJob) (refused map[string]string, err error) {
	var mu sync.Mutex
	var failed []error
	refused = map[string]string{}
	note := func(id string, err error) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case apierrors.IsInvalid(err):
			refused[id] = clip("Kubernetes refuses it: "+err.Error(), maxText)
		case err != nil:
			failed = append(failed, err)
		}
	}
	var group errgroup.Group
	group.SetLimit(writers)
	for _, c := range apply {
		group.Go(func() error { note(c.spec.JobID, r.apply(ctx, c)); return nil })
	}
	for _, job := range remove {
		group.Go(func() error { note(job.Name, r.remove(ctx, job)); return nil })
	}
	_ = group.Wait() // note has the errors
	if len(failed) > 3 {
		return refused, fmt.Errorf("%w (and %d more)", errors.Join(failed[:3]...), len(failed)-3)
	}
	return refused, errors.Join(failed...)
}

func (r *SyncReconciler) apply(ctx context.Context, c change) error {
	spec := applyv1alpha1.LatencyJobSpec().
		WithJobID(c.spec.JobID).
		WithCadenceSeconds(c.spec.CadenceSeconds).
		WithDurationMinutes(c.spec.DurationMinutes).
		WithStartedAt(c.spec.StartedAt).
		WithState(c.spec.State)
	if c.spec.TargetIP != "" { // what an apply leaves out is removed
		spec = spec.WithTargetIP(c.spec.TargetIP)
	}
	job := applyv1alpha1.LatencyJob(c.spec.JobID, r.Namespace).
		WithLabels(map[string]string{v1alpha1.MirroredLabel: v1alpha1.MirroredValue}).
		WithSpec(spec)
	for annotation, value := range map[string]string{v1alpha1.RowProblemAnnotation: c.problem, v1alpha1.RanAtAnnotation: c.ranAt} {
		if value != "" {
			job = job.WithAnnotations(map[string]string{annotation: value})
		}
	}
	if err := r.Apply(ctx, job, client.FieldOwner(SyncOwner), client.ForceOwnership); err != nil {
		return fmt.Errorf("apply LatencyJob %s: %w", c.spec.JobID, err)
	}
	return nil
}

func (r *SyncReconciler) remove(ctx context.Context, job *v1alpha1.LatencyJob) error {
	if err := r.Delete(ctx, job, client.Preconditions{UID: &job.UID}); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete LatencyJob %s: %w", job.Name, err)
	}
	r.log.Info("LatencyJob removed", "job", job.Name, "phase", job.Status.Phase)
	return nil
}

// report names rows that cannot be measured as they stand, besides others that are known: in the log when that changes, and in
// the row itself if it has no LatencyJob to be told of. Telling the row is a courtesy: a few in a round, so that it holds up no
// sync, and none that fails keeps the others from it.
func (r *SyncReconciler) report(ctx context.Context, rows []supabase.Job, p *plan, others map[string]string) {
	for id, problem := range p.problems {
		if r.problems[id] != problem {
			r.log.Info("Row cannot be measured as it stands", "job", id, "problem", problem)
		}
	}
	r.problems = others
	if r.problems == nil {
		r.problems = map[string]string{}
	}
	maps.Copy(r.problems, p.problems)
	told, failed := 0, 0
	for i := range rows {
		row := &rows[i]
		now := supabase.Report{State: row.MonitorState, Message: row.MonitorMessage}
		r.Board.says(row.ID, now)
		say := supabase.Report{State: monitorNotMeasuring, Message: clip("Not measured: "+p.problems[row.ID], maxText)}
		if !p.orphans[row.ID] || say == now || told == reportsPerSync || failed > 2 {
			continue
		}
		told++
		if err := r.Rows.ReportJobs(ctx, []string{row.ID}, say); err != nil {
			failed++
			r.log.Error(err, "Sound Check could not be told about a job; it is tried again", "job", row.ID)
		}
	}
}
