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

// Membership is the processes that share the jobs, as one of them sees it: it is the Ownership of the jobs and the Peers of this
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
type Membership struct {
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
	peers   *peerSet
	present atomic.Pointer[sharing]

	writing sync.Mutex // is held while the Lease of this process is written
	lease   *coordinationv1.Lease
	asked   bool      // tells whether the Lease is known
	renewed time.Time // when it was last renewed for sure
	leaves  time.Time // when this process leaves
}

// sharing is who has the jobs, as far as is known. It does not change.
type sharing struct {
	members []roster.Member
	roster  roster.Roster
}

// NewMembership gives a Membership for a process that is known as identity, which no other that runs at the same time may be.
func NewMembership(config *rest.Config, namespace, identity string, clk clock.Clock, log logr.Logger) (*Membership, error) {
	client, err := coordinationclient.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client for the Lease %s: %w", memberLease(identity), err)
	}
	m := &Membership{
		identity: identity, leases: client.Leases(namespace), clock: clk, log: log.WithValues("lease", memberLease(identity)),
		known: make(chan struct{}), look: newNudge(), peers: newPeerSet(identity),
	}
	m.present.Store(&sharing{})
	return m, nil
}

// NeedLeaderElection says that every process takes part.
func (m *Membership) NeedLeaderElection() bool { return false }

// Start takes part until ctx ends. It does not hand over: see Leave.
func (m *Membership) Start(ctx context.Context) error {
	var parts sync.WaitGroup
	parts.Go(func() { m.follow(ctx) })
	parts.Go(func() { m.share(ctx) })
	select {
	case <-m.known:
		m.renewing(ctx)
	case <-ctx.Done():
	}
	parts.Wait()
	return nil
}

// Owns tells whether this process has a job at an instant, and since when if that is by a planned change not long ago; zero
// if it always had it, or has it from one that died. The instant to ask for is the slot's due time: asked for the past it tells
// who had the job then, for about a minute.
func (m *Membership) Owns(jobID string, at time.Time) (mine bool, since time.Time) {
	r := m.present.Load().roster
	if r.Owner(jobID, at) != m.identity {
		return false, time.Time{}
	}
	return true, r.Since(jobID, at)
}

// Delivered tells whether every other process has said that all that it measured before an instant is stored. One that left
// counts until it has given up its Lease, and one that died until nothing was heard of it for two minutes.
func (m *Membership) Delivered(until time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.peers.delivered(until, m.clock.Now())
}

// HandedOver tells that of those who renew their Leases, or have left.
func (m *Membership) HandedOver(until time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.peers.handedOver(until, m.clock.Now())
}

// Members counts the processes that have jobs now.
func (m *Membership) Members() int { return len(m.present.Load().roster.Active(m.clock.Now())) }

// Joined tells whether this process has its share of the jobs: another one can go then without a slot being missed.
func (m *Membership) Joined() bool {
	return slices.Contains(m.present.Load().roster.Active(m.clock.Now()), m.identity)
}

// Leave hands the jobs over to the others, and returns when they have them and what was due before is being polled: until then
// this process has to go on. If it is alone it returns at once, and if the API server cannot be reached, after as long as a hand-over takes: the others notice
// then that its Lease is not renewed. Start must still run.
func (m *Membership) Leave(ctx context.Context) {
	now := m.clock.Now()
	for latest := now.Add(notice); ; {
		leaves, err := m.announce(ctx)
		if err == nil {
			if ahead := leaves.Sub(m.clock.Now()); ahead > 0 {
				pause(ctx, m.clock, ahead)
				pause(ctx, m.clock, begun)
			}
			return
		}
		m.log.Error(err, "Could not say that this process leaves")
		if !m.clock.Now().Before(latest) || ctx.Err() != nil {
			return
		}
		pause(ctx, m.clock, tryAgainAfter)
	}
}

// announce says when this process leaves; zero when it has no Lease.
func (m *Membership) announce(ctx context.Context) (time.Time, error) {
	m.writing.Lock()
	defer m.writing.Unlock()
	if m.lease == nil {
		return time.Time{}, nil
	}
	m.mu.Lock()
	m.leaves = m.clock.Now()
	if !m.peers.alone(m.leaves) {
		m.leaves = m.leaves.Add(notice)
	}
	m.mu.Unlock()
	return m.leaves, m.write(ctx)
}

// Release gives up the Lease. It is to be called at the end of a process that has left and delivered all that it measured:
// nobody waits for it any more.
func (m *Membership) Release(ctx context.Context) error {
	m.writing.Lock()
	defer m.writing.Unlock()
	if m.lease == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	err := m.leases.Delete(ctx, m.lease.Name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(m.lease.UID))})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("give up the Lease %s: %w", m.lease.Name, err)
	}
	return nil
}

// renewing renews the Lease until ctx ends, and takes away those that are only in the way.
func (m *Membership) renewing(ctx context.Context) {
	failed := false
	for ctx.Err() == nil {
		wait := renewEvery
		err := m.renew(ctx)
		switch {
		case err != nil && !failed && ctx.Err() == nil:
			m.log.Error(err, "Could not renew the Lease; polling goes on")
		case err == nil && failed:
			m.log.Info("The Lease is renewed again")
		}
		if failed = err != nil; failed {
			wait = tryAgainAfter
		} else {
			m.sweep(ctx)
		}
		pause(ctx, m.clock, wait)
	}
}

func (m *Membership) renew(ctx context.Context) error {
	m.writing.Lock()
	defer m.writing.Unlock()
	return m.write(ctx)
}

// write renews the Lease, or makes it. The caller holds writing.
func (m *Membership) write(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	m.mu.Lock()
	stale := m.peers.stale(m.clock.Now())
	m.mu.Unlock()
	var err error
	if stale { // whether the others went on without us has to be known first
		if _, err = m.list(ctx); err != nil {
			return err
		}
	}
	for range 3 { // somebody else may have changed or removed it, which shows when it is written
		if err = m.read(ctx); err != nil {
			return err
		}
		now := m.clock.Now()
		lease := m.claim(now).on(m.lease)
		if m.lease == nil {
			lease, err = m.leases.Create(ctx, lease, metav1.CreateOptions{})
		} else {
			lease, err = m.leases.Update(ctx, lease, metav1.UpdateOptions{})
		}
		if err == nil {
			m.lease, m.renewed = lease, now
			m.mu.Lock()
			m.peers.see(m.identity, peerOf(lease, now))
			m.mu.Unlock()
			m.look.give()
			return nil
		}
		if !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) && !apierrors.IsNotFound(err) {
			break
		}
		m.asked = false
	}
	return fmt.Errorf("write the Lease %s: %w", memberLease(m.identity), err)
}

// read learns what the Lease is like that this process, or one of its name before it, has; it may have none.
func (m *Membership) read(ctx context.Context) error {
	if m.asked {
		return nil
	}
	lease, err := m.leases.Get(ctx, memberLease(m.identity), metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		m.lease, m.asked = nil, true
	case err != nil:
		return fmt.Errorf("read the Lease %s: %w", memberLease(m.identity), err)
	default:
		m.lease, m.asked, m.renewed = lease, true, renewedAt(lease)
	}
	return nil
}

// claim is what is to be in the Lease from now on. A process that the others do not know, or took for dead, joins.
func (m *Membership) claim(now time.Time) *claim {
	c := &claim{identity: m.identity, now: now, leaves: m.leaves, delivered: m.DeliveredUntil()}
	m.mu.Lock()
	defer m.mu.Unlock()
	c.inTouch = m.peers.inTouch
	if m.leaves.IsZero() && (m.lease == nil || !instantOf(m.lease, LeavesAtAnnotation).IsZero() || m.peers.declaredDead(m.renewed, now)) {
		c.joins = now
		if !m.peers.alone(now) {
			c.joins = now.Add(notice)
		}
	}
	return c
}

// sweep takes away the Leases of the dead that nobody waits for any more. Somebody else may do it too.
func (m *Membership) sweep(ctx context.Context) {
	m.mu.Lock()
	abandoned := m.peers.abandoned(m.clock.Now())
	m.mu.Unlock()
	for id, version := range abandoned {
		ctx, cancel := context.WithTimeout(ctx, requestTimeout)
		err := m.leases.Delete(ctx, memberLease(id), metav1.DeleteOptions{Preconditions: &metav1.Preconditions{ResourceVersion: &version}})
		cancel()
		if err == nil {
			m.log.Info("Removed the Lease of a process that is gone", "member", id)
		}
	}
}

// share keeps up who has the jobs, until ctx ends.
func (m *Membership) share(ctx context.Context) {
	var told []string
	for ctx.Err() == nil {
		active, next := m.call()
		if !slices.Equal(active, told) {
			told = active
			m.log.Info("The jobs are shared anew", "among", active)
			m.Changed()
		}
		timer := m.clock.NewTimer(max(next.Sub(m.clock.Now()), soonest))
		select {
		case <-ctx.Done():
		case <-m.look:
		case <-timer.C():
		}
		timer.Stop()
	}
}

// call finds who has the jobs now, and when that changes next if nothing is heard until then.
func (m *Membership) call() (active []string, next time.Time) {
	m.mu.Lock()
	now := m.clock.Now()
	members, dies := m.peers.members(now), m.peers.dies(now)
	m.mu.Unlock()
	shares := m.present.Load()
	if !slices.Equal(members, shares.members) {
		shares = &sharing{members, roster.New(members)}
		m.present.Store(shares)
	}
	next = now.Add(longest)
	for _, t := range []time.Time{dies, shares.roster.Changes(now)} {
		if !t.IsZero() {
			next = earliest(next, t)
		}
	}
	return shares.roster.Active(now), next
}
