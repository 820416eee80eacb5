package controllers

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

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
	slots  *semaphore.Weighted
	ctx    context.Context //nolint:containedctx // the life of the polls in flight, which no caller's context has
	abort  context.CancelFunc

	mu       sync.Mutex
	draining bool
	wg       sync.WaitGroup
}

// NewPoller gives a Poller that runs at most limit polls at once.
func NewPoller(prober Prober, limit int64) *Poller {
	ctx, abort := context.WithCancel(context.Background())
	return &Poller{prober: prober, slots: semaphore.NewWeighted(limit), ctx: ctx, abort: abort}
}

// start polls the target with a deadline and hands the result to done, which is called exactly once if start reports
// true. It reports false, and polls nothing, when as many polls as allowed are in flight or the process is stopping.
func (p *Poller) start(target netip.Addr, deadline time.Duration, done func(spreedb.Result)) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.draining || !p.slots.TryAcquire(1) {
		return false
	}
	p.wg.Go(func() {
		defer p.slots.Release(1)
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
