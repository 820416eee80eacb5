package stack

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	// Ports of links lie below those that systems give to outgoing connections, so that nobody takes the port of a link
	// that is cut.
	lowestLinkPort = 20_000
	linkPorts      = 10_000
	// relisten is how often a link that is mended tries to have its port back, and relistenPatience how long.
	relisten         = 20 * time.Millisecond
	relistenPatience = 5 * time.Second
)

// Link is a way over TCP to a server, for playing that the server is away: whoever connects to the link talks to the
// server, until it is cut or hangs.
type Link struct {
	addr, to string

	mu       sync.Mutex
	listener net.Listener // nil while the link is cut
	hangs    bool
	mended   *sync.Cond
	conns    map[net.Conn]bool
	ended    int
	held     int
}

// NewLink listens on a free port of 127.0.0.1 for connections to the server at host:port.
func NewLink(to string) (*Link, error) {
	l := &Link{to: to, conns: map[net.Conn]bool{}}
	l.mended = sync.NewCond(&l.mu)
	var err error
	for range 50 {
		l.addr = fmt.Sprintf("127.0.0.1:%d", lowestLinkPort+rand.IntN(linkPorts))
		if err = l.listen(); err == nil {
			return l, nil
		}
	}
	return nil, err
}

func (l *Link) listen() error {
	listener, err := net.Listen("tcp", l.addr)
	if err != nil {
		return fmt.Errorf("listen as a link to %s: %w", l.to, err)
	}
	l.mu.Lock()
	l.listener = listener
	l.mu.Unlock()
	go l.serve(listener)
	return nil
}

// Addr is the host:port to connect to.
func (l *Link) Addr() string { return l.addr }

// Cut ends every connection and has new ones refused.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listener != nil {
		_ = l.listener.Close()
		l.listener = nil
	}
	l.drop()
}

// drop ends every connection. The caller holds mu.
func (l *Link) drop() {
	for c := range l.conns {
		_ = c.Close()
	}
	l.ended += len(l.conns) / 2 // each has two ends
	clear(l.conns)
	l.mended.Broadcast()
}

// Hang keeps connections, and takes new ones, but nothing comes through any more.
func (l *Link) Hang() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hangs = true
	l.held += len(l.conns) / 2
}

// Mend ends what Cut or Hang began. What was held back comes through.
func (l *Link) Mend() error {
	l.mu.Lock()
	l.hangs = false
	l.mended.Broadcast()
	cut := l.listener == nil
	l.mu.Unlock()
	if !cut {
		return nil
	}
	var err error
	_ = wait.PollUntilContextTimeout(context.Background(), relisten, relistenPatience, true, func(context.Context) (bool, error) {
		err = l.listen() // another program may hold the port for a moment
		return err == nil, nil
	})
	return err
}

// Close cuts the link for good.
func (l *Link) Close() { l.Cut() }

// Ended is how many connections Cut has ended so far.
func (l *Link) Ended() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended
}

// Held is how many connections Hang has held up so far.
func (l *Link) Held() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held
}

func (l *Link) serve(listener net.Listener) {
	for {
		near, err := listener.Accept()
		if err != nil {
			return
		}
		far, err := new(net.Dialer).DialContext(context.Background(), "tcp", l.to)
		if err != nil {
			_ = near.Close()
			continue
		}
		l.mu.Lock()
		if l.listener != listener { // cut meanwhile
			l.mu.Unlock()
			_, _ = near.Close(), far.Close()
			return
		}
		l.conns[near], l.conns[far] = true, true
		if l.hangs {
			l.held++
		}
		l.mu.Unlock()
		go l.pump(near, far)
		go l.pump(far, near)
	}
}

// KubeconfigThrough writes a kubeconfig for the API server that leads through the link, and returns its path.
func (s *Stack) KubeconfigThrough(l *Link) (string, error) {
	config, err := clientcmd.LoadFromFile(s.Kubeconfig)
	if err != nil {
		return "", fmt.Errorf("read the kubeconfig: %w", err)
	}
	for _, c := range config.Clusters {
		c.Server = "https://" + l.Addr()
	}
	path := filepath.Join(s.Dir, "kubeconfig-"+strings.ReplaceAll(l.Addr(), ":", "-")) // KUBECONFIG is a list, parted by colons
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		return "", fmt.Errorf("write the kubeconfig: %w", err)
	}
	return path, nil
}

// LinkToAPIServer makes a link to the API server.
func (s *Stack) LinkToAPIServer() (*Link, error) {
	address, _, err := rest.DefaultServerURL(s.Config.Host, "", schema.GroupVersion{}, true)
	if err != nil {
		return nil, fmt.Errorf("read the address of the API server: %w", err)
	}
	return NewLink(address.Host)
}

// pump carries bytes in one direction until either end is closed.
func (l *Link) pump(to, from net.Conn) {
	defer func() {
		_, _ = to.Close(), from.Close()
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.conns, to)
		delete(l.conns, from)
	}()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			l.wait(from)
			if _, failed := to.Write(buf[:n]); failed != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// wait returns when the link does not hang, or the connection was cut.
func (l *Link) wait(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.hangs && l.conns[conn] {
		l.mended.Wait()
	}
}
