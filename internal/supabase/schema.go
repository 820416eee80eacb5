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
	jobExtras     = []string{"completed_at", "last_ping_at", "updated_at", "monitor_state", "monitor_message", "avg_rtt_ms", "packet_loss_percent", "total_samples"}
	sampleColumns = []string{"job_id", "status", "rtt_ms"}
	sampleExtras  = []string{"scheduled_at", "sequence_number", "jitter_ms", "recorded_at"}
)

// Schema is what the database has of the columns that the operator can use.
type Schema struct {
	jobs, samples map[string]bool
	pollers, gaps bool
}

// Keyed tells whether samples carry the instant at which they were due, which makes storing one twice harmless.
func (s *Schema) Keyed() bool { return s.samples["scheduled_at"] }

// KeepsGaps tells whether there is a table for the slots without a sample.
func (s *Schema) KeepsGaps() bool { return s.Keyed() && s.gaps }

// HasMonitor tells whether jobs can carry a message for the technician.
func (s *Schema) HasMonitor() bool { return s.jobs["monitor_state"] && s.jobs["monitor_message"] }

// KnowsChanges tells whether jobs say when the app last changed them. A column updated_at alone is no proof of that: the app
// may have one of its own, which nothing keeps. It comes with the columns of the report, in the same migration.
func (s *Schema) KnowsChanges() bool { return s.jobs["updated_at"] && s.HasMonitor() }

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
	if !s.gaps {
		missing = append(missing, "sample_gaps")
	}
	slices.Sort(missing)
	return missing
}

// Lacks says what is missing, and what to do about it, in one sentence; empty when nothing is.
func (s *Schema) Lacks() string {
	missing := s.Missing()
	if len(missing) == 0 {
		return ""
	}
	text := "the database lacks " + strings.Join(missing, ", ")
	if !s.Keyed() {
		text += "; without samples.scheduled_at a sample may be stored twice"
	}
	files := map[string]bool{}
	for _, what := range missing {
		files[migrationOf(what)] = true
	}
	return text + ": apply the migrations in config/supabase/migrations (" + strings.Join(slices.Sorted(maps.Keys(files)), ", ") + ")"
}

// migrationOf names the migration that adds a column, as table.column, or a table.
func migrationOf(what string) string {
	switch what {
	case "pollers", "sample_gaps":
		return "20261124090200_pollers_and_gaps.sql"
	case "jobs.completed_at", "samples.sequence_number":
		return "20261124090000_app_tables.sql"
	default:
		return "20261124090100_operator_columns.sql"
	}
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

// How PostgREST and PostgreSQL name what they do not know.
var (
	unknownColumn = regexp.MustCompile(`^Could not find the '([a-z_]+)' column of '(jobs|samples|pollers|sample_gaps)'`)
	unknownTable  = regexp.MustCompile(`^(?:Could not find the table '|relation ")(?:public\.)?(pollers|sample_gaps)['"]`)
)

// learn takes a column or a table that PostgREST does not know for missing, whatever the database says: its schema cache may be
// older than a migration.
func (c *Client) learn(answer *Error) { c.doWithout(missingIn(answer.Message)) }

// missingIn is the table that the message of an error says is unknown, or the column of it; nothing if it says neither.
func missingIn(message string) (table, column string) {
	if m := unknownColumn.FindStringSubmatch(message); m != nil {
		return m[2], m[1]
	}
	if m := unknownTable.FindStringSubmatch(message); m != nil {
		return m[1], ""
	}
	return "", ""
}

// doWithout takes a column, or a whole table, for missing. It is asked again like any other that is missing.
func (c *Client) doWithout(table, column string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.schema == nil {
		return
	}
	if s := c.schema.without(table, column); s != nil {
		c.schema, c.probed = s, c.clock.Now()
	}
}

// without is the schema without a column or a table; nil if that is nothing that the operator can do without. Of pollers and
// sample_gaps all columns are needed.
func (s *Schema) without(table, column string) *Schema {
	out := &Schema{jobs: maps.Clone(s.jobs), samples: maps.Clone(s.samples), pollers: s.pollers, gaps: s.gaps}
	switch {
	case table == "jobs" && slices.Contains(jobExtras, column):
		out.jobs[column] = false
	case table == "samples" && slices.Contains(sampleExtras, column):
		out.samples[column] = false
	case table == "pollers":
		out.pollers = false
	case table == "sample_gaps":
		out.gaps = false
	default:
		return nil
	}
	return out
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
	pollers, err := c.offers(ctx, "pollers", pollerColumns)
	if err != nil {
		return nil, err
	}
	gaps, err := c.offers(ctx, "sample_gaps", gapColumns)
	if err != nil {
		return nil, err
	}
	return &Schema{jobs: jobs, samples: samples, pollers: pollers, gaps: gaps}, nil
}

// offers tells whether a table is there that a role need not have the right to read, and whether this one has it.
func (c *Client) offers(ctx context.Context, table string, columns []string) (bool, error) {
	there, err := c.has(ctx, table, columns...)
	if forbidden(err) {
		return false, nil
	}
	return there, err
}

// probeTable tells which of the columns a table has: with one request where it has all, else with one a column.
func (c *Client) probeTable(ctx context.Context, table string, needed, extras []string) (map[string]bool, error) {
	all := append(slices.Clone(needed), extras...)
	complete, err := c.has(ctx, table, all...)
	if forbidden(err) {
		// A role may write samples and not read them: what is missing shows when one is stored. Of jobs it may be one
		// column that it may not read.
		complete, err = table == "samples", nil
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
		has[column], err = c.has(ctx, table, column)
		if forbidden(err) && (table == "samples" || slices.Contains(extras, column)) {
			has[column], err = table == "samples", nil // a column that is missing would have been the error
		}
		if err != nil {
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
