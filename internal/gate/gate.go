// Package gate bounds what SpreeDB is asked: so many requests at once and so many in a second. Who does not get through waits
// in a line with one place for each job, so that it cannot grow beyond their number; and since a job gives its place up when its
// slot has passed, nothing in it is older than a slot.
//
// The line is fair: whoever was let through longest ago comes first. When only half of the polls fit, each job gets every other
// slot, also where all jobs share a phase and come in the same order every time.
package gate

import (
	"container/heap"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
)

// burst is the part of a second whose passes may be given at once.
const burst = 20

// Options of a Gate.
type Options struct {
	// AtOnce is how many passes may be out at once; at least 1.
	AtOnce int
	// PerSecond is how many passes are given in a second, a twentieth of them at once; more than 0.
	PerSecond float64
	// Call is called, without any lock of the gate, when the turn of someone in the line has come: the pass is kept until Enter or Quit.
	Call func(id string)
	// Clock measures the second.
	Clock clock.WithDelayedExecution
}

// Gate is safe for concurrent use.
type Gate struct {
	opts  Options
	pace  *rate.Limiter
	mu    sync.Mutex
	out   int              // passes, those kept for the called included
	line  line             // who waits
	place map[string]*spot // in the line, or called
	timer clock.Timer      // until the pace allows the next pass; nil when nothing waits for that
	seq   uint64
}

// spot is someone's place in the line.
type spot struct {
	id     string
	served time.Time
	seq    uint64 // who came first among those that were served at the same time
	index  int    // in the line; called when its turn has come
}

const called = -1

// New gives a Gate with nobody at it.
func New(opts Options) *Gate {
	most := max(1, int(opts.PerSecond/burst))
	return &Gate{opts: opts, pace: rate.NewLimiter(rate.Limit(opts.PerSecond), most), place: map[string]*spot{}}
}

// Enter asks for a pass for someone who was last let through at an instant. If it reports true, Leave gives the pass back.
// Otherwise the asker waits in the line until Call, and may ask again at any time.
func (g *Gate) Enter(id string, served time.Time) bool {
	g.mu.Lock()
	at, known := g.place[id]
	if known && at.index == called {
		delete(g.place, id)
		g.mu.Unlock()
		return true
	}
	if !known && len(g.line) == 0 && g.free() {
		g.out++
		g.mu.Unlock()
		return true
	}
	if !known {
		g.join(id, served)
	}
	turn := g.serve()
	g.mu.Unlock()
	g.call(turn)
	return false
}

// Leave gives a pass back.
func (g *Gate) Leave() {
	g.mu.Lock()
	g.out--
	turn := g.serve()
	g.mu.Unlock()
	g.call(turn)
}

// Quit is for someone who does not want to get through any more: the place in the line, or the pass that is kept, goes to
// others.
func (g *Gate) Quit(id string) {
	g.mu.Lock()
	at, known := g.place[id]
	if !known {
		g.mu.Unlock()
		return
	}
	delete(g.place, id)
	if at.index == called {
		g.out--
	} else {
		heap.Remove(&g.line, at.index)
	}
	turn := g.serve()
	g.mu.Unlock()
	g.call(turn)
}

// Waiting counts those in the line.
func (g *Gate) Waiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.line)
}

// Out counts the passes that are out.
func (g *Gate) Out() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.out
}

func (g *Gate) join(id string, served time.Time) {
	g.seq++
	at := &spot{id: id, served: served, seq: g.seq}
	g.place[id] = at
	heap.Push(&g.line, at)
}

// free takes a pass out of the second's if there is room. The caller holds mu.
func (g *Gate) free() bool {
	return g.out < g.opts.AtOnce && g.pace.AllowN(g.opts.Clock.Now(), 1)
}

// serve gives passes to the first in the line as long as there are any, and says whom to call. When it is the second that holds
// them up, it comes back by itself. The caller holds mu.
func (g *Gate) serve() (turn []string) {
	for len(g.line) > 0 && g.free() {
		next := heap.Pop(&g.line).(*spot)
		next.index = called
		g.out++
		turn = append(turn, next.id)
	}
	if len(g.line) > 0 && g.out < g.opts.AtOnce && g.timer == nil {
		pause := max(time.Duration(float64(time.Second)/g.opts.PerSecond), time.Millisecond)
		g.timer = g.opts.Clock.AfterFunc(pause, g.again)
	}
	return turn
}

func (g *Gate) again() {
	g.mu.Lock()
	g.timer = nil
	turn := g.serve()
	g.mu.Unlock()
	g.call(turn)
}

func (g *Gate) call(turn []string) {
	for _, id := range turn {
		g.opts.Call(id)
	}
}

// line is a heap of those who wait.
type line []*spot

// Len implements heap.Interface.
func (l line) Len() int { return len(l) }

// Less implements heap.Interface.
func (l line) Less(i, j int) bool {
	if c := l[i].served.Compare(l[j].served); c != 0 {
		return c < 0
	}
	return l[i].seq < l[j].seq
}

// Swap implements heap.Interface.
func (l line) Swap(i, j int) {
	l[i], l[j] = l[j], l[i]
	l[i].index, l[j].index = i, j
}

// Push implements heap.Interface.
func (l *line) Push(x any) {
	at := x.(*spot)
	at.index = len(*l)
	*l = append(*l, at)
}

// Pop implements heap.Interface.
func (l *line) Pop() any {
	last := len(*l) - 1
	at := (*l)[last]
	(*l)[last] = nil
	*l = (*l)[:last]
	return at
}
