package tables

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Server serves a Store at URL + /rest/v1.
type Server struct {
	// URL is what SUPABASE_URL is set to.
	URL string

	http *http.Server
}

// Serve listens on a free port of 127.0.0.1.
func Serve(h http.Handler) (*Server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen as Supabase: %w", err)
	}
	s := &Server{URL: "http://" + listener.Addr().String(), http: &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}}
	go func() { _ = s.http.Serve(listener) }() // it ends with Close
	return s, nil
}

// Close ends all connections.
func (s *Server) Close() { _ = s.http.Close() }

// refusal is an error as PostgREST answers it.
type refusal struct {
	status        int
	code, message string
}

func (r *refusal) Error() string { return r.code + ": " + r.message }

func unsupported(err error) *refusal {
	return &refusal{http.StatusNotImplemented, "UNSUPPORTED", "the stand-in for PostgREST does not support " + err.Error()}
}

// ServeHTTP implements http.Handler.
func (s *Store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	err := s.serve(w, r)
	if err == nil {
		return
	}
	var answer *refusal
	if !errors.As(err, &answer) {
		answer = unsupported(err)
	}
	s.problem(fmt.Sprintf("%s %s: %s", r.Method, r.URL.Path, answer.message))
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(answer.status)
	_, _ = fmt.Fprintf(w, `{"code":%q,"details":null,"hint":null,"message":%q}`, answer.code, answer.message)
}

func (s *Store) serve(w http.ResponseWriter, r *http.Request) error {
	table := strings.TrimPrefix(r.URL.Path, "/rest/v1/")
	if columns[table] == nil {
		return &refusal{http.StatusNotFound, "PGRST205", "Could not find the table 'public." + table + "' in the schema cache"}
	}
	q, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	for _, column := range q.uses() {
		if !slices.Contains(columns[table], column) {
			return &refusal{http.StatusBadRequest, "42703", "column " + table + "." + column + " does not exist"}
		}
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	p := prefer(r.Header)
	switch r.Method {
	case http.MethodGet:
		s.get(w, table, &q)
		return nil
	case http.MethodPost:
		return s.post(w, table, &q, body, p)
	case http.MethodPatch:
		return s.patch(w, table, &q, body, p)
	case http.MethodDelete:
		return s.remove(w, table, &q)
	default:
		return fmt.Errorf("%s", r.Method)
	}
}

// preferences are what the header Prefer asks for, of what is known here.
type preferences struct{ ignoreDuplicates, mergeDuplicates, count bool }

func prefer(h http.Header) preferences {
	all := strings.Join(h.Values("Prefer"), ",")
	return preferences{
		ignoreDuplicates: strings.Contains(all, "resolution=ignore-duplicates"),
		mergeDuplicates:  strings.Contains(all, "resolution=merge-duplicates"),
		count:            strings.Contains(all, "count=exact"),
	}
}

func (s *Store) get(w http.ResponseWriter, table string, q *query) {
	s.mu.Lock()
	rows := s.read(table, q)
	body := make([]byte, 0, 2+256*len(rows))
	body = append(body, '[')
	for i, r := range rows {
		if i > 0 {
			body = append(body, ",\n "...)
		}
		body = appendRow(body, r, q.columns)
	}
	body = append(body, ']')
	s.mu.Unlock()
	shown := "*"
	if len(rows) > 0 {
		shown = "0-" + strconv.Itoa(len(rows)-1)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Range", shown+"/*")
	_, _ = w.Write(body) // a client that went away is no error of ours
}

func appendRow(b []byte, r row, columns []string) []byte {
	for i, column := range columns {
		b = append(b, ",{"[boolInt(i == 0)], '"')
		b = append(b, column...)
		b = append(b, '"', ':')
		b = r.cell(column).appendJSON(b)
	}
	return append(b, '}')
}
