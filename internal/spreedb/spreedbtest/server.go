package spreedbtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Server is a SpreeDB that listens.
type Server struct {
	// URL is a POLLER_BASE_URL that leads to it.
	URL string
	// Addr is its host and port. Listen takes it again after Close, which is how to play an outage.
	Addr string

	http *http.Server
	done chan error
}

// Listen serves the SpreeDB on an address such as 127.0.0.1:0, where port 0 is any free one, until Close or Shutdown.
func (s *SpreeDB) Listen(addr string) (*Server, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen as SpreeDB: %w", err)
	}
	server := &Server{
		URL:  "http://" + listener.Addr().String(),
		Addr: listener.Addr().String(),
		http: &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute},
		done: make(chan error, 1),
	}
	go func() {
		err := server.http.Serve(listener)
		if errors.Is(err, http.ErrServerClosed) {
			err = nil
		}
		server.done <- err
		close(server.done)
	}()
	return server, nil
}

// Done yields once, when the server has ended: nil after Close or Shutdown.
func (s *Server) Done() <-chan error { return s.done }

// Close ends the server and every poll in flight.
func (s *Server) Close() { _ = s.http.Close() }

// Shutdown takes no more polls and waits for those in flight; when ctx ends, it closes.
func (s *Server) Shutdown(ctx context.Context) {
	if s.http.Shutdown(ctx) != nil {
		s.Close()
	}
}

// TB is what Start needs of *testing.T. The package testing itself would bring its flags into programs that serve
// this SpreeDB.
type TB interface {
	Helper()
	Fatal(args ...any)
	Cleanup(func())
}

// Start serves the SpreeDB on a free port of this machine until the test ends, and returns its POLLER_BASE_URL.
func (s *SpreeDB) Start(t TB) string {
	t.Helper()
	server, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return server.URL
}
