package supabase

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"strconv"
	"time"

	"github.com/supabase-community/postgrest-go"
)

// Operations on the columns of jobs that tell of the measuring.
const (
	OpSummarizeJob = "summarize_job"
	OpReportJobs   = "report_jobs"
	OpEndJob       = "end_job"
	OpCloseJob     = "close_job"
)

// Summary is what the app's job list shows of a job's samples.
type Summary struct {
	// Samples is how many samples the job has.
	Samples int64
	// AvgRTT is the mean of the successful ones in milliseconds, stored with at most 6 decimals; nil without one.
	AvgRTT *float64
	// LossPercent is the share of missed ones, 0 to 100, stored with at most 4 decimals; nil without a sample that counts.
	LossPercent *float64
}

// columns are the columns of the summary that the database has.
func (s Summary) columns(schema *Schema) map[string]any {
	out := map[string]any{}
	for column, v := range map[string]any{
		"total_samples": s.Samples, "avg_rtt_ms": rounded(s.AvgRTT, 6), "packet_loss_percent": rounded(s.LossPercent, 4),
	} {
		if schema.jobs[column] {
			out[column] = v
		}
	}
	return out
}

// rounded writes a number for JSON, null where there is none. JSON has neither NaN nor infinity.
func rounded(v *float64, decimals int) any {
	if v == nil || math.IsNaN(*v) || math.IsInf(*v, 0) {
		return nil
	}
	scaled, err := strconv.ParseFloat(strconv.FormatFloat(*v, 'f', decimals, 64), 64)
	if err != nil {
		return nil
	}
	return json.Number(strconv.FormatFloat(scaled, 'f', -1, 64)) // without zeros at the end, which numeric would keep
}

// Report is what the operator tells the technician about a job.
type Report struct {
	// State is waiting, measuring or not_measuring; the row gets null for an empty one.
	State string
	// Message says why in one sentence; the row gets null for an empty one.
	Message string
}

// columns are both columns of the report, or none where the database lacks one.
func (r Report) columns(schema *Schema) map[string]any {
	if !schema.HasMonitor() {
		return nil
	}
	return map[string]any{"monitor_state": orNull(r.State), "monitor_message": orNull(r.Message)}
}

// SummarizeJob writes the summary of a job that still runs into those of its columns that the database has. Without any,
// nothing happens. That there is no such row is no error.
func (c *Client) SummarizeJob(ctx context.Context, id string, s Summary) error {
	schema, err := c.known(ctx)
	if err != nil {
		return err
	}
	body := s.columns(schema)
	if len(body) == 0 {
		return nil
	}
	_, err = c.patchJob(ctx, OpSummarizeJob, id, body, map[string]string{"status": "running"}) // what is written at the end stays
	return err
}

// ReportJobs tells the technicians of at most 100 jobs that still run the same. Without the columns for it, nothing happens.
func (c *Client) ReportJobs(ctx context.Context, ids []string, r Report) error {
	schema, err := c.known(ctx)
	if err != nil || !schema.HasMonitor() || len(ids) == 0 {
		return err
	}
	if len(ids) > chunk {
		return fmt.Errorf("%s: %d ids at once, where at most %d are allowed", OpReportJobs, len(ids), chunk)
	}
	if err := checkIDs(ids...); err != nil {
		return fmt.Errorf("%s: %w", OpReportJobs, err)
	}
	body, err := json.Marshal(r.columns(schema))
	if err != nil {
		return fmt.Errorf("%s: %w", OpReportJobs, err)
	}
	_, _, err = c.do(ctx, call{op: OpReportJobs, prefer: "return=minimal"}, func(rest *postgrest.Client) *postgrest.FilterBuilder {
		return rest.From("jobs").Update(json.RawMessage(body), "minimal", "").In("id", ids).Eq("status", "running")
	})
	return err
}

// EndJob sets the status to completed or failed if the row still says running, with the start, the cadence and the duration that
// it had when it was read, and tells whether it did: false means that the row says something else by now, or was not found. The
// summary and the report are written in the same request, as far as the database has their columns and the role may write them.
func (c *Client) EndJob(ctx context.Context, row Job, status string, at time.Time, s Summary, r Report) (matched bool, err error) {
	schema, err := c.known(ctx)
	if err != nil {
		return false, err
	}
	body := map[string]any{"status": status}
	if schema.jobs["completed_at"] {
		body["completed_at"] = timestamp(at)
	}
	all := s.columns(schema)
	maps.Copy(all, r.columns(schema))
	maps.Copy(all, body)
	matched, err = c.patchJob(ctx, OpEndJob, row.ID, all, stillRunning(row))
	if LacksRight(err) && len(all) > len(body) { // the job has to end all the same
		matched, err = c.patchJob(ctx, OpEndJob, row.ID, body, stillRunning(row))
	}
	return matched, err
}

// CloseJob writes the summary and the report of a job that was ended in the app, as far as the database has their columns, if the
// row still has the status and the start that it had when it was read, and tells whether it did: false means that the row says something
// else by now, or was not found. Without any of the columns, or the right to write them, nothing happens, and the answer is true:
// there is nothing left to do.
func (c *Client) CloseJob(ctx context.Context, row Job, s Summary, r Report) (matched bool, err error) {
	schema, err := c.known(ctx)
	if err != nil {
		return false, err
	}
	body := s.columns(schema)
	maps.Copy(body, r.columns(schema))
	if len(body) == 0 {
		return true, nil
	}
	still := map[string]string{"status": row.Status}
	if row.StartedAt != "" { // a row that has ended need not have one
		still["started_at"] = row.StartedAt
	}
	matched, err = c.patchJob(ctx, OpCloseJob, row.ID, body, still)
	if LacksRight(err) {
		return true, nil
	}
	return matched, err
}
