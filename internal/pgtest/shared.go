package pgtest

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
)

// TB is what Database needs of *testing.T.
type TB interface {
	Helper()
	Fatal(args ...any)
	Cleanup(func())
}

var shared struct {
	mu        sync.Mutex
	server    *Server
	databases atomic.Int64
}

// Shared returns the one server of this test binary and starts it if need be. Do not stop or kill it: other tests use it.
// Declare this beside the tests to have it stopped and its files removed at the end:
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
func Shared(t TB) *Server {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server == nil {
		server, err := Start(context.Background(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		shared.server = server
	}
	return shared.server
}

// Database makes an empty database on the shared server, drops it at the end of the test and returns its name.
func Database(t TB) (server *Server, name string) {
	t.Helper()
	server = Shared(t)
	name = fmt.Sprintf("test_%d", shared.databases.Add(1))
	if err := server.CreateDatabase(context.Background(), name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.DropDatabase(context.Background(), name); err != nil {
			t.Fatal(err)
		}
	})
	return server, name
}

// Main runs the tests, stops the shared server and exits.
func Main(m interface{ Run() int }) {
	code := m.Run()
	StopShared()
	os.Exit(code)
}

// StopShared stops the shared server, if it runs, for a TestMain that has more to do than Main.
func StopShared() {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server != nil {
		shared.server.Stop()
		shared.server = nil
	}
}
