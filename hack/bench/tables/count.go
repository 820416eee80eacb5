package tables

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Counter counts requests by what they do, on their way to a handler, and notes how long it takes.
type Counter struct {
	next http.Handler

	mu   sync.Mutex
	seen map[string]int64
	took map[string][]time.Duration
}

// Count puts a Counter before a handler.
func Count(next http.Handler) *Counter {
	return &Counter{next: next, seen: map[string]int64{}, took: map[string][]time.Duration{}}
}

// Seen is how many requests of each kind there were.
func (c *Counter) Seen() map[string]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.seen)
}

// Took is how long each request of a kind took that has been answered so far, in the order of the answers.
func (c *Counter) Took(kind string) []time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.took[kind])
}

// ServeHTTP implements http.Handler.
func (c *Counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind := kindOf(r)
	c.mu.Lock()
	c.seen[kind]++
	c.mu.Unlock()
	began := time.Now()
	c.next.ServeHTTP(w, r)
	took := time.Since(began)
	c.mu.Lock()
	c.took[kind] = append(c.took[kind], took)
	c.mu.Unlock()
}

// kindOf names what a request does: its method and table, the columns that a PATCH writes, and what rows are asked for by.
func kindOf(r *http.Request) string {
	kind := r.Method + " " + strings.TrimPrefix(r.URL.Path, "/rest/v1/")
	switch r.Method {
	case http.MethodPatch:
		body, err := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		var columns map[string]json.RawMessage
		if err != nil || json.Unmarshal(body, &columns) != nil {
			return kind
		}
		return kind + " " + strings.Join(slices.Sorted(maps.Keys(columns)), ",")
	case http.MethodGet:
		query := r.URL.Query()
		for _, column := range []string{"updated_at", "id", "job_id"} {
			if query.Has(column) && !strings.HasPrefix(query.Get(column), "gt.") {
				return kind + " by " + column
			}
		}
	}
	return kind
}
