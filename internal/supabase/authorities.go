package supabase

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
)

// Authorities are those whose certificates count for Supabase: the system's and, where a file is given, those in it beside them.
// The file is looked at again every few seconds. One that is missing, empty or holds no certificate changes nothing: a cluster may
// fill it later. They are safe for concurrent use.
type Authorities struct {
	file  string
	clock clock.PassiveClock
	log   logr.Logger

	mu      sync.Mutex
	looked  time.Time
	content []byte
	pool    *x509.CertPool // nil for the system's alone
	found   int
	problem error
}

// NewAuthorities reads the file, PEM, unless its name is empty. What is wrong with it is logged, once for each thing.
func NewAuthorities(file string, clk clock.PassiveClock, log logr.Logger) *Authorities {
	a := &Authorities{file: file, clock: clk, log: log}
	if file != "" {
		a.read()
	}
	return a
}

// File tells how many certificates were found in the file, and what is wrong with it now. Without a file there are none, and nothing
// is wrong.
func (a *Authorities) File() (certificates int, problem error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refresh()
	return a.found, a.problem
}

// Pool is what certificates are checked against; nil stands for the system's. It changes when the file does, and only then.
func (a *Authorities) Pool() *x509.CertPool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refresh()
	return a.pool
}

// refresh looks at the file again if it is time. The caller holds mu.
func (a *Authorities) refresh() {
	if a.file != "" && a.clock.Since(a.looked) >= rereadEvery {
		a.read()
	}
}

// read takes what is in the file. The caller holds mu, or nobody else knows a yet.
func (a *Authorities) read() {
	a.looked = a.clock.Now()
	content, err := os.ReadFile(a.file)
	if err == nil && a.found > 0 && a.problem == nil && bytes.Equal(content, a.content) {
		return
	}
	var pool *x509.CertPool
	found := 0
	if err == nil {
		pool, found, err = poolOf(content)
	} else if path, ok := errors.AsType[*fs.PathError](err); ok {
		err = fmt.Errorf("it cannot be read: %w", path.Err)
	}
	if err != nil {
		err = fmt.Errorf("the file that SUPABASE_CA_FILE names is of no use, so that other authorities than %s do not count: %w", a.others(), err)
		if a.problem == nil || a.problem.Error() != err.Error() {
			a.log.Info("No certificate authorities could be taken from a file", "reason", err.Error())
		}
		a.problem = err
		return
	}
	a.content, a.pool, a.found, a.problem = content, pool, found, nil
	a.log.Info("Certificate authorities for Supabase were taken from a file, beside the system's", "certificates", found)
}

// others are the authorities that count without what the file holds now.
func (a *Authorities) others() string {
	if a.pool == nil {
		return "the system's"
	}
	return "the system's and those that it held before"
}

// poolOf adds the certificates of a PEM bundle to the system's.
func poolOf(content []byte) (pool *x509.CertPool, found int, err error) {
	if pool, err = x509.SystemCertPool(); err != nil {
		pool = x509.NewCertPool() // the file is all there is
	}
	var bad error
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			bad = err // one that Go cannot read spoils none of the others
			continue
		}
		pool.AddCert(certificate)
		found++
	}
	switch {
	case found > 0:
		return pool, found, nil
	case bad != nil:
		return nil, 0, fmt.Errorf("it holds no certificate that can be read: %w", bad)
	case len(bytes.TrimSpace(content)) == 0:
		return nil, 0, errors.New("it is empty")
	default:
		return nil, 0, errors.New("it holds no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----")
	}
}

// transports gives requests a connection pool whose authorities are those that count now. Requests that run when these change, and
// connections that are in use, end as they began.
type transports struct {
	authorities *Authorities

	mu      sync.Mutex
	pool    *x509.CertPool
	current *http.Transport
}

// RoundTrip implements http.RoundTripper.
func (t *transports) RoundTrip(req *http.Request) (*http.Response, error) {
	return t.now().RoundTrip(req)
}

func (t *transports) now() *http.Transport {
	pool := t.authorities.Pool()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.current == nil || t.pool != pool {
		if t.current != nil {
			t.current.CloseIdleConnections()
		}
		t.current, t.pool = newTransport(pool), pool
	}
	return t.current
}

// newTransport is a connection pool. Proxy variables of the environment apply, because Supabase is outside.
func newTransport(authorities *x509.CertPool) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{RootCAs: authorities, MinVersion: tls.VersionTLS12}
	t.MaxIdleConnsPerHost = 32
	t.IdleConnTimeout = 90 * time.Second // Cloudflare closes idle connections after 400 s
	// After a silent cut of the network Go would use a dead HTTP/2 connection for minutes: golang/go#36026.
	t.HTTP2 = &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second}
	return t
}
