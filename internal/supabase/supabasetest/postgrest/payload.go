package postgrest

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// payload is the body of a write.
type payload struct {
	json []byte
	// columns are the ones to write, sorted unless the client named them.
	columns []string
	// empty says that the body holds no row at all.
	empty bool
}

// parsePayload reads JSON. With the columns parameter the body is left to the database, as PostgREST does.
func parsePayload(contentType string, body []byte, query url.Values) (payload, *apiError) {
	name, _, _ := strings.Cut(contentType, ";")
	switch name = strings.TrimSpace(name); name {
	case "", "application/json":
	case "text/csv", "application/x-www-form-urlencoded", "application/octet-stream", "text/plain", "text/xml":
		return payload{}, unsupported("bodies of the type " + name)
	default:
		return payload{}, badRequest("Content-Type not acceptable: %s", name)
	}
	if text := query.Get("columns"); text != "" {
		return payload{json: body, columns: splitColumns(text)}, nil
	}
	return readKeys(body)
}

// readKeys finds the columns of an object or of a list of objects, whose keys have to be the same.
func readKeys(body []byte) (payload, *apiError) {
	if !json.Valid(body) {
		return payload{}, badRequest("Empty or invalid json")
	}
	var rows []map[string]json.RawMessage
	switch bytes.TrimSpace(body)[0] {
	case '{':
		rows = make([]map[string]json.RawMessage, 1)
		if err := json.Unmarshal(body, &rows[0]); err != nil {
			return payload{}, badRequest("Empty or invalid json")
		}
	case '[':
		if err := json.Unmarshal(body, &rows); err != nil || slices.ContainsFunc(rows, func(row map[string]json.RawMessage) bool { return row == nil }) {
			return payload{}, badRequest("All object keys must match")
		}
	}
	if len(rows) == 0 {
		return payload{json: []byte("[]"), empty: true}, nil
	}
	columns := slices.Sorted(maps.Keys(rows[0]))
	for _, row := range rows[1:] {
		if !slices.Equal(columns, slices.Sorted(maps.Keys(row))) {
			return payload{}, badRequest("All object keys must match")
		}
	}
	return payload{json: body, columns: columns}, nil
}

func (p payload) check(t *table) *apiError {
	for _, name := range p.columns {
		if t.column(name) == nil {
			return noColumn(t.name, name)
		}
	}
	return nil
}
