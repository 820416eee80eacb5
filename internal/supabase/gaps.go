package supabase

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/supabase-community/postgrest-go"

	"github.com/soundcheck-io/latency-operator/internal/sample"
)

// Operations on sample_gaps.
const (
	OpPutGaps   = "put_gaps"
	OpDeleteGap = "delete_gap"
	OpGapsSince = "gaps_since"
	OpEachGap   = "each_gap"
)

var gapColumns = []string{"job_id", "from_at", "to_at", "slots", "reason"}

// PutGaps stores gaps, all or none. One that begins where a stored gap of the job begins takes its place, whether it is longer
// or shorter. Of several that begin there in one call the one with the latest To is stored, and of those the last. Without the
// table, or the right to write it, nothing happens: gaps must not hold up samples.
func (c *Client) PutGaps(ctx context.Context, gaps []sample.Gap) error {
	schema, err := c.known(ctx)
	if err != nil || !schema.gaps || len(gaps) == 0 {
		return err
	}
	body, err := json.Marshal(encodeGaps(gaps))
	if err != nil {
		return fmt.Errorf("%s: %w", OpPutGaps, err)
	}
	what := call{op: OpPutGaps, prefer: "resolution=merge-duplicates,return=minimal"}
	_, _, err = c.do(ctx, what, func(rest *postgrest.Client) *postgrest.FilterBuilder {
		return rest.From("sample_gaps").Upsert(json.RawMessage(body), "job_id,from_at", "minimal", "")
	})
	if LacksRight(err) {
		c.doWithout("sample_gaps", "")
		return nil
	}
	if answer, ok := errors.AsType[*Error](err); ok && answer.Code == "42P10" {
		answer.Message = "the database has sample_gaps without its primary key (job_id, from_at): apply config/supabase/migrations/20261124090200_pollers_and_gaps.sql"
	}
	return err
}

// gapRow is what PutGaps sends.
type gapRow struct {
	JobID  string `json:"job_id"`
	FromAt string `json:"from_at"`
	ToAt   string `json:"to_at"`
	Slots  int64  `json:"slots"`
	Reason string `json:"reason"`
}

// encodeGaps leaves one row for each beginning: PostgreSQL refuses to write a row twice in one statement (21000).
func encodeGaps(gaps []sample.Gap) []gapRow {
	type key struct{ job, from string }
	at := map[key]int{}
	rows := make([]gapRow, 0, len(gaps))
	for _, g := range gaps {
		row := gapRow{JobID: g.JobID, FromAt: timestamp(g.From), ToAt: timestamp(g.To), Slots: g.Slots, Reason: g.Reason}
		k := key{row.JobID, row.FromAt}
		i, known := at[k]
		switch {
		case !known:
			at[k] = len(rows)
			rows = append(rows, row)
		case row.ToAt >= rows[i].ToAt: // the texts are in the order of the instants
			rows[i] = row
		}
	}
	return rows
}

// DeleteGap removes the gap of that job that begins at g.From, if it still ends at g.To. That there is none is no error.
// Without the table, or the right to delete from it, nothing happens.
func (c *Client) DeleteGap(ctx context.Context, g sample.Gap) error {
	schema, err := c.known(ctx)
	if err != nil || !schema.gaps {
		return err
	}
	if err := checkIDs(g.JobID); err != nil {
		return fmt.Errorf("%s: %w", OpDeleteGap, err)
	}
	_, _, err = c.do(ctx, call{op: OpDeleteGap, prefer: "return=minimal"}, func(rest *postgrest.Client) *postgrest.FilterBuilder {
		return rest.From("sample_gaps").Delete("minimal", "").
			Eq("job_id", g.JobID).Eq("from_at", timestamp(g.From)).Eq("to_at", timestamp(g.To))
	})
	if LacksRight(err) {
		return nil
	}
	return err
}

// GapsSince gives the gaps of at most 50 jobs that end after the instant given for each, ordered by job and beginning; a zero
// instant asks for all. Ids are UUIDs in lower case. Without the table there are none. ErrNoHistory is as for SamplesSince: a
// database that cannot tell which samples it has cannot tell what its lack of gaps means either.
func (c *Client) GapsSince(ctx context.Context, since map[string]time.Time) ([]sample.Gap, error) {
	var out []sample.Gap
	h, err := c.gaps(ctx, OpGapsSince, func(g sample.Gap) { out = append(out, g) })
	if h == nil || len(since) == 0 {
		return nil, err
	}
	err = h.since(ctx, since)
	if err == nil && h.seen {
		return out, nil
	}
	return nil, c.believe(ctx, err, false)
}

// EachGap calls do for each gap of a job that ends after an instant, in the order in which they begin; a zero instant asks for all.
// It holds at most a page of them. An error comes after do has had what was read before. Without the table there are none. Whether
// gaps that are not there mean anything is for EachSample to say.
func (c *Client) EachGap(ctx context.Context, jobID string, since time.Time, do func(sample.Gap)) error {
	h, err := c.gaps(ctx, OpEachGap, do)
	if h == nil {
		return err
	}
	if err := checkSince(map[string]time.Time{jobID: {}}); err != nil {
		return fmt.Errorf("%s: %w", OpEachGap, err)
	}
	return h.follow(ctx, line[sample.Gap]{job: jobID}, since)
}

// gaps prepares reading gaps; nil where there is no table for them.
func (c *Client) gaps(ctx context.Context, op string, take func(sample.Gap)) (*history[sample.Gap], error) {
	schema, err := c.known(ctx)
	switch {
	case err != nil:
		return nil, err
	case !schema.gaps:
		return nil, nil
	case !schema.Keyed():
		return nil, errNotKeyed
	}
	return &history[sample.Gap]{
		client: c, op: op, table: "sample_gaps", columns: strings.Join(gapColumns, ","), key: "from_at", bound: "to_at",
		parse: parseGap, take: take,
	}, nil
}

// parseGap reads a row. One with an end or a number that cannot be read is not worth taking.
func parseGap(raw json.RawMessage) line[sample.Gap] {
	var row struct {
		JobID  string          `json:"job_id"`
		FromAt json.RawMessage `json:"from_at"`
		ToAt   json.RawMessage `json:"to_at"`
		Slots  int64           `json:"slots"`
		Reason string          `json:"reason"`
	}
	_ = json.Unmarshal(raw, &row) // a value of another type than expected leaves the others readable
	from, beyond := instant(row.FromAt)
	to, _ := instant(row.ToAt)
	return line[sample.Gap]{
		job: row.JobID, key: from, bound: to, beyond: beyond,
		row:   sample.Gap{JobID: row.JobID, From: from, To: to, Slots: row.Slots, Reason: row.Reason},
		whole: !from.IsZero() && !to.IsZero() && row.Slots > 0,
	}
}
