package gate

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
)

var start = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

// turns notes who was called.
type turns struct {
	mu  sync.Mutex
	ids []string
}

func (t *turns) call(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ids = append(t.ids, id)
}

func (t *turns) take() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	ids := t.ids
	t.ids = nil
	return ids
}

func newGate(atOnce int, perSecond float64) (*Gate, *turns, *clocktesting.FakeClock) {
	clk, called := clocktesting.NewFakeClock(start), &turns{}
	return New(Options{AtOnce: atOnce, PerSecond: perSecond, Call: called.call, Clock: apart{clk}}), called, clk
}

// apart runs functions as a real clock does: the fake one would do it with its lock held, so that they could not ask it.
type apart struct{ *clocktesting.FakeClock }

func (a apart) AfterFunc(d time.Duration, f func()) clock.Timer {
	return a.FakeClock.AfterFunc(d, func() { go f() })
}

// enter asks for everybody and gives those who got through.
func enter(g *Gate, served map[string]time.Time, ids ...string) (through []string) {
	for _, id := range ids {
		if g.Enter(id, served[id]) {
			through = append(through, id)
		}
	}
	return through
}

func expect(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestNoMoreThanAllowedAreThroughAtOnce(t *testing.T) {
	g, called, _ := newGate(2, 1e6)
	expect(t, "through", enter(g, nil, "a", "b", "c", "d"), "a", "b")
	expect(t, "called before anybody left", called.take())
	g.Leave()
	expect(t, "called", called.take(), "c")
	if g.Out() != 2 || g.Waiting() != 1 {
		t.Errorf("%d out and %d waiting: the pass of the called one has to be kept", g.Out(), g.Waiting())
	}
	expect(t, "who comes now waits behind", enter(g, nil, "e"))
	expect(t, "the called one", enter(g, nil, "c"), "c")
	g.Leave()
	g.Leave()
	expect(t, "called", called.take(), "d", "e")
}

func TestWhoWasServedLongestAgoComesFirst(t *testing.T) {
	g, called, _ := newGate(1, 1e6)
	served := map[string]time.Time{"a": start.Add(-3 * time.Second), "b": start.Add(-9 * time.Second), "c": start.Add(-5 * time.Second)}
	g.Enter("first", time.Time{})
	expect(t, "through", enter(g, served, "a", "b", "c", "never"))
	var order []string
	for range 4 {
		g.Leave()
		turn := called.take()
		expect(t, "through", enter(g, served, turn...), turn...)
		order = append(order, turn...)
	}
	expect(t, "order", order, "never", "b", "c", "a")
}

// Jobs that share a phase ask in the same order in every slot. Where half of them fit, each has to get every other slot.
func TestJobsThatShareAPhaseDoNotStarveEachOther(t *testing.T) {
	const jobs, rounds = 100, 20
	g, called, clk := newGate(jobs/2, 1e6)
	served, polls := map[string]time.Time{}, map[string]int{}
	for range rounds {
		var through []string
		for job := range jobs {
			id := fmt.Sprint(job)
			if g.Enter(id, served[id]) {
				through = append(through, id)
			}
		}
		for _, id := range called.take() {
			if g.Enter(id, served[id]) {
				through = append(through, id)
			}
		}
		for _, id := range through {
			served[id] = clk.Now()
			polls[id]++
		}
		clk.Step(10 * time.Second)
		for range through { // which end just before the next slot
			g.Leave()
		}
	}
	for id, n := range polls {
		if n < rounds/2-1 || n > rounds/2+1 {
			t.Errorf("job %s had %d polls of %d", id, n, rounds)
		}
	}
	if len(polls) != jobs {
		t.Errorf("%d jobs of %d were polled", len(polls), jobs)
	}
	if g.Waiting() > jobs {
		t.Errorf("%d wait: more than there are jobs", g.Waiting())
	}
}

func TestPassesOfASecondAreSpread(t *testing.T) {
	g, called, clk := newGate(1000, 100)
	var through int
	for i := range 200 {
		if g.Enter(fmt.Sprint(i), time.Time{}) {
			through++
		}
	}
	if through != 5 {
		t.Errorf("%d at once, want a twentieth of a second's", through)
	}
	for range 100 {
		clk.Step(10 * time.Millisecond)
		waitIdle(t, g, clk)
	}
	if n := len(called.take()); n < 95 || n > 105 {
		t.Errorf("%d were called in a second, want 100", n)
	}
}

// waitIdle waits until the function that the clock started has run: then it has set the timer again.
func waitIdle(t *testing.T, g *Gate, clk *clocktesting.FakeClock) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !clk.HasWaiters(); {
		if g.Waiting() == 0 || time.Now().After(deadline) {
			t.Fatalf("%d wait and nothing will call them", g.Waiting())
		}
	}
}

func TestWhoQuitsLeavesThePlaceToOthers(t *testing.T) {
	g, called, _ := newGate(1, 1e6)
	expect(t, "through", enter(g, nil, "a", "b", "c", "d"), "a")
	g.Quit("b")
	g.Leave()
	expect(t, "called", called.take(), "c")
	g.Quit("c") // the pass that was kept goes on
	expect(t, "called", called.take(), "d")
	g.Quit("d")
	g.Quit("nobody")
	if g.Out() != 0 || g.Waiting() != 0 {
		t.Errorf("%d out and %d waiting, and nobody is there", g.Out(), g.Waiting())
	}
	expect(t, "through", enter(g, nil, "e"), "e")
}

func TestAskingAgainKeepsThePlace(t *testing.T) {
	g, called, _ := newGate(1, 1e6)
	expect(t, "through", enter(g, nil, "a", "b", "c", "b", "b"), "a")
	if g.Waiting() != 2 {
		t.Errorf("%d wait, want 2", g.Waiting())
	}
	g.Leave()
	expect(t, "called", called.take(), "b")
}

func BenchmarkEnterAndLeave(b *testing.B) {
	g, _, _ := newGate(1<<30, 1e12)
	b.ReportAllocs()
	for b.Loop() {
		if g.Enter("a", start) {
			g.Leave()
		}
	}
}
