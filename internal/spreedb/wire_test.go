package spreedb

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// request is what a test's server has been sent.
type request struct {
	net.Conn
	// device is the last part of the path.
	device string
	// connection and place count the connections, and the requests of each, from 1.
	connection, place int
}

func (r request) say(text string) { _, _ = io.WriteString(r, text) }

// socket serves bare connections: whatever reply does not say, the client is not told. It hangs up when reply says that
// there is no more to come. It returns its URL, and counters of connections and requests.
func socket(t testing.TB, reply func(r request) (more bool)) (url string, connections, requests *atomic.Int64) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	connections, requests = new(atomic.Int64), new(atomic.Int64)
	var busy sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	serve := func(conn net.Conn, connection int) {
		defer conn.Close()
		defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
		reader := bufio.NewReader(conn)
		for place := 1; ; place++ {
			r, err := http.ReadRequest(reader)
			if err != nil {
				return
			}
			requests.Add(1)
			if !reply(request{conn, path.Base(r.URL.Path), connection, place}) {
				return
			}
		}
	}
	busy.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			n := int(connections.Add(1))
			busy.Go(func() { serve(conn, n) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		cancel()
		busy.Wait()
	})
	return "http://" + listener.Addr().String(), connections, requests
}

const (
	hungUp   = "SpreeDB closed the connection before its answer was complete"
	tooLong  = "SpreeDB's answer is longer than 64 KiB"
	tooMuch  = "SpreeDB cannot be asked: server response headers exceeded 65536 bytes; aborted"
	ok       = "HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n"
	one      = `{"elapsed": 1}`
	early    = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"
	another  = ok + `{"elapsed":66}`
	chunked  = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	unframed = "HTTP/1.1 200 OK\r\n\r\n"
)

// wires is what may come over a connection, which then stays open or not.
var wires = map[string]struct {
	answer string
	closed bool
	want   Result
	again  bool // the connection is used for the next poll
}{
	"an answer":                       {ok + one, false, success(1), true},
	"an answer, then the end":         {ok + one, true, success(1), false},
	"no willingness":                  {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 14\r\n\r\n" + one, false, success(1), false},
	"no length":                       {unframed + one, true, success(1), false},
	"no length, and too long":         {unframed + strings.Repeat(" ", 1<<17), false, failed(tooLong), false},
	"HTTP/1.0":                        {"HTTP/1.0 200 OK\r\n\r\n" + one, true, success(1), false},
	"HTTP/1.0 with a length":          {"HTTP/1.0 200 OK\r\nContent-Length: 14\r\n\r\n" + one, false, success(1), false},
	"HTTP/1.0 with a will":            {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 14\r\n\r\n" + one, false, success(1), true},
	"HTTP/1.0 cut off in its headers": {"HTTP/1.0 200 OK\r\nX: y", true, failed(hungUp), false},
	"another protocol":                {"SSH-2.0-OpenSSH_9.9\r\n", false, failed(`SpreeDB cannot be asked: malformed HTTP response "SSH-2.0-OpenSSH_9.9"`), false},
	"chunks":                          {chunked + "5\r\n{\"ela\r\n9;x=y\r\npsed\": 1}\r\n0\r\n\r\n", false, success(1), true},
	"chunks and a trailer":            {chunked + "e\r\n" + one + "\r\n0\r\nX: y\r\n\r\n", false, success(1), true},
	"chunks cut off":                  {chunked + "e\r\n" + one + "\r\n", true, failed(hungUp), false},
	"chunks that are none":            {chunked + one + "\r\n", true, failed("SpreeDB cannot be asked: invalid byte in chunk length"), false},
	"endless chunks":                  {chunked + strings.Repeat("400\r\n"+strings.Repeat(" ", 1024)+"\r\n", 128), false, failed(tooLong), false},
	"an unknown coding":               {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n" + one, true, failed(`SpreeDB cannot be asked: unsupported transfer encoding: "gzip"`), false},
	"100 before it":                   {"HTTP/1.1 100 Continue\r\n\r\n" + ok + one, false, success(1), true},
	"103 before it, twice":            {early + early + ok + one, false, success(1), true},
	"nothing but 103":                 {strings.Repeat(early, 2000), false, failed(tooMuch), false},
	"nothing but 103, then the end":   {early, true, failed(hungUp), false},
	"101":                             {"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", true, failed("SpreeDB answered 101 Switching Protocols"), false},
	"204":                             {"HTTP/1.1 204 No Content\r\n\r\n", false, failed(noObject), true},
	"304 with a length":               {"HTTP/1.1 304 Not Modified\r\nContent-Length: 14\r\n\r\n", false, failed("SpreeDB answered 304 Not Modified"), true},
	"500":                             {"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno", false, failed("SpreeDB answered 500 Internal Server Error"), true},
	"500 cut off":                     {"HTTP/1.1 500 Oh\r\nContent-Length: 3\r\n\r\nno", true, failed("SpreeDB answered 500 Internal Server Error"), false},
	"500 too long":                    {"HTTP/1.1 500 Oh\r\nContent-Length: 131072\r\n\r\n" + strings.Repeat(" ", 1<<17), false, failed("SpreeDB answered 500 Internal Server Error"), false},
	"000":                             {"HTTP/1.1 000 \r\nContent-Length: 0\r\n\r\n", false, failed("SpreeDB answered 0"), false},
	"no number":                       {"HTTP/1.1 OK\r\n\r\n", false, failed(`SpreeDB cannot be asked: malformed HTTP status code "OK"`), false},
	"a header that is none":           {"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", false, failed("SpreeDB cannot be asked: malformed MIME header: missing colon: \"nonsense\""), false},
	"two lengths":                     {"HTTP/1.1 200 OK\r\nContent-Length: 14\r\nContent-Length: 15\r\n\r\n" + one, false, failed(`SpreeDB cannot be asked: http: message cannot contain multiple Content-Length headers; got ["14" "15"]`), false},
	"too many headers":                {"HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 1<<14), false, failed(tooMuch), false},
	"a header too long":               {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 1<<17), false, failed(tooMuch), false},
	"nothing":                         {"", true, failed(hungUp), false},
}

func TestPollReadsWhatComesOverTheWire(t *testing.T) {
	overBoth(t, func(t *testing.T, client connect) {
		for name, tc := range wires {
			t.Run(name, func(t *testing.T) {
				url, connections, requests := socket(t, func(r request) bool {
					r.say(tc.answer)
					return !tc.closed
				})
				c := client(t, url)
				for range 2 {
					got := c.Poll(t.Context(), target)
					checkInvariants(t, got)
					if diff := cmp.Diff(tc.want, got); diff != "" {
						t.Error(diff)
					}
				}
				if n, want := connections.Load(), map[bool]int64{true: 1, false: 2}[tc.again]; n != want {
					t.Errorf("%d connections, want %d", n, want)
				}
				if n := requests.Load(); n != 2 {
					t.Errorf("asked %d times", n)
				}
			})
		}
	})
}

// FuzzTransports holds the two transports to the same result, whatever the server sends.
func FuzzTransports(f *testing.F) {
	for _, tc := range wires {
		f.Add([]byte(tc.answer))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		url, _, _ := socket(t, func(r request) bool {
			_, _ = r.Write(answer)
			return false
		})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		want := over("net/http")(t, url).Poll(ctx, target)
		got := over("direct")(t, url).Poll(ctx, target)
		checkInvariants(t, got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// A device must never get the answer for another one, however late that comes.
func TestALateAnswerIsNobodyElses(t *testing.T) {
	slow := netip.MustParseAddr("10.6.6.6")
	half := len(another) / 2
	overBoth(t, func(t *testing.T, client connect) {
		for name, inTime := range map[string]string{"all of it": "", "all but the status": "HTTP/1.1 200 OK\r\n", "the second half": another[:half]} {
			t.Run(name, func(t *testing.T) {
				arrived, given, late := make(chan struct{}), make(chan struct{}), make(chan struct{})
				url, connections, _ := socket(t, func(r request) bool {
					if r.device != slow.String() {
						r.say(ok + one)
						return true
					}
					r.say(inTime)
					close(arrived)
					<-given
					r.say(another[len(inTime):] + another)
					close(late)
					return true
				})
				c := client(t, url)
				expect := func(ctx context.Context, addr netip.Addr, want Result) {
					t.Helper()
					if diff := cmp.Diff(want, c.Poll(ctx, addr)); diff != "" {
						t.Error(diff)
					}
				}
				expect(t.Context(), target, success(1))
				ctx, cancel := context.WithCancel(t.Context())
				go func() {
					<-arrived
					cancel()
				}()
				expect(ctx, slow, Result{Aborted: true})
				close(given)
				<-late
				for range 3 {
					expect(t.Context(), target, success(1))
				}
				if n := connections.Load(); n != 2 {
					t.Errorf("%d connections", n)
				}
			})
		}
	})
}

func TestAConnectionThatWasClosedMeanwhileIsReplaced(t *testing.T) {
	reset := func(r request) { _ = r.Conn.(*net.TCPConn).SetLinger(0) }
	for name, tc := range map[string]struct {
		last     func(r request) // what the server still does on the used connection
		then     string          // what it answers on the next
		want     Result
		requests int64
	}{
		"closed":                       {func(request) {}, ok + one, success(1), 3},
		"reset":                        {reset, ok + one, success(1), 3},
		"closed, and so is the next":   {func(request) {}, "", failed(hungUp), 3},
		"closed after the first byte":  {func(r request) { r.say("H") }, ok + one, failed(`SpreeDB cannot be asked: malformed HTTP response "H"`), 2},
		"closed after the headers":     {func(r request) { r.say(ok) }, ok + one, failed(hungUp), 2},
		"closed after something else":  {func(r request) { r.say("bye\r\n") }, ok + one, failed(`SpreeDB cannot be asked: malformed HTTP response "bye"`), 2},
		"closed after an early answer": {func(r request) { r.say(early) }, ok + one, failed(hungUp), 2},
	} {
		t.Run(name, func(t *testing.T) {
			overBoth(t, func(t *testing.T, client connect) {
				url, _, requests := socket(t, func(r request) bool {
					switch {
					case r.connection > 1:
						r.say(tc.then)
						return tc.then != ""
					case r.place > 1:
						tc.last(r)
						return false
					}
					r.say(ok + one)
					return true
				})
				c := client(t, url)
				if diff := cmp.Diff(success(1), c.Poll(t.Context(), target)); diff != "" {
					t.Fatal(diff)
				}
				if diff := cmp.Diff(tc.want, c.Poll(t.Context(), target)); diff != "" {
					t.Error(diff)
				}
				if n := requests.Load(); n != tc.requests {
					t.Errorf("asked %d times, want %d", n, tc.requests)
				}
			})
		})
	}
}

func TestAConnectionOfNoFurtherUseIsClosed(t *testing.T) {
	for name, answer := range map[string]string{
		"unwilling": "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 14\r\n\r\n" + one,
		"endless":   unframed + strings.Repeat(" ", 1<<17),
		"malformed": "220 mail.example.com ESMTP\r\n",
		"cut short": "",
	} {
		t.Run(name, func(t *testing.T) {
			overBoth(t, func(t *testing.T, client connect) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				gone := make(chan struct{})
				url, _, _ := socket(t, func(r request) bool {
					r.say(answer)
					if answer == "" {
						cancel()
					}
					_, _ = io.Copy(io.Discard, r)
					close(gone)
					return false
				})
				client(t, url).Poll(ctx, target)
				<-gone
			})
		})
	}
}

func TestNobodyIsAskedForAPollThatIsOver(t *testing.T) {
	overBoth(t, func(t *testing.T, client connect) {
		url, _, requests := socket(t, func(r request) bool {
			r.say(ok + one)
			return true
		})
		c := client(t, url)
		over, cancel := context.WithCancel(t.Context())
		cancel()
		for _, ctx := range []context.Context{t.Context(), over, over, t.Context()} {
			if diff := cmp.Diff(ctx == over, c.Poll(ctx, target).Aborted); diff != "" {
				t.Error(diff)
			}
		}
		if n := requests.Load(); n != 2 {
			t.Errorf("asked %d times", n)
		}
	})
}

// When a poll is cancelled while its answer comes, its connection must not be closed under the next poll.
func TestACancelThatCameTooLateHarmsNobody(t *testing.T) {
	const rounds = 500
	cancels := make(chan context.CancelFunc, 1)
	overBoth(t, func(t *testing.T, client connect) {
		url, _, requests := socket(t, func(r request) bool {
			r.say(ok + one)
			if r.device != target.String() {
				(<-cancels)()
			}
			return true
		})
		c := client(t, url)
		for range rounds {
			ctx, cancel := context.WithCancel(t.Context())
			cancels <- cancel
			c.Poll(ctx, netip.MustParseAddr("10.6.6.6"))
			if diff := cmp.Diff(success(1), c.Poll(t.Context(), target)); diff != "" {
				t.Fatal(diff)
			}
		}
		if n := requests.Load(); n != 2*rounds {
			t.Errorf("asked %d times", n)
		}
	})
}
