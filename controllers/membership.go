package controllers

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/soundcheck-io/latency-operator/internal/roster"
)

const (
	// tryAgainAfter is how soon a request to the API server is made again that failed, and requestTimeout how long one may take.
	tryAgainAfter  = time.Second
	requestTimeout = 3 * time.Second
)

// Fleet is the processes that share the jobs, as one of them sees it: it is the Ownership of the jobs and the Peers of this
// process. Each process holds a Lease as its membership and watches the others'. Who has which job is computed from these, by
// each for itself, and written nowhere. It is a Runnable of the manager, which starts it when the caches are filled: then this
// process joins, announced two seconds ahead unless it is alone.
//
// A process that renews its Lease no longer is dead: its jobs are the others' at once. One that leaves says so ahead, so that
// the others begin in the instant in which it stops. All this is about instants, so the clocks of the machines have to agree,
// as they do with NTP; what they are apart is the overlap or the gap at a hand-over.
//
// A process that cannot reach the API server goes on with what it knows, and declares nobody dead. If the others have
// declared it dead meanwhile, it joins anew when it is back.
type Fleet struct {
	// DeliveredUntil is the instant before which all that this process measured is stored. It is to be set before Start.
	DeliveredUntil func() time.Time
	// Changed is called when it may have changed who has which job. It is to be set before Start, and must not block.
	Changed func()

	identity string
	leases   coordinationclient.LeaseInterface
	clock    clock.Clock
	log      logr.Logger

	known chan struct{} // closed when the Leases of the others are known
	look  nudge         // has the members looked at

	mu      sync.Mutex
	fellows *fellows
	present atomic.Pointer[muster]

	writing sync.Mutex // is held while the Lease of this process is written
	lease   *coordinationv1.Lease
	asked   bool      // tells whether the Lease is known
	renewed time.Time // when it was last renewed for sure
	leaves  time.Time // when this process leaves
}

// muster is who has the jobs, as far as is known. It does not change.
type muster struct {
	members []roster.Member
	roster  roster.Roster
}

// NewFleet gives a Fleet for a process that is known as identity, which no other that runs at the same time may be.
func NewFleet(config *rest.Config, namespace, identity string, clk clock.Clock, log logr.Logger) (*Fleet, error) {
	client, err := coordinationclient.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client for the Lease %s: %w", memberLease(identity), err)
	}
	f := &Fleet{
		identity: identity, leases: client.Leases(namespace), clock: clk, log: log.WithValues("lease", memberLease(identity)),
		known: make(chan struct{}), look: newNudge(), fellows: newFellows(identity),
	}
	f.present.Store(&muster{})
	return f, nil
}

// NeedLeaderElection says that every process takes part.
func (f *Fleet) NeedLeaderElection() bool { return false }

// Start takes part until ctx ends. It does not hand over: see Leave.
func (f *Fleet) Start(ctx context.Context) error {
	var parts sync.WaitGroup
	parts.Go(func() { f.follow(ctx) })
	parts.Go(func() { f.muster(ctx) })
	select {
	case <-f.known:
		f.renewing(ctx)
	case <-ctx.Done():
	}
	parts.Wait()
	return nil
}

// Owns tells whether this process has a job at an instant, and since when if that is by a planned change not long ago; zero
// if it always had it, or has it from one that died. The instant to ask for is the slot's due time: asked for the past it tells
// who had the job then, for about a minute.
func (f *Fleet) Owns(jobID string, at time.Time) (mine bool, since time.Time) {
	r := f.present.Load().roster
	if r.Owner(jobID, at) != f.identity {
		return false, time.Time{}
	}
	return true, r.Since(jobID, at)
}

// Delivered tells whether every other process has said that all that it measured before an instant is stored. One that left
// counts until it has given up its Lease, and one that died until nothing was heard of it for two minutes.
func (f *Fleet) Delivered(until time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fellows.delivered(until, f.clock.Now())
}

// HandedOver tells that of those who renew their Leases, or have left.
func (f *Fleet) HandedOver(until time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fellows.handedOver(until, f.clock.Now())
}

// Members counts the processes that have jobs now.
func (f *Fleet) Members() int { return len(f.present.Load().roster.Active(f.clock.Now())) }

// Joined tells whether this process has its share of the jobs: another one can go then without a slot being missed.
func (f *Fleet) Joined() bool {
	return slices.Contains(f.present.Load().roster.Active(f.clock.Now()), f.identity)
}

// Leave hands the jobs over to the others, and returns when they have them and what was due before is being polled: until then
// this process has to go on. If it is alone it returns at once, and if the API server cannot be reached, after as long as a hand-over takes: the others notice
// then that its Lease is not renewed. Start must still run.
func (f *Fleet) Leave(ctx context.Context) {
	now := f.clock.Now()
	for latest := now.Add(notice); ; {
		leaves, err := f.announce(ctx)
		if err == nil {
			if ahead := leaves.Sub(f.clock.Now()); ahead > 0 {
				pause(ctx, f.clock, ahead)
				pause(ctx, f.clock, begun)
			}
			return
		}
		f.log.Error(err, "Could not say that this process leaves")
		if !f.clock.Now().Before(latest) || ctx.Err() != nil {
			return
		}
		pause(ctx, f.clock, tryAgainAfter)
	}
}

// announce says when this process leaves; zero when it has no Lease.
func (f *Fleet) announce(ctx context.Context) (time.Time, error) {
	f.writing.Lock()
	defer f.writing.Unlock()
	if f.lease == nil {
		return time.Time{}, nil
	}
	f.mu.Lock()
	f.leaves = f.clock.Now()
	if !f.fellows.alone(f.leaves) {
		f.leaves = f.leaves.Add(notice)
	}
	f.mu.Unlock()
	return f.leaves, f.write(ctx)
}

// Release gives up the Lease. It is to be called at the end of a process that has left and delivered all that it measured:
// nobody waits for it any more.
func (f *Fleet) Release(ctx context.Context) error {
	f.writing.Lock()
	defer f.writing.Unlock()
	if f.lease == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	err := f.leases.Delete(ctx, f.lease.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(f.lease.UID))})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("give up the Lease %s: %w", f.lease.Name, err)
	}
	return nil
}

// renewing renews the Lease until ctx ends, and takes away those that are only in the way.
func (f *Fleet) renewing(ctx context.Context) {
	failed := false
	for ctx.Err() == nil {
		wait := renewEvery
		err := f.renew(ctx)
		switch {
		case err != nil && !failed && ctx.Err() == nil:
			f.log.Error(err, "Could not renew the Lease; polling goes on")
		case err == nil && failed:
			f.log.Info("The Lease is renewed again")
		}
		if failed = err != nil; failed {
			wait = tryAgainAfter
		} else {
			f.sweep(ctx)
		}
		pause(ctx, f.clock, wait)
	}
}

func (f *Fleet) renew(ctx context.Context) error {
	f.writing.Lock()
	defer f.writing.Unlock()
	return f.write(ctx)
}

// write renews the Lease, or makes it. The caller holds writing.
func (f *Fleet) write(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	f.mu.Lock()
	stale := f.fellows.stale(f.clock.Now())
	f.mu.Unlock()
	var err error
	if stale { // whether the others went on without us has to be known first
		if _, err = f.list(ctx); err != nil {
			return err
		}
	}
	for range 3 { // somebody else may have changed or removed it, which shows when it is written
		if err = f.read(ctx); err != nil {
			return err
		}
		now := f.clock.Now()
		lease := f.claim(now).on(f.lease)
		if f.lease == nil {
			lease, err = f.leases.Create(ctx, lease, metav1.CreateOptions{})
		} else {
			lease, err = f.leases.Update(ctx, lease, metav1.UpdateOptions{})
		}
		if err == nil {
			f.lease, f.renewed = lease, now
			f.mu.Lock()
			f.fellows.see(f.identity, fellowOf(lease, now))
			f.mu.Unlock()
			f.look.give()
			return nil
		}
		if !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) && !apierrors.IsNotFound(err) {
			break
		}
		f.asked = false
	}
	return fmt.Errorf("write the Lease %s: %w", memberLease(f.identity), err)
}

// read learns what the Lease is like that this process, or one of its name before it, has; it may have none.
func (f *Fleet) read(ctx context.Context) error {
	if f.asked {
		return nil
	}
	lease, err := f.leases.Get(ctx, memberLease(f.identity), metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		f.lease, f.asked = nil, true
	case err != nil:
		return fmt.Errorf("read the Lease %s: %w", memberLease(f.identity), err)
	default:
		f.lease, f.asked, f.renewed = lease, true, renewedAt(lease)
	}
	return nil
}

// claim is what is to be in the Lease from now on. A process that the others do not know, or took for dead, joins.
func (f *Fleet) claim(now time.Time) *claim {
	c := &claim{identity: f.identity, now: now, leaves: f.leaves, delivered: f.DeliveredUntil()}
	f.mu.Lock()
	defer f.mu.Unlock()
	c.inTouch = f.fellows.inTouch
	if f.leaves.IsZero() && (f.lease == nil || !instantOf(f.lease, LeavesAtAnnotation).IsZero() || f.fellows.buried(f.renewed, now)) {
		c.joins = now
		if !f.fellows.alone(now) {
			c.joins = now.Add(notice)
		}
	}
	return c
}

// sweep takes away the Leases of the dead that nobody waits for any more. Somebody else may do it too.
func (f *Fleet) sweep(ctx context.Context) {
	f.mu.Lock()
	abandoned := f.fellows.abandoned(f.clock.Now())
	f.mu.Unlock()
	for id, version := range abandoned {
		ctx, cancel := context.WithTimeout(ctx, requestTimeout)
		err := f.leases.Delete(ctx, memberLease(id), metav1.DeleteOptions{Preconditions: &metav1.Preconditions{ResourceVersion: &version}})
		cancel()
		if err == nil {
			f.log.Info("Removed the Lease of a process that is gone", "member", id)
		}
	}
}

// muster keeps up who has the jobs, until ctx ends.
func (f *Fleet) muster(ctx context.Context) {
	var told []string
	for ctx.Err() == nil {
		active, next := f.call()
		if !slices.Equal(active, told) {
			told = active
			f.log.Info("The jobs are shared anew", "among", active)
			f.Changed()
		}
		timer := f.clock.NewTimer(max(next.Sub(f.clock.Now()), soonest))
		select {
		case <-ctx.Done():
		case <-f.look:
		case <-timer.C():
		}
		timer.Stop()
	}
}

// call finds who has the jobs now, and when that changes next if nothing is heard until then.
func (f *Fleet) call() (active []string, next time.Time) {
	f.mu.Lock()
	now := f.clock.Now()
	members, dies := f.fellows.members(now), f.fellows.dies(now)
	f.mu.Unlock()
	m := f.present.Load()
	if !slices.Equal(members, m.members) {
		m = &muster{members, roster.New(members)}
		f.present.Store(m)
	}
	next = now.Add(longest)
	for _, t := range []time.Time{dies, m.roster.Changes(now)} {
		if !t.IsZero() {
			next = earliest(next, t)
		}
	}
	return m.roster.Active(now), next
}
