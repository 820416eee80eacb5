package supabase

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/supabase-community/postgrest-go"

	"github.com/soundcheck-io/latency-operator/internal/sample"
)

// Operations that read samples.
const (
	OpSamplesSince = "samples_since"
	OpEachSample   = "each_sample"
)

// Stored is a sample as the database has it. Its writer need not be the operator.
type Stored struct {
	// JobID is the id of the row in jobs, a UUID in lower case.
	JobID string
	// ScheduledAt is when the sample was due, UTC, in whole microseconds; zero where the row does not say.
	ScheduledAt time.Time
	// RecordedAt is when it was measured, UTC, in whole microseconds; zero where the row does not say.
	RecordedAt time.Time
	// Status is what the row says, which may be none of the constants.
	Status sample.Status
	// RTT and Jitter are in milliseconds, finite; nil where the row has none that can be read.
	RTT, Jitter *float64
}

// SamplesSince gives the samples of at most 50 jobs that were due after the instant given for each, ordered by job and due time;
// a zero instant asks for all. Samples without a due time are not among them. Ids are UUIDs in lower case. ErrNoHistory means
// that nothing can be concluded from what is missing.
func (c *Client) SamplesSince(ctx context.Context, since map[string]time.Time) ([]Stored, error) {
	var out []Stored
	h, err := c.samples(ctx, OpSamplesSince, func(s Stored) { out = append(out, s) })
	if err != nil || len(since) == 0 {
		return nil, err
	}
	if err := c.believe(ctx, h.since(ctx, since), h.seen); err != nil {
		return nil, err
	}
	return out, nil
}

// EachSample calls do for each sample of a job: first those with a due time, in its order, then those without. It holds at most
// a page of them. An error comes after do has had what was read before. ErrNoHistory means that nothing can be concluded from what
// is missing.
func (c *Client) EachSample(ctx context.Context, jobID string, do func(Stored)) error {
	return c.EachSampleSince(ctx, jobID, time.Time{}, do)
}

// EachSampleSince is EachSample for the samples that were due after an instant, to the microsecond; a zero instant stands for all,
// and only then those without a due time are among them.
func (c *Client) EachSampleSince(ctx context.Context, jobID string, since time.Time, do func(Stored)) error {
	h, err := c.samples(ctx, OpEachSample, do)
	if err != nil {
		return err
	}
	if err := checkSince(map[string]time.Time{jobID: {}}); err != nil {
		return fmt.Errorf("%s: %w", OpEachSample, err)
	}
	err = h.follow(ctx, line[Stored]{job: jobID}, since)
	if err == nil && since.IsZero() {
		err = unscheduled(ctx, h, jobID)
	}
	return c.believe(ctx, err, h.seen)
}

// samples prepares reading samples. That they carry no due time is ErrNoHistory.
func (c *Client) samples(ctx context.Context, op string, take func(Stored)) (*history[Stored], error) {
	schema, err := c.known(ctx)
	if err != nil {
		return nil, err
	}
	if !schema.Keyed() {
		return nil, errNotKeyed
	}
	columns := []string{"job_id", "scheduled_at", "status", "rtt_ms"}
	for _, column := range []string{"jitter_ms", "recorded_at"} {
		if schema.samples[column] {
			columns = append(columns, column)
		}
	}
	return &history[Stored]{
		client: c, op: op, table: "samples", columns: strings.Join(columns, ","), key: "scheduled_at", bound: "scheduled_at",
		parse: parseStored, take: take,
	}, nil
}

var errNotKeyed = fmt.Errorf("%w: it has no samples.scheduled_at: apply config/supabase/migrations/20261124090100_operator_columns.sql", ErrNoHistory)

// unscheduled reads the samples of a job that do not say when they were due, by id.
func unscheduled(ctx context.Context, h *history[Stored], jobID string) error {
	h.columns = "id," + h.columns
	for last := ""; ; {
		rows, err := h.page(ctx, func(q *postgrest.FilterBuilder) *postgrest.FilterBuilder {
			q = q.Eq("job_id", jobID).Is("scheduled_at", "null").Order("id", ascending)
			if last != "" {
				q = q.Gt("id", last)
			}
			return q
		})
		if err != nil || len(rows) == 0 {
			return err
		}
		next := last
		for _, raw := range rows {
			row := readStored(raw)
			next = max(next, row.ID)
			if row.JobID == jobID {
				h.take(row.stored())
			}
		}
		if next == last || checkIDs(next) != nil {
			return h.disorder(fmt.Sprintf("the page after id %q ends with id %q", last, oneLine(next)))
		}
		last = next
	}
}

// storedRow is what a row looks like in JSON. What cannot be read of it is missing, and the rest is there.
type storedRow struct {
	ID          string          `json:"id"`
	JobID       string          `json:"job_id"`
	ScheduledAt json.RawMessage `json:"scheduled_at"`
	RecordedAt  json.RawMessage `json:"recorded_at"`
	Status      string          `json:"status"`
	RTT         json.RawMessage `json:"rtt_ms"`
	Jitter      json.RawMessage `json:"jitter_ms"`
}

func readStored(raw json.RawMessage) storedRow {
	var row storedRow
	_ = json.Unmarshal(raw, &row) // a value of another type than expected leaves the others readable
	return row
}

func (r storedRow) stored() Stored {
	due, _ := instant(r.ScheduledAt)
	recorded, _ := instant(r.RecordedAt)
	return Stored{
		JobID: r.JobID, ScheduledAt: due, RecordedAt: recorded, Status: sample.Status(r.Status), RTT: number(r.RTT), Jitter: number(r.Jitter),
	}
}

func parseStored(raw json.RawMessage) line[Stored] {
	row := readStored(raw)
	due, beyond := instant(row.ScheduledAt)
	return line[Stored]{job: row.JobID, key: due, bound: due, beyond: beyond, row: row.stored(), whole: !due.IsZero()}
}
