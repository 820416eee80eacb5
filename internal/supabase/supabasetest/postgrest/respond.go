package postgrest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// answer writes what became of a request.
func (r *request) answer(w http.ResponseWriter, res result) {
	header := w.Header()
	if applied := r.prefer.applied(r.method); applied != "" {
		header.Set("Preference-Applied", applied)
	}
	header.Set("Content-Range", r.contentRange(res))
	if r.reads() && res.total >= 0 && r.window.lower > res.total {
		header.Set("Content-Type", listMedia.contentType)
		outside := badRange(fmt.Sprintf("An offset of %d was requested, but there are only %d rows.", r.window.lower, res.total))
		outside.writeBody(w, outside.status)
		return
	}
	if location := r.location(res); location != "" {
		header.Set("Location", location)
	}
	if r.representation() {
		header.Set("Content-Type", r.media.contentType)
	}
	w.WriteHeader(r.status(res))
	if r.representation() && r.method != http.MethodHead {
		_, _ = w.Write(res.body) // a client that went away is no error of ours
	}
}

func (r *request) status(res result) int {
	switch {
	case r.reads() && res.total >= 0 && res.page < res.total:
		return http.StatusPartialContent
	case r.reads():
		return http.StatusOK
	case r.method == http.MethodPost && res.updatedOnly:
		return http.StatusOK
	case r.method == http.MethodPost:
		return http.StatusCreated
	case r.representation():
		return http.StatusOK
	default:
		return http.StatusNoContent
	}
}

func (r *request) contentRange(res result) string {
	rows, total := "*", "*"
	if res.page > 0 && (r.reads() || r.method == http.MethodPatch) {
		rows = fmt.Sprintf("%d-%d", r.window.lower, r.window.lower+res.page-1)
	}
	if res.total >= 0 {
		total = fmt.Sprint(res.total)
	}
	return rows + "/" + total
}

// location is the address of the one new row, whose primary key is the body then.
func (r *request) location(res result) string {
	if !r.locates() || res.page != 1 || len(r.table.key) == 0 {
		return ""
	}
	var rows []map[string]json.RawMessage
	if json.Unmarshal(res.body, &rows) != nil || len(rows) != 1 {
		return ""
	}
	filters := make([]string, len(r.table.key))
	for i, name := range r.table.key {
		value := string(rows[0][name])
		var text string
		if json.Unmarshal(rows[0][name], &text) == nil {
			value = text
		}
		filters[i] = url.QueryEscape(name) + "=eq." + url.QueryEscape(value)
	}
	return "/" + url.PathEscape(r.table.name) + "?" + strings.Join(filters, "&")
}
