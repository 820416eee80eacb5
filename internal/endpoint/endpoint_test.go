package endpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	. "github.com/onsi/gomega"
	"k8s.io/utils/clock"

	"github.com/soundcheck-io/latency-operator/internal/outcomes"
	"github.com/soundcheck-io/latency-operator/internal/pgtest"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const (
	id      = "0b9c3f0e-5a54-4c6e-9d0c-000000000001"
	another = "0b9c3f0e-5a54-4c6e-9d0c-000000000002"
)

var t0 = time.Date(2026, time.November, 23, 10, 0, 0, 123456000, time.UTC)

type nobody struct{}

func (nobody) Requested(string, int, time.Duration) {}
func (nobody) ClockSkew(time.Duration)              {}

// served is a Handler over HTTP, with a project of Supabase behind it.
type served struct {
	*WithT
	*supabasetest.Server
	t       testing.TB
	handler *Handler
	url     string
	client  *http.Client
}

// answer is what came, whose body is closed when the test ends.
type answer struct {
	status int
	header http.Header
	body   io.Reader
}

// serve lets whoever says so in a header in.
func serve(t testing.TB, opts ...supabasetest.Option) *served {
	t.Helper()
	s := &served{WithT: NewWithT(t), Server: supabasetest.New(t, opts...), t: t}
	clk := clock.RealClock{}
	credentials, err := supabase.NewCredentials(supabase.Source{Value: s.SecretKey()}, supabase.Source{}, clk)
	s.Expect(err).NotTo(HaveOccurred())
	database, err := supabase.New(supabase.Options{URL: s.URL(), Credentials: credentials, UserAgent: "test", Observer: nobody{}, Clock: clk})
	s.Expect(err).NotTo(HaveOccurred())
	s.handler = New(database, func(r *http.Request, _ string) *Refusal {
		if r.Header.Get("Authorization") == "" {
			return &Refusal{Status: http.StatusUnauthorized, Sentence: "Who are you?"}
		}
		return nil
	}, clk, logr.Discard())
	mux := http.NewServeMux()
	mux.Handle(Pattern, s.handler)
	server := httptest.NewUnstartedServer(mux)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	s.client = server.Client()
	s.url = server.URL
	s.sql(`insert into jobs (id, account_number, notification_email, target_ip, cadence_seconds, duration_minutes, monitoring_mode, status, started_at)
		values ($1, 'A-1', 'a@b.c', '10.1.2.3', 1, 60, 'real_polling', 'running', $2)`, id, t0)
	return s
}

func (s *served) sql(sql string, args ...any) {
	s.t.Helper()
	s.Expect(s.Exec(s.t.Context(), sql, args...)).To(Succeed())
}

// samples makes one for each second from the first to the last after t0.
func (s *served) samples(from, to int) {
	s.t.Helper()
	s.sql(`insert into samples (job_id, sequence_number, scheduled_at, recorded_at, status, rtt_ms)
		select $1::uuid, i, $2::timestamptz + i * interval '1 s', $2::timestamptz + i * interval '1 s', 'success', 10 + i
		from generate_series($3::int, $4::int) i`, id, t0, from, to)
}

func (s *served) gap(from, to int, reason string) {
	s.t.Helper()
	s.sql(`insert into sample_gaps (job_id, from_at, to_at, slots, reason) values ($1, $2::timestamptz + $3::int * interval '1 s',
		$2::timestamptz + $4::int * interval '1 s', $4::int - $3::int + 1, $5)`, id, t0, from, to, reason)
}

func (s *served) request(ctx context.Context, method, path string) answer {
	s.t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, nil)
	s.Expect(err).NotTo(HaveOccurred())
	req.Header.Set("Authorization", "Bearer x")
	res, err := s.client.Do(req)
	s.Expect(err).NotTo(HaveOccurred())
	s.t.Cleanup(func() { _ = res.Body.Close() })
	return answer{res.StatusCode, res.Header, res.Body}
}

func path(id string, since ...time.Time) string {
	p := "/jobs/" + id + "/samples"
	for _, t := range since {
		p += "?since=" + url.QueryEscape(t.Format(time.RFC3339Nano))
	}
	return p
}

// read gives the lines after the job in short, and how they end.
func (s *served) read(res answer) (lines []string, err error) {
	s.t.Helper()
	s.Expect(res.status).To(Equal(http.StatusOK))
	s.Expect(res.header.Get("Content-Type")).To(Equal(outcomes.MediaType))
	r := outcomes.NewReader(res.body)
	after := func(t time.Time) string { return strings.TrimSuffix(t.Sub(t0).String(), "s") }
	for {
		l, err := r.Next()
		switch {
		case err != nil:
			return lines, err
		case l.Job != nil:
			s.Expect(*l.Job).To(Equal(outcomes.Job{ID: id, TargetIP: "10.1.2.3", CadenceSeconds: 1, DurationMinutes: 60, StartedAt: t0, Status: "running"}))
		case l.Gap != nil:
			lines = append(lines, fmt.Sprintf("%s-%s %d %s", after(l.Gap.FromAt), after(l.Gap.ToAt), l.Gap.Slots, l.Gap.Reason))
		case l.Sample.ScheduledAt.IsZero():
			lines = append(lines, "undated "+string(l.Sample.Status))
		default:
			lines = append(lines, fmt.Sprintf("%s %s %v", after(l.Sample.ScheduledAt), l.Sample.Status, *l.Sample.RTT))
		}
	}
}

func TestSamplesAndGapsComeInTheOrderOfTime(t *testing.T) {
	s := serve(t, supabasetest.WithOptions(func(o *supabasetest.Options) { o.MaxRows = 2 }))
	s.samples(0, 2)
	s.gap(3, 4, "OperatorDown")
	s.samples(5, 5)
	s.gap(6, 6, "Busy")
	s.gap(7, 9, "Suspended")
	s.gap(12, 12, "NoTarget")
	s.samples(10, 11)
	s.sql(`insert into samples (job_id, sequence_number, status) values ($1, 100, 'missed')`, id)
	for _, tc := range []struct {
		since []time.Time
		want  string
	}{
		{nil, "0 success 10, 1 success 11, 2 success 12, 3-4 2 OperatorDown, 5 success 15, 6-6 1 Busy, 7-9 3 Suspended, 10 success 20, 11 success 21, 12-12 1 NoTarget, undated missed"},
		{[]time.Time{t0.Add(8 * time.Second)}, "7-9 3 Suspended, 10 success 20, 11 success 21, 12-12 1 NoTarget"},
		{[]time.Time{t0.Add(11 * time.Second)}, "12-12 1 NoTarget"},
		{[]time.Time{t0.Add(time.Hour)}, ""},
		{[]time.Time{t0.Add(10 * time.Second).In(time.FixedZone("", 3600))}, "11 success 21, 12-12 1 NoTarget"},
	} {
		lines, err := s.read(s.request(t.Context(), http.MethodGet, path(id, tc.since...)))
		if !errors.Is(err, io.EOF) {
			t.Errorf("%v: %v", tc.since, err)
		}
		if diff := cmp.Diff(tc.want, strings.Join(lines, ", ")); diff != "" {
			t.Errorf("%v: %s", tc.since, diff)
		}
	}
	res := s.request(t.Context(), http.MethodGet, path(id))
	body, err := io.ReadAll(res.body)
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(string(body)).NotTo(Or(ContainSubstring("A-1"), ContainSubstring("a@b.c")))
}

func TestANewInstallationHasNoSamplesAndThatIsNoError(t *testing.T) {
	s := serve(t)
	lines, err := s.read(s.request(t.Context(), http.MethodGet, path(id)))
	s.Expect(err).To(MatchError(io.EOF))
	s.Expect(lines).To(BeEmpty())
	s.sql(`revoke select on samples from service_role`)
	res := s.request(t.Context(), http.MethodGet, path(id))
	body, err := io.ReadAll(res.body)
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(res.status).To(Equal(http.StatusServiceUnavailable))
	s.Expect(string(body)).To(HavePrefix("The database cannot tell which samples it has: "))
	s.Expect(res.header).NotTo(HaveKey("Retry-After"), "waiting changes nothing")
}

func TestNobodyIsAskedAboutWhatIsNoId(t *testing.T) {
	s := serve(t)
	s.handler.Admit = func(_ *http.Request, id string) *Refusal {
		t.Errorf("asked about %q", id)
		return nil
	}
	for _, odd := range []string{"x", strings.Repeat("a", 9000), strings.ToUpper(id), "%2E%2E", id + "%2F"} {
		s.Expect(s.request(t.Context(), http.MethodGet, path(odd)).status).To(Equal(http.StatusNotFound), odd)
	}
}

func TestOtherRequestsAreRefusedInASentence(t *testing.T) {
	s := serve(t)
	s.samples(0, 0)
	for name, tc := range map[string]struct {
		method, path string
		status       int
		says         string
	}{
		"another job":    {"GET", path(another), 404, "no job with the id " + another},
		"no id":          {"GET", path("x"), 404, "UUID"},
		"in upper case":  {"GET", path(strings.ToUpper(id)), 404, "UUID in lower case"},
		"since":          {"GET", path(id) + "?since=yesterday", 400, "2026-11-29T08:00:00.123456Z"},
		"writing":        {"POST", path(id), 405, "GET"},
		"something else": {"GET", "/jobs/" + id, 404, "404"},
	} {
		res := s.request(t.Context(), tc.method, tc.path)
		body, err := io.ReadAll(res.body)
		if err != nil || res.status != tc.status || !strings.Contains(string(body), tc.says) || strings.Count(string(body), "\n") != 1 {
			t.Errorf("%s: %d %s %v", name, res.status, body, err)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path(another), nil)
	s.Expect(err).NotTo(HaveOccurred())
	res, err := s.client.Do(req)
	s.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = res.Body.Close() }()
	s.Expect(res.StatusCode).To(Equal(http.StatusUnauthorized), "nobody learns which jobs there are")
	s.Expect(res.Header.Get("WWW-Authenticate")).To(Equal("Bearer"))
}

func TestADatabaseThatIsAwayIsAnAnswerOfItsOwn(t *testing.T) {
	s := serve(t)
	s.samples(0, 0)
	_, err := s.read(s.request(t.Context(), http.MethodGet, path(id)))
	s.Expect(err).To(MatchError(io.EOF))
	for _, table := range []string{"jobs", "samples", "sample_gaps"} {
		fault := s.Inject(supabasetest.Fault{
			Match:  func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/"+table) },
			Status: 503, Header: http.Header{"Retry-After": {"17"}}, Body: `{"message":"no connection"}`,
		})
		res := s.request(t.Context(), http.MethodGet, path(id))
		body, err := io.ReadAll(res.body)
		s.Expect(err).NotTo(HaveOccurred())
		s.Expect(res.status).To(Equal(http.StatusServiceUnavailable), table)
		s.Expect(res.header.Get("Retry-After")).To(Equal("17"), table)
		s.Expect(string(body)).To(HaveSuffix("Supabase answered 503: no connection.\n"))
		fault.Remove()
	}
}

func TestAFailureMidwayIsTheLastLine(t *testing.T) {
	for _, table := range []string{"samples", "sample_gaps"} {
		s := serve(t)
		s.samples(0, 1999)
		s.sql(`insert into sample_gaps (job_id, from_at, to_at, slots, reason)
			select $1::uuid, $2::timestamptz + i * interval '1 s', $2::timestamptz + i * interval '1 s', 1, 'Busy' from generate_series(2000, 3999) i`, id, t0)
		pages := 0
		s.Inject(supabasetest.Fault{
			Match: func(r *http.Request) bool {
				if strings.HasSuffix(r.URL.Path, "/"+table) && r.URL.Query().Has("job_id") {
					pages++
				}
				return pages > 1
			},
			Status: 500, Body: `{"message":"too much"}`,
		})
		lines, err := s.read(s.request(t.Context(), http.MethodGet, path(id)))
		var failed *outcomes.FailedError
		if !errors.As(err, &failed) || !strings.Contains(failed.Sentence, "Supabase answered 500: too much.") || len(lines) < 1000 {
			t.Errorf("%s: %d lines, %v", table, len(lines), err)
		}
	}
}

func TestOnlyAFewAnswersAreGivenAtOnce(t *testing.T) {
	s := serve(t)
	s.samples(0, 0)
	hang := s.Inject(supabasetest.Fault{Match: func(r *http.Request) bool { return r.URL.Query().Has("job_id") }, Hang: true})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, AtOnce)
	for range AtOnce {
		go func() {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path(id), nil)
			if err == nil {
				req.Header.Set("Authorization", "Bearer x")
				var res *http.Response
				if res, err = s.client.Do(req); err == nil {
					_ = res.Body.Close()
				}
			}
			done <- err
		}()
	}
	s.Eventually(hang.Count).Should(Equal(AtOnce))
	res := s.request(t.Context(), http.MethodGet, path(id))
	s.Expect(res.status).To(Equal(http.StatusTooManyRequests))
	s.Expect(res.header.Get("Retry-After")).To(Equal("5"))
	cancel() // who goes away leaves the place to others
	hang.Remove()
	for range AtOnce {
		s.Expect(<-done).To(MatchError(context.Canceled))
	}
	s.Eventually(func() int { return s.request(t.Context(), http.MethodGet, path(id)).status }).Should(Equal(http.StatusOK))
}

func TestWhoTakesNothingLosesThePlace(t *testing.T) {
	s := serve(t)
	s.samples(0, 60_000) // 7 MB, more than any buffer on the way
	s.handler.stalled = 300 * time.Millisecond
	res := s.request(t.Context(), http.MethodGet, path(id))
	s.Expect(res.status).To(Equal(http.StatusOK))
	s.Eventually(func() bool {
		free := s.handler.places.TryAcquire(AtOnce)
		if free {
			s.handler.places.Release(AtOnce)
		}
		return free
	}, "10s").Should(BeTrue())
	_, err := s.read(res)
	s.Expect(err).To(MatchError(outcomes.ErrCutOff))
}

func TestAnAnswerThatTakesTooLongSaysHowToGoOn(t *testing.T) {
	s := serve(t)
	s.samples(0, 4999)
	s.handler.limit = 500 * time.Millisecond
	pages := 0
	s.Inject(supabasetest.Fault{
		Match: func(r *http.Request) bool {
			if strings.HasSuffix(r.URL.Path, "/samples") && r.URL.Query().Has("job_id") {
				pages++
			}
			return pages > 2
		}, Hang: true,
	})
	lines, err := s.read(s.request(t.Context(), http.MethodGet, path(id)))
	var failed *outcomes.FailedError
	s.Expect(errors.As(err, &failed)).To(BeTrue(), "%v", err)
	s.Expect(failed.Sentence).To(ContainSubstring("the parameter since"))
	s.Expect(len(lines)).To(BeNumerically(">=", 1000))
}

// What an answer takes: the time per sample, and of memory no more than its pages.
func BenchmarkAnswer(b *testing.B) {
	const n = 20_000
	s := serve(b)
	s.samples(0, n-1)
	for b.Loop() {
		res := s.request(b.Context(), http.MethodGet, path(id))
		if _, err := io.Copy(io.Discard, res.body); err != nil || res.status != http.StatusOK {
			b.Fatal(res.status, err)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "samples/s")
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	b.ReportMetric(float64(memory.HeapSys)/(1<<20), "MiB-heap")
}
