package outbox

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/spool"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

// distant is a store to which a request takes some time. It lives in a bubble of testing/synctest.
type distant struct {
	t   *testing.T
	box *Outbox
	// answer is asked, for each request with samples, how long it takes and how it ends. It may be called at the same time.
	answer func(n int) (took time.Duration, err error)

	mu       sync.Mutex
	put      map[string]int // by job, as told by the test
	stored   map[string]int
	under    int // requests under way
	most     int // so many at once
	requests int
}

func newDistant(t *testing.T, opened *spool.Spool, answer func(int) (time.Duration, error)) *distant {
	d := &distant{t: t, answer: answer, put: map[string]int{}, stored: map[string]int{}}
	d.box = New(Options{
		Store: d, Spool: opened, Listener: &heard{}, Observer: counts{&heard{dropped: map[string]int{}}}, Clock: clock.RealClock{}, Log: logr.Discard(),
		Limit: 1_000_000, Batch: 1000, Linger: time.Second, Trail: 30 * time.Second,
	})
	return d
}

// measure puts the next sample of a job.
func (d *distant) measure(n int) {
	id := fmt.Sprintf("00000000-0000-4000-8000-%012d", n)
	d.mu.Lock()
	slot := d.put[id]
	d.put[id]++
	d.mu.Unlock()
	if slot == 0 {
		d.box.Resume(id, -1)
	}
	if err := d.box.Put(measure(id, int64(slot))); err != nil {
		d.t.Error(err)
	}
}

func (d *distant) InsertSamples(_ context.Context, rows []supabase.Row) (int, error) {
	d.mu.Lock()
	d.requests++
	d.under++
	d.most = max(d.most, d.under)
	d.mu.Unlock()
	took, err := d.answer(len(rows))
	d.box.Clock.Sleep(took)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.under--
	if err != nil {
		return 0, err
	}
	for i := range rows {
		id := rows[i].JobID
		if rows[i].Sequence != int64(d.stored[id]) {
			d.t.Errorf("%s: %d is stored before %d", id, rows[i].Sequence, d.stored[id])
		}
		d.stored[id]++
	}
	return 0, nil
}

func (d *distant) PutGaps(context.Context, []sample.Gap) error          { return nil }
func (d *distant) TouchJobs(context.Context, []string, time.Time) error { return nil }
func (d *distant) HighestSequences(context.Context, []string) (map[string]supabase.Numbered, error) {
	return nil, nil
}

// honest checks that nothing counts as stored that is not.
func (d *distant) honest() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, put := range d.put {
		if claimed := put - d.box.Pending(id); claimed > d.stored[id] {
			d.t.Errorf("%s: %d samples are stored of %d that count as such", id, d.stored[id], claimed)
		}
	}
}

// run delivers, and calls each a hundred times a second.
func (d *distant) run(duration time.Duration, each func()) {
	ctx, stop := context.WithCancel(d.t.Context())
	var running sync.WaitGroup
	running.Go(func() { d.box.Run(ctx) })
	for range duration / (10 * time.Millisecond) {
		each()
		d.box.Clock.Sleep(10 * time.Millisecond)
	}
	stop()
	running.Wait()
}

// At 5,000 samples a second a request that takes half a second must not make an ever growing queue.
func TestADistantStoreKeepsUp(t *testing.T) {
	for name, tc := range map[string]struct {
		perSecond int
		took      time.Duration
		held      int // at most
		requests  int // a second, at most
		most      int // at once
	}{
		"few samples":            {400, 500 * time.Millisecond, 1000, 1, 1},
		"many":                   {5000, 10 * time.Millisecond, 2000, 6, 1},
		"many, far away":         {5000, 250 * time.Millisecond, 4000, 6, 2},
		"many, very far away":    {5000, 500 * time.Millisecond, 7000, 6, 3},
		"many, at the very most": {5000, 700 * time.Millisecond, 9000, 6, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := newDistant(t, nil, func(int) (time.Duration, error) { return tc.took, nil })
				held, n := 0, 0
				d.run(30*time.Second, func() {
					for range tc.perSecond / 100 {
						n++
						d.measure(n % (10 * tc.perSecond))
					}
					held = max(held, d.box.Status().Held)
				})
				t.Logf("%d held at most, %d requests, %d at once", held, d.requests, d.most)
				if held > tc.held || d.requests > 30*tc.requests || d.most > tc.most {
					t.Errorf("want at most %d held, with %d requests a second and %d at once", tc.held, tc.requests, tc.most)
				}
			})
		})
	}
}

// Whatever becomes of requests that are under way at once: the samples of a job are stored one after the other.
func TestSeveralRequestsKeepTheOrderOfEachJob(t *testing.T) {
	for seed := range uint64(10) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 2))
			var mu sync.Mutex
			d := newDistant(t, nil, func(n int) (took time.Duration, err error) {
				mu.Lock()
				defer mu.Unlock()
				switch took = time.Duration(rnd.IntN(600)) * time.Millisecond; rnd.IntN(8) {
				case 0:
					err = &supabase.Error{Status: 503, Message: "down"}
				case 1:
					if n > 1 {
						err = &supabase.Error{Status: 500, Code: "57014", Message: "canceling statement due to statement timeout"}
					}
				}
				return took, err
			})
			n := 0
			d.run(10*time.Second, func() {
				for range 50 {
					n++
					d.measure(n*n%701 + n%5)
				}
				if n%700 == 0 {
					d.honest()
				}
				if d.box.Overtaking() {
					t.Error("nothing is overtaken")
				}
			})
			d.box.Flush(t.Context())
			d.honest()
			total := 0
			for _, stored := range d.stored {
				total += stored
			}
			if total != n || d.most < 2 || d.most > senders {
				t.Errorf("%d samples are stored of %d, and %d requests were under way at once", total, n, d.most)
			}
		})
	}
}
