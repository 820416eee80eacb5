package supabase

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/supabase-community/postgrest-go"
)

const (
	// pageSize is how many jobs one request asks for. The server may return fewer, 1,000 at most by default.
	pageSize = 1000
	// chunk is how many ids one filter names: more would make URLs that gateways refuse.
	chunk = 100
	// TouchAtOnce is how many jobs one TouchJobs names at most. There are so many of these requests that it pays to go to the
	// limit: each id takes 39 characters, as commas are escaped, and gateways refuse URLs from 8,192 on.
	TouchAtOnce = 190
)

// Job is a row of jobs, with the values as they stand there: what they are worth is for the caller to judge.
type Job struct {
	ID              string
	TargetIP        string // empty where the row has none
	CadenceSeconds  int64
	DurationMinutes int64
	StartedAt       string
	CompletedAt     string // empty where the row or the database has none
	Status          string
	Mode            string
	// MonitorState and MonitorMessage are what the operator last told the technician; empty where the database has no
	// such columns.
	MonitorState, MonitorMessage string
	// UpdatedAt is when something other than the operator's own columns last changed, on the database's clock, UTC, in whole
	// microseconds; zero where the row or the database does not say.
	UpdatedAt time.Time
	// Problem says why the row could not be read, in one sentence; all but the ID may be missing then.
	Problem string
}

func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// RunningJobs lists the real_polling rows that say running, by id. The newest of their UpdatedAt is where ChangedJobs can go
// on. It asks for page after page until an empty one: a server
// that returns fewer rows than asked for says nothing about it.
func (c *Client) RunningJobs(ctx context.Context) ([]Job, error) {
	schema, err := c.known(ctx)
	if err != nil {
		return nil, err
	}
	var jobs []Job
	last := ""
	for {
		before := len(jobs)
		jobs, err = c.jobPage(ctx, OpListJobs, jobs, func(rest *postgrest.Client) *postgrest.FilterBuilder {
			query := rest.From("jobs").Select(schema.jobSelect(), "", false).
				Eq("status", "running").Eq("monitoring_mode", "real_polling").
				Order("id", ascending).Limit(pageSize, "")
			if last != "" {
				query = query.Gt("id", last)
			}
			return query
		})
		if err != nil {
			return nil, err
		}
		if len(jobs) == before {
			return jobs, nil
		}
		next := jobs[len(jobs)-1].ID
		if next <= last || checkIDs(next) != nil {
			return nil, &Error{Op: OpListJobs, Status: 200, Message: fmt.Sprintf("the page after id %q ends with id %q: the rows are not in order", last, oneLine(next))}
		}
		last = next
	}
}

// JobsByID looks rows up, whatever their status, at most 101 at a time: a hundred, and a witness. A row that does not come back need not be gone:
// an answer counts only when it also holds a row that is known to exist.
func (c *Client) JobsByID(ctx context.Context, ids []string) ([]Job, error) {
	schema, err := c.known(ctx)
	if err != nil {
		return nil, err
	}
	if len(ids) == 0 || len(ids) > chunk+1 {
		return nil, fmt.Errorf("%s: %d ids at once, where 1 to %d are allowed", OpGetJobs, len(ids), chunk+1)
	}
	if err := checkIDs(ids...); err != nil {
		return nil, fmt.Errorf("%s: %w", OpGetJobs, err)
	}
	return c.jobPage(ctx, OpGetJobs, nil, func(rest *postgrest.Client) *postgrest.FilterBuilder {
		return rest.From("jobs").Select(schema.jobSelect(), "", false).In("id", ids)
	})
}

// stillRunning is what a row has to say for the operator to end its job: running, on the grid that it had when it was read. A row
// that was started anew meanwhile has another start.
func stillRunning(row Job) map[string]string {
	return map[string]string{
		"status":           "running",
		"cadence_seconds":  strconv.FormatInt(row.CadenceSeconds, 10),
		"duration_minutes": strconv.FormatInt(row.DurationMinutes, 10),
		"started_at":       row.StartedAt,
	}
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// patchJob changes one row, if it still has the given values, and tells whether it did.
func (c *Client) patchJob(ctx context.Context, op, id string, body map[string]any, still map[string]string) (matched bool, err error) {
	if err := checkIDs(id); err != nil {
		return false, fmt.Errorf("%s: %w", op, err)
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return false, fmt.Errorf("%s: %w", op, err)
	}
	_, count, err := c.do(ctx, call{op: op, prefer: "return=minimal,count=exact"}, func(rest *postgrest.Client) *postgrest.FilterBuilder {
		query := rest.From("jobs").Update(json.RawMessage(raw), "minimal", "exact").Eq("id", id)
		for column, value := range still {
			query = query.Eq(column, value)
		}
		return query
	})
	return count > 0, err
}

// TouchJobs moves last_ping_at of at most TouchAtOnce jobs forward to at, and never back. Without the column, nothing happens.
func (c *Client) TouchJobs(ctx context.Context, ids []string, at time.Time) error {
	schema, err := c.known(ctx)
	if err != nil || !schema.jobs["last_ping_at"] || len(ids) == 0 {
		return err
	}
	if len(ids) > TouchAtOnce {
		return fmt.Errorf("%s: %d ids at once, where at most %d are allowed", OpTouchJobs, len(ids), TouchAtOnce)
	}
	if err := checkIDs(ids...); err != nil {
		return fmt.Errorf("%s: %w", OpTouchJobs, err)
	}
	when := timestamp(at)
	body := json.RawMessage(`{"last_ping_at":` + strconv.Quote(when) + `}`)
	_, _, err = c.do(ctx, call{op: OpTouchJobs, prefer: "return=minimal"}, func(rest *postgrest.Client) *postgrest.FilterBuilder {
		return rest.From("jobs").Update(body, "minimal", "").In("id", ids).
			Or("last_ping_at.is.null,last_ping_at.lt."+when, "")
	})
	return err
}
