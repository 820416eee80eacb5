package supabase

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/supabase-community/postgrest-go"
)

// probeEvery is how often the database is asked again what it has, while something is missing.
const probeEvery = 30 * time.Second

// The columns that the operator reads and writes.
var (
	jobColumns    = []string{"id", "target_ip", "cadence_seconds", "duration_minutes", "status", "monitoring_mode", "started_at"}
	jobExtras     = []string{"completed_at", "last_ping_at", "monitor_state", "monitor_message"}
	sampleColumns = []string{"job_id", "status", "rtt_ms"}
	sampleExtras  = []string{"scheduled_at", "sequence_number", "jitter_ms", "recorded_at"}
)

// Schema is what the database has of the columns that the operator can use.
type Schema struct {
	jobs, samples map[string]bool
	pollers       bool
}

// Keyed tells whether samples carry the instant at which they were due, which makes storing one twice harmless.
func (s *Schema) Keyed() bool { return s.samples["scheduled_at"] }

// Missing lists the columns that the database lacks, as table.column, and tables, sorted. Nothing is missing that nobody has looked for.
func (s *Schema) Missing() []string {
	if s == nil {
		return nil
	}
	var missing []string
	for _, table := range []struct {
		name string
		has  map[string]bool
		want []string
	}{{"jobs", s.jobs, jobExtras}, {"samples", s.samples, sampleExtras}} {
		for _, column := range table.want {
			if !table.has[column] {
				missing = append(missing, table.name+"."+column)
			}
		}
	}
	if !s.pollers {
		missing = append(missing, "pollers")
	}
	slices.Sort(missing)
	return missing
}

// Schema is what the database has, as far as is known; nil before it has answered.
func (c *Client) Schema() *Schema {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.schema
}

// RecheckSchema has the next request ask again what the database has.
func (c *Client) RecheckSchema() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.probed = time.Time{}
}

var unknownColumn = regexp.MustCompile(`^Could not find the '([a-z_]+)' column of '(jobs|samples)'`)

// learn takes a column that PostgREST does not know for missing, whatever the database says: its schema cache may be older
// than a migration. It is asked again like any other that is missing.
func (c *Client) learn(answer *Error) {
	m := unknownColumn.FindStringSubmatch(answer.Message)
	c.mu.Lock()
	defer c.mu.Unlock()
	if m == nil || c.schema == nil {
		return
	}
	column, table := m[1], m[2]
	s := &Schema{jobs: maps.Clone(c.schema.jobs), samples: maps.Clone(c.schema.samples), pollers: c.schema.pollers}
	switch {
	case table == "jobs" && slices.Contains(jobExtras, column):
		s.jobs[column] = false
	case table == "samples" && slices.Contains(sampleExtras, column):
		s.samples[column] = false
	default:
		return
	}
	c.schema, c.probed = s, c.clock.Now()
}

// known gives what the database has. It asks the first time, again after a request that missed something, and now and then
// while something is missing.
func (c *Client) known(ctx context.Context) (*Schema, error) {
	c.mu.Lock()
	schema, probed := c.schema, c.probed
	c.mu.Unlock()
	if schema != nil && !probed.IsZero() && (len(schema.Missing()) == 0 || c.clock.Since(probed) < probeEvery) {
		return schema, nil
	}
	schema, err := c.probe(ctx)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.schema, c.probed = schema, c.clock.Now()
	return schema, nil
}

func (c *Client) probe(ctx context.Context) (*Schema, error) {
	jobs, err := c.probeTable(ctx, "jobs", jobColumns, jobExtras)
	if err != nil {
		return nil, err
	}
	samples, err := c.probeTable(ctx, "samples", sampleColumns, sampleExtras)
	if err != nil {
		return nil, err
	}
	pollers, err := c.has(ctx, "pollers", pollerColumns...)
	if forbidden(err) {
		pollers, err = false, nil // a courtesy, for which no role needs the right
	}
	if err != nil {
		return nil, err
	}
	return &Schema{jobs: jobs, samples: samples, pollers: pollers}, nil
}

// probeTable tells which of the columns a table has: with one request where it has all, else with one a column.
func (c *Client) probeTable(ctx context.Context, table string, needed, extras []string) (map[string]bool, error) {
	all := append(slices.Clone(needed), extras...)
	complete, err := c.has(ctx, table, all...)
	if table == "samples" && forbidden(err) {
		complete, err = true, nil // a role may write samples and not read them: what is missing shows when one is stored
	}
	if err != nil {
		return nil, err
	}
	has := map[string]bool{}
	for _, column := range all {
		has[column] = complete
		if complete {
			continue
		}
		if has[column], err = c.has(ctx, table, column); err != nil {
			return nil, err
		}
		if !has[column] && slices.Contains(needed, column) {
			return nil, &Error{
				Op: OpProbeSchema, Status: 400, Code: "PGRST204",
				Message: fmt.Sprintf("the database has no %s.%s: apply config/supabase/migrations/20261124090000_app_tables.sql and 20261124090100_operator_columns.sql", table, column),
			}
		}
	}
	return has, nil
}

// forbidden tells whether the role lacks a right, and not whether the key is refused as such.
func forbidden(err error) bool {
	answer, ok := errors.AsType[*Error](err)
	return ok && answer.Code == "42501"
}

// has tells whether a table has all the columns. It reads a row at most.
func (c *Client) has(ctx context.Context, table string, columns ...string) (bool, error) {
	_, err := c.rows(ctx, call{op: OpProbeSchema}, func(rest *postgrest.Client) *postgrest.FilterBuilder {
		return rest.From(table).Select(strings.Join(columns, ","), "", false).Limit(1, "")
	})
	var answer *Error
	if errors.As(err, &answer) && (answer.Code == "42703" || answer.Code == "PGRST204" || answer.Code == "42P01" || answer.Code == "PGRST205") {
		return false, nil
	}
	return err == nil, err
}
