package doctor

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	"k8s.io/utils/clock"

	"github.com/soundcheck-io/latency-operator/internal/supabase"
	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest"
)

// visit looks at a project, and gives what was found by name.
func visit(t *testing.T, address, key, token, caFile string) map[string]Finding {
	t.Helper()
	g := NewWithT(t)
	clk := clock.RealClock{}
	credentials, err := supabase.NewCredentials(supabase.Source{Value: key}, supabase.Source{Value: token}, clk)
	g.Expect(err).NotTo(HaveOccurred())
	authorities := supabase.NewAuthorities(caFile, clk, logr.Discard())
	watch := &Watch{}
	client, err := supabase.New(supabase.Options{URL: address, Credentials: credentials, Authorities: authorities, UserAgent: "test/1", Observer: watch, Clock: clk})
	g.Expect(err).NotTo(HaveOccurred())
	s := &Supabase{URL: address, Client: client, Credentials: credentials, Authorities: authorities, FromFile: caFile != "", Watch: watch, Clock: clk}
	_, text, r := run(t.Context(), t, s.Chain())
	g.Expect(text).NotTo(Or(ContainSubstring(key), ContainSubstring("%!")), "no secrets, and no mistakes")
	if token != "" {
		g.Expect(text).NotTo(ContainSubstring(token))
	}
	found := map[string]Finding{}
	for _, f := range r.Findings {
		found[f.Name] = f
	}
	return found
}

// failure is the first finding that failed, as its name and what was found.
func failure(found map[string]Finding) string {
	for _, check := range (&Supabase{}).Chain() {
		if f := found[check.Name]; f.Status == Failed {
			return f.Name + ": " + f.Found + " → " + f.Fix
		}
	}
	return "none"
}

func TestAProjectThatIsWell(t *testing.T) {
	g := NewWithT(t)
	p := supabasetest.New(t)
	g.Expect(p.Exec(t.Context(), `insert into pollers (id, last_seen_at, version, jobs) values ('op-1', now(), 'v1', 3)`)).To(Succeed())
	for name, f := range visit(t, p.URL(), p.SecretKey(), "", "") {
		g.Expect(f.Status).To(Equal(OK), "%s: %s", name, f.Found)
		g.Expect(f.Fix).To(BeEmpty(), name)
	}
}

func TestTheHopThatFailsIsNamed(t *testing.T) {
	p := supabasetest.New(t)
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	html := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprint(w, "<html>log in</html>")
	}))
	t.Cleanup(html.Close)
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	hangUp := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	t.Cleanup(hangUp.Close)
	for name, tc := range map[string]struct{ url, hop, says string }{
		"a name that is none": {"https://no-such-project.invalid", "supabase-dns", "Check SUPABASE_URL for a typo"},
		"nobody listens":      {"http://127.0.0.1:1", "supabase-tcp", "connection refused"},
		"http for https":      {"https://" + strings.TrimPrefix(p.URL(), "http://"), "supabase-tls", "does not speak TLS"},
		"https for http":      {"http://" + strings.TrimPrefix(secure.URL, "https://"), "supabase-http", "wants https"},
		"an unknown signer":   {secure.URL, "supabase-tls", "SUPABASE_CA_FILE"},
		"something else":      {other.URL, "supabase-http", "something else answers there"},
		"a page to log in":    {html.URL, "supabase-http", "log in"},
		"a connection cut":    {hangUp.URL, "supabase-http", "does not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			found := visit(t, tc.url, "sb_secret_x", "", "")
			if got := failure(found); !strings.HasPrefix(got, tc.hop+": ") || !strings.Contains(got, tc.says) {
				t.Errorf("got %s", got)
			}
			before := true
			for _, check := range (&Supabase{}).Chain() {
				f := found[check.Name]
				if check.Name == tc.hop {
					before = false
					continue
				}
				if before && f.Status != OK || !before && f.Status != Skipped {
					t.Errorf("%s is %s: %s", f.Name, f.Status, f.Found)
				}
			}
		})
	}
}

func TestAProjectThatIsAwayIsNamed(t *testing.T) {
	p := supabasetest.New(t)
	for name, tc := range map[string]struct {
		fault supabasetest.Fault
		says  string
	}{
		"paused":   {supabasetest.Fault{Status: 540, Body: `{"message":"Project paused"}`}, "resume it"},
		"unpaid":   {supabasetest.Fault{Status: 402, Body: `{"message":"exceeded_db_size"}`}, "billing"},
		"database": {supabasetest.Fault{Status: 503, Body: `{"code":"PGRST002","message":"Could not query the database for the schema cache. Retrying."}`}, "the database behind it does not"},
		"gateway":  {supabasetest.Fault{Status: 522, Body: `<html>`}, "dashboard"},
	} {
		fault := p.Inject(tc.fault)
		if got := failure(visit(t, p.URL(), p.SecretKey(), "", "")); !strings.HasPrefix(got, "supabase-http: answered ") || !strings.Contains(got, tc.says) {
			t.Errorf("%s: %s", name, got)
		}
		fault.Remove()
	}
}

func TestKeysThatCannotWorkAreNamed(t *testing.T) {
	g := NewWithT(t)
	p := supabasetest.New(t)
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	for name, tc := range map[string]struct{ key, token, says string }{
		"of another project": {"sb_secret_of_another_project", "", "it answered 401: Invalid API key"},
		"publishable":        {p.PublishableKey(), "", "of the role anon"},
		"expired":            {p.PublishableKey(), p.Token(map[string]any{"role": "service_role", "exp": in(-time.Hour)}), "expired at"},
		"of no role":         {p.PublishableKey(), p.Token(map[string]any{"role": "nobody", "exp": in(time.Hour)}), "JWT of the role nobody"},
	} {
		got := failure(visit(t, p.URL(), tc.key, tc.token, ""))
		g.Expect(got).To(And(HavePrefix("key: "), ContainSubstring(tc.says), ContainSubstring("latency-operator-supabase")), name)
	}
	soon := visit(t, p.URL(), p.PublishableKey(), p.Token(map[string]any{"role": "service_role", "exp": in(50 * time.Hour)}), "")["key"]
	g.Expect(soon.Status).To(Equal(Warning))
	g.Expect(soon.Found).To(HaveSuffix("ends in 2 days"))
}

func TestWhatTheDatabaseLacksIsNamed(t *testing.T) {
	g := NewWithT(t)
	p := supabasetest.New(t)
	change := func(sql string) map[string]Finding {
		g.Expect(p.Exec(t.Context(), sql)).To(Succeed())
		g.Expect(p.ReloadSchema(t.Context())).To(Succeed())
		return visit(t, p.URL(), p.SecretKey(), "", "")
	}
	found := change(`drop table pollers`)
	g.Expect(found["schema"].Status).To(Equal(Warning))
	g.Expect(found["schema"].Found).To(Equal("the database lacks pollers: apply the migrations in config/supabase/migrations (20261124090200_pollers_and_gaps.sql)"))
	g.Expect(found["operators"].Status).To(Equal(Skipped))
	found = change(`alter table jobs drop column monitoring_mode cascade`)
	g.Expect(failure(found)).To(HavePrefix("schema: the database has no jobs.monitoring_mode: apply "))
	g.Expect(failure(change(`drop table jobs cascade`))).To(HavePrefix("schema: the database has no jobs."))
}

func TestWhatARoleMayNotIsNamed(t *testing.T) {
	g := NewWithT(t)
	p := supabasetest.New(t)
	g.Expect(p.Exec(t.Context(), `do $$ begin create role small nologin; exception when duplicate_object then null; end $$;
		grant small to authenticator; grant usage on schema public to small; grant select on jobs, samples, pollers, sample_gaps to small; grant insert on samples to small`)).To(Succeed())
	g.Expect(p.ReloadSchema(t.Context())).To(Succeed())
	token := p.Token(map[string]any{"role": "small", "exp": time.Now().Add(1000 * time.Hour).Unix()})
	found := visit(t, p.URL(), p.PublishableKey(), token, "")
	g.Expect(found["key"].Found).To(ContainSubstring("JWT of the role small, good until 20"))
	lacking := found["permissions"]
	g.Expect(lacking.Status).To(Equal(Failed))
	g.Expect(lacking.Found).To(Equal("the role small may not update jobs (no job is ever completed, and the app does not see that it is measured); " +
		"may not insert, update, delete pollers (the app cannot show that the operator is alive); may not insert, update, delete sample_gaps (slots without a sample have no reason)"))
	g.Expect(lacking.Fix).To(Equal("In the SQL editor: grant update on public.jobs to small; grant insert, update, delete on public.pollers to small; grant insert, update, delete on public.sample_gaps to small;"))
	g.Expect(found["rows"].Status).To(Equal(Warning))
	g.Expect(found["rows"].Fix).To(ContainSubstring("row-level security hides them"))

	g.Expect(p.Exec(t.Context(), lacking.Fix[len("In the SQL editor: "):])).To(Succeed())
	g.Expect(visit(t, p.URL(), p.PublishableKey(), token, "")["permissions"].Status).To(Equal(OK), "the fix is one")
	g.Expect(p.Exec(t.Context(), `revoke select on jobs from small`)).To(Succeed())
	g.Expect(failure(visit(t, p.URL(), p.PublishableKey(), token, ""))).To(And(HavePrefix("schema: the role small may not read the table jobs"), HaveSuffix("grant select on public.jobs to small;")))
}

func TestTheClockIsCompared(t *testing.T) {
	for _, tc := range []struct {
		off    time.Duration
		status Status
		says   string
	}{{0, OK, "agrees"}, {-10 * time.Second, Warning, "10s ahead of"}, {10 * time.Minute, Failed, "behind Supabase's"}} {
		p := supabasetest.New(t, supabasetest.WithOptions(func(o *supabasetest.Options) { o.Now = func() time.Time { return time.Now().Add(tc.off) } }))
		if f := visit(t, p.URL(), p.SecretKey(), "", "")["clock"]; f.Status != tc.status || !strings.Contains(f.Found, tc.says) {
			t.Errorf("%s: %+v", tc.off, f)
		}
	}
}

func TestWhatOperatorsSayIsPassedOn(t *testing.T) {
	g := NewWithT(t)
	p := supabasetest.New(t)
	look := func(sql string) Finding {
		g.Expect(p.Exec(t.Context(), sql)).To(Succeed())
		return visit(t, p.URL(), p.SecretKey(), "", "")["operators"]
	}
	g.Expect(look(`delete from pollers`).Found).To(ContainSubstring("none has said"))
	g.Expect(look(`insert into pollers values ('old', now() - interval '73 hours', 'v1', 3)`).Found).To(Equal("none has been in touch with the database for 3 days; old was the last"))
	f := look(`insert into pollers values ('new', now(), 'v2', 4, 'SpoolUnavailable: no room'), ('other', now(), 'v2', 4, null)`)
	g.Expect(f.Status).To(Equal(Warning))
	g.Expect(f.Found).To(Equal("new says SpoolUnavailable: no room"))
	g.Expect(look(`update pollers set message = null`).Found).To(Or(HavePrefix("in touch with the database: new (v2, 4 jobs), other"), HavePrefix("in touch with the database: other")))
}

// front is a server for https before a project, with a certificate that is good from and to an instant, for a name.
func front(t *testing.T, to, host string, from, until time.Time) (address, caFile string) {
	t.Helper()
	g := NewWithT(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	g.Expect(err).NotTo(HaveOccurred())
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{Organization: []string{"The Company"}, CommonName: "CA 1"}, NotBefore: from, NotAfter: until,
		IsCA: true, BasicConstraintsValid: true, DNSNames: []string{host},
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	g.Expect(err).NotTo(HaveOccurred())
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	g.Expect(os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)).To(Succeed())
	u, err := url.Parse(to)
	g.Expect(err).NotTo(HaveOccurred())
	server := httptest.NewUnstartedServer(httputil.NewSingleHostReverseProxy(u))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL, caFile
}

func TestCertificates(t *testing.T) {
	g := NewWithT(t)
	p := supabasetest.New(t)
	now := time.Now()
	address, file := front(t, p.URL(), "127.0.0.1", now.Add(-time.Hour), now.Add(time.Hour))
	g.Expect(failure(visit(t, address, p.SecretKey(), "", ""))).To(HavePrefix("supabase-tls: the certificate of 127.0.0.1 comes from an authority, The Company CA 1, that is not known here → "))
	g.Expect(failure(visit(t, address, p.SecretKey(), "", file+".missing"))).To(And(HavePrefix("supabase-tls: "), ContainSubstring("no such file")))
	found := visit(t, address, p.SecretKey(), "", file)
	g.Expect(failure(found)).To(Equal("none"))
	g.Expect(found["supabase-tls"].Found).To(HaveSuffix("signed by The Company CA 1; 1 authority counts of SUPABASE_CA_FILE beside the system's"))

	address, file = front(t, p.URL(), "another.example", now.Add(-time.Hour), now.Add(time.Hour))
	g.Expect(failure(visit(t, address, p.SecretKey(), "", file))).To(HavePrefix("supabase-tls: the certificate is for another.example, and not for 127.0.0.1"))
	address, file = front(t, p.URL(), "127.0.0.1", now.Add(-2*time.Hour), now.Add(-time.Hour))
	g.Expect(failure(visit(t, address, p.SecretKey(), "", file))).To(And(HavePrefix("supabase-tls: the certificate of 127.0.0.1 is good from "), ContainSubstring("Look at the clock")))
}

func TestNothingWaitsForEver(t *testing.T) {
	p := supabasetest.New(t)
	p.Inject(supabasetest.Fault{Hang: true})
	clk := clock.RealClock{}
	credentials, err := supabase.NewCredentials(supabase.Source{Value: p.SecretKey()}, supabase.Source{}, clk)
	if err != nil {
		t.Fatal(err)
	}
	client, err := supabase.New(supabase.Options{URL: p.URL(), Credentials: credentials, UserAgent: "test/1", Observer: &Watch{}, Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	s := &Supabase{URL: p.URL(), Client: client, Credentials: credentials, Watch: &Watch{}, Clock: clk, patience: 200 * time.Millisecond}
	short, text, _ := run(t.Context(), t, s.Chain())
	if !strings.HasPrefix(short, "supabase-dns ok, supabase-tcp ok, supabase-tls ok, supabase-http failed, ") || !strings.Contains(text, "no answer in time") {
		t.Errorf("got %s\n%s", short, text)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	s.patience = 0
	began := time.Now()
	if short, _, r := run(ctx, t, s.Chain()); r.Healthy {
		t.Errorf("healthy although the time was over: %s", short)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
}
