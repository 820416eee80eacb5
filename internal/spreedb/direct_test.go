package spreedb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	. "github.com/onsi/gomega"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/soundcheck-io/latency-operator/internal/sample"
)

func directClient(t testing.TB, url string) (*Client, *direct) {
	t.Helper()
	c := over("direct")(t, url)
	return c, c.transport.(*direct)
}

func TestTheRequestIsThatOfNetHTTP(t *testing.T) {
	for raw, address := range map[string]string{
		"http://phoenix":                "phoenix:80",
		"http://phoenix:":               "phoenix:80",
		"HTTP://Phoenix.Example.com.:1": "Phoenix.Example.com.:1",
		"http://10.0.0.1:4402/":         "10.0.0.1:4402",
		"http://[2001:DB8::1]":          "[2001:DB8::1]:80",
		"http://[2001:db8::1]:4402/a":   "[2001:db8::1]:4402",
		"http://phoenix//a/b%20c":       "phoenix:80",
		"http://phoenix/a%2Fb/ü":        "phoenix:80",
		"http://phoenix/a;b=c&d:e@f":    "phoenix:80",
	} {
		base, err := parseBase(raw)
		if err != nil {
			t.Fatal(err)
		}
		opts := Options{UserAgent: "latency-operator/1.2.3 (+https://example.com)"}
		d, l := newDirect(base, opts), newLibrary(base, opts)
		if d.address != address {
			t.Errorf("%s: connects to %s, want %s", raw, d.address, address)
		}
		for _, target := range []string{"10.1.2.3", "2001:db8::1"} {
			addr := netip.MustParseAddr(target)
			var want bytes.Buffer
			if err := l.request(t.Context(), addr).Write(&want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want.String(), string(d.appendRequest(nil, addr))); diff != "" {
				t.Errorf("%s: %s", raw, diff)
			}
		}
	}
}

// comes waits until there is something to read on the only unused connection, and leaves it there.
func comes(t *testing.T, d *direct) {
	t.Helper()
	d.idle.mu.Lock()
	defer d.idle.mu.Unlock()
	if len(d.idle.conns) != 1 {
		t.Fatalf("%d connections are unused", len(d.idle.conns))
	}
	err := d.idle.conns[0].raw.Read(func(fd uintptr) bool {
		_, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK)
		return !errors.Is(err, syscall.EAGAIN)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAConnectionOnWhichSomethingCameIsNotUsedAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		with, after string // what comes with an answer, and when it was read
		hangUp      bool
	}{
		"another answer with the first":  {with: another},
		"a blank line with the first":    {with: "\r\n"},
		"another answer":                 {after: another},
		"a byte":                         {after: "x"},
		"a farewell":                     {after: "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n", hangUp: true},
		"the end":                        {hangUp: true},
		"more than the buffer with it":   {with: strings.Repeat(another, 100)},
		"an answer and half another one": {with: another[:40], after: another[40:]},
	} {
		t.Run(name, func(t *testing.T) {
			read := make(chan struct{})
			url, connections, requests := socket(t, func(r request) bool {
				if r.connection > 1 {
					r.say(ok + one)
					return true
				}
				r.say(ok + one + tc.with)
				<-read
				r.say(tc.after)
				return !tc.hangUp
			})
			c, d := directClient(t, url)
			for range 3 {
				if diff := cmp.Diff(success(1), c.Poll(t.Context(), target)); diff != "" {
					t.Error(diff)
				}
				if n := connections.Load(); n == 1 {
					close(read)
					if tc.with == "" {
						comes(t, d)
					}
				}
			}
			if connections.Load() != 2 || requests.Load() != 3 {
				t.Errorf("%d connections, %d requests", connections.Load(), requests.Load())
			}
		})
	}
}

// A connection that is being made ends with its poll, by whichever of its times passes first.
func TestPollEndsWhileItConnects(t *testing.T) {
	for name, tc := range map[string]struct {
		connect, within time.Duration
		want            Result
	}{
		"cancelled":         {time.Minute, 0, Result{Aborted: true}},
		"deadline":          {time.Minute, 60 * time.Millisecond, failed("no answer from SpreeDB within 9s")},
		"nobody takes it":   {10 * time.Millisecond, time.Minute, failed("no connection to SpreeDB within 5s")},
		"both at that time": {60 * time.Millisecond, 50 * time.Millisecond, failed("no answer from SpreeDB within 9s")},
	} {
		t.Run(name, func(t *testing.T) {
			c, d := directClient(t, "http://127.0.0.1:1")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if tc.within > 0 {
				ctx, cancel = context.WithTimeout(ctx, tc.within)
				defer cancel()
				deadline, _ := ctx.Deadline()
				c.clock = clocktesting.NewFakePassiveClock(deadline.Add(-9 * time.Second))
			}
			d.dialer.Timeout = tc.connect
			d.dialer.ControlContext = func(dialing context.Context, _, _ string, _ syscall.RawConn) error {
				if tc.within == 0 {
					cancel()
				}
				<-dialing.Done()
				return dialing.Err()
			}
			if diff := cmp.Diff(tc.want, c.Poll(ctx, target)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTheDialerHasNoDeadlineOfItsOwn(t *testing.T) {
	url, _, _ := socket(t, func(r request) bool {
		r.say(ok + one)
		return true
	})
	c, _ := directClient(t, url)
	if diff := cmp.Diff(success(1), c.Poll(deadlineAt{t.Context(), time.Now()}, target)); diff != "" {
		t.Error(diff)
	}
}

// ticking is a fake clock that calls in a goroutine, as a clock has to.
type ticking struct{ *clocktesting.FakeClock }

func (c ticking) AfterFunc(d time.Duration, f func()) clock.Timer {
	return c.FakeClock.AfterFunc(d, func() { go f() })
}

// pair is a connection and its far end.
func pair(t *testing.T) (near *conn, far net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	tcp, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if far, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	if near, err = newConn(tcp.(*net.TCPConn)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		near.hangUp()
		_ = far.Close()
	})
	return near, far
}

func TestUnusedConnectionsAreClosedInTime(t *testing.T) {
	g := NewWithT(t)
	fake := ticking{clocktesting.NewFakeClock(time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC))}
	pool := idle{clock: fake}
	first, firstFar := pair(t)
	second, secondFar := pair(t)
	closed := func(far net.Conn) {
		t.Helper()
		if n, err := far.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Error("it is open")
		}
	}
	pool.put(first)
	fake.Step(idleTimeout / 2)
	pool.put(second)
	fake.Step(idleTimeout/2 - 1)
	g.Expect(pool.take()).To(BeIdenticalTo(second), "the newest")
	g.Expect(pool.take()).To(BeIdenticalTo(first))
	g.Expect(pool.take()).To(BeNil())
	pool.put(first)
	pool.put(second)
	fake.Step(1)                                                      // the timer of when first was put for the first time
	g.Eventually(fake.Waiters).Should(Equal(1), "there is one timer") // for when it was put again
	fake.Step(idleTimeout - 1)
	closed(firstFar)
	closed(secondFar)
	g.Expect(pool.take()).To(BeNil())
	g.Eventually(fake.HasWaiters).Should(BeFalse(), "no timer is left")
	third, thirdFar := pair(t)
	pool.put(third)
	fake.Step(idleTimeout)
	closed(thirdFar)
}

func TestOnlySoManyConnectionsStayUnused(t *testing.T) {
	pool := idle{clock: clock.RealClock{}}
	kept, _ := pair(t)
	kept.unused = time.Now()
	pool.conns = slices.Repeat([]*conn{kept}, idleConns-1)
	last, _ := pair(t)
	pool.put(last)
	surplus, _ := pair(t)
	pool.put(surplus)
	if got := pool.take(); got != last || surplus.quiet() {
		t.Error("the surplus connection was not closed")
	}
}

// Whoever polls at the same time gets their own answers, whatever becomes of the others, and nothing is left running.
func TestManyPollAtOnce(t *testing.T) {
	g := NewWithT(t)
	before := runtime.NumGoroutine()
	t.Run("poll", func(t *testing.T) {
		url, connections, _ := socket(t, func(r request) bool {
			last := netip.MustParseAddr(r.device).As4()[3]
			body := fmt.Sprintf(`{"elapsed": %d}`, last)
			answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
			switch r.place % 7 {
			case 3: // two answers
				answer += answer
			case 5: // half an answer, and the end
				r.say(answer[:len(answer)-5])
				return false
			case 6: // the end
				return false
			}
			r.say(answer)
			return true
		})
		c, _ := directClient(t, url)
		var polls sync.WaitGroup
		for i := range 50 {
			polls.Go(func() {
				for n := range 40 {
					ctx, cancel := context.WithCancel(t.Context())
					if n%5 == 0 {
						go cancel()
					}
					last := byte(1 + (i*40+n)%250)
					r := c.Poll(ctx, netip.AddrFrom4([4]byte{10, 0, 0, last}))
					cancel()
					if !r.Aborted && r.Message != hungUp && (r.Status != sample.Success || *r.RTT != float64(last)) {
						t.Errorf("device %d got %+v", last, r)
					}
				}
			})
		}
		polls.Wait()
		t.Logf("%d connections", connections.Load())
	})
	g.Eventually(runtime.NumGoroutine).Should(BeNumerically("<=", before))
}
