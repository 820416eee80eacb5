// Package spreedb asks SpreeDB for the latency of a device. A poll cannot fail: whatever goes wrong is its result.
package spreedb

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/soundcheck-io/latency-operator/internal/sample"
)

const (
	// source is whom SpreeDB is told it measures for.
	source = "Sound Check"
	// bodyLimit is far above any answer; more than that is not SpreeDB.
	bodyLimit = 64 << 10
	// connectTimeout bounds a handshake that nobody answers, so that the message can tell it from a slow measurement.
	connectTimeout = 5 * time.Second
)

// Options of a Client.
type Options struct {
	// BaseURL is POLLER_BASE_URL: http or https, a host, and an optional path that stands before /latency.
	BaseURL string
	// UserAgent tells SpreeDB's owners who asks; default latency-operator.
	UserAgent string
	// UseProxy sends polls through HTTP_PROXY and its like. SpreeDB is inside the company network, the proxy leads
	// out of it, and the variables are often set for all pods of a cluster: so not by default.
	UseProxy bool
	// Clock tells how much time a poll was given, and when an unused connection is closed; default the real one.
	Clock clock.WithDelayedExecution
}

// Client polls SpreeDB. Its methods may be called from several goroutines.
type Client struct {
	transport transport
	clock     clock.PassiveClock
	buffers   sync.Pool
}

// New gives a Client, or one sentence about what is wrong with POLLER_BASE_URL. It makes no request.
func New(opts Options) (*Client, error) {
	base, err := parseBase(opts.BaseURL)
	if err != nil {
		return nil, err
	}
	opts.UserAgent = cmp.Or(opts.UserAgent, "latency-operator")
	if opts.Clock == nil {
		opts.Clock = clock.RealClock{}
	}
	return &Client{
		transport: newTransport(base, opts),
		clock:     opts.Clock,
		buffers:   sync.Pool{New: func() any { return new(bytes.Buffer) }},
	}, nil
}

// Poll asks SpreeDB once for the latency of the target; the deadline is that of ctx.
func (c *Client) Poll(ctx context.Context, target netip.Addr) Result {
	target = target.Unmap()
	if !target.IsValid() || target.Zone() != "" {
		return systemError("the target is not an IP address that SpreeDB could reach")
	}
	start := c.clock.Now()
	body := c.buffers.Get().(*bytes.Buffer)
	defer c.buffers.Put(body)
	body.Reset()
	switch status, err := c.transport.get(ctx, target, body); {
	case err != nil:
		return unanswered(ctx, start, err)
	case !is2xx(status):
		return systemError(fmt.Sprintf("SpreeDB answered %d %s", status, http.StatusText(status)))
	case body.Len() > bodyLimit:
		return systemError(fmt.Sprintf("SpreeDB's answer is longer than %d KiB", bodyLimit>>10))
	}
	return parse(body.Bytes())
}

func is2xx(status int) bool { return status >= 200 && status <= 299 }

// unanswered is the result of a poll that err kept from its answer:
//
//   - the caller gave up: no sample;
//   - the deadline passed, whoever noticed it first, the context or the dialer, which has a timer of its own;
//   - nobody took the connection in time;
//   - anything else, name servers that do not answer included.
func unanswered(ctx context.Context, start time.Time, err error) Result {
	if errors.Is(ctx.Err(), context.Canceled) {
		return Result{Aborted: true}
	}
	deadline, limited := ctx.Deadline()
	given := deadline.Sub(start)
	timeout, isNet := errors.AsType[net.Error](err)
	timedOut := isNet && timeout.Timeout()
	_, unresolved := errors.AsType[*net.DNSError](err)
	switch {
	case ctx.Err() != nil, timedOut && limited && given <= connectTimeout:
		return systemError("no answer from SpreeDB within " + rounded(given).String())
	case timedOut && !unresolved:
		return systemError("no connection to SpreeDB within " + connectTimeout.String())
	default:
		return systemError(describe(err))
	}
}

// rounded takes off what passed between making the context and polling, so that the same timeout reads the same.
func rounded(d time.Duration) time.Duration {
	if d < time.Second {
		return max(d, 0).Round(10 * time.Millisecond)
	}
	return d.Round(100 * time.Millisecond)
}

func systemError(message string) Result {
	return Result{Status: sample.SystemError, Message: clean(message, messageLimit)}
}
