package spreedb

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// median and spread are those of the time that an answer takes, which is log-normal; spread is the standard deviation of
	// its logarithm. One in a hundred takes 64 ms or more.
	median = 20 * time.Millisecond
	spread = 0.5
	// deadPatience is how long SpreeDB waits for a device that does not answer.
	deadPatience = 300 * time.Millisecond
	// draws is how many answers are drawn beforehand. It is a power of two.
	draws = 1 << 12

	prefix = "/latency/Sound Check/"
)

// Server answers like SpreeDB.
type Server struct {
	// URL is what POLLER_BASE_URL is set to.
	URL string

	http   *http.Server
	ledger atomic.Pointer[Ledger]
	// strange counts requests that are about no device.
	strange atomic.Int64
	took    [draws]time.Duration
	bodies  sync.Pool
}

// Start listens on a free port of 127.0.0.1. With the same seed the answer about a device in a slot always takes the same time,
// whoever asks, and in which order.
func Start(seed uint64) (*Server, error) {
	s := &Server{took: drawn(seed), bodies: sync.Pool{New: func() any { return new([]byte) }}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen as SpreeDB: %w", err)
	}
	s.URL = "http://" + listener.Addr().String()
	s.http = &http.Server{Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: time.Minute}
	go func() { _ = s.http.Serve(listener) }() // it ends with Close
	return s, nil
}

// drawn are the times that answers take.
func drawn(seed uint64) (took [draws]time.Duration) {
	random := rand.New(rand.NewPCG(seed, 0))
	for i := range took {
		took[i] = time.Duration(float64(median) * math.Exp(spread*random.NormFloat64()))
	}
	return took
}

// takes is how long the answer about device i takes in a slot. Both factors are odd, so that the answers about one device, and
// those in one slot, go through all draws.
func (s *Server) takes(i int, slot int64) time.Duration {
	return s.took[(uint64(i)*7919+uint64(slot)*2287)%draws]
}

// Use has requests noted in a ledger from now on. Before the first call they are refused.
func (s *Server) Use(l *Ledger) { s.ledger.Store(l) }

// Problems are why a measurement is worth nothing.
func (s *Server) Problems() []string {
	if n := s.strange.Load(); n > 0 {
		return []string{fmt.Sprintf("SpreeDB had %d requests that are about none of the jobs", n)}
	}
	return nil
}

// Close ends all connections.
func (s *Server) Close() { _ = s.http.Close() }

var jsonType = []string{"application/json"}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	target := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, prefix), "/")
	l := s.ledger.Load()
	i, ok := index(target)
	if l == nil || !ok || i >= len(l.devices) {
		s.strange.Add(1)
		http.Error(w, "no such device", http.StatusNotFound)
		return
	}
	slot := l.arrive(i, now.UnixNano())
	defer l.leave()
	device := l.devices[i]
	took, reason := s.takes(i, slot), ""
	switch {
	case device.Hangs:
		<-r.Context().Done()
		return
	case device.Dead:
		took, reason = deadPatience, "timeout"
	}
	time.Sleep(took) //nolint:forbidigo // so long it takes to measure a round trip
	body := s.bodies.Get().(*[]byte)
	defer s.bodies.Put(body)
	*body = answer((*body)[:0], took, reason, target)
	w.Header()["Content-Type"] = jsonType
	_, _ = w.Write(*body) // a client that went away is no error of ours
}

func answer(b []byte, took time.Duration, reason, target string) []byte {
	b = append(b, `{"elapsed":`...)
	if reason != "" {
		took = 0
	}
	b = strconv.AppendFloat(b, float64(took.Microseconds())/1000, 'f', -1, 64)
	b = append(b, `,"error":"`...)
	b = append(b, reason...)
	b = append(b, `","expected":"","ip":"`...)
	b = append(b, target...)
	return append(b, `","poller":"bench-01"}`...)
}
