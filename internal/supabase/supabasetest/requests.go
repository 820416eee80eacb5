package supabasetest

import (
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// Request is one that the server received.
type Request struct {
	Method string
	// Path begins with /rest/v1, or /auth/v1.
	Path   string
	Query  url.Values
	Header http.Header
	Body   string
	// At is when it came.
	At time.Time
	// Status is what the client was told; 0 while it is not answered, or if it was not.
	Status int
}

// requestLog keeps the latest requests in the order in which they came.
type requestLog struct {
	keep int

	mu   sync.Mutex
	list []*Request
}

// begin notes a request; done notes its end.
func (l *requestLog) begin(r *http.Request, body []byte) (done func(status int)) {
	entry := &Request{
		Method: r.Method, Path: r.URL.Path, Query: r.URL.Query(), Header: r.Header.Clone(), Body: string(body), At: time.Now(),
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.list) >= 2*l.keep { // seldom, so that noting a request takes the same time however many are kept
		l.list = slices.Clone(l.list[len(l.list)-l.keep+1:])
	}
	l.list = append(l.list, entry)
	return func(status int) {
		l.mu.Lock()
		defer l.mu.Unlock()
		entry.Status = status
	}
}

// Requests are the latest requests in the order in which they came, also those that a fault kept from the project.
func (s *Server) Requests() []Request {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	latest := s.log.list[max(0, len(s.log.list)-s.log.keep):]
	out := make([]Request, len(latest))
	for i, entry := range latest {
		out[i] = *entry
	}
	return out
}

// ResetRequests forgets them.
func (s *Server) ResetRequests() {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.log.list = nil
}
