package controllers

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/soundcheck-io/latency-operator/internal/stack"
)

func TestOneAloneHasAllAtOnce(t *testing.T) {
	h := newTestbed(t)
	began := h.clock.Now()
	a := h.start("a", apiServer)
	h.soon(time.Second, h.has(a))
	h.Expect(a.Joined()).To(BeTrue())
	_, since := a.Owns(h.jobs[0], h.clock.Now())
	h.Expect(since).To(BeZero())
	h.Expect(a.Members()).To(Equal(1))
	h.Expect(a.Delivered(h.clock.Now())).To(BeTrue())
	h.Eventually(a.changes.Load, patience).Should(BeEquivalentTo(1))

	lease, err := h.leaseOf("a")
	h.Expect(err).NotTo(HaveOccurred())
	h.Expect(lease.Labels).To(HaveKeyWithValue("latency.soundcheck.io/member", "true"))
	h.Expect(lease.OwnerReferences).To(BeEmpty(), "what a spool holds outlives the pod")
	h.Expect(*lease.Spec.HolderIdentity).To(Equal("a"))
	h.Expect(*lease.Spec.LeaseDurationSeconds).To(BeEquivalentTo(12))
	h.Expect(lease.Spec.AcquireTime.Time).To(BeTemporally("~", began, time.Second))

	now := h.clock.Now()
	a.delivered.Store(&now)
	h.soon(2*renewEvery, func() bool {
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
	h := newTestbed(t)
	changes, err := h.api.Watch(t.Context(), &coordinationv1.LeaseList{}, client.InNamespace(h.namespace))
	h.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(changes.Stop)
	var writes atomic.Int64
	go func() {
		for range changes.ResultChan() {
			writes.Add(1)
		}
	}()
	a := h.start("a", apiServer)
	h.soon(time.Second, h.has(a))
	h.passes(time.Minute)
	h.Expect(writes.Load()).To(BeNumerically("~", int64(time.Minute/renewEvery), 3))
}

func TestJobsAreHandedOverWithoutGapAndOverlap(t *testing.T) {
	h := newTestbed(t)
	began := h.clock.Now()
	a := h.start("a", apiServer)
	h.soon(time.Second, h.has(a))
	b := h.start("b", apiServer)
	h.Eventually(func() error { _, err := h.leaseOf("b"); return err }, patience).Should(Succeed()) // the clock stands still
	h.Expect(b.Joined()).To(BeFalse())
	h.covering = []*replica{a, b}
	h.soon(5*time.Second, h.shared(a, b))
	h.Expect(b.Joined()).To(BeTrue())
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
	c := h.start("c", apiServer)
	h.covering = []*replica{a, b, c}
	h.soon(5*time.Second, h.shared(a, b, c))
	left := make(chan struct{})
	leaves := h.clock.Now()
	go func() { defer close(left); a.Leave(context.Background()) }()
	h.soon(10*time.Second, func() bool { return closed(left) })
	h.Expect(h.clock.Since(leaves)).To(BeNumerically(">=", notice))
	h.Expect(h.clock.Since(leaves)).To(BeNumerically("<", 2*notice))
	h.soon(time.Second, h.shared(b, c))
	h.passes(time.Second)
	h.handedOver(update, a, b, c)
	h.Expect(h.share(a, h.clock.Now())).To(BeZero())

	// What the first had is waited for until it says that it is delivered.
	now := h.clock.Now()
	b.delivered.Store(&now)
	c.delivered.Store(&now)
	h.passes(2 * renewEvery)
	h.Expect(b.Delivered(now)).To(BeFalse())
	a.kill()
	h.Expect(a.Release(t.Context())).To(Succeed())
	h.soon(2*renewEvery, func() bool { return b.Delivered(now) && c.Delivered(now) })
	h.Expect(b.Delivered(now.Add(time.Microsecond))).To(BeFalse(), "c did not say that")
	h.handedOver(update, a, b, c)
}

func TestTheJobsOfADeadOneAreTheOthers(t *testing.T) {
	h := newTestbed(t)
	a, b := h.start("a", apiServer), h.start("b", apiServer)
	h.soon(5*time.Second, h.shared(a, b))
	h.passes(remembered)
	killed := h.clock.Now()
	b.kill()
	h.passes(deadAfter - renewEvery - time.Second)
	h.Expect(h.share(a, h.clock.Now())).To(BeNumerically("<", len(h.jobs)), "it may still live")
	h.soon(20*time.Second, h.has(a))
	h.Expect(h.clock.Since(killed)).To(BeNumerically("<", 20*time.Second))
	for _, id := range h.jobs {
		mine, since := a.Owns(id, killed) // so that it polls what is still open
		h.Expect(mine).To(BeTrue())
		h.Expect(since).To(BeZero())
	}
	h.Expect(a.Delivered(killed)).To(BeFalse())

	// One that starts now need not find out anew that it is dead.
	started := h.clock.Now()
	c := h.start("c", apiServer)
	h.covering = []*replica{a, c}
	h.soon(5*time.Second, h.shared(a, c))
	h.handedOver(started, a, c)

	now := h.clock.Now()
	a.delivered.Store(&now)
	c.delivered.Store(&now)
	h.soon(forgottenAfter, func() bool { return a.Delivered(killed) })
	h.Expect(h.clock.Since(killed)).To(BeNumerically(">=", forgottenAfter-renewEvery))
	h.soon(2*renewEvery, func() bool { _, err := h.leaseOf("b"); return apierrors.IsNotFound(err) })
}

// A container that is started again in its pod is the same member. Nobody notices, if it is quick.
func TestOneThatStartsAgainGoesOn(t *testing.T) {
	h := newTestbed(t)
	a, b := h.start("a", apiServer), h.start("b", apiServer)
	h.soon(5*time.Second, h.shared(a, b))
	changes := b.changes.Load()
	a.kill()
	h.passes(5 * time.Second)
	again := h.start("a", apiServer)
	h.soon(time.Second, h.shared(again, b))
	h.passes(deadAfter)
	h.Expect(b.changes.Load()).To(Equal(changes))
	h.Expect(h.shared(again, b)()).To(BeTrue())

	again.kill()
	h.soon(20*time.Second, h.has(b))
	late := h.start("a", apiServer) // too late: it joins
	started := h.clock.Now()
	h.soon(5*time.Second, h.shared(late, b))
	h.Expect(h.clock.Since(started)).To(BeNumerically(">=", notice))
	h.handedOver(started, late, b)

	go late.Leave(context.Background())
	h.soon(5*time.Second, h.has(b))
	late.kill()
	back := h.start("a", apiServer) // after it had left: it joins
	h.soon(5*time.Second, h.shared(back, b))
}

func TestOneThatIsCutOffGoesOnAndJoinsAnew(t *testing.T) {
	h := newTestbed(t)
	link := h.link()
	a, b := h.start("a", apiServer), h.start("b", h.through(link))
	h.soon(5*time.Second, h.shared(a, b))
	h.passes(remembered) // so that a start is long ago
	mine := h.share(b, h.clock.Now())
	link.Cut()
	h.soon(20*time.Second, h.has(a))
	h.passes(time.Minute)
	h.Expect(h.share(b, h.clock.Now())).To(Equal(mine), "it goes on with its jobs, and has no others")

	mended := h.clock.Now()
	h.Expect(link.Mend()).To(Succeed())
	h.soon(20*time.Second, h.shared(a, b), "it joins anew")
	h.passes(time.Second)
	h.joinedSince(mended, b, "b", a)
	h.Expect(h.share(b, h.clock.Now())).To(Equal(mine))
}

func TestNobodyIsDeadWhenTheAPIServerIsAwayForAll(t *testing.T) {
	for name, spoil := range map[string]func(*stack.Link){"refused": (*stack.Link).Cut, "hanging": (*stack.Link).Hang} {
		t.Run(name, func(t *testing.T) {
			h := newTestbed(t)
			link := h.link()
			a, b := h.start("a", h.through(link)), h.start("b", h.through(link))
			h.soon(5*time.Second, h.shared(a, b))
			h.covering = []*replica{a, b}
			h.passes(10 * time.Second)
			changes := a.changes.Load() + b.changes.Load()
			spoil(link)
			h.passes(time.Minute)
			h.Expect(link.Mend()).To(Succeed())
			now := h.clock.Now()
			a.delivered.Store(&now)
			h.soon(time.Minute, func() bool { return b.Delivered(now) })
			h.passes(20 * time.Second)
			h.handedOver(now.Add(-30*time.Second), a, b)
			h.Expect(a.changes.Load()+b.changes.Load()).To(Equal(changes), "nothing moved")
			h.Expect(a.Members()).To(Equal(2))
		})
	}
}

func TestALeaseThatSomebodyRemovesIsMadeAgain(t *testing.T) {
	h := newTestbed(t)
	a, b := h.start("a", apiServer), h.start("b", apiServer)
	h.soon(5*time.Second, h.shared(a, b))
	h.passes(10 * time.Second)
	lease, err := h.leaseOf("b")
	h.Expect(err).NotTo(HaveOccurred())
	deleted := h.clock.Now()
	h.Expect(h.api.Delete(t.Context(), lease)).To(Succeed())
	h.soon(15*time.Second, func() bool {
		now, err := h.leaseOf("b")
		return err == nil && now.UID != lease.UID && h.shared(a, b)()
	})
	h.passes(time.Second)
	h.joinedSince(deleted, b, "b", a)

	// Somebody else writes into it: that is put right, and nothing else happens.
	changes := a.changes.Load()
	lease, err = h.leaseOf("b")
	h.Expect(err).NotTo(HaveOccurred())
	lease.Annotations["note"] = "kept"
	h.Expect(h.api.Update(t.Context(), lease)).To(Succeed())
	version := lease.ResourceVersion
	h.soon(2*renewEvery, func() bool { now, err := h.leaseOf("b"); return err == nil && now.ResourceVersion != version })
	now, err := h.leaseOf("b")
	h.Expect(err).NotTo(HaveOccurred())
	h.Expect(now.Annotations).To(HaveKeyWithValue("note", "kept"))
	h.passes(5 * time.Second)
	h.Expect(a.changes.Load()).To(Equal(changes))
}

func TestOneThatCannotSayThatItLeavesLeaves(t *testing.T) {
	h := newTestbed(t)
	link := h.link()
	a, b := h.start("a", apiServer), h.start("b", h.through(link))
	h.soon(5*time.Second, h.shared(a, b))
	link.Cut()
	began := h.clock.Now()
	left := make(chan struct{})
	go func() { defer close(left); b.Leave(context.Background()) }()
	h.soon(10*time.Second, func() bool { return closed(left) })
	h.Expect(h.clock.Since(began)).To(BeNumerically("<=", 2*notice))
	b.kill()
	h.soon(20*time.Second, h.has(a))
}
