package controllers

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/uuid"
	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/soundcheck-io/latency-operator/internal/stack"
)

// harbour is where Fleets meet: a namespace, and a clock that runs as fast as the test turns it.
type harbour struct {
	*WithT
	t         *testing.T
	namespace string
	api       client.WithWatch
	clock     *clocktesting.FakeClock
	jobs      []string
	// convoy is among whom each job has to be one's at any time; it is not looked at while it is nil.
	convoy []*ship
}

func newHarbour(t *testing.T) *harbour {
	t.Helper()
	t.Parallel()
	g := NewWithT(t)
	if apiServer == nil {
		t.Fatal("no API server; see the first line of the output")
	}
	api, err := client.NewWithWatch(apiServer, client.Options{Scheme: scheme})
	g.Expect(err).NotTo(HaveOccurred())
	h := &harbour{
		WithT: g, t: t, namespace: fmt.Sprintf("harbour-%d", worlds.Add(1)), api: api,
		clock: clocktesting.NewFakeClock(time.Now().UTC().Truncate(time.Microsecond)),
	}
	for range 200 {
		h.jobs = append(h.jobs, uuid.NewString())
	}
	g.Expect(api.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: h.namespace}})).To(Succeed())
	return h
}

// ship is a Fleet of a process that runs in this one.
type ship struct {
	*Fleet
	// sink ends it without a word; it may be called again.
	sink func()
	// delivered is what it says of itself, changes how often it said that jobs may have moved.
	delivered atomic.Pointer[time.Time]
	changes   atomic.Int64
}

// launch starts a process, which reaches the API server over config.
func (h *harbour) launch(identity string, config *rest.Config, change ...func(*Fleet)) *ship {
	h.t.Helper()
	fleet, err := NewFleet(config, h.namespace, identity, h.clock, logr.Discard())
	h.Expect(err).NotTo(HaveOccurred())
	s := &ship{Fleet: fleet}
	s.delivered.Store(&time.Time{})
	fleet.DeliveredUntil = func() time.Time { return *s.delivered.Load() }
	fleet.Changed = func() { s.changes.Add(1) }
	for _, c := range change {
		c(fleet)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = fleet.Start(ctx) })
	s.sink = func() { cancel(); running.Wait() }
	h.t.Cleanup(s.sink)
	return s
}

// tick is how far the clock is turned at a time.
const tick = 100 * time.Millisecond

// sails awaits something, while time passes quickly.
func (h *harbour) sails(patience time.Duration, what func() bool, message ...any) {
	h.t.Helper()
	until := h.clock.Now().Add(patience)
	h.Eventually(func() bool {
		if some, several := h.owned(h.clock.Now(), h.convoy...); h.convoy != nil && (some != len(h.jobs) || several > 0) {
			h.t.Fatalf("%d jobs of %d have a process, and %d have several", some, len(h.jobs), several)
		}
		if what() {
			return true
		}
		if h.clock.Now().Before(until) {
			h.clock.Step(tick)
		}
		return false
	}, patience, 10*time.Millisecond).Should(BeTrue(), message...)
}

// passes lets time pass.
func (h *harbour) passes(d time.Duration) {
	h.t.Helper()
	until := h.clock.Now().Add(d)
	h.sails(d+tick, func() bool { return !h.clock.Now().Before(until) })
}

// share is how many of the jobs a process has at an instant.
func (h *harbour) share(s *ship, at time.Time) (n int) {
	for _, id := range h.jobs {
		if mine, _ := s.Owns(id, at); mine {
			n++
		}
	}
	return n
}

// owned counts the jobs that some of the processes have, and those that several have.
func (h *harbour) owned(at time.Time, ships ...*ship) (some, several int) {
	for _, id := range h.jobs {
		n := 0
		for _, s := range ships {
			if mine, _ := s.Owns(id, at); mine {
				n++
			}
		}
		some += min(n, 1)
		several += max(0, n-1)
	}
	return some, several
}

// shared tells whether each job is one process's.
func (h *harbour) shared(ships ...*ship) func() bool {
	return func() bool {
		some, several := h.owned(h.clock.Now(), ships...)
		for _, s := range ships {
			if h.share(s, h.clock.Now()) == 0 {
				return false
			}
		}
		return some == len(h.jobs) && several == 0
	}
}

// has tells whether a process has all the jobs.
func (h *harbour) has(s *ship) func() bool {
	return func() bool { return h.share(s, h.clock.Now()) == len(h.jobs) }
}

// leaseOf is the Lease of a process.
func (h *harbour) leaseOf(identity string) (*coordinationv1.Lease, error) {
	var lease coordinationv1.Lease
	err := h.api.Get(h.t.Context(), client.ObjectKey{Namespace: h.namespace, Name: memberLease(identity)}, &lease)
	return &lease, err
}

// handedOver says that each job has had one process at each instant since one.
func (h *harbour) handedOver(since time.Time, ships ...*ship) {
	h.t.Helper()
	for at := since; !at.After(h.clock.Now()); at = at.Add(tick / 2) {
		if some, several := h.owned(at, ships...); some != len(h.jobs) || several > 0 {
			h.t.Fatalf("%s after it began, %d jobs of %d had a process, and %d had several", at.Sub(since), some, len(h.jobs), several)
		}
	}
}

func TestOneAloneHasAllAtOnce(t *testing.T) {
	h := newHarbour(t)
	began := h.clock.Now()
	pod := &metav1.OwnerReference{APIVersion: "v1", Kind: "Pod", Name: "a", UID: "5d3c6a0e-6f3e-4b53-9c3b-1d2e3f405162"}
	a := h.launch("a", apiServer, func(f *Fleet) { f.Pod = pod })
	h.sails(time.Second, h.has(a))
	h.Expect(a.Joined()).To(BeTrue())
	_, since := a.Owns(h.jobs[0], h.clock.Now())
	h.Expect(since).To(BeZero())
	h.Expect(a.Members()).To(Equal(1))
	h.Expect(a.Delivered(h.clock.Now())).To(BeTrue())
	h.Eventually(a.changes.Load, patience).Should(BeEquivalentTo(1))

	lease, err := h.leaseOf("a")
	h.Expect(err).NotTo(HaveOccurred())
	h.Expect(lease.Labels).To(HaveKeyWithValue("latency.soundcheck.io/member", "true"))
	h.Expect(lease.OwnerReferences).To(ConsistOf(*pod))
	h.Expect(*lease.Spec.HolderIdentity).To(Equal("a"))
	h.Expect(*lease.Spec.LeaseDurationSeconds).To(BeEquivalentTo(15))
	h.Expect(lease.Spec.AcquireTime.Time).To(BeTemporally("~", began, time.Second))

	now := h.clock.Now()
	a.delivered.Store(&now)
	h.sails(2*renewEvery, func() bool {
		lease, err := h.leaseOf("a")
		return err == nil && lease.Annotations["latency.soundcheck.io/delivered-until"] == now.Format(time.RFC3339Nano)
	})

	now = h.clock.Now()
	a.Leave(t.Context())
	h.Expect(h.clock.Now()).To(Equal(now), "nobody has to be waited for")
	h.Expect(a.Release(t.Context())).To(Succeed())
	_, err = h.leaseOf("a")
	h.Expect(apierrors.IsNotFound(err)).To(BeTrue())
	h.Expect(a.Release(t.Context())).To(Succeed())
}

// What one process costs the API server is a write every few seconds.
func TestALeaseIsWrittenSeldom(t *testing.T) {
	h := newHarbour(t)
	changes, err := h.api.Watch(t.Context(), &coordinationv1.LeaseList{}, client.InNamespace(h.namespace))
	h.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(changes.Stop)
	var writes atomic.Int64
	go func() {
		for range changes.ResultChan() {
			writes.Add(1)
		}
	}()
	a := h.launch("a", apiServer)
	h.sails(time.Second, h.has(a))
	h.passes(time.Minute)
	h.Expect(writes.Load()).To(BeNumerically("~", int64(time.Minute/renewEvery), 3))
}

func TestJobsAreHandedOverWithoutGapAndOverlap(t *testing.T) {
	h := newHarbour(t)
	began := h.clock.Now()
	a := h.launch("a", apiServer)
	h.sails(time.Second, h.has(a))
	b := h.launch("b", apiServer)
	h.convoy = []*ship{a, b}
	h.sails(5*time.Second, h.shared(a, b))
	h.passes(time.Second)
	h.handedOver(began, a, b)
	lease, err := h.leaseOf("b")
	h.Expect(err).NotTo(HaveOccurred())
	joined := lease.Spec.AcquireTime.Time
	for _, id := range h.jobs {
		mine, since := b.Owns(id, h.clock.Now())
		before, _ := b.Owns(id, joined.Add(-time.Microsecond))
		h.Expect(before).To(BeFalse())
		if mine {
			h.Expect(since).To(BeTemporally("==", joined))
		}
		_, since = a.Owns(id, h.clock.Now())
		h.Expect(since).To(BeZero())
	}
	h.Expect(a.changes.Load()).To(BeEquivalentTo(2))
	h.passes(10 * time.Second)

	// A third takes the place of the first, as in an update that rolls.
	update := h.clock.Now()
	c := h.launch("c", apiServer)
	h.convoy = []*ship{a, b, c}
	h.sails(5*time.Second, h.shared(a, b, c))
	left := make(chan struct{})
	leaves := h.clock.Now()
	go func() { defer close(left); a.Leave(context.Background()) }()
	h.sails(10*time.Second, func() bool { return closed(left) })
	h.Expect(h.clock.Since(leaves)).To(BeNumerically(">=", notice))
	h.Expect(h.clock.Since(leaves)).To(BeNumerically("<", 2*notice))
	h.sails(time.Second, h.shared(b, c))
	h.passes(time.Second)
	h.handedOver(update, a, b, c)
	h.Expect(h.share(a, h.clock.Now())).To(BeZero())

	// What the first had is waited for until it says that it is delivered.
	now := h.clock.Now()
	b.delivered.Store(&now)
	c.delivered.Store(&now)
	h.passes(2 * renewEvery)
	h.Expect(b.Delivered(now)).To(BeFalse())
	a.sink()
	h.Expect(a.Release(t.Context())).To(Succeed())
	h.sails(2*renewEvery, func() bool { return b.Delivered(now) && c.Delivered(now) })
	h.Expect(b.Delivered(now.Add(time.Microsecond))).To(BeFalse(), "c did not say that")
	h.handedOver(update, a, b, c)
}

func TestTheJobsOfADeadOneAreTheOthers(t *testing.T) {
	h := newHarbour(t)
	a, b := h.launch("a", apiServer), h.launch("b", apiServer)
	h.sails(5*time.Second, h.shared(a, b))
	h.passes(remembered)
	killed := h.clock.Now()
	b.sink()
	h.passes(leaseDuration - renewEvery - time.Second)
	h.Expect(h.share(a, h.clock.Now())).To(BeNumerically("<", len(h.jobs)), "it may still live")
	h.sails(20*time.Second, h.has(a))
	h.Expect(h.clock.Since(killed)).To(BeNumerically("<", 20*time.Second))
	for _, id := range h.jobs {
		mine, since := a.Owns(id, killed) // so that it polls what is still open
		h.Expect(mine).To(BeTrue())
		h.Expect(since).To(BeZero())
	}
	h.Expect(a.Delivered(killed)).To(BeFalse())

	// One that starts now need not find out anew that it is dead.
	started := h.clock.Now()
	c := h.launch("c", apiServer)
	h.convoy = []*ship{a, c}
	h.sails(5*time.Second, h.shared(a, c))
	h.handedOver(started, a, c)

	now := h.clock.Now()
	a.delivered.Store(&now)
	c.delivered.Store(&now)
	h.sails(forgottenAfter, func() bool { return a.Delivered(killed) })
	h.Expect(h.clock.Since(killed)).To(BeNumerically(">=", forgottenAfter-renewEvery))
	h.sails(2*renewEvery, func() bool { _, err := h.leaseOf("b"); return apierrors.IsNotFound(err) })
}

// A container that is started again in its pod is the same member. Nobody notices, if it is quick.
func TestOneThatStartsAgainGoesOn(t *testing.T) {
	h := newHarbour(t)
	a, b := h.launch("a", apiServer), h.launch("b", apiServer)
	h.sails(5*time.Second, h.shared(a, b))
	changes := b.changes.Load()
	a.sink()
	h.passes(5 * time.Second)
	again := h.launch("a", apiServer)
	h.sails(time.Second, h.shared(again, b))
	h.passes(leaseDuration)
	h.Expect(b.changes.Load()).To(Equal(changes))
	h.Expect(h.shared(again, b)()).To(BeTrue())

	again.sink()
	h.sails(20*time.Second, h.has(b))
	late := h.launch("a", apiServer) // too late: it joins
	started := h.clock.Now()
	h.sails(5*time.Second, h.shared(late, b))
	h.Expect(h.clock.Since(started)).To(BeNumerically(">=", notice))
	h.handedOver(started, late, b)

	go late.Leave(context.Background())
	h.sails(5*time.Second, h.has(b))
	late.sink()
	back := h.launch("a", apiServer) // after it had left: it joins
	h.sails(5*time.Second, h.shared(back, b))
}

// through is a config for the API server that leads over a link.
func (h *harbour) through(link *stack.Link) *rest.Config {
	config := rest.CopyConfig(apiServer)
	config.Host = "https://" + link.Addr()
	return config
}

func (h *harbour) link() *stack.Link {
	h.t.Helper()
	link, err := (&stack.Stack{Config: apiServer}).LinkToAPIServer()
	h.Expect(err).NotTo(HaveOccurred())
	h.t.Cleanup(link.Close)
	return link
}

func TestOneThatIsCutOffGoesOnAndJoinsAnew(t *testing.T) {
	h := newHarbour(t)
	link := h.link()
	a, b := h.launch("a", apiServer), h.launch("b", h.through(link))
	h.sails(5*time.Second, h.shared(a, b))
	h.passes(remembered) // so that a start is long ago
	mine := h.share(b, h.clock.Now())
	link.Cut()
	h.sails(20*time.Second, h.has(a))
	h.passes(time.Minute)
	h.Expect(h.share(b, h.clock.Now())).To(Equal(mine), "it goes on with its jobs, and has no others")

	h.Expect(link.Mend()).To(Succeed())
	h.sails(10*time.Second, func() bool { return h.share(b, h.clock.Now()) == 0 }, "it joins anew")
	h.Expect(b.Joined()).To(BeFalse())
	h.sails(10*time.Second, h.shared(a, b))
	lease, err := h.leaseOf("b")
	h.Expect(err).NotTo(HaveOccurred())
	h.passes(time.Second)
	h.handedOver(lease.Spec.AcquireTime.Add(-notice/2), a, b)
	h.Expect(h.share(b, h.clock.Now())).To(Equal(mine))
}

func TestNobodyIsDeadWhenTheAPIServerIsAwayForAll(t *testing.T) {
	for name, spoil := range map[string]func(*stack.Link){"refused": (*stack.Link).Cut, "hanging": (*stack.Link).Hang} {
		t.Run(name, func(t *testing.T) {
			h := newHarbour(t)
			link := h.link()
			a, b := h.launch("a", h.through(link)), h.launch("b", h.through(link))
			h.sails(5*time.Second, h.shared(a, b))
			h.convoy = []*ship{a, b}
			h.passes(10 * time.Second)
			changes := a.changes.Load() + b.changes.Load()
			spoil(link)
			h.passes(time.Minute)
			h.Expect(link.Mend()).To(Succeed())
			now := h.clock.Now()
			a.delivered.Store(&now)
			h.sails(time.Minute, func() bool { return b.Delivered(now) })
			h.passes(20 * time.Second)
			h.handedOver(now.Add(-30*time.Second), a, b)
			h.Expect(a.changes.Load()+b.changes.Load()).To(Equal(changes), "nothing moved")
			h.Expect(a.Members()).To(Equal(2))
		})
	}
}

func TestALeaseThatSomebodyRemovesIsMadeAgain(t *testing.T) {
	h := newHarbour(t)
	a, b := h.launch("a", apiServer), h.launch("b", apiServer)
	h.sails(5*time.Second, h.shared(a, b))
	h.passes(10 * time.Second)
	lease, err := h.leaseOf("b")
	h.Expect(err).NotTo(HaveOccurred())
	h.Expect(h.api.Delete(t.Context(), lease)).To(Succeed())
	h.sails(5*time.Second, h.has(a))
	h.sails(10*time.Second, h.shared(a, b))

	// Somebody else writes into it: that is put right, and nothing else happens.
	changes := a.changes.Load()
	lease, err = h.leaseOf("b")
	h.Expect(err).NotTo(HaveOccurred())
	lease.Annotations["note"] = "kept"
	h.Expect(h.api.Update(t.Context(), lease)).To(Succeed())
	version := lease.ResourceVersion
	h.sails(2*renewEvery, func() bool { now, err := h.leaseOf("b"); return err == nil && now.ResourceVersion != version })
	now, err := h.leaseOf("b")
	h.Expect(err).NotTo(HaveOccurred())
	h.Expect(now.Annotations).To(HaveKeyWithValue("note", "kept"))
	h.passes(5 * time.Second)
	h.Expect(a.changes.Load()).To(Equal(changes))
}

func TestOneThatCannotSayThatItLeavesLeaves(t *testing.T) {
	h := newHarbour(t)
	link := h.link()
	a, b := h.launch("a", apiServer), h.launch("b", h.through(link))
	h.sails(5*time.Second, h.shared(a, b))
	link.Cut()
	began := h.clock.Now()
	left := make(chan struct{})
	go func() { defer close(left); b.Leave(context.Background()) }()
	h.sails(10*time.Second, func() bool { return closed(left) })
	h.Expect(h.clock.Since(began)).To(BeNumerically("<=", 2*notice))
	b.sink()
	h.sails(20*time.Second, h.has(a))
}

func closed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
