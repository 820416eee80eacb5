package doctor

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest"
)

// proxy is a proxy for https that leads wherever it is told, whatever it is asked for, or nowhere.
type proxy struct {
	server *httptest.Server
	mu     sync.Mutex
	to     string
}

var aProxy = newProxy()

func newProxy() *proxy {
	p := &proxy{}
	p.server = httptest.NewServer(http.HandlerFunc(p.connect))
	return p
}

func (p *proxy) address() string { return p.server.Listener.Addr().String() }

func (p *proxy) lead(to string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.to = to
}

func (p *proxy) connect(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	to := p.to
	p.mu.Unlock()
	if to == "" || r.Method != http.MethodConnect {
		http.Error(w, "no", http.StatusForbidden)
		return
	}
	far, err := net.Dial("tcp", to)
	if err != nil {
		http.Error(w, "no", http.StatusBadGateway)
		return
	}
	w.WriteHeader(http.StatusOK)
	near, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(far, buffered)
		_ = far.Close()
	}()
	_, _ = io.Copy(near, far)
	_ = near.Close()
}

func TestTheWayThroughAProxy(t *testing.T) {
	g := NewWithT(t)
	p := supabasetest.New(t)
	address, file := front(t, p.URL(), "project.example", time.Now().Add(-time.Hour), time.Now().Add(time.Hour))

	aProxy.lead("")
	found := visit(t, "https://project.example", p.SecretKey(), "", file)
	g.Expect(failure(found)).To(Equal("supabase-tcp: through the proxy http://" + aProxy.address() +
		" (HTTPS_PROXY): it opens no connection to project.example: Forbidden → Let the proxy connect to project.example, or take it out of the way with NO_PROXY."))

	aProxy.lead(strings.TrimPrefix(address, "https://"))
	g.Expect(failure(visit(t, "https://project.example", p.SecretKey(), "", ""))).To(And(HavePrefix("supabase-tls: "), ContainSubstring("The Company CA 1"), ContainSubstring("SUPABASE_CA_FILE")))
	found = visit(t, "https://project.example", p.SecretKey(), "", file)
	g.Expect(failure(found)).To(Equal("none"))
	for _, f := range found {
		g.Expect(f.Found).NotTo(ContainSubstring("a-password"))
	}
}
