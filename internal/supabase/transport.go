package supabase

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"k8s.io/utils/clock"
)

// bodyLimit bounds what is read of an answer: a page of 1,000 jobs is about 300 KB.
const bodyLimit = 8 << 20

// call is what the guard has to know about a request that postgrest-go cannot be told. It travels in the context.
type call struct {
	op     string
	prefer string // replaces the library's Prefer
	// columns, separated by commas, are the only ones that are written, and say so also where no row follows.
	columns string
	// body takes the place of the library's: it would check and copy JSON that is known to be good.
	body []byte
	// total gets the number of rows that the answer tells in Content-Range, or unknown, which the library takes for 0.
	total *int64
}

// unknown is a number of rows that the answer does not tell.
const unknown = int64(-1)

type callKey struct{}

func withCall(ctx context.Context, c call) context.Context {
	return context.WithValue(ctx, callKey{}, c)
}

// guard is the http.RoundTripper below postgrest-go. It sends a request as it should be and turns every answer that is not
// a success into an *Error, so that the library never interprets one.
type guard struct {
	next        http.RoundTripper
	base        *url.URL
	credentials *Credentials
	userAgent   string
	observer    Observer
	clock       clock.PassiveClock
}

// RoundTrip implements http.RoundTripper.
func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	c, ok := req.Context().Value(callKey{}).(call)
	if !ok {
		return nil, errors.New("a request to Supabase that no operation stands behind")
	}
	if err := g.check(req); err != nil {
		return nil, fmt.Errorf("%s: %w", c.op, err)
	}
	req = g.dress(req, c)
	began := g.clock.Now()
	res, body, err := g.send(req)
	took := g.clock.Since(began)
	if err != nil {
		g.observer.Requested(c.op, 0, took)
		return nil, networkError(c.op, err)
	}
	g.observer.Requested(c.op, res.StatusCode, took)
	if ahead, ok := ClockSkew(res.Header, began, took); ok {
		g.observer.ClockSkew(ahead)
	}
	if fail := g.judge(c.op, req, res, body); fail != nil {
		if fail.class() == KeyRefused {
			g.credentials.doubt()
		}
		return nil, fail
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	res.ContentLength = int64(len(body))
	n := unknown
	if _, total, ok := strings.Cut(res.Header.Get("Content-Range"), "/"); ok {
		if n, err = strconv.ParseInt(total, 10, 64); err != nil {
			n = unknown
			res.Header.Del("Content-Range") // the library would throw a good body away for it
		}
	}
	*c.total = n
	return res, nil
}

// ClockSkew is how far our clock is ahead of that of a server, by the header Date of its answer to a request that was sent at an instant
// of ours and took some time; to about a second. It is false where the answer does not tell.
func ClockSkew(answer http.Header, sent time.Time, took time.Duration) (ahead time.Duration, ok bool) {
	date, err := http.ParseTime(answer.Get("Date"))
	if err != nil {
		return 0, false
	}
	// The header has whole seconds, cut off: half a second is the best guess at the rest.
	return sent.Add(took / 2).Sub(date.Add(500 * time.Millisecond)), true
}

// check refuses what would leak the key to another host or change every row of a table.
func (g *guard) check(req *http.Request) error {
	if req.URL.Host != g.base.Host || req.URL.Scheme != g.base.Scheme {
		return fmt.Errorf("refuse to send the Supabase key to %s", req.URL.Host)
	}
	if req.Method != http.MethodPatch && req.Method != http.MethodDelete {
		return nil
	}
	for column := range req.URL.Query() {
		if column == "id" || column == "job_id" {
			return nil
		}
	}
	return fmt.Errorf("refuse to %s rows without naming them", req.Method)
}

// dress gives the request its own headers and leaves the caller's request as it was.
func (g *guard) dress(req *http.Request, c call) *http.Request {
	req = req.Clone(req.Context())
	g.credentials.set(req.Header)
	req.Header.Set("User-Agent", g.userAgent)
	req.Header.Set("X-Client-Info", g.userAgent)
	req.Header.Del("Prefer")
	if c.prefer != "" {
		req.Header.Set("Prefer", c.prefer)
	}
	if req.Method == http.MethodGet {
		req.Header.Del("Content-Type")
		req.Body, req.ContentLength, req.GetBody = nil, 0, nil // the library gives every GET an empty body
	}
	if c.columns != "" {
		query := req.URL.Query()
		query.Set("columns", c.columns)
		req.URL.RawQuery = query.Encode()
	}
	if c.body != nil {
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(c.body)), nil }
		req.Body, _ = req.GetBody()
		req.ContentLength = int64(len(c.body))
	}
	return req
}

// send reads the answer to its end, within the request's deadline, so that the connection can be used again.
func (g *guard) send(req *http.Request) (*http.Response, []byte, error) {
	res, err := g.next.RoundTrip(req)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, bodyLimit+1))
	if err != nil {
		return nil, nil, fmt.Errorf("read the answer: %w", err)
	}
	if len(body) > bodyLimit {
		return nil, nil, fmt.Errorf("the answer is longer than %d MiB", bodyLimit>>20)
	}
	return res, body, nil
}

// judge tells whether an answer is a success. A redirect is none: following it would carry the key elsewhere. A page of
// HTML with status 200 is none either: some proxy wrote it.
func (g *guard) judge(op string, req *http.Request, res *http.Response, body []byte) *Error {
	if res.StatusCode < 200 || res.StatusCode >= 300 {
		return answerError(op, res, body)
	}
	if req.Method == http.MethodGet && strings.Contains(res.Header.Get("Content-Type"), "html") {
		fail := answerError(op, res, nil)
		fail.Message = "the answer is not JSON; is SUPABASE_URL the project's URL?"
		return fail
	}
	return nil
}
