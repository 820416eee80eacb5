package supabase

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/supabase-community/postgrest-go"

	"github.com/soundcheck-io/latency-operator/internal/sample"
)

// Row is a sample with the number that it is stored under.
type Row struct {
	sample.Sample
	// Sequence is the row's sequence_number.
	Sequence int64
}

// keyed is the constraint that makes storing a sample twice harmless.
const keyed = "job_id,scheduled_at"

// InsertSamples stores samples, all or none. Where the database has scheduled_at, a sample that is there already is left
// as it is, and known counts these as far as the answer tells; without, storing a sample twice makes two rows.
func (c *Client) InsertSamples(ctx context.Context, samples []Row) (known int, err error) {
	schema, err := c.known(ctx)
	if err != nil {
		return 0, err
	}
	what := call{op: OpInsertSamples, prefer: "return=minimal", body: encode(samples, schema)}
	conflict := ""
	if schema.Keyed() {
		what.prefer = "resolution=ignore-duplicates,return=minimal,count=exact"
		conflict = keyed
	}
	_, inserted, err := c.do(ctx, what, func(rest *postgrest.Client) *postgrest.FilterBuilder {
		return rest.From("samples").Insert(nil, conflict != "", conflict, "minimal", "")
	})
	if answer, ok := errors.AsType[*Error](err); ok && answer.Code == "42P10" {
		answer.Message = "the database has samples.scheduled_at without its unique constraint: apply config/supabase/migrations/20261124090100_operator_columns.sql"
	}
	if err == nil && conflict != "" && inserted >= 0 && inserted < int64(len(samples)) {
		known = len(samples) - int(inserted)
	}
	return known, err
}

// Numbered is the sample of a job with the highest number.
type Numbered struct {
	// Sequence is its sequence_number; 0 where the row has none.
	Sequence int64
	// ScheduledAt is when it was due, UTC, in whole microseconds; zero where the row does not say.
	ScheduledAt time.Time
}

// HighestSequences gives, for each of at most 100 jobs, the sample with the highest sequence_number; a job without
// samples is not in the answer, and none is for a role that may not read samples.
func (c *Client) HighestSequences(ctx context.Context, ids []string) (map[string]Numbered, error) {
	schema, err := c.known(ctx)
	if err != nil {
		return nil, err
	}
	highest := map[string]Numbered{}
	if !schema.samples["sequence_number"] {
		return highest, nil
	}
	if err := checkIDs(ids...); err != nil {
		return nil, fmt.Errorf("%s: %w", OpLastSamples, err)
	}
	// One answer may hold the samples of one job only, so whatever is not in it is asked for again.
	for open := slices.Clone(ids); len(open) > 0; {
		rows, err := c.lastSamples(ctx, schema, open)
		if Classify(err) == TooLarge && len(open) == 1 && schema.Keyed() {
			rows, err = c.newestSample(ctx, open[0])
		}
		if forbidden(err) {
			return highest, nil
		}
		if err != nil {
			return nil, err
		}
		if len(rows) == 0 {
			break
		}
		for _, row := range rows {
			n := Numbered{Sequence: value(row.Sequence)}
			n.ScheduledAt, _ = instant(row.ScheduledAt)
			if known, found := highest[row.JobID]; !found || n.Sequence > known.Sequence {
				highest[row.JobID] = n
			}
		}
		before := len(open)
		open = slices.DeleteFunc(open, func(id string) bool { _, found := highest[id]; return found })
		if len(open) == before {
			return nil, &Error{Op: OpLastSamples, Status: 200, Message: "the answer holds samples of other jobs than asked for"}
		}
	}
	return highest, nil
}

type sequenceRow struct {
	JobID    string `json:"job_id"`
	Sequence *int64 `json:"sequence_number"`
	// ScheduledAt is a text, or missing where the database has no such column.
	ScheduledAt json.RawMessage `json:"scheduled_at"`
}

// sequenceColumns are the columns of it that the database has.
func sequenceColumns(schema *Schema) string {
	if schema.Keyed() {
		return "job_id,sequence_number,scheduled_at"
	}
	return "job_id,sequence_number"
}

// lastSamples gives the samples of the jobs with the highest numbers, as many as one answer holds.
func (c *Client) lastSamples(ctx context.Context, schema *Schema, ids []string) ([]sequenceRow, error) {
	return c.sequences(ctx, func(rest *postgrest.Client) *postgrest.FilterBuilder {
		return rest.From("samples").Select(sequenceColumns(schema), "", false).In("job_id", ids).
			Order("sequence_number", descending).Limit(pageSize, "")
	})
}

// newestSample gives the job's newest sample of the operator's own, which has the highest number unless somebody else
// writes samples of the job too. It reads one row of the key's index, for a job with too many samples to sort.
func (c *Client) newestSample(ctx context.Context, id string) ([]sequenceRow, error) {
	return c.sequences(ctx, func(rest *postgrest.Client) *postgrest.FilterBuilder {
		return rest.From("samples").Select("job_id,sequence_number,scheduled_at", "", false).Eq("job_id", id).
			Gt("scheduled_at", "1970-01-01T00:00:00Z").
			Order("scheduled_at", &postgrest.OrderOpts{NullsFirst: true}).Limit(1, "") // nulls first is the index's own order, read backwards
	})
}

func (c *Client) sequences(ctx context.Context, build func(*postgrest.Client) *postgrest.FilterBuilder) ([]sequenceRow, error) {
	body, _, err := c.do(ctx, call{op: OpLastSamples}, build)
	if err != nil {
		return nil, err
	}
	var rows []sequenceRow
	if err := json.Unmarshal(body, &rows); err != nil {
		return nil, &Error{Op: OpLastSamples, Status: 200, Message: "the answer cannot be read: " + oneLine(err.Error())}
	}
	return rows, nil
}
