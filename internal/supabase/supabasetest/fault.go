package supabasetest

import (
	"context"
	"maps"
	"net/http"
	"sync"
	"time"
)

// Fault is what goes wrong between a client and the project. It happens before the key is looked at.
type Fault struct {
	// Match chooses the requests; nil takes all. It is called under a lock and may read the body.
	Match func(*http.Request) bool
	// Times is how often it happens; 0 is until it is removed.
	Times int

	// AfterCommit has the request done first, whose answer is then lost: replaced by the others below, or by Reset if
	// there is none.
	AfterCommit bool
	// Delay passes before the answer. Without one of the others, the project's own answer follows.
	Delay time.Duration
	// Hang gives no answer until the client gives up.
	Hang bool
	// Reset closes the connection without an answer.
	Reset bool
	// Status, if it is not 0, is answered in place of the project, with Header, ContentType and Body, which need not be
	// JSON.
	Status      int
	Header      http.Header
	ContentType string
	Body        string
}

// Injection is a fault in effect.
type Injection struct {
	fault Fault
	owner *faults

	count   int
	removed bool
}

// faults are looked through in the order in which they were injected.
type faults struct {
	mu     sync.Mutex
	active []*Injection
}

// Inject makes f happen from now on. Of several that match a request the first happens.
func (s *Server) Inject(f Fault) *Injection {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	i := &Injection{fault: f, owner: &s.faults}
	s.faults.active = append(s.faults.active, i)
	return i
}

// Remove ends a fault. Requests that already hang go on hanging.
func (i *Injection) Remove() {
	i.owner.mu.Lock()
	defer i.owner.mu.Unlock()
	i.removed = true
}

// Count is how many requests it has happened to.
func (i *Injection) Count() int {
	i.owner.mu.Lock()
	defer i.owner.mu.Unlock()
	return i.count
}

func (f *faults) pick(r *http.Request) *Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, i := range f.active {
		spent := i.removed || i.fault.Times > 0 && i.count >= i.fault.Times
		if spent || i.fault.Match != nil && !i.fault.Match(r) {
			continue
		}
		i.count++
		return &i.fault
	}
	return nil
}

// suffer lets a fault happen and tells whether that was the answer.
func (s *Server) suffer(f *Fault, w http.ResponseWriter, r *http.Request) bool {
	if f.AfterCommit {
		s.gateway(&discard{header: http.Header{}}, r)
	}
	if !pause(r.Context(), f.Delay) {
		panic(http.ErrAbortHandler)
	}
	switch {
	case f.Hang:
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case f.Reset || f.AfterCommit && f.Status == 0:
		panic(http.ErrAbortHandler)
	case f.Status == 0:
		return false
	}
	maps.Copy(w.Header(), f.Header)
	if f.ContentType != "" {
		w.Header().Set("Content-Type", f.ContentType)
	}
	w.WriteHeader(f.Status)
	_, _ = w.Write([]byte(f.Body)) // a client that went away is no error of ours
	return true
}

// pause returns false when the client gave up before.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// discard is an answer that nobody sees.
type discard struct{ header http.Header }

// Header is http.ResponseWriter's.
func (d *discard) Header() http.Header { return d.header }

// Write is http.ResponseWriter's.
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }

// WriteHeader is http.ResponseWriter's.
func (d *discard) WriteHeader(int) {}
