package doctor

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

// firstContact is how long the first request may take, with all that comes before it.
const firstContact = 10 * time.Second

// Supabase is the way to the database.
type Supabase struct {
	// URL is the project's.
	URL         string
	Client      *supabase.Client
	Credentials *supabase.Credentials
	Authorities *supabase.Authorities
	// FromFile tells whether authorities come from a file too.
	FromFile bool
	// Watch is the client's observer.
	Watch *Watch
	Clock clock.PassiveClock

	// patience is how long the first request may take; 0 stands for firstContact.
	patience time.Duration

	target *url.URL
	// proxy is what requests go through; nil for none.
	proxy *url.URL
	trace *trace
	// seen tells whether a job was seen by the first request, and err how it failed.
	seen   bool
	err    error
	schema *supabase.Schema
}

// Chain is what is looked at, from the name of the host to what the operators say about themselves.
func (s *Supabase) Chain() Chain {
	return Chain{
		{"supabase-dns", true, s.dns},
		{"supabase-tcp", true, s.tcp},
		{"supabase-tls", true, s.tls},
		{"supabase-http", true, s.http},
		{"clock", false, s.clock},
		{"key", true, s.key},
		{"schema", true, s.columns},
		{"permissions", false, s.permissions},
		{"rows", false, s.rows},
		{"operators", false, s.operators},
	}
}

// ask makes the first request, whose way is looked at.
func (s *Supabase) ask(ctx context.Context) {
	s.target, _ = url.Parse(s.URL) // it was looked at before the client was made
	s.proxy, _ = http.ProxyFromEnvironment(&http.Request{URL: s.target})
	s.trace = &trace{clock: s.Clock}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(s.patience, firstContact))
	defer cancel()
	s.seen, s.err = s.Client.Reach(s.trace.request(ctx))
}

// answered tells whether anybody answered over HTTP, whatever it was.
func (s *Supabase) answered() (*supabase.Error, bool) {
	answer, is := errors.AsType[*supabase.Error](s.err)
	return answer, s.err == nil || is && answer.Status != 0
}

// Watch is a client's observer that remembers the clock.
type Watch struct {
	mu    sync.Mutex
	ahead time.Duration
	known bool
}

// Requested implements supabase.Observer.
func (w *Watch) Requested(string, int, time.Duration) {}

// ClockSkew implements supabase.Observer.
func (w *Watch) ClockSkew(ahead time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ahead, w.known = ahead, true
}

// Ahead is how far our clock is ahead of Supabase's, right to a second, and whether that is known.
func (w *Watch) Ahead() (time.Duration, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ahead, w.known
}

const (
	// skewNoticed is more than the error of the comparison.
	skewNoticed = 3 * time.Second
	// skewTooMuch is what PostgREST allows in the times of a token.
	skewTooMuch = 30 * time.Second
)

func (s *Supabase) clock(context.Context) Finding {
	const fix = "Let the node's clock be set by NTP: slots are polled by it."
	ahead, known := s.Watch.Ahead()
	word := "ahead of"
	off := ahead
	if ahead < 0 {
		word, off = "behind", -ahead
	}
	switch {
	case !known:
		return Warn("Look at whatever stands between the operator and Supabase: it takes the header Date away.", "Supabase does not say what time it is")
	case off > skewTooMuch:
		return Fail(fix, "our clock is %s %s Supabase's", off.Round(time.Second), word)
	case off > skewNoticed:
		return Warn(fix, "our clock is %s %s Supabase's", off.Round(time.Second), word)
	default:
		return Good("agrees with Supabase's, to about a second")
	}
}
