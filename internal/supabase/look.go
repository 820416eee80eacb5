package supabase

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/supabase-community/postgrest-go"
)

// OpLook is the operation of requests that change nothing and only show what works.
const OpLook = "look"

// Reach asks for the id of one job, which is the least that shows whether the project answers and takes the key. It tells whether
// there was one to see.
func (c *Client) Reach(ctx context.Context) (seen bool, err error) {
	rows, err := c.rows(ctx, call{op: OpLook}, func(rest *postgrest.Client) *postgrest.FilterBuilder {
		return rest.From("jobs").Select("id", "", false).Limit(1, "")
	})
	return len(rows) > 0, err
}

// Known finds out what the database has, like any other request that needs to know. Its error says what is missing that the
// operator cannot do without.
func (c *Client) Known(ctx context.Context) (*Schema, error) {
	c.RecheckSchema()
	return c.known(ctx)
}

// Right is something that the operator does with a table.
type Right struct {
	// Table is its name, and Actions what is done, as in GRANT: select, insert, update, delete.
	Table   string
	Actions []string
	// Columns are those that it is done to; none for all.
	Columns []string
	// Without says what the operator cannot do without the right, as the end of a sentence.
	Without string
	// Essential tells whether measuring makes no sense without it.
	Essential bool
}

// Rights are those that the operator uses in a database with this schema.
func (s *Schema) Rights() []Right {
	have := func(has map[string]bool, columns ...string) []string {
		var out []string
		for _, column := range columns {
			if has[column] {
				out = append(out, column)
			}
		}
		return out
	}
	rights := []Right{
		{"jobs", []string{"select"}, have(s.jobs, slices.Concat(jobColumns, jobExtras)...), "no job is seen", true},
		{"jobs", []string{"update"}, have(s.jobs, "status", "completed_at", "last_ping_at", "monitor_state", "monitor_message",
			"avg_rtt_ms", "packet_loss_percent", "total_samples"), "no job is ever completed, and the app does not see that it is measured", true},
		{"samples", []string{"insert"}, have(s.samples, slices.Concat(sampleColumns, sampleExtras)...), "no sample is stored", true},
		{"samples", []string{"select"}, have(s.samples, slices.Concat(sampleColumns, sampleExtras)...),
			"what became of slots while no operator ran is never found out, and nobody can be given samples", false},
	}
	if s.pollers {
		rights = append(rights, Right{"pollers", []string{"insert", "update", "delete"}, nil, "the app cannot show that the operator is alive", false})
	}
	if s.gaps {
		rights = append(rights, Right{"sample_gaps", []string{"insert", "update", "delete"}, nil, "slots without a sample have no reason", false})
	}
	return rights
}

// Try finds out whether the role has a right, and changes nothing: it reads one row at most, inserts none, and changes or deletes those
// whose primary key is null, which none is. PostgreSQL looks at the rights before it looks for rows. Row-level security is not seen by
// it. LacksRight tells the error of a right that is lacking.
func (c *Client) Try(ctx context.Context, r Right) error {
	for _, action := range r.Actions {
		if err := c.try(ctx, r, action); err != nil {
			return err
		}
	}
	return nil
}

// keys are primary keys, or parts of them, which cannot be null.
var keys = map[string]string{"jobs": "id", "samples": "id", "pollers": "id", "sample_gaps": "job_id"}

// conflicts are the columns that the operator names in on_conflict.
var conflicts = map[string]string{"pollers": "id", "sample_gaps": "job_id,from_at"}

func (c *Client) try(ctx context.Context, r Right, action string) error {
	columns := r.Columns
	switch {
	case len(columns) > 0:
	case r.Table == "pollers":
		columns = pollerColumns
	case r.Table == "sample_gaps":
		columns = gapColumns
	}
	what := call{op: OpLook, prefer: "return=minimal"}
	var build func(*postgrest.Client) *postgrest.FilterBuilder
	switch action {
	case "select":
		what.prefer = ""
		build = func(rest *postgrest.Client) *postgrest.FilterBuilder {
			return rest.From(r.Table).Select(strings.Join(columns, ","), "", false).Limit(1, "")
		}
	case "insert":
		// With the columns named, an empty list is an INSERT of no rows. With them unnamed it would be none at all.
		what.body, what.columns = []byte("[]"), strings.Join(columns, ",")
		build = func(rest *postgrest.Client) *postgrest.FilterBuilder {
			return rest.From(r.Table).Insert(nil, false, "", "minimal", "")
		}
		if conflict := conflicts[r.Table]; conflict != "" {
			what.prefer = "resolution=merge-duplicates,return=minimal"
			build = func(rest *postgrest.Client) *postgrest.FilterBuilder {
				return rest.From(r.Table).Upsert(nil, conflict, "minimal", "")
			}
		}
	case "update":
		body := map[string]any{}
		for _, column := range columns {
			body[column] = nil
		}
		raw, err := json.Marshal(body)
		if err != nil {
			return err
		}
		build = func(rest *postgrest.Client) *postgrest.FilterBuilder {
			return rest.From(r.Table).Update(json.RawMessage(raw), "minimal", "").Is(keys[r.Table], "null")
		}
	case "delete":
		build = func(rest *postgrest.Client) *postgrest.FilterBuilder {
			return rest.From(r.Table).Delete("minimal", "").Is(keys[r.Table], "null")
		}
	default:
		return fmt.Errorf("%s is nothing that can be tried", action)
	}
	_, _, err := c.do(ctx, what, build)
	return err
}

// HidesSamples looks for a job that has samples by its own figures and shows none, as under row-level security; empty if there is none
// to be found.
func (c *Client) HidesSamples(ctx context.Context) (job string, err error) {
	schema, err := c.known(ctx)
	if err != nil || !schema.jobs["total_samples"] {
		return "", err
	}
	rows, err := c.rows(ctx, call{op: OpLook}, func(rest *postgrest.Client) *postgrest.FilterBuilder {
		return rest.From("jobs").Select("id", "", false).Eq("monitoring_mode", "real_polling").Gt("total_samples", "0").
			Order("started_at", descending).Limit(1, "")
	})
	if err != nil || len(rows) == 0 {
		return "", err
	}
	id := parseJob(rows[0]).ID
	if err := checkIDs(id); err != nil {
		return "", err
	}
	rows, err = c.rows(ctx, call{op: OpLook}, func(rest *postgrest.Client) *postgrest.FilterBuilder {
		return rest.From("samples").Select("job_id", "", false).Eq("job_id", id).Limit(1, "")
	})
	if err != nil || len(rows) > 0 {
		return "", err
	}
	return id, nil
}

// Pollers gives what the operators say about themselves, those that were seen last first, at most 20. Without the table there are none.
func (c *Client) Pollers(ctx context.Context) ([]Poller, error) {
	schema, err := c.known(ctx)
	if err != nil || !schema.pollers {
		return nil, err
	}
	rows, err := c.rows(ctx, call{op: OpLook}, func(rest *postgrest.Client) *postgrest.FilterBuilder {
		return rest.From("pollers").Select(strings.Join(pollerColumns, ","), "", false).Order("last_seen_at", descending).Limit(20, "")
	})
	if err != nil {
		return nil, err
	}
	pollers := make([]Poller, 0, len(rows))
	for _, raw := range rows {
		var row struct {
			ID      string          `json:"id"`
			SeenAt  json.RawMessage `json:"last_seen_at"`
			Version string          `json:"version"`
			Jobs    int             `json:"jobs"`
			Message string          `json:"message"`
		}
		_ = json.Unmarshal(raw, &row) // a value of another type than expected leaves the others readable
		seen, _ := instant(row.SeenAt)
		pollers = append(pollers, Poller{ID: oneLine(row.ID), SeenAt: seen, Version: oneLine(row.Version), Jobs: row.Jobs, Message: oneLine(row.Message)})
	}
	return pollers, nil
}
