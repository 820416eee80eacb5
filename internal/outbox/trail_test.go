package outbox

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

// trailing is an installation in which samples are stored each second, while last_ping_at is moved as by Run. It lives in a bubble of
// testing/synctest, where a request takes no time but the bubble's.
type trailing struct {
	t     *testing.T
	clock clock.Clock
	began time.Time
	took  time.Duration // by a request
	box   *Outbox
	// refuse is asked about each request; it may be nil. One that is refused has kept the database busy until its statement timeout.
	refuse func(ids []string) bool

	mu   sync.Mutex
	jobs []*trailed
	byID map[string]*trailed
	// requests by the second, and how many jobs each named at most.
	requests map[int]int
	most     int
	// worst is how far last_ping_at was behind the newest stored sample, once all had their first.
	worst time.Duration
}

// trailed is a job: newest is when its newest stored sample was taken, and told its last_ping_at.
type trailed struct {
	job          *job
	cadence      time.Duration
	next         time.Time
	newest, told time.Time
	since        time.Time // when the newest was stored
}

func newTrailing(t *testing.T, jobs int, phase func(n int, cadence time.Duration) time.Duration, cadences ...int) *trailing {
	s := &trailing{t: t, clock: clock.RealClock{}, took: 5 * time.Millisecond, byID: map[string]*trailed{}, requests: map[int]int{}}
	s.began = s.clock.Now()
	store := newShelf()
	store.touched = s.touched
	s.box = New(Options{Store: store, Clock: s.clock, Log: logr.Discard(), Batch: 1000, Linger: time.Second, Trail: 30 * time.Second})
	for n := range jobs {
		cadence := time.Duration(cadences[n%len(cadences)]) * time.Second
		j := &trailed{job: s.box.job(fmt.Sprintf("00000000-0000-4000-8000-%012d", n)), cadence: cadence, next: s.began.Add(phase(n, cadence))}
		s.jobs = append(s.jobs, j)
		s.byID[j.job.id] = j
	}
	return s
}

func (s *trailing) touched(ctx context.Context, ids []string, at time.Time) error {
	took := s.took
	refused := s.refuse != nil && s.refuse(ids)
	if refused {
		took = 8 * time.Second
	}
	select {
	case <-s.clock.After(took):
	case <-ctx.Done():
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests[int(s.clock.Since(s.began)/time.Second)]++
	if refused {
		return &supabase.Error{Op: supabase.OpTouchJobs, Status: 500, Code: "57014", Message: "canceling statement due to statement timeout"}
	}
	s.most = max(s.most, len(ids))
	for _, id := range ids {
		j := s.byID[id]
		if at.After(j.newest) {
			s.t.Errorf("%s is told %v, and its newest sample is of %v", id, at, j.newest)
		}
		if at.After(j.told) {
			j.told = at
		}
	}
	return nil
}

// flush stores what was measured until now.
func (s *trailing) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	var stored []touch
	for _, j := range s.jobs {
		for ; j.next.Before(now); j.next = j.next.Add(j.cadence) {
			if !j.since.IsZero() && now.Sub(j.since) > 30*time.Second && j.told.Before(j.newest.Add(-2*s.box.touches.nearby())) {
				s.t.Fatalf("%s has trailed for %v", j.job.id, now.Sub(j.since))
			}
			j.newest, j.since = j.next, now
			stored = append(stored, touch{j.job, j.next.UnixMicro(), j.cadence})
		}
		if behind := j.newest.Sub(j.told); !j.told.IsZero() && j.cadence <= 27*time.Second && behind > s.worst {
			s.worst = behind
		}
	}
	s.box.touches.owe(stored, now)
}

// run lets time pass.
func (s *trailing) run(seconds int) {
	ctx, stop := context.WithCancel(s.t.Context())
	var paying sync.WaitGroup
	paying.Go(func() { s.box.payTouches(ctx) })
	for range seconds {
		s.clock.Sleep(time.Second)
		s.flush()
	}
	stopped := s.clock.Now()
	stop()
	paying.Wait()
	if took := s.clock.Since(stopped); took > 0 {
		s.t.Errorf("the process ends, and that waits for %v", took)
	}
}

func spread(n int, cadence time.Duration) time.Duration {
	return time.Duration(rand.New(rand.NewPCG(uint64(n), 1)).Int64N(int64(cadence))).Truncate(time.Microsecond)
}

func together0(int, time.Duration) time.Duration { return 0 }

func TestLastPingAtTrailsNoFurtherThanItMay(t *testing.T) {
	const quick, slow = 5 * time.Millisecond, 250 * time.Millisecond
	for name, tc := range map[string]struct {
		jobs     int
		phase    func(int, time.Duration) time.Duration
		cadences []int
		took     time.Duration // by a request
		// perSecond is how many requests it takes in the mean at most, and peak in any one second.
		perSecond float64
		peak      int
		worst     time.Duration
	}{
		"20 jobs":                  {20, spread, []int{10}, quick, 2, 10, 10 * time.Second},
		"300 jobs":                 {300, spread, []int{10}, quick, 1.1, 3, 12 * time.Second},
		"5,000 jobs":               {5000, spread, []int{10}, quick, 1.6, 3, 25 * time.Second},
		"5,000 jobs, all at once":  {5000, together0, []int{10}, quick, 1.6, 4, 25 * time.Second},
		"20,000 jobs":              {20_000, spread, []int{10}, quick, 5.6, 8, 25 * time.Second},
		"20,000 jobs, far away":    {20_000, spread, []int{10}, slow, 5.6, 8, 25 * time.Second},
		"50,000 jobs":              {50_000, spread, []int{10}, quick, 14, 18, 25 * time.Second},
		"50,000 jobs, all at once": {50_000, together0, []int{10}, quick, 14, 30, 25 * time.Second},
		"50,000 jobs, far away":    {50_000, spread, []int{10}, slow, 14, 18, 25 * time.Second},
		"many cadences":            {20_000, spread, []int{1, 5, 7, 10, 17, 26, 60, 300}, quick, 6, 10, 30 * time.Second},
		"many cadences, far away":  {20_000, spread, []int{1, 5, 7, 10, 17, 26, 60, 300}, slow, 6, 10, 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newTrailing(t, tc.jobs, tc.phase, tc.cadences...)
				s.took = tc.took
				const seconds = 100
				s.run(seconds)
				sum, peak := 0, 0
				for second, n := range s.requests {
					if second >= 20 { // once it is in its stride
						sum, peak = sum+n, max(peak, n)
					}
				}
				mean := float64(sum) / (seconds - 20)
				t.Logf("%.2f requests a second, %d at most, %d jobs at most, %v behind at most", mean, peak, s.most, s.worst)
				if mean > tc.perSecond || peak > tc.peak || s.worst > tc.worst || s.most > together {
					t.Errorf("want %.2f requests a second, %d at most, and %v behind at most", tc.perSecond, tc.peak, tc.worst)
				}
			})
		})
	}
}

// Whoever is told an older time waits to be told the newer one. A few that wait for long, behind whom others come and go, must
// not keep all that they came before.
func TestWhoTrailsIsRememberedOnce(t *testing.T) {
	phase := func(n int, cadence time.Duration) time.Duration {
		if cadence > time.Minute {
			return time.Duration(n) * time.Millisecond % (2 * time.Second) // they start together
		}
		return spread(n, cadence)
	}
	synctest.Test(t, func(t *testing.T) {
		s := newTrailing(t, 6000, phase, 10, 10, 10, 10, 10, 86_400)
		s.run(120)
		touches := s.box.touches
		trail := 0
		for _, d := range touches.behind {
			if d.holds(inBehind) {
				trail++
			}
		}
		if trail != touches.trails || len(touches.behind) > 2*trail+together {
			t.Errorf("%d trail, %d are counted, %d remembered", trail, touches.trails, len(touches.behind))
		}
	})
}

// A job whose row somebody has locked keeps a request waiting until the statement timeout. The others that the request names must not
// go without for as long as that lasts.
func TestALockedRowHoldsUpNoOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTrailing(t, 5000, spread, 10)
		locked := s.jobs[70]
		s.refuse = func(ids []string) bool { return slices.Contains(ids, locked.job.id) }
		s.run(300)
		delete(s.byID, locked.job.id)
		s.jobs = slices.Delete(s.jobs, 70, 71)
		s.worst = 0
		s.run(100)
		if s.worst > 30*time.Second {
			t.Errorf("the others trail by %v", s.worst)
		}
	})
}

// A database that has more to do than it can is not asked again for each half of the jobs, down to each job, and it is not asked all the time.
func TestADatabaseThatIsTooSlowIsNotPressed(t *testing.T) {
	for _, jobs := range []int{20, 190, 5000} {
		synctest.Test(t, func(t *testing.T) {
			s := newTrailing(t, jobs, spread, 10)
			s.refuse = func([]string) bool { return true }
			s.run(600)
			n := 0
			for _, requests := range s.requests {
				n += requests
			}
			if n > senders*600/12 {
				t.Errorf("%d requests in ten minutes in which it answered none", n)
			}
			s.refuse = nil
			s.run(40)
			s.worst = 0
			s.run(40)
			if s.worst > 30*time.Second {
				t.Errorf("it is well again, and the jobs trail by %v", s.worst)
			}
		})
	}
}

// One job can make all wait for less, but not after it has ended.
func TestWhatOneCadenceNeedsEndsWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTrailing(t, 5001, spread, 10)
		s.jobs[5000].cadence = 14 * time.Second
		s.run(60)
		if wait := s.box.touches.wait; wait != 13*time.Second {
			t.Errorf("jobs wait for %v", wait)
		}
		s.jobs = s.jobs[:5000]
		s.run(180)
		if wait := s.box.touches.wait; wait != 19*time.Second {
			t.Errorf("jobs wait for %v, and nobody needs it", wait)
		}
	})
}
