package outbox

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/go-logr/logr"
	clocktesting "k8s.io/utils/clock/testing"
)

// trailing is an installation in which samples are stored each second, and last_ping_at is moved in between as Run does it, on a
// clock of its own.
type trailing struct {
	t     *testing.T
	clock *clocktesting.FakeClock
	box   *Outbox
	jobs  []*trailed
	byID  map[string]*trailed
	// requests by the second, and how many jobs each named at most.
	requests map[int]int
	most     int
	// worst is how far last_ping_at was behind the newest stored sample.
	worst time.Duration
}

// trailed is a job: newest is when its newest stored sample was taken, and told its last_ping_at.
type trailed struct {
	job           *job
	cadence       time.Duration
	next          time.Time
	newest, told  time.Time
	before, since time.Time // the sample before the newest, and when that was stored
}

func newTrailing(t *testing.T, jobs int, phase func(n int, cadence time.Duration) time.Duration, cadences ...int) *trailing {
	s := &trailing{t: t, clock: clocktesting.NewFakeClock(start), byID: map[string]*trailed{}, requests: map[int]int{}}
	store := newShelf()
	store.touched = s.touched
	s.box = New(Options{Store: store, Clock: s.clock, Log: logr.Discard(), Batch: 1000, Linger: time.Second, Trail: 30 * time.Second})
	for n := range jobs {
		cadence := time.Duration(cadences[n%len(cadences)]) * time.Second
		j := &trailed{job: s.box.job(fmt.Sprintf("00000000-0000-4000-8000-%012d", n)), cadence: cadence, next: start.Add(phase(n, cadence))}
		s.jobs = append(s.jobs, j)
		s.byID[j.job.id] = j
	}
	return s
}

func (s *trailing) touched(ids []string, at time.Time) error {
	s.requests[int(s.clock.Since(start)/time.Second)]++
	s.most = max(s.most, len(ids))
	for _, id := range ids {
		j := s.byID[id]
		if at.After(j.newest) {
			s.t.Fatalf("%s is told %v, and its newest sample is of %v", id, at, j.newest)
		}
		if at.After(j.told) {
			j.told = at
		}
	}
	s.clock.Step(5 * time.Millisecond) // how long a request takes
	return nil
}

// flush stores what was measured until now.
func (s *trailing) flush() {
	now := s.clock.Now()
	var stored []touch
	for _, j := range s.jobs {
		for ; j.next.Before(now); j.next = j.next.Add(j.cadence) {
			if !j.since.IsZero() && now.Sub(j.since) > 30*time.Second && j.told.Before(j.newest.Add(-2*s.box.touches.nearby())) {
				s.t.Fatalf("%s has trailed for %v", j.job.id, now.Sub(j.since))
			}
			j.before, j.newest, j.since = j.newest, j.next, now
			stored = append(stored, touch{j.job, j.next.UnixMicro(), j.cadence})
		}
		if behind := j.newest.Sub(j.told); !j.told.IsZero() && j.cadence <= 27*time.Second && behind > s.worst {
			s.worst = behind
		}
	}
	s.box.touches.owe(stored, now)
}

func (s *trailing) run(seconds int) {
	for second := range seconds {
		end := start.Add(time.Duration(second+1) * time.Second)
		for {
			wait, owing := s.box.touches.due(s.clock.Now())
			if left := end.Sub(s.clock.Now()); !owing || wait > left {
				s.clock.Step(max(0, left))
				break
			}
			s.clock.Step(max(0, wait))
			if _, err := s.box.pay(s.t.Context()); err != nil {
				s.t.Fatal(err)
			}
		}
		s.flush()
	}
}

func spread(n int, cadence time.Duration) time.Duration {
	return time.Duration(rand.New(rand.NewPCG(uint64(n), 1)).Int64N(int64(cadence))).Truncate(time.Microsecond)
}

func together0(int, time.Duration) time.Duration { return 0 }

func TestLastPingAtTrailsNoFurtherThanItMay(t *testing.T) {
	for name, tc := range map[string]struct {
		jobs     int
		phase    func(int, time.Duration) time.Duration
		cadences []int
		// perSecond is how many requests it takes in the mean at most, and peak in any one second.
		perSecond float64
		peak      int
		worst     time.Duration
	}{
		"20 jobs":                  {20, spread, []int{10}, 2, 10, 10 * time.Second},
		"300 jobs":                 {300, spread, []int{10}, 1.1, 3, 12 * time.Second},
		"5,000 jobs":               {5000, spread, []int{10}, 1.6, 3, 25 * time.Second},
		"5,000 jobs, all at once":  {5000, together0, []int{10}, 1.6, 4, 25 * time.Second},
		"20,000 jobs":              {20_000, spread, []int{10}, 5.6, 8, 25 * time.Second},
		"50,000 jobs":              {50_000, spread, []int{10}, 14, 18, 25 * time.Second},
		"50,000 jobs, all at once": {50_000, together0, []int{10}, 14, 30, 25 * time.Second},
		"many cadences":            {20_000, spread, []int{1, 5, 7, 10, 17, 26, 60, 300}, 6, 10, 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newTrailing(t, tc.jobs, tc.phase, tc.cadences...)
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
}
