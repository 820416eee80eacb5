package spreedbtest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	. "github.com/onsi/gomega"
)

const ip = "10.1.2.3"

func init() { SetDefaultEventuallyTimeout(20 * time.Second) }

// ask polls without a network.
func ask(s *SpreeDB, ip string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/latency/Sound%20Check/"+ip+"/", nil))
	return w
}

func TestAnswersLikeSpreeDB(t *testing.T) {
	s := New(Options{Default: Behaviour{Median: 12 * time.Millisecond, Spread: -1, Instant: true}})
	s.Set("2001:db8::1", Dead())
	s.Set("10.0.0.2", Behaviour{Loss: 1, Error: `"host"` + "\x07down", Instant: true})
	for ip, want := range map[string]map[string]any{
		ip:            {"elapsed": 12.0, "error": "", "expected": "12", "ip": ip, "poller": "simulator"},
		"2001:db8::1": {"elapsed": 0.0, "error": "timeout", "expected": "0", "ip": "2001:db8::1", "poller": "simulator"},
		"10.0.0.2":    {"elapsed": 0.0, "error": "\"host\"\x07down", "expected": "0", "ip": "10.0.0.2", "poller": "simulator"},
	} {
		w := ask(s, ip)
		var got map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK {
			t.Fatal(w.Code, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestOnlyPollsAreAnswered(t *testing.T) {
	s := New(Options{})
	for request, want := range map[string]int{
		"GET /":                                     http.StatusNotFound,
		"GET /latency/Sound%20Check/10.1.2.3":       http.StatusNotFound,
		"GET /latency/Other/10.1.2.3/":              http.StatusNotFound,
		"GET /latency/Sound%20Check/modem/":         http.StatusNotFound,
		"GET /latency/Sound%20Check/fe80::1%25lo/":  http.StatusNotFound,
		"POST /latency/Sound%20Check/10.1.2.3/":     http.StatusMethodNotAllowed,
		"GET /x/latency/Sound%20Check/10.1.2.3/":    http.StatusNotFound,
		"GET /latency/Sound%20Check/10.1.2.3/more/": http.StatusNotFound,
	} {
		method, path, _ := strings.Cut(request, " ")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(method, path, nil))
		if w.Code != want {
			t.Errorf("%s: %d, want %d", request, w.Code, want)
		}
	}
	if n := s.Total().Polls; n != 0 {
		t.Errorf("%d polls were counted", n)
	}
}

func TestTheSeedDecides(t *testing.T) {
	play := func(seed uint64, targets ...string) map[string][]string {
		s := New(Options{Seed: seed, Default: Lossy(0.5)})
		answers := map[string][]string{}
		for range 50 {
			for _, target := range targets {
				answers[target] = append(answers[target], ask(s, target).Body.String())
			}
		}
		return answers
	}
	first, again, other := play(1, ip, "10.0.0.2"), play(1, "10.0.0.2", ip), play(2, ip, "10.0.0.2")
	if diff := cmp.Diff(first, again); diff != "" {
		t.Error("the order of targets matters: " + diff)
	}
	if slices.Equal(first[ip], other[ip]) {
		t.Error("the seed does not matter")
	}
}

func TestSharesAndMediansAreAsTold(t *testing.T) {
	s := New(Options{Keep: 4000, Default: Behaviour{Loss: 0.2, Median: 30 * time.Millisecond, Instant: true}})
	for i := range 4000 {
		ask(s, fmt.Sprintf("10.0.%d.%d", i/200, i%200))
	}
	var rtts []float64
	for _, p := range s.Polls() {
		if p.Error == "" {
			rtts = append(rtts, p.RTT)
		}
	}
	slices.Sort(rtts)
	if loss := 1 - float64(len(rtts))/4000; math.Abs(loss-0.2) > 0.03 {
		t.Errorf("loss %.3f", loss)
	}
	if median := rtts[len(rtts)/2]; math.Abs(median-30) > 1.5 {
		t.Errorf("median %.1f ms", median)
	}
}

func TestPopulationKeepsItsShares(t *testing.T) {
	p := Population{Seed: 7, Dead: 0.1, Hang: 0.05, Healthy: Good(time.Millisecond)}
	var dead, hang float64
	addr := netip.MustParseAddr("10.0.0.0")
	for range 4000 {
		addr = addr.Next()
		b := p.At(addr)
		if b != p.At(addr) {
			t.Fatal("a target changes its behaviour")
		}
		switch {
		case b.Hang:
			hang++
		case b.Loss == 1:
			dead++
		}
	}
	if math.Abs(dead/4000-0.1) > 0.02 || math.Abs(hang/4000-0.05) > 0.02 {
		t.Errorf("dead %v, hang %v of 4000", dead, hang)
	}
}

func TestBehaviourCanChange(t *testing.T) {
	g := NewWithT(t)
	s := New(Options{Default: Dead()})
	last := func() Poll { polls := s.Polls(); return polls[len(polls)-1] }
	step := func(change func()) Poll { change(); ask(s, ip); return last() }
	g.Expect(step(func() {}).Error).To(Equal("timeout"))
	g.Expect(step(func() { s.SetDefault(Good(0)) }).RTT).To(BeNumerically(">", 0))
	g.Expect(step(func() { s.Set(ip, Status(500)) }).Code).To(Equal(500))
	g.Expect(step(func() { s.Break(Status(503)) }).Code).To(Equal(503))
	g.Expect(step(func() { s.Mend() }).Code).To(Equal(500))
	g.Expect(s.Target(ip)).To(Equal(Count{Polls: 5, MaxInFlight: 1}))
}

func TestLedgerIsBounded(t *testing.T) {
	for keep, want := range map[int]int{-1: 0, 3: 3, 0: 7} {
		s := New(Options{Keep: keep})
		s.SetDefault(Good(0))
		for i := range 7 {
			ask(s, fmt.Sprintf("10.0.0.%d", i))
		}
		polls := s.Polls()
		if len(polls) != want {
			t.Errorf("keep %d: %d polls", keep, len(polls))
		}
		if want > 0 && polls[want-1].Target.String() != "10.0.0.6" {
			t.Errorf("keep %d: the newest is %v", keep, polls[want-1])
		}
		if s.Total().Polls != 7 || s.Target("10.0.0.0").Polls != 1 {
			t.Errorf("keep %d: counted %+v", keep, s.Total())
		}
	}
}

func TestOverlapsAreSeen(t *testing.T) {
	g := NewWithT(t)
	s := New(Options{Default: Hanging()})
	url := s.Start(t)
	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	for _, target := range []string{ip, ip, "10.0.0.2"} {
		go func() {
			req, _ := http.NewRequestWithContext(ctx, http.MethodGet, url+"/latency/Sound%20Check/"+target+"/", nil)
			if resp, err := http.DefaultClient.Do(req); err == nil {
				resp.Body.Close()
			}
		}()
	}
	g.Eventually(s.Total).Should(Equal(Count{Polls: 3, InFlight: 3, MaxInFlight: 3}))
	g.Expect(s.MaxOverlap()).To(Equal(2))
	giveUp()
	g.Eventually(s.Total).Should(Equal(Count{Polls: 3, MaxInFlight: 3}))
	g.Expect(s.Target(ip)).To(Equal(Count{Polls: 2, MaxInFlight: 2}))
	for _, p := range s.Polls() {
		g.Expect(p.Code).To(BeZero())
	}
}

func TestOneAfterTheOtherIsNoOverlap(t *testing.T) {
	s := New(Options{Default: Raw(`{"elapsed": 1}` + strings.Repeat(" ", 10_000))})
	url := s.Start(t)
	for range 200 {
		resp, err := http.Get(url + "/latency/Sound%20Check/" + ip + "/")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	if s.MaxOverlap() != 1 {
		t.Errorf("%+v", s.Target(ip))
	}
}

func TestListenTakesItsAddressAgain(t *testing.T) {
	g := NewWithT(t)
	s := New(Options{Default: Hanging()})
	server, err := s.Listen("127.0.0.1:0")
	g.Expect(err).NotTo(HaveOccurred())
	_, err = s.Listen(server.Addr)
	g.Expect(err).To(MatchError(ContainSubstring("listen as SpreeDB")))

	failed := make(chan error, 1)
	go func() {
		resp, err := http.Get(server.URL + "/latency/Sound%20Check/" + ip + "/")
		if err == nil {
			resp.Body.Close()
		}
		failed <- err
	}()
	g.Eventually(s.Total).Should(HaveField("InFlight", 1))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	server.Shutdown(ctx)
	g.Eventually(failed).Should(Receive(HaveOccurred()), "a poll that hangs must not outlive the server")
	g.Eventually(server.Done()).Should(Receive(BeNil()))

	again, err := s.Listen(server.Addr)
	g.Expect(err).NotTo(HaveOccurred())
	again.Close()
}

func TestDelays(t *testing.T) {
	for name, tc := range map[string]struct {
		behaviour Behaviour
		want      time.Duration
	}{
		"instant":     {Good(40 * time.Millisecond), 0},
		"as measured": {Behaviour{Median: 40 * time.Millisecond, Spread: -1}, 40 * time.Millisecond},
		"slow":        {Slow(30 * time.Millisecond), 30 * time.Millisecond},
		"both":        {Behaviour{Median: 40 * time.Millisecond, Spread: -1, Delay: 30 * time.Millisecond}, 70 * time.Millisecond},
		"dead":        {Behaviour{Loss: 1, Patience: 50 * time.Millisecond}, 50 * time.Millisecond},
		"slow error":  {Behaviour{Code: 500, Delay: 30 * time.Millisecond}, 30 * time.Millisecond},
	} {
		if got := tc.behaviour.reply(1, netip.MustParseAddr(ip), 1).after; got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
	s := New(Options{Default: Slow(20 * time.Millisecond)})
	ask(s, ip)
	if p := s.Polls()[0]; p.Left.Sub(p.Arrived) < 20*time.Millisecond {
		t.Errorf("answered after %v", p.Left.Sub(p.Arrived))
	}
}

func BenchmarkServeHTTP(b *testing.B) {
	s := New(Options{Default: Good(20 * time.Millisecond)})
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/latency/Sound%20Check/10.1.2.3/", nil)
	b.ReportAllocs()
	for b.Loop() {
		w.Body.Reset()
		s.ServeHTTP(w, r)
	}
}
