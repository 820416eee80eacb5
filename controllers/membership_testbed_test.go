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
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/soundcheck-io/latency-operator/internal/stack"
)

// testbed is where Memberships meet: a namespace, and a clock that runs as fast as the test turns it.
type testbed struct {
	*WithT
	t         *testing.T
	namespace string
	api       client.WithWatch
	clock     *clocktesting.FakeClock
	jobs      []string
	// covering is among whom each job has to be one's at any time; it is not looked at while it is nil.
	covering []*replica
}

func newTestbed(t *testing.T) *testbed {
	t.Helper()
	t.Parallel()
	g := NewWithT(t)
	if apiServer == nil {
		t.Fatal("no API server; see the first line of the output")
	}
	api, err := client.NewWithWatch(apiServer, client.Options{Scheme: scheme})
	g.Expect(err).NotTo(HaveOccurred())
	h := &testbed{
		WithT: g, t: t, namespace: fmt.Sprintf("testbed-%d", worlds.Add(1)), api: api,
		clock: clocktesting.NewFakeClock(time.Now().UTC().Truncate(time.Microsecond)),
	}
	for range 200 {
		h.jobs = append(h.jobs, uuid.NewString())
	}
	g.Expect(api.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: h.namespace}})).To(Succeed())
	return h
}

// replica is a Membership of a process that runs in this one.
type replica struct {
	*Membership
	// kill ends it without a word; it may be called again.
	kill func()
	// delivered is what it says of itself, changes how often it said that jobs may have moved.
	delivered atomic.Pointer[time.Time]
	changes   atomic.Int64
}

// start starts a process, which reaches the API server over config.
func (h *testbed) start(identity string, config *rest.Config) *replica {
	h.t.Helper()
	m, err := NewMembership(config, h.namespace, identity, h.clock, logr.Discard())
	h.Expect(err).NotTo(HaveOccurred())
	s := &replica{Membership: m}
	s.delivered.Store(&time.Time{})
	m.DeliveredUntil = func() time.Time { return *s.delivered.Load() }
	m.Changed = func() { s.changes.Add(1) }
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = m.Start(ctx) })
	s.kill = func() { cancel(); running.Wait() }
	h.t.Cleanup(s.kill)
	return s
}

// tick is how far the clock is turned at a time.
const tick = 100 * time.Millisecond

// soon awaits something, while up to a certain time passes quickly; on a busy machine what it leads to may take longer.
func (h *testbed) soon(within time.Duration, what func() bool, message ...any) {
	h.t.Helper()
	until := h.clock.Now().Add(within)
	h.Eventually(func() bool {
		if some, several := h.owned(h.clock.Now(), h.covering...); h.covering != nil && (some != len(h.jobs) || several > 0) {
			h.t.Fatalf("%d jobs of %d have a process, and %d have several", some, len(h.jobs), several)
		}
		if what() {
			return true
		}
		if h.clock.Now().Before(until) {
			h.clock.Step(tick)
		}
		return false
	}, within+patience, 10*time.Millisecond).Should(BeTrue(), message...)
}

// passes lets time pass.
func (h *testbed) passes(d time.Duration) {
	h.t.Helper()
	until := h.clock.Now().Add(d)
	h.soon(d+tick, func() bool { return !h.clock.Now().Before(until) })
}

// share is how many of the jobs a process has at an instant.
func (h *testbed) share(s *replica, at time.Time) (n int) {
	for _, id := range h.jobs {
		if mine, _ := s.Owns(id, at); mine {
			n++
		}
	}
	return n
}

// owned counts the jobs that some of the processes have, and those that several have.
func (h *testbed) owned(at time.Time, replicas ...*replica) (some, several int) {
	for _, id := range h.jobs {
		n := 0
		for _, s := range replicas {
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
func (h *testbed) shared(replicas ...*replica) func() bool {
	return func() bool {
		some, several := h.owned(h.clock.Now(), replicas...)
		for _, s := range replicas {
			if h.share(s, h.clock.Now()) == 0 {
				return false
			}
		}
		return some == len(h.jobs) && several == 0
	}
}

// has tells whether a process has all the jobs.
func (h *testbed) has(s *replica) func() bool {
	return func() bool { return h.share(s, h.clock.Now()) == len(h.jobs) }
}

// leaseOf is the Lease of a process.
func (h *testbed) leaseOf(identity string) (*coordinationv1.Lease, error) {
	var lease coordinationv1.Lease
	err := h.api.Get(h.t.Context(), client.ObjectKey{Namespace: h.namespace, Name: memberLease(identity)}, &lease)
	return &lease, err
}

// handedOver says that each job has had one process at each instant since one.
func (h *testbed) handedOver(since time.Time, replicas ...*replica) {
	h.t.Helper()
	for at := since; !at.After(h.clock.Now()); at = at.Add(tick / 2) {
		if some, several := h.owned(at, replicas...); some != len(h.jobs) || several > 0 {
			h.t.Fatalf("%s after it began, %d jobs of %d had a process, and %d had several", at.Sub(since), some, len(h.jobs), several)
		}
	}
}

// joinedSince says that a process has joined after an instant, and that the other had all the jobs until then. It looks back: a machine
// that is busy may show nothing of a state that lasts for two seconds of a clock that runs quickly.
func (h *testbed) joinedSince(since time.Time, s *replica, identity string, other *replica) {
	h.t.Helper()
	lease, err := h.leaseOf(identity)
	h.Expect(err).NotTo(HaveOccurred())
	joined := lease.Spec.AcquireTime.Time
	h.Expect(joined).To(BeTemporally(">", since))
	h.Expect(h.share(s, joined.Add(-notice/2))).To(BeZero())
	h.handedOver(joined.Add(-notice/2), s, other)
}

// through is a config for the API server that leads over a link.
func (h *testbed) through(link *stack.Link) *rest.Config {
	config := rest.CopyConfig(apiServer)
	config.Host = "https://" + link.Addr()
	return config
}

func (h *testbed) link() *stack.Link {
	h.t.Helper()
	link, err := (&stack.Stack{Config: apiServer}).LinkToAPIServer()
	h.Expect(err).NotTo(HaveOccurred())
	h.t.Cleanup(link.Close)
	return link
}

// closed tells whether a channel is.
func closed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
