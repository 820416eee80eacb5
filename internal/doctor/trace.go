package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http/httptrace"
	"net/netip"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

// hop is one part of the way to a server.
type hop struct {
	began, ended time.Time
	err          error
}

func (h *hop) took() time.Duration { return h.ended.Sub(h.began).Round(100 * time.Microsecond) }

// passed tells whether it was gone, and well.
func (h *hop) passed() bool { return !h.ended.IsZero() && h.err == nil }

// trace is the way of one request, as the very transport went it that the operator uses. The transport may try several addresses at
// once, and goes on to tell after the request has ended.
type trace struct {
	clock clock.PassiveClock

	mu        sync.Mutex
	dns       hop
	addresses []string
	tcp       hop
	connected string
	tls       hop
	issuer    string
	until     time.Time
}

// request gives the context of the request that is to be traced.
func (t *trace) request(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		DNSStart: func(httptrace.DNSStartInfo) { t.begin(&t.dns) },
		DNSDone: func(info httptrace.DNSDoneInfo) {
			t.end(&t.dns, info.Err)
			t.mu.Lock()
			defer t.mu.Unlock()
			for _, address := range info.Addrs {
				t.addresses = append(t.addresses, address.String())
			}
		},
		ConnectStart: func(string, string) { t.begin(&t.tcp) },
		ConnectDone: func(_, address string, err error) {
			t.end(&t.tcp, err)
			t.mu.Lock()
			defer t.mu.Unlock()
			if err == nil {
				t.connected = address
			}
		},
		TLSHandshakeStart: func() { t.begin(&t.tls) },
		TLSHandshakeDone: func(state tls.ConnectionState, err error) {
			t.end(&t.tls, err)
			if err == nil && len(state.PeerCertificates) > 0 {
				t.mu.Lock()
				defer t.mu.Unlock()
				leaf := state.PeerCertificates[0]
				t.issuer, t.until = nameOf(leaf), leaf.NotAfter
			}
		},
	})
}

// nameOf is who has signed a certificate.
func nameOf(leaf *x509.Certificate) string {
	parts := append(append([]string{}, leaf.Issuer.Organization...), leaf.Issuer.CommonName)
	return strings.TrimSpace(strings.Join(parts, " "))
}

func (t *trace) begin(h *hop) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if h.began.IsZero() {
		h.began = t.clock.Now()
	}
}

// end notes how a hop ended. A success outweighs the failure of another address.
func (t *trace) end(h *hop, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !h.passed() {
		h.ended, h.err = t.clock.Now(), err
	}
}

// resolveProblem says what a failed look-up of a name means, and what to do.
func resolveProblem(variable, host string, err error) Finding {
	if dns, is := errors.AsType[*net.DNSError](err); is && dns.IsNotFound {
		return Fail("Check "+variable+" for a typo. If the name is right, the cluster's DNS does not know it: ask whoever runs the DNS.", "no name server knows %s", host)
	}
	return Fail("Let the operator's pod reach the cluster's DNS: a NetworkPolicy has to allow port 53, and on OpenShift 5353, over UDP and TCP.",
		"the address of %s was not found: %s", host, reason(err))
}

// dialProblem says what it means that nobody takes a connection.
func dialProblem(address, refusedFix, silentFix string, err error) Finding {
	if errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
		return Fail(silentFix, "%s takes no connection, and does not refuse it either", address)
	}
	return Fail(refusedFix, "%s takes no connection: %s", address, reason(err))
}

func isTimeout(err error) bool {
	timeout, is := errors.AsType[net.Error](err)
	return is && timeout.Timeout()
}

// reason is the last word of an error, without addresses that are said already.
func reason(err error) string {
	if op, is := errors.AsType[*net.OpError](err); is {
		err = op.Err
	}
	if dns, is := errors.AsType[*net.DNSError](err); is {
		return dns.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	if answer, is := errors.AsType[*supabase.Error](err); is {
		return answer.Message
	}
	return strings.TrimPrefix(err.Error(), "connect: ")
}

// isAddress tells whether a host needs no DNS.
func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}
