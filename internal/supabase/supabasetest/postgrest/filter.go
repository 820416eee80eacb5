package postgrest

import (
	"slices"
	"strings"
)

// condition is one filter, or several joined by "and" or "or".
type condition struct {
	negate bool

	// A filter.
	column, op string
	value      string   // of every operator but in
	values     []string // of in

	// A group; op is "and" or "or".
	members []condition
}

// operators of PostgREST that we know, as SQL writes them.
var operators = map[string]string{
	"eq": "=", "neq": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "like": "like", "ilike": "ilike",
	"in": "= any", "is": "is",
}

// Operators of PostgREST that we do not know.
var otherOperators = []string{
	"match", "imatch", "isdistinct", "fts", "plfts", "phfts", "wfts", "cs", "cd", "ov", "sl", "sr", "nxr", "nxl", "adj",
}

var isValues = []string{"null", "not_null", "true", "false", "unknown"}

// parseFilter reads column=text, where text is taken to its end.
func parseFilter(column, text string) (condition, *apiError) {
	s := scanner{kind: "filter", text: text}
	c, err := s.operation(column, func() string {
		rest := s.text[s.pos:]
		s.pos = len(s.text)
		return rest
	})
	if err == nil && s.pos < len(text) {
		err = s.fail("unexpected text after the filter")
	}
	return c, err
}

// parseGroup reads and=text or or=text, where text is a list in parentheses.
func parseGroup(op string, negate bool, text string) (condition, *apiError) {
	s := scanner{kind: "logic tree", text: text}
	c, err := s.group(op, negate)
	if err == nil && s.pos < len(text) {
		err = s.fail("unexpected text after the closing parenthesis")
	}
	return c, err
}

// scanner walks through the text of a filter.
type scanner struct {
	kind, text string
	pos        int
}

func (s *scanner) fail(details string) *apiError {
	return cannotParse(s.kind, s.text, s.pos+1, details)
}

func (s *scanner) accept(prefix string) bool {
	if strings.HasPrefix(s.text[s.pos:], prefix) {
		s.pos += len(prefix)
		return true
	}
	return false
}

// until returns the text up to one of the characters in stop, or to the end.
func (s *scanner) until(stop string) string {
	rest := s.text[s.pos:]
	if i := strings.IndexAny(rest, stop); i >= 0 {
		rest = rest[:i]
	}
	s.pos += len(rest)
	return rest
}

// quoted returns the next value, which ends at a comma or a closing parenthesis unless it stands in double quotes.
func (s *scanner) quoted() string {
	if !s.accept(`"`) {
		return s.until(",)")
	}
	var out strings.Builder
	for ; s.pos < len(s.text) && s.text[s.pos] != '"'; s.pos++ {
		if s.text[s.pos] == '\\' && s.pos+1 < len(s.text) {
			s.pos++
		}
		out.WriteByte(s.text[s.pos])
	}
	s.accept(`"`)
	return out.String()
}

// list reads values in parentheses.
func (s *scanner) list() ([]string, *apiError) {
	if !s.accept("(") {
		return nil, s.fail(`expecting "("`)
	}
	values := []string{}
	if s.accept(")") {
		return values, nil
	}
	for {
		values = append(values, s.quoted())
		if s.accept(")") {
			return values, nil
		}
		if !s.accept(",") {
			return nil, s.fail(`expecting "," or ")"`)
		}
	}
}

// operation reads "op.value" or "not.op.value"; value reads what follows the operator.
func (s *scanner) operation(column string, value func() string) (condition, *apiError) {
	c := condition{column: column, negate: s.accept("not.")}
	start := s.pos
	c.op = s.until(".")
	name, _, _ := strings.Cut(c.op, "(") // eq(any), fts(english)
	if slices.Contains(otherOperators, name) || operators[name] != "" && name != c.op {
		return c, unsupported("the operator " + c.op)
	}
	if operators[c.op] == "" || !s.accept(".") {
		s.pos = start
		return c, s.fail(`unexpected "` + firstRune(s.text[start:]) + `" expecting "not" or operator (eq, gt, ...)`)
	}
	if c.op == "in" {
		var err *apiError
		c.values, err = s.list()
		return c, err
	}
	start = s.pos
	c.value = value()
	switch c.op {
	case "is":
		if c.value = strings.ToLower(c.value); !slices.Contains(isValues, c.value) {
			s.pos = start
			return c, s.fail("isVal: (null, not_null, true, false, unknown)")
		}
	case "like", "ilike":
		c.value = strings.ReplaceAll(c.value, "*", "%")
	}
	return c, nil
}

// group reads a list of filters and groups in parentheses.
func (s *scanner) group(op string, negate bool) (condition, *apiError) {
	c := condition{op: op, negate: negate}
	if !s.accept("(") {
		return c, s.fail(`expecting "("`)
	}
	for {
		member, err := s.member()
		if err != nil {
			return c, err
		}
		c.members = append(c.members, member)
		if s.accept(")") {
			return c, nil
		}
		if !s.accept(",") {
			return c, s.fail(`expecting "," or ")"`)
		}
	}
}

func (s *scanner) member() (condition, *apiError) {
	for _, op := range []string{"and", "or"} {
		for _, not := range []string{"", "not."} {
			if strings.HasPrefix(s.text[s.pos:], not+op+"(") {
				s.pos += len(not + op)
				return s.group(op, not != "")
			}
		}
	}
	column := s.until(".,()")
	if column == "" || !s.accept(".") {
		return condition{}, s.fail("expecting a column and an operator")
	}
	return s.operation(column, s.quoted)
}

func firstRune(text string) string {
	for _, r := range text {
		return string(r)
	}
	return "end of input"
}
