package doctor

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

// through says which way connections go, and names the variable that has the address.
func (s *Supabase) through() (address, variable, words string) {
	to, variable := s.target, "SUPABASE_URL"
	if s.proxy != nil {
		to, variable = s.proxy, "HTTPS_PROXY"
		if s.target.Scheme == "http" {
			variable = "HTTP_PROXY"
		}
		words = fmt.Sprintf("through the proxy %s (%s): ", bare(s.proxy), variable)
	}
	return net.JoinHostPort(to.Hostname(), portOf(to)), variable, words
}

// bare is a URL without what nobody is to see.
func bare(u *url.URL) string { return u.Scheme + "://" + u.Host }

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	default:
		return "80"
	}
}

// lead puts words before a finding.
func lead(words string, f Finding) Finding {
	f.Found = words + f.Found
	return f
}

func (s *Supabase) dns(ctx context.Context) Finding {
	s.ask(ctx)
	address, variable, words := s.through()
	host, _, _ := net.SplitHostPort(address)
	t := s.trace
	t.mu.Lock()
	defer t.mu.Unlock()
	_, answered := s.answered()
	switch {
	case isAddress(host):
		return lead(words, Good("%s needs no look-up", host))
	case t.dns.err != nil:
		return lead(words, resolveProblem(variable, host, t.dns.err))
	case !t.dns.passed() && !answered:
		return lead(words, resolveProblem(variable, host, s.err))
	default:
		return lead(words, Good("%s is %s (%s)", host, some(t.addresses), t.dns.took()))
	}
}

// some lists a few of many.
func some(all []string) string {
	if len(all) > 3 {
		return strings.Join(all[:3], ", ") + fmt.Sprintf(" and %d more", len(all)-3)
	}
	return strings.Join(all, ", ")
}

func (s *Supabase) tcp(context.Context) Finding {
	address, variable, words := s.through()
	t := s.trace
	t.mu.Lock()
	defer t.mu.Unlock()
	_, answered := s.answered()
	switch {
	case t.tcp.passed() && !answered && s.proxy != nil && s.target.Scheme == "https" && t.tls.began.IsZero():
		return lead(words, Fail("Let the proxy connect to "+s.target.Host+", or take it out of the way with NO_PROXY.",
			"it opens no connection to %s: %s", s.target.Host, reason(s.err)))
	case t.tcp.passed() || answered:
		return lead(words, Good("%s takes connections (%s)", address, t.tcp.took()))
	}
	err := t.tcp.err
	if err == nil {
		err = s.err
	}
	silent := "Let the operator's pod reach " + address + ": a firewall, a NetworkPolicy or an EgressFirewall is in the way. Where a proxy is the only way out, set HTTPS_PROXY."
	if s.proxy != nil {
		silent = "Let the operator's pod reach " + address + ", or correct " + variable + "."
	}
	return lead(words, dialProblem(address, "Check host and port in "+variable+", and whether the server runs.", silent, err))
}

func (s *Supabase) tls(context.Context) Finding {
	if s.target.Scheme == "http" {
		if ip := net.ParseIP(s.target.Hostname()); ip != nil && ip.IsLoopback() {
			return Good("not used: the server is on this machine")
		}
		return Warn("Use https in SUPABASE_URL wherever the way leaves the cluster.", "not used: the key can be read by whoever is on the way")
	}
	t := s.trace
	t.mu.Lock()
	defer t.mu.Unlock()
	_, answered := s.answered()
	switch {
	case t.tls.passed() || answered:
		return Good("the certificate is good until %s; it is signed by %s%s", t.until.UTC().Format(time.DateOnly), t.issuer, s.authorities())
	case t.tls.err != nil:
		return s.badCertificate(t.tls.err)
	default:
		return s.badCertificate(s.err)
	}
}

// authorities says what the file with authorities is worth.
func (s *Supabase) authorities() string {
	if !s.FromFile {
		return ""
	}
	n, problem := s.Authorities.File()
	if problem != nil {
		return "; " + problem.Error()
	}
	return fmt.Sprintf("; %s of SUPABASE_CA_FILE beside the system's", plural(n, "authority counts", "authorities count"))
}

func (s *Supabase) badCertificate(err error) Finding {
	host := s.target.Hostname()
	if unknown, is := errors.AsType[x509.UnknownAuthorityError](err); is {
		signed := ""
		if unknown.Cert != nil {
			signed = ", " + nameOf(unknown.Cert) + ","
		}
		return Fail("Where a proxy or the company's own authority signs certificates, put the authority's certificate (PEM) into the file that SUPABASE_CA_FILE names; it is taken within seconds. (Component egress-proxy.)",
			"the certificate of %s comes from an authority%s that is not known here%s", host, signed, s.authorities())
	}
	if wrong, is := errors.AsType[x509.HostnameError](err); is {
		return Fail("Check SUPABASE_URL for a typo.", "the certificate is for %s, and not for %s", some(wrong.Certificate.DNSNames), host)
	}
	if invalid, is := errors.AsType[x509.CertificateInvalidError](err); is && invalid.Reason == x509.Expired {
		return Fail("Look at the clock of this node first. If it is right, whoever runs the server has to renew the certificate.",
			"the certificate of %s is good from %s to %s, and here it is %s", host, invalid.Cert.NotBefore.UTC().Format(time.RFC3339),
			invalid.Cert.NotAfter.UTC().Format(time.RFC3339), s.Clock.Now().UTC().Format(time.RFC3339))
	}
	if strings.Contains(err.Error(), "first record does not look like a TLS handshake") {
		return Fail("Check SUPABASE_URL: this port may be for http, and https has another.", "%s does not speak TLS", s.target.Host)
	}
	return Fail("Look at whatever stands between the operator and Supabase, such as a proxy or a firewall that opens TLS.", "no TLS with %s: %s", host, reason(err))
}

func (s *Supabase) http(context.Context) Finding {
	answer, answered := s.answered()
	switch {
	case s.err == nil:
		return Good("answers")
	case !answered:
		return Fail("Look at whatever stands between the operator and Supabase: the connection was made, and nobody answers.", "%s does not answer: %s", s.target.Host, reason(s.err))
	case supabase.Classify(answer) == supabase.KeyRefused, supabase.Classify(answer) == supabase.SchemaNotReady:
		return Good("answers, with %d", answer.Status)
	}
	fix := "If it lasts, look at the project in the Supabase dashboard. Samples wait in the spool meanwhile."
	switch answer.Status {
	case http.StatusBadRequest:
		fix = "Check SUPABASE_URL: it is the project's URL, such as https://abcdefgh.supabase.co, and a server that wants https does not understand http."
	case http.StatusOK, http.StatusNotFound, http.StatusMovedPermanently, http.StatusFound, http.StatusPermanentRedirect, http.StatusTemporaryRedirect:
		fix = "Check SUPABASE_URL: it is the project's URL, such as https://abcdefgh.supabase.co, and something else answers there. It may also be a proxy that wants somebody to log in."
	case http.StatusPaymentRequired:
		fix = "The project is over its quota or not paid: look at its billing in the Supabase dashboard. Samples wait in the spool meanwhile."
	case 540:
		fix = "The project is paused: resume it in the Supabase dashboard. Samples wait in the spool meanwhile."
	case http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		fix = "The gateway answers, and the database behind it does not: look at the database in the Supabase dashboard. Samples wait in the spool meanwhile."
	}
	return Fail(fix, "answered %d: %s", answer.Status, answer.Message)
}
