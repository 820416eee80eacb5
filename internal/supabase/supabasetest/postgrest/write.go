package postgrest

import (
	"net/http"
	"slices"
	"strings"
)

// writeSQL inserts, updates or deletes rows.
func (r *request) writeSQL() *statement {
	s := &statement{}
	s.add("with written as (")
	switch r.method {
	case http.MethodPost:
		r.insert(s)
	case http.MethodPatch:
		r.update(s)
	default:
		s.add("delete from ", r.table.sql())
		s.where(r.table, r.filters)
		s.add(" returning ", r.returning())
	}
	s.add("), answer as (select ")
	source := func(name string) string {
		if name == "*" {
			return "written.*"
		}
		return quote("written", name)
	}
	if r.representation() {
		s.add(outputList(r.outputs, source), " from written")
		s.order(r.order, source)
	} else {
		s.add("* from written")
	}
	s.add("), total as (select count(*) as n from written)")
	s.rows(r.media)
	return s
}

// nothing selects no row, in the shape of a write.
func (r *request) nothing(s *statement) {
	s.add("select ", r.returning(), " from ", r.table.sql(), " where false")
}

func (r *request) insert(s *statement) {
	columns := r.payload.columns
	if r.payload.empty {
		r.nothing(s)
		return
	}
	s.add("insert into ", r.table.sql())
	if len(columns) > 0 {
		s.add(" (", quoteAll(columns), ")")
	}
	from := make([]string, len(columns))
	for i, name := range columns {
		from[i] = quote("body", name)
	}
	s.add(" select ", strings.Join(from, ", "), " from ")
	r.body(s)
	conflict := r.conflict
	if conflict == nil {
		conflict = r.table.key
	}
	merge := r.prefer.resolution == "merge-duplicates" && len(conflict) > 0
	if merge {
		s.add(" where ", countInserted("+ 1"))
	}
	if r.prefer.resolution != "" && len(conflict) > 0 {
		s.add(" on conflict (", quoteAll(conflict), ") do ")
		if merge && len(columns) > 0 {
			set := make([]string, len(columns))
			for i, name := range columns {
				set[i] = quote(name) + " = " + quote("excluded", name)
			}
			s.add("update set ", strings.Join(set, ", "), " where ", countInserted("- 1"))
		} else {
			s.add("nothing")
		}
	}
	s.add(" returning ", r.returning())
}

// insertedQuery tells how many rows a merge inserted and did not update. PostgreSQL has no other way to tell that works
// without the right to read the table.
const insertedQuery = `select coalesce(nullif(current_setting('pgrst.inserted', true), ''), '0')`

func countInserted(change string) string {
	return "set_config('pgrst.inserted', ((" + insertedQuery + ")::int " + change + ")::text, true) is not null"
}

func (r *request) update(s *statement) {
	columns := r.payload.columns
	if len(columns) == 0 {
		r.nothing(s)
		return
	}
	set := make([]string, len(columns))
	for i, name := range columns {
		set[i] = quote(name) + " = " + quote("body", name)
	}
	s.add("update ", r.table.sql(), " set ", strings.Join(set, ", "), " from (select body.* from ")
	r.body(s)
	s.add(" limit 1) body")
	s.where(r.table, r.filters)
	s.add(" returning ", r.returning())
}

// body is the client's JSON as a table of the written columns, named body.
func (r *request) body(s *statement) {
	list := "payload"
	value := s.parameter(string(r.payload.json)) + "::json"
	s.add("(select case when json_typeof(p) = 'array' then p else json_build_array(p) end as payload from (select ", value, " as p) one) list, lateral ")
	if len(r.payload.columns) == 0 {
		s.add("json_array_elements(", list, ") body")
		return
	}
	if defaults := r.defaults(); defaults != "" {
		list = "(select coalesce(json_agg(" + defaults + " || e), '[]') from jsonb_array_elements(" + list + "::jsonb) e)"
	}
	columns := make([]string, len(r.payload.columns))
	for i, name := range r.payload.columns {
		columns[i] = quote(name) + " " + r.table.column(name).sqlType
	}
	s.add("json_to_recordset(", list, ") as body (", strings.Join(columns, ", "), ")")
}

// defaults is a JSON object that a row of the body is laid over, so that its missing keys become the columns' defaults.
func (r *request) defaults() string {
	if r.prefer.missing != "default" {
		return ""
	}
	var pairs []string
	for _, c := range r.table.columns {
		if c.value != "" && slices.Contains(r.payload.columns, c.name) {
			pairs = append(pairs, literal(c.name)+", "+c.value)
		}
	}
	if pairs == nil {
		return ""
	}
	return "jsonb_build_object(" + strings.Join(pairs, ", ") + ")"
}

func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
