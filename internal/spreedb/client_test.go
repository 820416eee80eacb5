package spreedb

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	. "github.com/onsi/gomega"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/spreedb/spreedbtest"
)

var target = netip.MustParseAddr("10.1.2.3")

// connect makes a client of a SpreeDB.
type connect func(t testing.TB, url string) *Client

// transports are the ways to reach it, of which New chooses one.
var transports = map[string]func(url.URL, Options) transport{
	"direct":   func(base url.URL, opts Options) transport { return newDirect(base, opts) },
	"net/http": func(base url.URL, opts Options) transport { return newLibrary(base, opts) },
}

// over connects by the transport of that name.
func over(name string) connect {
	return func(t testing.TB, url string) *Client {
		t.Helper()
		opts := Options{BaseURL: url, UserAgent: "latency-operator/test", Clock: clock.RealClock{}}
		c, err := New(opts)
		if err != nil {
			t.Fatal(err)
		}
		base, _ := parseBase(url)
		c.transport = transports[name](base, opts)
		if library, ok := c.transport.(*library); ok {
			t.Cleanup(library.http.CloseIdleConnections)
		}
		return c
	}
}

func overBoth(t *testing.T, test func(t *testing.T, client connect)) {
	for name := range transports {
		t.Run(name, func(t *testing.T) { test(t, over(name)) })
	}
}

// serve answers every request with the handler and counts the connections that were made.
func serve(t *testing.T, handler http.HandlerFunc) (url string, connections *atomic.Int64) {
	t.Helper()
	connections = new(atomic.Int64)
	server := httptest.NewUnstartedServer(handler)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	return server.URL, connections
}

func TestPollClassifiesAnswersOverHTTP(t *testing.T) {
	overBoth(t, func(t *testing.T, client connect) {
		db := spreedbtest.New(spreedbtest.Options{})
		c := client(t, db.Start(t))
		for name, tc := range answers {
			t.Run(name, func(t *testing.T) {
				db.Set(target.String(), spreedbtest.Raw(tc.body))
				got := c.Poll(t.Context(), target)
				checkInvariants(t, got)
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Error(diff)
				}
			})
		}
	})
}

func TestPollReportsWhatIsNoAnswer(t *testing.T) {
	overBoth(t, func(t *testing.T, client connect) {
		db := spreedbtest.New(spreedbtest.Options{})
		c := client(t, db.Start(t))
		for name, tc := range map[string]struct {
			behaviour spreedbtest.Behaviour
			want      Result
		}{
			"healthy":           {spreedbtest.Behaviour{Spread: -1, Instant: true}, Result{Status: sample.Success, RTT: new(20.0), Poller: "simulator"}},
			"dead":              {spreedbtest.Dead(), Result{Status: sample.Missed, Message: "timeout", Poller: "simulator"}},
			"status 201":        {spreedbtest.Behaviour{Code: 201, Body: `{"elapsed": 1}`}, success(1)},
			"status 204":        {spreedbtest.Status(204), failed(noObject)},
			"redirect":          {spreedbtest.Status(302), failed("SpreeDB answered 302 Found")},
			"not modified":      {spreedbtest.Status(304), failed("SpreeDB answered 304 Not Modified")},
			"status 404":        {spreedbtest.Status(404), failed("SpreeDB answered 404 Not Found")},
			"status 500":        {spreedbtest.Status(500), failed("SpreeDB answered 500 Internal Server Error")},
			"500 with timeout":  {spreedbtest.Behaviour{Code: 500, Body: `{"error": "timeout"}`}, failed("SpreeDB answered 500 Internal Server Error")},
			"an unknown status": {spreedbtest.Status(599), failed("SpreeDB answered 599")},
			"garbage":           {spreedbtest.Garbage(), failed(noObject)},
			"as long as may be": {spreedbtest.Raw(`{"elapsed": 1}` + strings.Repeat(" ", 64<<10-14)), success(1)},
			"one byte longer":   {spreedbtest.Raw(`{"elapsed": 1}` + strings.Repeat(" ", 64<<10-13)), failed("SpreeDB's answer is longer than 64 KiB")},
			"far too long":      {spreedbtest.Raw(strings.Repeat("[", 1<<20)), failed("SpreeDB's answer is longer than 64 KiB")},
			"truncated":         {spreedbtest.Truncated(), failed("SpreeDB closed the connection before its answer was complete")},
			"dropped":           {spreedbtest.Behaviour{Drop: true}, failed("SpreeDB closed the connection before its answer was complete")},
		} {
			t.Run(name, func(t *testing.T) {
				db.Set(target.String(), tc.behaviour)
				before := db.Target(target.String()).Polls
				got := c.Poll(t.Context(), target)
				checkInvariants(t, got)
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Error(diff)
				}
				// The transport asks again when a connection that was used before is closed on it.
				if asked := db.Target(target.String()).Polls - before; asked != 1 && name != "dropped" {
					t.Errorf("asked %d times", asked)
				}
			})
		}
	})
}

func TestPollSendsOneExactRequest(t *testing.T) {
	overBoth(t, func(t *testing.T, client connect) {
		var seen *http.Request
		url, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
			seen = r.Clone(context.Background())
			_, _ = w.Write([]byte(`{"elapsed": 1}`))
		})
		for name, tc := range map[string]struct{ base, target, want string }{
			"IPv4":              {"", "10.1.2.3", "/latency/Sound%20Check/10.1.2.3/"},
			"IPv6":              {"", "2001:DB8:0::1", "/latency/Sound%20Check/2001:db8::1/"},
			"mapped IPv4":       {"", "::ffff:10.1.2.3", "/latency/Sound%20Check/10.1.2.3/"},
			"slash":             {"/", "10.1.2.3", "/latency/Sound%20Check/10.1.2.3/"},
			"prefix":            {"/api/v1//", "10.1.2.3", "/api/v1/latency/Sound%20Check/10.1.2.3/"},
			"prefix with space": {"/a%20b", "10.1.2.3", "/a%20b/latency/Sound%20Check/10.1.2.3/"},
			"prefix with slash": {"/a%2Fb/", "10.1.2.3", "/a%2Fb/latency/Sound%20Check/10.1.2.3/"},
		} {
			t.Run(name, func(t *testing.T) {
				got := client(t, url+tc.base).Poll(t.Context(), netip.MustParseAddr(tc.target))
				if got.Status != sample.Success {
					t.Fatal(got)
				}
				if seen.Method != http.MethodGet || seen.RequestURI != tc.want {
					t.Errorf("asked for %s %s, want %s", seen.Method, seen.RequestURI, tc.want)
				}
				want := http.Header{"Accept": {"application/json"}, "User-Agent": {"latency-operator/test"}}
				if diff := cmp.Diff(want, seen.Header); diff != "" {
					t.Error(diff)
				}
				if "http://"+seen.Host != url || seen.ProtoMinor != 1 {
					t.Errorf("host %s, %s", seen.Host, seen.Proto)
				}
			})
		}
	})
}

func TestPollRefusesTargetsThatNobodyElseReaches(t *testing.T) {
	overBoth(t, func(t *testing.T, client connect) {
		url, connections := serve(t, func(http.ResponseWriter, *http.Request) {})
		for _, addr := range []netip.Addr{{}, netip.MustParseAddr("fe80::1%eth0")} {
			got := client(t, url).Poll(t.Context(), addr)
			if diff := cmp.Diff(failed("the target is not an IP address that SpreeDB could reach"), got); diff != "" {
				t.Errorf("%v: %s", addr, diff)
			}
		}
		if n := connections.Load(); n != 0 {
			t.Errorf("%d connections were made", n)
		}
	})
}

func TestPollEndsAtItsDeadline(t *testing.T) {
	overBoth(t, func(t *testing.T, client connect) {
		slowBody := func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte(`{"elapsed": `))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
		hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
		for name, handler := range map[string]http.HandlerFunc{"no answer": hang, "half an answer": slowBody} {
			t.Run(name, func(t *testing.T) {
				url, _ := serve(t, handler)
				ctx, cancel := context.WithTimeout(t.Context(), 60*time.Millisecond)
				defer cancel()
				c := client(t, url)
				deadline, _ := ctx.Deadline()
				c.clock = clocktesting.NewFakePassiveClock(deadline.Add(-9 * time.Second))
				if diff := cmp.Diff(failed("no answer from SpreeDB within 9s"), c.Poll(ctx, target)); diff != "" {
					t.Error(diff)
				}
			})
		}
	})
}

func TestTimeoutsReadTheSame(t *testing.T) {
	start := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	dial := &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}
	lookup := &net.OpError{Op: "dial", Err: &net.DNSError{Name: "phoenix", Err: "read udp 10.9.9.9:5353->10.0.0.2:53: i/o timeout", IsTimeout: true}}
	for name, tc := range map[string]struct {
		given time.Duration // 0: no deadline
		err   error
		want  string
	}{
		"nobody takes the connection":        {9 * time.Second, dial, "no connection to SpreeDB within 5s"},
		"the same without a deadline":        {0, dial, "no connection to SpreeDB within 5s"},
		"the dialer sees the deadline first": {2 * time.Second, dial, "no answer from SpreeDB within 2s"},
		"a little late":                      {4*time.Second - 20*time.Millisecond, dial, "no answer from SpreeDB within 4s"},
		"a little late, and short":           {450*time.Millisecond - time.Millisecond, dial, "no answer from SpreeDB within 450ms"},
		"too late":                           {-time.Second, dial, "no answer from SpreeDB within 0s"},
		"the name servers are silent":        {9 * time.Second, lookup, "SpreeDB's name phoenix cannot be resolved: the name servers do not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			var ctx context.Context = deadlineAt{Context: t.Context(), at: start.Add(tc.given)}
			if tc.given == 0 {
				ctx = t.Context()
			}
			if diff := cmp.Diff(failed(tc.want), unanswered(ctx, start, tc.err)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// deadlineAt has a deadline that it does not act upon.
type deadlineAt struct {
	context.Context //nolint:containedctx // it is one
	at              time.Time
}

func (d deadlineAt) Deadline() (time.Time, bool) { return d.at, true }

func TestPollThatIsCancelledIsNoSample(t *testing.T) {
	overBoth(t, func(t *testing.T, client connect) {
		arrived := make(chan struct{})
		url, _ := serve(t, func(_ http.ResponseWriter, r *http.Request) {
			arrived <- struct{}{}
			<-r.Context().Done()
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		go func() {
			<-arrived
			cancel()
		}()
		c := client(t, url)
		for _, when := range []string{"in flight", "before it began"} {
			if diff := cmp.Diff(Result{Aborted: true}, c.Poll(ctx, target)); diff != "" {
				t.Errorf("%s: %s", when, diff)
			}
		}
	})
}

func TestAnAnswerThatCameBeforeTheCancelCounts(t *testing.T) {
	overBoth(t, func(t *testing.T, client connect) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		url, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"elapsed": 1}`)) })
		got := client(t, url).Poll(ctx, target)
		cancel()
		if got.Aborted || got.Status != sample.Success {
			t.Error(got)
		}
	})
}

func TestPollSaysWhyNobodyIsThere(t *testing.T) {
	overBoth(t, func(t *testing.T, client connect) {
		server := httptest.NewServer(http.NotFoundHandler())
		server.Close()
		for name, tc := range map[string]struct{ url, want string }{
			"refused":      {server.URL, "SpreeDB cannot be asked: connection refused"},
			"no such host": {"http://spreedb.invalid", "SpreeDB's name spreedb.invalid cannot be resolved: "},
		} {
			t.Run(name, func(t *testing.T) {
				got := client(t, tc.url).Poll(t.Context(), target)
				checkInvariants(t, got)
				if got.Status != sample.SystemError || !strings.HasPrefix(got.Message, tc.want) {
					t.Errorf("%+v", got)
				}
			})
		}
	})
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	overBoth(t, func(t *testing.T, client connect) {
		status := http.StatusOK
		url, connections := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(`{"elapsed": 1}` + strings.Repeat(" ", 20_000)))
		})
		c := client(t, url)
		for _, status = range []int{200, 500, 302, 200, 200} {
			if got := c.Poll(t.Context(), target); (got.Status == sample.Success) != (status == 200) {
				t.Error(status, got)
			}
		}
		if n := connections.Load(); n != 1 {
			t.Errorf("%d connections for 5 polls", n)
		}
	})
}

func TestSimultaneousConnectionsAreUsedAgain(t *testing.T) {
	overBoth(t, func(t *testing.T, client connect) {
		g := NewWithT(t)
		const width = 200
		var waiting atomic.Int64
		var open atomic.Pointer[chan struct{}]
		url, connections := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			gate := *open.Load()
			waiting.Add(1)
			<-gate
			_, _ = w.Write([]byte(`{"elapsed": 1}`))
		})
		c := client(t, url)
		for range 3 {
			gate := make(chan struct{})
			open.Store(&gate)
			waiting.Store(0)
			results := make(chan Result, width)
			for range width {
				go func() { results <- c.Poll(t.Context(), target) }()
			}
			g.Eventually(waiting.Load).WithTimeout(20 * time.Second).Should(BeEquivalentTo(width))
			close(gate)
			for range width {
				g.Expect((<-results).Status).To(Equal(sample.Success))
			}
		}
		// A dial that an idle connection overtakes stays for later: a few more than polls are fine.
		g.Expect(connections.Load()).To(BeNumerically("<", 2*width))
	})
}
