package outbox

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

const (
	// exactly is up to how many jobs get a request of their own, with their own time.
	exactly = 10
	// together is up to how many jobs are served with every batch; it is what one request can name.
	together = 100
	// touchPause is how long a time that could not be told exactly waits for the next attempt.
	touchPause = time.Second
)

// touches is what is owed to the jobs' last_ping_at: for each, when its newest stored sample was taken.
//
// One request can name a hundred jobs but only one time. A few jobs get a request each. More share one, with the oldest of
// their times: then last_ping_at trails a little, but never claims a ping that nobody sent; what is still owed follows. With
// hundreds of jobs this is done now and then, as often as trail allows.
type touches struct {
	owed  map[string]time.Time
	trail time.Duration
	next  time.Time // not before
}

func (t *touches) owe(rows []supabase.Row) {
	for _, row := range rows {
		if row.RecordedAt.After(t.owed[row.JobID]) {
			t.owed[row.JobID] = row.RecordedAt
		}
	}
}

// due is how long to wait until something may be sent; false when nothing is owed.
func (t *touches) due(now time.Time) (time.Duration, bool) {
	return t.next.Sub(now), len(t.owed) > 0
}

// group is a request: jobs, and the time to move them to.
type group struct {
	ids []string
	at  time.Time
}

// send pays what is owed, if it is time.
func (t *touches) send(ctx context.Context, store Store, now time.Time) error {
	if wait, owing := t.due(now); !owing || wait > 0 {
		return nil
	}
	many := len(t.owed) > together
	t.next = now.Add(touchPause)
	if many {
		// Two thirds: the samples wait a little for their batch, and the requests take time.
		t.next = now.Add(t.trail * 2 / 3)
	}
	for _, g := range t.groups() {
		if err := store.TouchJobs(ctx, g.ids, g.at); err != nil {
			return err
		}
		for _, id := range g.ids {
			// With many jobs the next round brings newer times anyway: what lies within the pause is good enough.
			if left := t.owed[id].Sub(g.at); left <= 0 || many && left <= t.trail/6 {
				delete(t.owed, id)
			}
		}
	}
	return nil
}

func (t *touches) groups() []group {
	ids := slices.SortedFunc(maps.Keys(t.owed), func(a, b string) int {
		return cmp.Or(t.owed[a].Compare(t.owed[b]), cmp.Compare(a, b))
	})
	size := together
	if len(ids) <= exactly {
		size = 1
	}
	var groups []group
	for chunk := range slices.Chunk(ids, size) {
		groups = append(groups, group{ids: chunk, at: t.owed[chunk[0]]})
	}
	return groups
}
