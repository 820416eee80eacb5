package main

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/spreedb/spreedbtest"
)

func cutAPIServer(ctx context.Context, r *rig) (*effect, error) {
	before, err := r.apiFailures(ctx)
	if err != nil {
		return nil, err
	}
	r.api.Cut()
	return &effect{
		heal: func(context.Context) error { return r.api.Mend() },
		felt: func(ctx context.Context) (int, error) {
			now, err := r.apiFailures(ctx)
			return max(0, now-before), err
		},
	}, nil
}

func hangAPIServer(_ context.Context, r *rig) (*effect, error) {
	before := r.api.Held()
	r.api.Hang()
	return &effect{
		heal: func(context.Context) error { return r.api.Mend() },
		felt: func(context.Context) (int, error) { return r.api.Held() - before, nil },
	}, nil
}

// errorsSince counts polls that could not be made, by the samples that tell so.
func errorsSince(r *rig, since time.Time) func(context.Context) (int, error) {
	return func(ctx context.Context) (int, error) {
		return r.count(ctx, `select count(*) from samples where status = 'system_error' and recorded_at >= $1`, since)
	}
}

func cutSpreeDB(_ context.Context, r *rig) (*effect, error) {
	since := time.Now()
	r.spreedb.Cut()
	return &effect{heal: func(context.Context) error { return r.spreedb.Mend() }, felt: errorsSince(r, since)}, nil
}

// breakSpreeDB counts the polls that came meanwhile: each was answered like this.
func breakSpreeDB(b spreedbtest.Behaviour) func(context.Context, *rig) (*effect, error) {
	return func(_ context.Context, r *rig) (*effect, error) {
		before, healed := r.SpreeDB.Total().Polls, -1
		r.SpreeDB.Break(b)
		return &effect{
			heal: func(context.Context) error {
				healed = r.SpreeDB.Total().Polls
				r.SpreeDB.Mend()
				return nil
			},
			felt: func(context.Context) (int, error) {
				if healed >= 0 {
					return healed - before, nil
				}
				return r.SpreeDB.Total().Polls - before, nil
			},
		}, nil
	}
}

// editJob makes a job poll more seldom, more often, for longer and for shorter. Each time the operator follows before the
// next.
func editJob(ctx context.Context, r *rig) (*effect, error) {
	j, err := r.jobs.lend()
	if err != nil {
		return nil, err
	}
	edits := []struct{ cadence, duration time.Duration }{
		{3 * time.Second, longJob}, {time.Second, longJob}, {time.Second, 2 * longJob}, {2 * time.Second, longJob},
	}
	edits = edits[:max(2, int(r.opts.share*float64(len(edits))))]
	for _, e := range edits {
		if err := r.jobs.edit(ctx, j, e.cadence, e.duration); err != nil {
			return nil, err
		}
		if err := r.wait(ctx, reaction+time.Second); err != nil {
			return nil, err
		}
	}
	return &effect{felt: times(len(edits)), of: j}, nil
}

func suspendJob(ctx context.Context, r *rig) (*effect, error) {
	j, err := r.jobs.lend()
	if err != nil {
		return nil, err
	}
	set := func(ctx context.Context, suspend bool) error {
		patch := client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"spec":{"suspend":%t}}`, suspend))
		return r.Client.Patch(ctx, r.latencyJob(j), patch)
	}
	before := r.SpreeDB.Target(j.ip).Polls
	return &effect{
		of:   j,
		heal: func(ctx context.Context) error { return set(ctx, false) },
		felt: func(ctx context.Context) (int, error) {
			var now v1alpha1.LatencyJob
			if err := r.Client.Get(ctx, client.ObjectKeyFromObject(r.latencyJob(j)), &now); err != nil {
				return 0, err
			}
			if polls := r.SpreeDB.Target(j.ip).Polls - before; now.Spec.Suspend != nil && *now.Spec.Suspend && polls > 3 {
				r.complain("job %s was polled %d times while it was suspended", j.id, polls)
			}
			return 1, nil
		},
	}, set(ctx, true)
}

func (r *rig) latencyJob(j *job) *v1alpha1.LatencyJob {
	lj := &v1alpha1.LatencyJob{}
	lj.Namespace, lj.Name = r.Namespace, j.id
	return lj
}

func cancelJob(ctx context.Context, r *rig) (*effect, error) {
	j, err := r.jobs.lend()
	if err != nil {
		return nil, err
	}
	if err := r.jobs.cancel(ctx, j); err != nil {
		return nil, err
	}
	return &effect{felt: times(1), of: j, heal: func(ctx context.Context) error { return r.awaitSilence(ctx, j) }}, nil
}

func restartJob(ctx context.Context, r *rig) (*effect, error) {
	j, err := r.jobs.lend()
	if err != nil {
		return nil, err
	}
	return &effect{felt: times(1), of: j}, r.jobs.restart(ctx, j, reaction)
}

func deleteLatencyJob(ctx context.Context, r *rig) (*effect, error) {
	j, err := r.jobs.lend()
	if err != nil {
		return nil, err
	}
	if err := r.Client.Delete(ctx, r.latencyJob(j)); err != nil {
		return nil, err
	}
	deleted := time.Now()
	return &effect{of: j, felt: times(1), heal: func(ctx context.Context) error {
		back, err := r.await(ctx, time.Minute, func() (bool, error) {
			n, err := r.count(ctx, `select count(*) from samples where job_id = $1 and recorded_at > $2::timestamptz + interval '1 s'`, j.id, deleted)
			return n > 0, err
		})
		if err == nil && !back {
			r.complain("job %s is not measured any more after its LatencyJob was deleted", j.id)
		}
		return err
	}}, nil
}

func deleteRow(ctx context.Context, r *rig) (*effect, error) {
	j, err := r.jobs.lend()
	if err != nil {
		return nil, err
	}
	if err := r.jobs.remove(ctx, j); err != nil {
		return nil, err
	}
	return &effect{felt: times(1), of: j, heal: func(ctx context.Context) error { return r.awaitSilence(ctx, j) }}, nil
}

// awaitSilence returns when a job was not polled for some of its slots.
func (r *rig) awaitSilence(ctx context.Context, j *job) error {
	polls, since := -1, time.Now()
	quiet, err := r.await(ctx, 30*time.Second, func() (bool, error) {
		if now := r.SpreeDB.Target(j.ip).Polls; now != polls {
			polls, since = now, time.Now()
		}
		return time.Since(since) > 3*j.grid().Cadence/2+time.Second, nil
	})
	if err == nil && !quiet {
		r.complain("job %s is still polled though it is over", j.id)
	}
	return err
}
