package main

import (
	"net/http"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"

	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

// tolerated is how far two clocks may be apart before ours is not believed: the header Date has whole seconds, and an answer takes a while.
const tolerated = 3 * time.Second

// reference is the clock of whoever answers. Samples carry the operator's time, and the clock of a laptop may be minutes off. It is a
// supabase.Observer.
type reference struct {
	clock clock.PassiveClock
	ahead atomic.Int64
}

func (r *reference) now() time.Time { return r.clock.Now().Add(-time.Duration(r.ahead.Load())) }

// ClockSkew implements supabase.Observer: our clock is so far ahead.
func (r *reference) ClockSkew(ahead time.Duration) {
	if ahead.Abs() <= tolerated {
		ahead = 0
	}
	r.ahead.Store(int64(ahead))
}

// Requested implements supabase.Observer.
func (*reference) Requested(string, int, time.Duration) {}

// answered compares the clocks by an answer to a request that was sent at an instant of ours.
func (r *reference) answered(sent time.Time, header http.Header) {
	if ahead, ok := supabase.ClockSkew(header, sent, r.clock.Since(sent)); ok {
		r.ClockSkew(ahead)
	}
}
