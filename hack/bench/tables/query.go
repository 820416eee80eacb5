package tables

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxRows is where a Supabase project cuts off an answer.
const maxRows = 1000

// query is what a query string asks for.
type query struct {
	columns  []string
	filters  []filter
	order    []term
	limit    int
	conflict string
}

// filter is a condition on a column, or, with any, one of several.
type filter struct {
	column, op string
	values     []string
	any        []filter
}

type term struct {
	column string
	desc   bool
	// nullsFirst puts rows without a value before the others.
	nullsFirst bool
}

func parseQuery(raw string) (query, error) {
	q := query{limit: maxRows}
	params, err := url.ParseQuery(raw)
	if err != nil {
		return q, err
	}
	for name, values := range params {
		for _, value := range values {
			if err := q.param(name, value); err != nil {
				return q, err
			}
		}
	}
	return q, nil
}

func (q *query) param(name, value string) (err error) {
	switch name {
	case "select":
		q.columns = strings.Split(value, ",")
		return nil
	case "on_conflict":
		q.conflict = value
		return nil
	case "limit":
		n, err := strconv.Atoi(value)
		q.limit = min(n, maxRows)
		return err
	case "order":
		q.order, err = parseOrder(value)
		return err
	case "or":
		group := filter{}
		for member := range strings.SplitSeq(strings.Trim(value, "()"), ",") {
			column, condition, _ := strings.Cut(member, ".")
			f, err := parseFilter(column, condition)
			if err != nil {
				return err
			}
			group.any = append(group.any, f)
		}
		q.filters = append(q.filters, group)
		return nil
	default:
		f, err := parseFilter(name, value)
		q.filters = append(q.filters, f)
		return err
	}
}

func parseFilter(column, condition string) (filter, error) {
	op, value, _ := strings.Cut(condition, ".")
	f := filter{column: column, op: op, values: []string{value}}
	switch {
	case op == "in" && strings.HasPrefix(value, "(") && strings.HasSuffix(value, ")"):
		f.values = strings.Split(value[1:len(value)-1], ",")
		for i, v := range f.values {
			f.values[i] = strings.Trim(v, `"`)
		}
		return f, nil
	case op == "is" && value == "null", slices.Contains([]string{"eq", "neq", "gt", "gte", "lt"}, op):
		return f, nil
	}
	return f, fmt.Errorf("the filter %s=%s", column, condition)
}

func parseOrder(value string) (order []term, err error) {
	for part := range strings.SplitSeq(value, ",") {
		words := strings.Split(part, ".")
		t := term{column: words[0]}
		for _, word := range words[1:] {
			switch word {
			case "asc":
			case "desc":
				t.desc, t.nullsFirst = true, true // as PostgreSQL has it
			case "nullslast":
				t.nullsFirst = false
			case "nullsfirst":
				t.nullsFirst = true
			default:
				return nil, fmt.Errorf("the order %s", part)
			}
		}
		order = append(order, t)
	}
	return order, nil
}

// row is one row of a table. cell gives the value of a column that the table has.
type row interface{ cell(column string) cell }

// matches tells whether a row meets the filter. A comparison with null is never true.
func (f filter) matches(r row) bool {
	if len(f.any) > 0 {
		return slices.ContainsFunc(f.any, func(f filter) bool { return f.matches(r) })
	}
	c := r.cell(f.column)
	if f.op == "is" {
		return c.kind == null
	}
	if c.kind == null {
		return false
	}
	if f.op == "in" {
		return slices.ContainsFunc(f.values, func(v string) bool { o, ok := c.parsed(v); return ok && c.compare(o) == 0 })
	}
	o, ok := c.parsed(f.values[0])
	if !ok {
		return false
	}
	n := c.compare(o)
	switch f.op {
	case "eq":
		return n == 0
	case "neq":
		return n != 0
	case "gt":
		return n > 0
	case "gte":
		return n >= 0
	default: // lt
		return n < 0
	}
}

func (q *query) matches(r row) bool {
	return !slices.ContainsFunc(q.filters, func(f filter) bool { return !f.matches(r) })
}

// named gives the values that a column is to have, if a filter names them.
func (q *query) named(column string) ([]string, bool) {
	for _, f := range q.filters {
		if f.column == column && (f.op == "eq" || f.op == "in") {
			return f.values, true
		}
	}
	return nil, false
}

// uses are the columns that the query names.
func (q *query) uses() []string {
	used := slices.Clone(q.columns)
	for _, f := range q.filters {
		for _, f := range append(f.any, f) {
			if f.column != "" {
				used = append(used, f.column)
			}
		}
	}
	for _, t := range q.order {
		used = append(used, t.column)
	}
	return used
}

// compare orders two rows.
func (q *query) compare(a, b row) int {
	for _, t := range q.order {
		x, y := a.cell(t.column), b.cell(t.column)
		if (x.kind == null) != (y.kind == null) {
			if (x.kind == null) == t.nullsFirst {
				return -1
			}
			return 1
		}
		n := x.compare(y)
		if t.desc {
			n = -n
		}
		if n != 0 {
			return n
		}
	}
	return 0
}

// inOrderOf tells whether rows that come by the given columns, ascending, come as the query wants them. Columns that have to
// have one value do not matter.
func (q *query) inOrderOf(columns ...string) bool {
	order := q.order
	for _, column := range columns {
		if len(order) == 0 {
			return true
		}
		if order[0] == (term{column: column}) {
			order = order[1:]
			continue
		}
		if values, ok := q.named(column); !ok || len(values) != 1 {
			return false
		}
	}
	return len(order) == 0
}
