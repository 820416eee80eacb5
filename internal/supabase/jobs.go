package supabase

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/supabase-community/postgrest-go"
)

const (
	// pageSize is how many jobs one request asks for. The server may return fewer, 1,000 at most by default.
	pageSize = 1000
	// chunk is how many ids one filter names: more would make URLs that gateways refuse.
	chunk = 100
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
	// Problem says why the row could not be read, in one sentence; all but the ID may be missing then.
	Problem string
}

// jobRow is what a row looks like in JSON. A value of another type makes only its own row unreadable.
type jobRow struct {
	ID              string  `json:"id"`
	TargetIP        *string `json:"target_ip"`
	CadenceSeconds  *int64  `json:"cadence_seconds"`
	DurationMinutes *int64  `json:"duration_minutes"`
	StartedAt       *string `json:"started_at"`
	CompletedAt     *string `json:"completed_at"`
	Status          string  `json:"status"`
	Mode            string  `json:"monitoring_mode"`
	MonitorState    *string `json:"monitor_state"`
	MonitorMessage  *string `json:"monitor_message"`
}

func parseJob(raw json.RawMessage) Job {
	var row jobRow
	err := json.Unmarshal(raw, &row)
	job := Job{
		ID: row.ID, TargetIP: value(row.TargetIP), CadenceSeconds: value(row.CadenceSeconds), DurationMinutes: value(row.DurationMinutes),
		StartedAt: value(row.StartedAt), CompletedAt: value(row.CompletedAt), Status: row.Status, Mode: row.Mode,
		MonitorState: value(row.MonitorState), MonitorMessage: value(row.MonitorMessage),
	}
	if err != nil {
		job.Problem = "the row cannot be read: " + oneLine(err.Error())
	}
	return job
}

func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// HasMonitor tells whether jobs can carry a message for the technician.
func (s *Schema) HasMonitor() bool { return s.jobs["monitor_state"] && s.jobs["monitor_message"] }

func (s *Schema) jobSelect() string {
	columns := strings.Join(jobColumns, ",")
	if s.jobs["completed_at"] {
		columns += ",completed_at"
	}
	if s.HasMonitor() {
		columns += ",monitor_state,monitor_message"
	}
	return columns
}

// RunningJobs lists the real_polling rows that say running, by id. It asks for page after page until an empty one: a server
// that returns fewer rows than asked for says nothing about it.
func (c *Client) RunningJobs(ctx context.Context) ([]Job, error) {
	schema, err := c.known(ctx)
	if err != nil {
		return nil, err
	}
	var jobs []Job
	last := ""
	for {
		rows, err := c.rows(ctx, call{op: OpListJobs}, func(rest *postgrest.Client) *postgrest.FilterBuilder {
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
		if len(rows) == 0 {
			return jobs, nil
		}
		for _, raw := range rows {
			jobs = append(jobs, parseJob(raw))
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
	rows, err := c.rows(ctx, call{op: OpGetJobs}, func(rest *postgrest.Client) *postgrest.FilterBuilder {
		return rest.From("jobs").Select(schema.jobSelect(), "", false).In("id", ids)
	})
	if err != nil {
		return nil, err
	}
	jobs := make([]Job, 0, len(rows))
	for _, raw := range rows {
		jobs = append(jobs, parseJob(raw))
	}
	return jobs, nil
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

// TouchJobs moves last_ping_at of the jobs forward to at, and never back. Without the column, nothing happens.
func (c *Client) TouchJobs(ctx context.Context, ids []string, at time.Time) error {
	schema, err := c.known(ctx)
	if err != nil || !schema.jobs["last_ping_at"] || len(ids) == 0 {
		return err
	}
	if len(ids) > chunk {
		return fmt.Errorf("%s: %d ids at once, where at most %d are allowed", OpTouchJobs, len(ids), chunk)
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
