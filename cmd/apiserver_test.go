package main

import (
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/soundcheck-io/latency-operator/internal/stack"
)

// link is a way to the API server that can be cut.
type link struct {
	listener net.Listener
	to       string

	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

func newLink(t *testing.T, to string) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{listener: listener, to: to}
	t.Cleanup(func() { _ = listener.Close(); l.set(true) })
	go l.serve()
	return l
}

func (l *link) serve() {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", l.to)
		l.mu.Lock()
		if err != nil || l.cut {
			_ = near.Close()
			if err == nil {
				_ = far.Close()
			}
			l.mu.Unlock()
			continue
		}
		l.conns = append(l.conns, near, far)
		l.mu.Unlock()
		go pump(near, far)
		go pump(far, near)
	}
}

func pump(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	_ = to.Close()
}

// set cuts the link, with all that goes through it, or mends it.
func (l *link) set(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
	if cut {
		for _, c := range l.conns {
			_ = c.Close()
		}
		l.conns = nil
	}
}

// through gives a kubeconfig that goes through the link.
func (l *link) through(t *testing.T, s *system) string {
	t.Helper()
	config, err := clientcmd.LoadFromFile(s.Kubeconfig)
	s.Expect(err).NotTo(HaveOccurred())
	for _, c := range config.Clusters {
		c.Server = "https://" + l.listener.Addr().String()
	}
	path := s.Dir + "/kubeconfig-through-link"
	s.Expect(clientcmd.WriteToFile(*config, path)).To(Succeed())
	return path
}

func TestLosingTheAPIServerStopsNoMeasurement(t *testing.T) {
	s := startSystem(t, stack.Options{})
	address, err := url.Parse(s.Config.Host)
	s.Expect(err).NotTo(HaveOccurred())
	host := address.Host
	if host == "" {
		host = strings.TrimPrefix(s.Config.Host, "https://")
	}
	api := newLink(t, host)
	id := s.start("10.0.0.1", 0)
	op := s.operate(map[string]string{"KUBECONFIG": api.through(t, s)})
	s.Eventually(s.text(`select (count(*) >= 2)::text from samples`)).Should(Equal("true"))

	api.set(true)
	// Past the end of the Lease, so that leadership is lost.
	s.Eventually(s.log.String).Should(ContainSubstring("This process does not mirror jobs; it goes on measuring"))
	api.set(false)
	s.Eventually(func() int {
		return strings.Count(s.log.String(), "This process mirrors the jobs now")
	}).Should(Equal(2))
	next := s.start("10.0.0.2", 0)
	s.Eventually(s.text(`select (count(*) > 0)::text from samples where job_id = $1`, next)).Should(Equal("true"))
	s.Expect(s.text(`select (count(*) = max(sequence_number) - min(sequence_number) + 1)::text from samples where job_id = $1`, id)()).To(Equal("true"), "no slot was missed")
	s.Expect(op.ExitCode()).To(Equal(-1), "and it runs")
}
