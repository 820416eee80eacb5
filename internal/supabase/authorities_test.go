package supabase

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
)

// private is a project whose certificate no system knows, and a client that is told of a file with authorities.
type private struct {
	t      *testing.T
	server *httptest.Server
	file   string
	clk    *clocktesting.FakePassiveClock
	c      *Client

	authorities *Authorities

	mu    sync.Mutex
	lines []string
}

func newPrivate(t *testing.T, content *string) *private {
	t.Helper()
	p := &private{t: t, file: filepath.Join(t.TempDir(), "ca-bundle.crt"), clk: clocktesting.NewFakePassiveClock(time.Now())}
	p.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Range", "*/*")
		_, _ = w.Write([]byte("[]"))
		if r.ProtoMajor != 2 {
			t.Errorf("a request over %s", r.Proto)
		}
	}))
	p.server.EnableHTTP2 = true
	p.server.StartTLS()
	t.Cleanup(p.server.Close)
	if content != nil {
		p.write(*content)
	}
	credentials, err := NewCredentials(Source{Value: "sb_secret_x"}, Source{}, clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	p.authorities = NewAuthorities(p.file, p.clk, p.log())
	p.c, err = New(Options{
		URL: p.server.URL, Credentials: credentials, UserAgent: "test/1", Observer: &seen{}, Clock: clock.RealClock{},
		Authorities: p.authorities,
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *private) log() logr.Logger {
	return funcr.New(func(_, args string) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.lines = append(p.lines, args)
	}, funcr.Options{})
}

// own is the authority of the server's certificate.
func (p *private) own() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.server.Certificate().Raw}))
}

func (p *private) write(content string) {
	p.t.Helper()
	if err := os.WriteFile(p.file, []byte(content), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// later lets the file be looked at again.
func (p *private) later() { p.clk.SetTime(p.clk.Now().Add(rereadEvery)) }

func (p *private) asks() error {
	_, err := p.c.RunningJobs(p.t.Context())
	return err
}

// stranger is an authority that has signed nothing here.
func stranger(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestAnAuthorityFromAFileCounts(t *testing.T) {
	const damaged = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
	p := newPrivate(t, nil)
	if err := p.asks(); err == nil || !strings.Contains(err.Error(), "SUPABASE_CA_FILE") || Classify(err) != Unavailable {
		t.Fatalf("without the file: %v", err)
	}
	for name, content := range map[string]string{"empty": "\n", "garbage": "sb_secret_x", "damaged": damaged, "of somebody else": stranger(t)} {
		p.write(content)
		p.later()
		if err := p.asks(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	p.write(damaged + "# the company's\n" + p.own())
	if err := p.asks(); err == nil {
		t.Error("the file was read again at once")
	}
	p.later()
	if err := p.asks(); err != nil {
		t.Fatalf("with the file: %v", err)
	}
	if err := os.Remove(p.file); err != nil {
		t.Fatal(err)
	}
	p.later()
	if err := p.asks(); err != nil {
		t.Errorf("the authority was lost with the file: %v", err)
	}
	if n, problem := p.authorities.File(); n != 1 || problem == nil || strings.Contains(problem.Error(), p.file) {
		t.Errorf("%d certificates, problem %v", n, problem)
	}
}

func TestAnAuthorityThatGoesIsForgotten(t *testing.T) {
	p := newPrivate(t, nil)
	p.write(p.own())
	p.later()
	if err := p.asks(); err != nil {
		t.Fatal(err)
	}
	p.write(stranger(t))
	p.later()
	if err := p.asks(); err == nil || !strings.Contains(err.Error(), "SUPABASE_CA_FILE") {
		t.Errorf("an authority that is no longer in the file counts: %v", err)
	}
}

func TestWhatIsWrongWithTheFileIsLoggedOnce(t *testing.T) {
	empty := ""
	p := newPrivate(t, &empty)
	for range 3 {
		p.later()
		_ = p.asks()
	}
	p.write(p.own())
	for range 3 {
		p.later()
		_ = p.asks()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.lines) != 2 || !strings.Contains(p.lines[0], "it is empty") || !strings.Contains(p.lines[1], `"certificates"=1`) {
		t.Errorf("logged:\n%s", strings.Join(p.lines, "\n"))
	}
}
