package postgrest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// statement collects SQL and its parameters. Values go into parameters only, without a type, so that PostgreSQL finds it
// out by itself and complains about a bad value in its own words.
type statement struct {
	strings.Builder
	args [][]byte
}

func (s *statement) add(parts ...string) {
	for _, part := range parts {
		s.WriteString(part)
	}
}

func (s *statement) parameter(value string) string {
	s.args = append(s.args, []byte(value))
	return fmt.Sprintf("$%d", len(s.args))
}

func quote(names ...string) string { return pgx.Identifier(names).Sanitize() }

func quoteAll(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = quote(name)
	}
	return strings.Join(quoted, ", ")
}

func (t *table) sql() string { return quote(schemaName, t.name) }

// field is a column in a place where only the table can be meant.
func (t *table) field(name string) string {
	if name == "*" {
		return t.sql() + ".*"
	}
	return quote(schemaName, t.name, name)
}

func (s *statement) where(t *table, filters []condition) {
	for i, c := range filters {
		s.either(i == 0, " where ", " and ")
		s.condition(t, c)
	}
}

// either adds what begins a list, or what separates its members.
func (s *statement) either(first bool, begin, separator string) {
	if first {
		s.add(begin)
	} else {
		s.add(separator)
	}
}

func (s *statement) condition(t *table, c condition) {
	if c.negate {
		s.add("not ")
	}
	if c.op == "and" || c.op == "or" {
		s.add("(")
		for i, member := range c.members {
			s.either(i == 0, "", " "+c.op+" ")
			s.condition(t, member)
		}
		s.add(")")
		return
	}
	s.add("(", t.field(c.column), " ", operators[c.op], " ")
	switch c.op {
	case "is":
		s.add(strings.ReplaceAll(c.value, "_", " "))
	case "in":
		s.add("(", s.parameter(arrayLiteral(c.values)), ")")
	default:
		s.add(s.parameter(c.value))
	}
	s.add(")")
}

func arrayLiteral(values []string) string {
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = `"` + escape.Replace(v) + `"`
	}
	return "{" + strings.Join(quoted, ",") + "}"
}

func (s *statement) order(terms []term, field func(string) string) {
	for i, t := range terms {
		s.either(i == 0, " order by ", ", ")
		s.add(field(t.column), t.direction, t.nulls)
	}
}

func outputList(outputs []output, field func(string) string) string {
	list := make([]string, len(outputs))
	for i, o := range outputs {
		list[i] = field(o.column)
		if o.alias != "" {
			list[i] += " as " + quote(o.alias)
		}
	}
	return strings.Join(list, ", ")
}

// rows finishes a statement whose common table expressions hold the rows in "answer" and the total in "total".
func (s *statement) rows(m media) {
	body := "coalesce(json_agg(r), '[]')"
	if m.single {
		body = "coalesce(json_agg(r) -> 0, 'null')"
	}
	s.add(" select (select n from total), count(r), ", body, "::text from answer r")
}

// readSQL selects rows. The number of all rows that match is counted only if the client wants it.
func (r *request) readSQL() *statement {
	s := &statement{}
	s.add("with answer as (select ", outputList(r.outputs, r.table.field), " from ", r.table.sql())
	s.where(r.table, r.filters)
	s.order(r.order, r.table.field)
	if r.window.limit >= 0 {
		s.add(fmt.Sprintf(" limit %d", r.window.limit))
	}
	if r.window.lower > 0 {
		s.add(fmt.Sprintf(" offset %d", r.window.lower))
	}
	s.add("), total as (select ")
	if r.prefer.count == "exact" {
		s.add("count(*) as n from ", r.table.sql())
		s.where(r.table, r.filters)
	} else {
		s.add("null::bigint as n")
	}
	s.add(")")
	s.rows(r.media)
	return s
}

// returning names the columns that the answer needs, and no others: returning a column takes the right to read it.
func (r *request) returning() string {
	var columns []string
	switch {
	case r.representation():
		for _, o := range r.outputs {
			columns = append(columns, o.column)
		}
		for _, t := range r.order {
			columns = append(columns, t.column)
		}
		if slices.Contains(columns, "*") {
			columns = []string{"*"}
		}
	case r.locates():
		columns = slices.Clone(r.table.key)
	}
	if len(columns) == 0 {
		return "1"
	}
	slices.Sort(columns)
	columns = slices.Compact(columns)
	for i, name := range columns {
		columns[i] = r.table.field(name)
	}
	return strings.Join(columns, ", ")
}
