package spreedb

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"time"
)

const (
	// idleConns is how many unused connections stay open: about what is in flight at once when 5,000 polls a second
	// take 200 ms each.
	idleConns = 1024
	// idleTimeout closes them when the load falls. Jobs poll every few seconds, so it is longer than most cadences.
	idleTimeout = 90 * time.Second
	// bufferSize of a connection: an answer and its headers fit in, and thousands of connections cost little.
	bufferSize = 1 << 10
)

// transport asks SpreeDB. A poll reads the same whichever it is.
type transport interface {
	// get asks for the latency of a target, once, but for a connection that was closed while it was unused. It appends
	// the body of the answer to body: of a success all of it or, if it is too long, a byte more than bodyLimit; of
	// anything else what can be had.
	get(ctx context.Context, target netip.Addr, body *bytes.Buffer) (status int, err error)
}

// asIs are hosts that are sent and looked up as they are written, which has neither Punycode nor escapes nor a zone.
var asIs = regexp.MustCompile(`^[A-Za-z0-9._:[\]-]+$`)

func newTransport(base url.URL, opts Options) transport {
	if base.Scheme == "http" && !opts.UseProxy && asIs.MatchString(base.Host) && plain(opts.UserAgent) {
		return newDirect(base, opts)
	}
	return newLibrary(base, opts)
}

// library is the transport of net/http, for all that direct cannot do.
type library struct {
	http     *http.Transport
	base     url.URL
	template *http.Request
}

func newLibrary(base url.URL, opts Options) *library {
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
	if opts.UseProxy {
		t.Proxy = http.ProxyFromEnvironment
	}
	header := http.Header{"Accept": {"application/json"}, "User-Agent": {opts.UserAgent}}
	return &library{http: t, base: base, template: &http.Request{Method: http.MethodGet, Host: base.Host, Header: header}}
}

func (l *library) get(ctx context.Context, target netip.Addr, body *bytes.Buffer) (status int, err error) {
	// The transport alone: http.Client would add redirects, which must not be followed, and cookies.
	resp, err := l.http.RoundTrip(l.request(ctx, target))
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = receive(resp, body)
	return resp.StatusCode, err
}

// request makes the request for a target from the parts that never change; the headers are shared and only read.
func (l *library) request(ctx context.Context, target netip.Addr) *http.Request {
	u := l.base
	u.Path = withTarget(u.Path, target)
	if u.RawPath != "" {
		u.RawPath = withTarget(u.RawPath, target)
	}
	req := l.template.WithContext(ctx)
	req.URL = &u
	return req
}

func withTarget(prefix string, target netip.Addr) string {
	path := make([]byte, 0, len(prefix)+len("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/"))
	path = append(path, prefix...)
	path = target.AppendTo(path)
	return string(append(path, '/'))
}

// receive appends the body of an answer to body and tells whether it was read to its end, without which its connection
// cannot be used again. That the body of what is no success breaks off is no error: its status says enough.
func receive(resp *http.Response, body *bytes.Buffer) (whole bool, err error) {
	n, err := body.ReadFrom(io.LimitReader(resp.Body, bodyLimit+1))
	whole = err == nil && n <= bodyLimit
	if !is2xx(resp.StatusCode) {
		err = nil
	}
	return whole, err
}
