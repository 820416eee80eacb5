package controllers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

// meddling is the LatencyJobs that somebody deleted or whose spec somebody changed: their rows are looked up in the next sync,
// although they have not changed. What the sync controller itself does to them counts too, which costs one more look.
type meddling struct {
	mu  sync.Mutex
	ids map[string]bool
}

// note remembers a LatencyJob.
func (m *meddling) note(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ids == nil {
		m.ids = map[string]bool{}
	}
	m.ids[id] = true
}

// take gives those that were noted, and forgets them.
func (m *meddling) take() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	ids := slices.Sorted(maps.Keys(m.ids))
	m.ids = nil
	return ids
}

// watchMeddling notes what happens to LatencyJobs. It puts nothing into the queue: the next sync comes by itself.
func (r *SyncReconciler) watchMeddling(mgr ctrl.Manager) source.TypedSource[SyncRequest] {
	type queue = workqueue.TypedRateLimitingInterface[SyncRequest]
	return source.TypedKind(mgr.GetCache(), &v1alpha1.LatencyJob{}, handler.TypedFuncs[*v1alpha1.LatencyJob, SyncRequest]{
		DeleteFunc: func(_ context.Context, e event.TypedDeleteEvent[*v1alpha1.LatencyJob], _ queue) {
			r.meddled.note(e.Object.Name)
		},
		UpdateFunc: func(_ context.Context, e event.TypedUpdateEvent[*v1alpha1.LatencyJob], _ queue) {
			if e.ObjectOld.Generation != e.ObjectNew.Generation || isMirrored(e.ObjectOld) != isMirrored(e.ObjectNew) {
				r.meddled.note(e.ObjectNew.Name)
			}
		},
	})
}

// syncChanges brings what has changed since the last look. What cannot be seen in changes the full comparison finds: rows that
// were deleted, or are simulated by now.
func (r *SyncReconciler) syncChanges(ctx context.Context, since time.Time) error {
	asked := r.Clock.Now()
	changed, newest, err := r.Rows.ChangedJobs(ctx, since)
	if err != nil {
		return fmt.Errorf("list the jobs that have changed: %w", err)
	}
	meddled := r.meddled.take()
	for ids := range slices.Chunk(meddled, rowsAtOnce) {
		more, err := r.Rows.JobsByID(ctx, ids)
		if err != nil {
			r.noteMeddled(meddled)
			return fmt.Errorf("look up the rows of LatencyJobs that somebody changed: %w", err)
		}
		changed = append(changed, more...)
	}
	if err := r.bring(ctx, latest(changed), asked); err != nil {
		r.noteMeddled(meddled)
		return err
	}
	r.mark.Note(newest, asked, r.Clock.Now())
	return nil
}

func (r *SyncReconciler) noteMeddled(ids []string) {
	for _, id := range ids {
		r.meddled.note(id)
	}
}

// latest is the rows without those of which a later version follows.
func latest(rows []supabase.Job) []supabase.Job {
	seen := make(map[string]bool, len(rows))
	kept := rows[:0:0]
	for _, row := range slices.Backward(rows) {
		if !seen[row.ID] {
			seen[row.ID] = true
			kept = append(kept, row)
		}
	}
	slices.Reverse(kept)
	return kept
}

// bring brings some rows as they were when they were asked for, whatever they say, and takes away the LatencyJobs of which the
// database refused a sample because the row is gone.
func (r *SyncReconciler) bring(ctx context.Context, rows []supabase.Job, asked time.Time) error {
	var running []supabase.Job
	for i := range rows {
		if rows[i].Mode == "real_polling" && rows[i].Status == "running" {
			running = append(running, rows[i])
		}
	}
	gone := r.Board.goneJobs()
	ids := slices.Collect(maps.Keys(gone))
	for i := range rows {
		ids = append(ids, rows[i].ID)
	}
	jobs, err := r.cached(ctx, ids)
	if err != nil {
		return err
	}
	r.revive(running, gone)
	p := compare(running, jobs, gone, asked, r.KeepFinished)
	v := judge(p.ask, rows)
	refused, failed := r.write(ctx, append(p.apply, v.apply...), append(p.remove, v.remove...))
	p.note(refused)
	problems := maps.Clone(r.problems)
	for i := range rows {
		delete(problems, rows[i].ID)
	}
	r.report(ctx, running, &p, problems)
	if failed == nil {
		r.Observer.Synced(r.Clock.Now(), len(r.problems))
	}
	return failed
}

// cached gives those of some LatencyJobs that exist.
func (r *SyncReconciler) cached(ctx context.Context, ids []string) (jobs []*v1alpha1.LatencyJob, err error) {
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		job, err := r.Cached.Get(ctx, id)
		if err != nil {
			return nil, err
		}
		if job != nil {
			jobs = append(jobs, job)
		}
	}
	return jobs, nil
}

// syncAll compares all rows with all LatencyJobs.
func (r *SyncReconciler) syncAll(ctx context.Context) error {
	asked := r.Clock.Now()
	meddled := r.meddled.take() // before the LatencyJobs are looked at: what happens to one after that is for the next sync
	if err := r.compareAll(ctx, asked); err != nil {
		r.noteMeddled(meddled)
		return err
	}
	r.compared = asked
	return nil
}

func (r *SyncReconciler) compareAll(ctx context.Context, asked time.Time) error {
	rows, err := r.Rows.RunningJobs(ctx)
	if err != nil {
		return fmt.Errorf("list the running jobs: %w", err)
	}
	answered := r.Clock.Now()
	var jobs []*v1alpha1.LatencyJob
	if err := r.Cached.Each(ctx, func(job *v1alpha1.LatencyJob) { jobs = append(jobs, job) }); err != nil {
		return err
	}
	if len(rows) > 0 {
		r.witness = rows[len(rows)-1].ID
	}
	gone := r.Board.goneJobs()
	r.revive(rows, gone)
	p := compare(rows, jobs, gone, asked, r.KeepFinished)
	refused, failed := r.write(ctx, p.apply, p.remove)
	p.note(refused)
	failed = errors.Join(failed, r.settleMissing(ctx, p.ask))
	r.report(ctx, rows, &p, nil)
	if failed != nil {
		return failed
	}
	var newest time.Time
	for i := range rows {
		newest = later(newest, rows[i].UpdatedAt)
	}
	r.mark.Note(newest, asked, answered)
	r.Observer.Synced(r.Clock.Now(), len(r.problems))
	return nil
}
