package supabase

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/supabase-community/postgrest-go"
)

// OpProveHistory is the operation that looks whether samples can be read at all.
const OpProveHistory = "prove_history"

// historyJobs is how many jobs can be asked about at once.
const historyJobs = 50

// ErrNoHistory says that the database cannot tell which samples it has: it does not keep when they were due, the role may not
// read them, or nothing proves that it sees any, since row-level security that hides all looks like a table without rows.
var ErrNoHistory = errors.New("the database cannot tell which samples it has")

// ErrNoneSeen is ErrNoHistory of a database that shows no sample of any job: it has none yet, or hides all.
var ErrNoneSeen = fmt.Errorf("%w: it shows none at all, which may be row-level security; let the operator's role select samples", ErrNoHistory)

// history reads a table that has rows for instants of jobs, in the order of the job and the instant.
type history[T any] struct {
	client             *Client
	op, table, columns string
	// key is the column that orders the rows of a job. Those are read whose bound lies after an instant; it is key itself or
	// another column.
	key, bound string
	parse      func(json.RawMessage) line[T]
	// take gets each row.
	take func(T)

	// size is how many rows the next page asks for.
	size int
	// seen tells whether any row came.
	seen bool
}

// line is a row with what its place depends on.
type line[T any] struct {
	job string
	// key and bound are the values of these columns; zero where they cannot be read.
	key, bound time.Time
	// beyond tells that key lies beyond the year 9999, or is infinity: nothing that can be read comes after it.
	beyond bool
	row    T
	// whole tells whether the row is worth taking.
	whole bool
}

// page asks for rows. A page that the database cannot read in time is asked for again with half as many.
func (h *history[T]) page(ctx context.Context, filter func(*postgrest.FilterBuilder) *postgrest.FilterBuilder) ([]json.RawMessage, error) {
	if h.size == 0 {
		h.size = pageSize
	}
	for {
		rows, err := h.client.rows(ctx, call{op: h.op}, func(rest *postgrest.Client) *postgrest.FilterBuilder {
			return filter(rest.From(h.table).Select(h.columns, "", false)).Limit(h.size, "")
		})
		if Classify(err) != TooLarge || h.size == 1 {
			h.seen = h.seen || len(rows) > 0
			return rows, err
		}
		h.size /= 2
	}
}

// since reads the rows of several jobs, each from its own instant on. One request asks for all jobs. It may be cut off
// anywhere, so the job that it ends with is read to its end by itself, and then what comes after that job is asked for, until
// nothing comes.
func (h *history[T]) since(ctx context.Context, since map[string]time.Time) error {
	if err := checkSince(since); err != nil {
		return fmt.Errorf("%s: %w", h.op, err)
	}
	open := slices.Sorted(maps.Keys(since)) // PostgreSQL orders UUIDs like their texts
	for len(open) > 0 {
		earliest := slices.MinFunc(open, func(a, b string) int { return since[a].Compare(since[b]) })
		rows, err := h.page(ctx, func(q *postgrest.FilterBuilder) *postgrest.FilterBuilder {
			return q.In("job_id", open).Gt(h.bound, timestamp(since[earliest])).Order("job_id", ascending).Order(h.key, ascending)
		})
		if err != nil || len(rows) == 0 {
			return err
		}
		last, err := h.hand(rows, since)
		if err != nil {
			return err
		}
		if err := h.follow(ctx, last, since[last.job]); err != nil {
			return err
		}
		i, found := slices.BinarySearch(open, last.job)
		if !found {
			return h.disorder("the answer after a job begins with an earlier one")
		}
		open = open[i+1:]
	}
	return nil
}

// follow reads the rows of one job that come after a line, and have their bound after an instant.
func (h *history[T]) follow(ctx context.Context, last line[T], after time.Time) error {
	for cursor := last.key; !last.beyond; cursor = last.key {
		if h.bound == h.key && after.After(cursor) {
			cursor = after
		}
		rows, err := h.page(ctx, func(q *postgrest.FilterBuilder) *postgrest.FilterBuilder {
			q = q.Eq("job_id", last.job).Gt(h.key, timestamp(cursor)).Order(h.key, ascending)
			if h.bound != h.key {
				q = q.Gt(h.bound, timestamp(after))
			}
			return q
		})
		if err != nil || len(rows) == 0 {
			return err
		}
		if last, err = h.hand(rows, map[string]time.Time{last.job: after}); err != nil {
			return err
		}
		if !last.beyond && !last.key.After(cursor) {
			return h.disorder("the page after " + timestamp(cursor) + " ends with " + timestamp(last.key))
		}
	}
	return nil
}

// hand gives the rows of a page away that lie after their own job's instant, and returns the place where it ends: the last
// that can be read of the last job.
func (h *history[T]) hand(rows []json.RawMessage, since map[string]time.Time) (last line[T], err error) {
	for _, raw := range rows {
		l := h.parse(raw)
		after, asked := since[l.job]
		switch {
		case l.job == "":
			continue
		case !asked:
			return last, h.disorder("the answer holds rows of another job than asked for")
		case l.whole && l.bound.After(after):
			h.take(l.row)
		}
		if l.job != last.job || l.beyond || l.key.After(last.key) {
			last = l
		}
	}
	if last.job == "" {
		return last, h.disorder("no row of the answer names its job")
	}
	return last, nil
}

// disorder is the error of an answer that cannot be gone on from.
func (h *history[T]) disorder(what string) error {
	return &Error{Op: h.op, Status: 200, Message: "the rows are not in order: " + what}
}

// checkSince wants ids as PostgreSQL writes them, so that they compare with those of an answer.
func checkSince(since map[string]time.Time) error {
	if len(since) > historyJobs {
		return fmt.Errorf("%d jobs at once, where at most %d are allowed", len(since), historyJobs)
	}
	for id := range since {
		if err := checkIDs(id); err != nil {
			return err
		}
		if id != strings.ToLower(id) {
			return fmt.Errorf("the id %s is not in lower case", id)
		}
	}
	return nil
}

// believe says what an answer about history is worth, after err or without rows.
func (c *Client) believe(ctx context.Context, err error, sampleSeen bool) error {
	switch {
	case forbidden(err):
		return fmt.Errorf("%w: %w", ErrNoHistory, err)
	case err != nil:
		return err
	case !sampleSeen && !c.proven.Load():
		return c.prove(ctx)
	case sampleSeen:
		c.proven.Store(true)
	}
	return nil
}

// prove looks whether there is any sample that the role sees. Once there was one, samples can be read.
func (c *Client) prove(ctx context.Context) error {
	rows, err := c.rows(ctx, call{op: OpProveHistory}, func(rest *postgrest.Client) *postgrest.FilterBuilder {
		return rest.From("samples").Select("job_id", "", false).Limit(1, "")
	})
	switch {
	case forbidden(err):
		return fmt.Errorf("%w: %w", ErrNoHistory, err)
	case err != nil:
		return err
	case len(rows) == 0:
		return ErrNoneSeen
	}
	c.proven.Store(true)
	return nil
}

var beyondRFC3339 = regexp.MustCompile(`^(infinity$|[0-9]{5,}-)`)

// instant reads a timestamptz as JSON has it: zero if it cannot be read. beyond tells that it lies beyond the year 9999, where
// RFC 3339 ends, or is infinity.
func instant(raw json.RawMessage) (t time.Time, beyond bool) {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return time.Time{}, false
	}
	return parseInstant(text)
}

// parseInstant is instant for a text.
func parseInstant(text string) (t time.Time, beyond bool) {
	if text == "" {
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, beyondRFC3339.MatchString(text)
	}
	return t.UTC().Truncate(time.Microsecond), false
}

// number reads a numeric as JSON has it: nil if it is null, NaN, infinity (which come as texts) or larger than a float64.
func number(raw json.RawMessage) *float64 {
	var v *float64
	if json.Unmarshal(raw, &v) != nil {
		return nil
	}
	return v
}
