package supabase

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/supabase-community/postgrest-go"
)

// jobRow is what a row of jobs looks like in JSON. A null leaves its field as it is, so empty.
type jobRow struct {
	ID              string `json:"id"`
	TargetIP        string `json:"target_ip"`
	CadenceSeconds  int64  `json:"cadence_seconds"`
	DurationMinutes int64  `json:"duration_minutes"`
	StartedAt       string `json:"started_at"`
	CompletedAt     string `json:"completed_at"`
	Status          string `json:"status"`
	Mode            string `json:"monitoring_mode"`
	MonitorState    string `json:"monitor_state"`
	MonitorMessage  string `json:"monitor_message"`
	UpdatedAt       string `json:"updated_at"`
}

func (r *jobRow) job() Job {
	updated, _ := parseInstant(r.UpdatedAt)
	return Job{
		ID: r.ID, TargetIP: r.TargetIP, CadenceSeconds: r.CadenceSeconds, DurationMinutes: r.DurationMinutes, StartedAt: r.StartedAt,
		CompletedAt: r.CompletedAt, Status: r.Status, Mode: r.Mode, MonitorState: r.MonitorState, MonitorMessage: r.MonitorMessage,
		UpdatedAt: updated,
	}
}

// parseJob reads one row. A value of another type leaves the others readable.
func parseJob(raw json.RawMessage) Job {
	var row jobRow
	err := json.Unmarshal(raw, &row)
	job := row.job()
	if err != nil {
		job.Problem = "the row cannot be read: " + oneLine(err.Error())
	}
	return job
}

// parseJobs adds the rows of an answer to jobs. All are read at once, which takes half the time; only where that fails, one by
// one, so that a value of another type makes only its own row unreadable.
func parseJobs(jobs []Job, body []byte) ([]Job, error) {
	rows := make([]jobRow, 0, bytes.Count(body, []byte("},"))+1)
	if json.Unmarshal(body, &rows) == nil {
		jobs = slices.Grow(jobs, len(rows))
		for i := range rows {
			jobs = append(jobs, rows[i].job())
		}
		return jobs, nil
	}
	var raws []json.RawMessage
	if err := json.Unmarshal(body, &raws); err != nil {
		return jobs, err
	}
	for _, raw := range raws {
		jobs = append(jobs, parseJob(raw))
	}
	return jobs, nil
}

func (s *Schema) jobSelect() string {
	columns := strings.Join(jobColumns, ",")
	if s.jobs["completed_at"] {
		columns += ",completed_at"
	}
	if s.HasMonitor() {
		columns += ",monitor_state,monitor_message"
	}
	if s.jobs["updated_at"] {
		columns += ",updated_at"
	}
	return columns
}

// jobPage runs a request that reads jobs, and adds its rows to jobs.
func (c *Client) jobPage(ctx context.Context, op string, jobs []Job, build func(*postgrest.Client) *postgrest.FilterBuilder) ([]Job, error) {
	body, _, err := c.do(ctx, call{op: op}, build)
	if err != nil {
		return nil, err
	}
	jobs, err = parseJobs(jobs, body)
	if err != nil {
		return nil, notRows(op, err)
	}
	return jobs, nil
}

// notRows is the error of an answer that is not a list.
func notRows(op string, err error) error {
	return &Error{Op: op, Status: 200, Message: fmt.Sprintf("the answer is not a list of rows: %s", oneLine(err.Error()))}
}
