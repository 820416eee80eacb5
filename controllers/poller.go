package controllers

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"

	"github.com/soundcheck-io/latency-operator/internal/gate"
	"github.com/soundcheck-io/latency-operator/internal/spreedb"
)

// Prober asks SpreeDB for the latency of one device. It never fails: what went wrong is in the result.
type Prober interface {
	Poll(ctx context.Context, target netip.Addr) spreedb.Result
}

// Poller runs polls beside the reconcilers, so that a target that hangs holds up no other job. What it runs outlives
// the manager: Drain ends it.
type Poller struct {
	prober Prober
	gate   *gate.Gate
	wake   atomic.Pointer[func(string)]
	ctx    context.Context //nolint:containedctx // the life of the polls in flight, which no caller's context has
	abort  context.CancelFunc

	mu       sync.Mutex
	draining bool
	wg       sync.WaitGroup
}

// Limits protect SpreeDB.
type Limits struct {
	// InFlight is how many polls may run at once.
	InFlight int
	// PerSecond is how many may begin in a second.
	PerSecond float64
}

// NewPoller gives a Poller that stays within limits.
func NewPoller(prober Prober, limits Limits, clk clock.WithDelayedExecution) *Poller {
	ctx, abort := context.WithCancel(context.Background())
	p := &Poller{prober: prober, ctx: ctx, abort: abort}
	p.gate = gate.New(gate.Options{AtOnce: limits.InFlight, PerSecond: limits.PerSecond, Clock: clk, Call: func(id string) {
		if wake := p.wake.Load(); wake != nil {
			(*wake)(id)
		}
	}})
	return p
}

// called sets whom to tell that a job which had to wait can be polled now.
func (p *Poller) called(wake func(jobID string)) { p.wake.Store(&wake) }

// InFlight counts the polls that run.
func (p *Poller) InFlight() int { return p.gate.Out() }

// Waiting counts the jobs that wait for room.
func (p *Poller) Waiting() int { return p.gate.Waiting() }

// start polls the target of a job, which was polled last at an instant, with a deadline, and hands the result to done, which is
// called exactly once if start reports true. It reports false, and polls nothing, when the process is stopping or the job has to
// wait until it is called by the gate.
func (p *Poller) start(jobID string, polled time.Time, target netip.Addr, deadline time.Duration, done func(spreedb.Result)) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.draining || !p.gate.Enter(jobID, polled) {
		return false
	}
	p.wg.Go(func() {
		defer p.gate.Leave()
		ctx, cancel := context.WithTimeout(p.ctx, deadline)
		defer cancel()
		done(p.prober.Poll(ctx, target))
	})
	return true
}

// Draining tells whether the process is stopping: no poll begins any more.
func (p *Poller) Draining() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.draining
}

// Drain begins no new polls and waits for those in flight. When ctx ends, what is still running is cut short: it yields
// no sample.
func (p *Poller) Drain(ctx context.Context) {
	p.mu.Lock()
	p.draining = true
	p.mu.Unlock()
	stop := context.AfterFunc(ctx, p.abort)
	defer stop()
	p.wg.Wait()
	p.abort()
}
