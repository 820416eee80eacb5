package supabase

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/uuid"
	"github.com/supabase-community/postgrest-go"
	"k8s.io/utils/clock"
)

// callTimeout bounds one request. Supabase itself gives up a statement after 8 s.
const callTimeout = 15 * time.Second

// Operations, as metrics and errors name them.
const (
	OpListJobs      = "list_jobs"
	OpGetJobs       = "get_jobs"
	OpTouchJobs     = "touch_jobs"
	OpInsertSamples = "insert_samples"
	OpLastSamples   = "last_samples"
	OpProbeSchema   = "probe_schema"
)

// Observer is told about every request.
type Observer interface {
	// Requested is called after a request with its operation, the status of the answer (0: none came) and how long it took.
	Requested(op string, status int, took time.Duration)
	// ClockSkew is called with how far our clock is ahead of Supabase's.
	ClockSkew(ahead time.Duration)
}

// Options of a Client.
type Options struct {
	// URL is the project's, http or https; the REST API is below it at /rest/v1.
	URL string
	// Credentials are set for each request.
	Credentials *Credentials
	// Authorities are those whose certificates count; nil stands for the system's.
	Authorities *Authorities
	// UserAgent names the program; one that looks like a browser's is refused by Supabase.
	UserAgent string
	Observer  Observer
	Clock     clock.PassiveClock
}

// Client makes the requests that the operator needs. It is safe for concurrent use.
type Client struct {
	rest  *postgrest.Client
	clock clock.PassiveClock

	mu     sync.Mutex
	schema *Schema
	probed time.Time
	// proven tells that a sample was seen, so that an answer without any means that there is none.
	proven atomic.Bool
}

// New gives a Client. It makes no request.
func New(opts Options) (*Client, error) {
	base, err := restURL(opts.URL)
	if err != nil {
		return nil, err
	}
	rest, err := postgrest.NewClientWithError(base.String(), "public", nil)
	if err != nil {
		return nil, fmt.Errorf("SUPABASE_URL: %w", err)
	}
	if opts.Authorities == nil {
		opts.Authorities = NewAuthorities("", opts.Clock, logr.Discard())
	}
	rest.Transport.Parent = &guard{
		next: &transports{authorities: opts.Authorities}, base: base, credentials: opts.Credentials, userAgent: opts.UserAgent,
		observer: opts.Observer, clock: opts.Clock,
	}
	return &Client{rest: rest, clock: opts.Clock}, nil
}

// CheckURL tells what is wrong with a project's URL in one sentence that names the variable.
func CheckURL(raw string) error {
	_, err := restURL(raw)
	return err
}

func restURL(raw string) (*url.URL, error) {
	if strings.TrimSpace(raw) == "" {
		return nil, errors.New("SUPABASE_URL is not set: give the project's URL, such as https://abcdefgh.supabase.co")
	}
	u, err := url.Parse(strings.TrimSpace(raw))
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		// The value is not quoted: it may be a key that was put into the wrong variable.
		return nil, errors.New("SUPABASE_URL is not a project's URL: give it with http or https and nothing behind the host, such as https://abcdefgh.supabase.co")
	}
	u.Path = strings.TrimSuffix(strings.TrimRight(u.Path, "/"), "/rest/v1") + "/rest/v1"
	return u, nil
}

// do runs one request and gives the body of the answer, and the number of rows if one was asked for with count=exact, else unknown.
func (c *Client) do(ctx context.Context, what call, build func(*postgrest.Client) *postgrest.FilterBuilder) (body []byte, total int64, err error) {
	what.total = &total
	ctx, cancel := context.WithTimeout(withCall(ctx, what), callTimeout)
	defer cancel()
	body, _, err = build(c.rest).ExecuteWithContext(ctx)
	if err == nil {
		return body, total, nil
	}
	var answer *Error
	if !errors.As(err, &answer) {
		answer = networkError(what.op, unwrapURL(err))
	}
	if answer.class() == SchemaNotReady {
		c.RecheckSchema()
		c.learn(answer)
	}
	return nil, unknown, answer
}

// unwrapURL takes the URL out of an error of net/http.
func unwrapURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// rows runs a request that reads, and gives its rows undecoded, so that one bad row does not spoil the others.
func (c *Client) rows(ctx context.Context, what call, build func(*postgrest.Client) *postgrest.FilterBuilder) ([]json.RawMessage, error) {
	body, _, err := c.do(ctx, what, build)
	if err != nil {
		return nil, err
	}
	var rows []json.RawMessage
	if err := json.Unmarshal(body, &rows); err != nil {
		return nil, notRows(what.op, err)
	}
	return rows, nil
}

// checkIDs keeps anything but UUIDs out of filters, which postgrest-go does not escape.
func checkIDs(ids ...string) error {
	for _, id := range ids {
		if err := uuid.Validate(id); err != nil || len(id) != 36 {
			return fmt.Errorf("%q is not the id of a job", oneLine(id))
		}
	}
	return nil
}

// The library's default order is descending, so both are always given.
var (
	ascending  = &postgrest.OrderOpts{Ascending: true}
	descending = &postgrest.OrderOpts{Ascending: false}
)

// timestamp writes an instant as the database keeps it.
func timestamp(t time.Time) string {
	return t.UTC().Truncate(time.Microsecond).Format("2006-01-02T15:04:05.000000Z")
}
