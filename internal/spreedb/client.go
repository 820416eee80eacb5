// Package spreedb asks SpreeDB for the latency of a device. A poll cannot fail: whatever goes wrong is its result.
package spreedb

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
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
	// idleConns is how many unused connections stay open: about what is in flight at once when 5,000 polls a second
	// take 200 ms each.
	idleConns = 1024
	// idleTimeout closes them when the load falls. Jobs poll every few seconds, so it is longer than most cadences.
	idleTimeout = 90 * time.Second
	// bufferSize of a connection, twice: an answer and its headers fit in, and thousands of connections cost little.
	bufferSize = 1 << 10
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
	// Clock tells how much time a poll was given; default the real one.
	Clock clock.PassiveClock
}

// Client polls SpreeDB. Its methods may be called from several goroutines.
type Client struct {
	transport *http.Transport
	template  *http.Request
	base      url.URL
	clock     clock.PassiveClock
	buffers   sync.Pool
}

// New gives a Client, or one sentence about what is wrong with POLLER_BASE_URL. It makes no request.
func New(opts Options) (*Client, error) {
	base, err := parseBase(opts.BaseURL)
	if err != nil {
		return nil, err
	}
	c := &Client{
		transport: newTransport(opts.UseProxy),
		template: &http.Request{
			Method: http.MethodGet,
			Host:   base.Host,
			Header: http.Header{
				"Accept":     {"application/json"},
				"User-Agent": {cmp.Or(opts.UserAgent, "latency-operator")},
			},
		},
		base:    base,
		clock:   opts.Clock,
		buffers: sync.Pool{New: func() any { return new(bytes.Buffer) }},
	}
	if c.clock == nil {
		c.clock = clock.RealClock{}
	}
	return c, nil
}

func newTransport(useProxy bool) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	t := &http.Transport{
		DialContext:            (&net.Dialer{Timeout: connectTimeout}).DialContext,
		TLSHandshakeTimeout:    connectTimeout,
		Protocols:              protocols,
		DisableCompression:     true, // an answer is too short to gain by it
		MaxIdleConnsPerHost:    idleConns,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: bodyLimit,
		ReadBufferSize:         bufferSize,
		WriteBufferSize:        bufferSize,
	}
	if useProxy {
		t.Proxy = http.ProxyFromEnvironment
	}
	return t
}

// Poll asks SpreeDB once for the latency of the target; the deadline is that of ctx.
func (c *Client) Poll(ctx context.Context, target netip.Addr) Result {
	target = target.Unmap()
	if !target.IsValid() || target.Zone() != "" {
		return systemError("the target is not an IP address that SpreeDB could reach")
	}
	start := c.clock.Now()
	// The transport alone: http.Client would add redirects, which must not be followed, and cookies.
	resp, err := c.transport.RoundTrip(c.request(ctx, target))
	if err != nil {
		return unanswered(ctx, start, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		// Only a connection whose answer was read to its end is used again.
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, bodyLimit))
		return systemError(fmt.Sprintf("SpreeDB answered %d %s", resp.StatusCode, http.StatusText(resp.StatusCode)))
	}
	body := c.buffers.Get().(*bytes.Buffer)
	defer c.buffers.Put(body)
	body.Reset()
	switch n, err := body.ReadFrom(io.LimitReader(resp.Body, bodyLimit+1)); {
	case err != nil:
		return unanswered(ctx, start, err)
	case n > bodyLimit:
		return systemError(fmt.Sprintf("SpreeDB's answer is longer than %d KiB", bodyLimit>>10))
	}
	return parse(body.Bytes())
}

// request makes the request for a target from the parts that never change; the headers are shared and only read.
func (c *Client) request(ctx context.Context, target netip.Addr) *http.Request {
	u := c.base
	u.Path = withTarget(u.Path, target)
	if u.RawPath != "" {
		u.RawPath = withTarget(u.RawPath, target)
	}
	req := c.template.WithContext(ctx)
	req.URL = &u
	return req
}

func withTarget(prefix string, target netip.Addr) string {
	path := make([]byte, 0, len(prefix)+len("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/"))
	path = append(path, prefix...)
	path = target.AppendTo(path)
	return string(append(path, '/'))
}

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
