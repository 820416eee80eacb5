package outbox

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

const (
	// exactly is up to how many jobs get a request of their own in a round, with their own time.
	exactly = 25
	// together is how many jobs one request can name.
	together = 100
	// touchPause is the least time between two rounds.
	touchPause = time.Second
)

// touches is what is owed to the jobs' last_ping_at: for each, when its newest stored sample was taken.
//
// One request can name a hundred jobs but only one time. A few jobs get a request each. More share one, with the oldest of
// their times: then last_ping_at trails by as much as these differ, but never claims a ping that nobody sent; what is
// missing is made up for in a round with room. With hundreds of jobs a round comes now and then, as often as trail asks.
type touches struct {
	owed    map[string]time.Time // not told since the newest sample
	inexact map[string]time.Time // told an older time
	trail   time.Duration
	next    time.Time // of a round, at the earliest
}

func (t *touches) owe(rows []supabase.Row) {
	for _, row := range rows {
		if row.RecordedAt.After(t.owed[row.JobID]) {
			t.owed[row.JobID] = row.RecordedAt
			delete(t.inexact, row.JobID)
		}
	}
}

func (t *touches) forget(jobID string) {
	delete(t.owed, jobID)
	delete(t.inexact, jobID)
}

// due is how long to wait until something may be sent; false when nothing is owed.
func (t *touches) due(now time.Time) (time.Duration, bool) {
	return t.next.Sub(now), len(t.owed)+len(t.inexact) > 0
}

// send pays what is owed, if it is time. What one request cannot pay does not hold up the others, but a store that is away
// is not asked again for each job: every one of these requests might hang, and samples would wait for them.
func (t *touches) send(ctx context.Context, store Store, now time.Time) error {
	if wait, owing := t.due(now); !owing || wait > 0 {
		return nil
	}
	t.next = now.Add(touchPause)
	if len(t.owed) > together {
		// Two thirds: the samples wait a little for their batch, and the requests take time.
		t.next = now.Add(t.trail * 2 / 3)
	}
	var failed []error
	room := exactly - len(t.owed)
	failed = append(failed, t.pay(ctx, store, t.owed, len(t.owed)))
	if room > 0 && !supabase.Away(failed[0]) {
		failed = append(failed, t.pay(ctx, store, t.inexact, room))
	}
	return errors.Join(failed...)
}

// pay sends what most of the jobs are owed, the oldest first.
func (t *touches) pay(ctx context.Context, store Store, owed map[string]time.Time, most int) error {
	ids := slices.SortedFunc(maps.Keys(owed), func(a, b string) int {
		return cmp.Or(owed[a].Compare(owed[b]), cmp.Compare(a, b))
	})
	ids = ids[:min(most, len(ids))]
	size := together
	if len(ids) <= exactly {
		size = 1
	}
	var failed []error
	for chunk := range slices.Chunk(ids, size) {
		at := owed[chunk[0]]
		if err := store.TouchJobs(ctx, chunk, at); err != nil {
			failed = append(failed, err)
			if supabase.Away(err) {
				break
			}
			continue
		}
		for _, id := range chunk {
			if exact := owed[id]; exact.After(at) {
				t.inexact[id] = exact
			} else {
				delete(t.inexact, id)
			}
			delete(t.owed, id)
		}
	}
	if len(failed) > 1 {
		failed = failed[:1] // the others say the same
	}
	return errors.Join(failed...)
}

// flush pays what is owed at the end of the process, in a few rounds, so that a hundred jobs end up exact.
func (t *touches) flush(ctx context.Context, store Store, now time.Time) {
	for rounds := 0; rounds < 5 && ctx.Err() == nil; rounds++ {
		t.next = now
		if t.send(ctx, store, now) != nil {
			return
		}
	}
}
