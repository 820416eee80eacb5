package tables

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"

	"github.com/soundcheck-io/latency-operator/internal/pgtest"
	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var t0 = time.Date(2026, time.November, 23, 10, 0, 0, 123456000, time.UTC)

func id(n int) string { return fmt.Sprintf("%08x-0000-4000-8000-000000000000", n) }

// jobs are enough for two pages.
func jobs() []Job {
	var all []Job
	for n := range 1100 {
		all = append(all, Job{ID: id(n), TargetIP: fmt.Sprintf("10.1.%d.%d", n>>8, n&255), CadenceSeconds: 10, DurationMinutes: 60, StartedAt: t0})
	}
	return all
}

// recorder notes what a handler is asked and what it answers.
type recorder struct {
	next      http.Handler
	exchanges []string
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	req.Body = io.NopCloser(bytes.NewReader(body))
	answer := httptest.NewRecorder()
	r.next.ServeHTTP(answer, req)
	query := req.URL.Query()
	r.exchanges = append(r.exchanges, lately.ReplaceAllString(fmt.Sprintf("%s %s %s %s\n%d %s %s", req.Method, req.URL.Path, query.Encode(), body,
		answer.Code, answer.Header().Get("Content-Range"), canonical(answer.Body.Bytes(), query.Has("order"))), "lately"))
	maps.Copy(w.Header(), answer.Header())
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

// lately matches the times that the clock of the test decides.
var lately = regexp.MustCompile(time.Now().UTC().Format("2006-01-02T") + `[0-9:.%A]+(Z|\+00:00)`)

// canonical writes JSON with sorted keys, and rows that nobody asked to order by id. It leaves out the details of errors, which
// the client keeps for people.
func canonical(body []byte, ordered bool) string {
	var value any
	if json.Unmarshal(body, &value) != nil {
		return string(body)
	}
	switch v := value.(type) {
	case []any:
		if !ordered {
			slices.SortFunc(v, func(a, b any) int {
				return strings.Compare(fmt.Sprint(a.(map[string]any)["id"]), fmt.Sprint(b.(map[string]any)["id"]))
			})
		}
	case map[string]any:
		delete(v, "details")
	}
	text, _ := json.Marshal(value)
	return string(text)
}

type quiet struct{}

func (quiet) Requested(string, int, time.Duration) {}
func (quiet) ClockSkew(time.Duration)              {}

func clientOf(t *testing.T, h http.Handler, key string) *supabase.Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	credentials, err := supabase.NewCredentials(supabase.Source{Value: key}, supabase.Source{}, clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := supabase.New(supabase.Options{URL: server.URL, Credentials: credentials, UserAgent: "test", Observer: quiet{}, Clock: clock.RealClock{}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// requests makes every request that the operator makes, and writes down what the client gives back.
func requests(t *testing.T, c *supabase.Client) (results []string) {
	ctx, rtt, jitter := t.Context(), 12.5, 0.25
	note := func(what string, values ...any) { results = append(results, what+": "+fmt.Sprint(values...)) }
	row := func(job, slot int) supabase.Row {
		due := t0.Add(time.Duration(slot) * 10 * time.Second)
		s := sample.Sample{JobID: id(job), ScheduledAt: due, RecordedAt: due.Add(time.Millisecond), Status: sample.Success, RTT: &rtt, Jitter: &jitter}
		if slot%3 == 2 {
			s.Status, s.RTT, s.Jitter = sample.Missed, nil, nil
		}
		return supabase.Row{Sample: s, Sequence: int64(slot)}
	}
	stored := func(all []supabase.Stored, err error) {
		text, _ := json.Marshal(all)
		note("stored", string(text), err)
	}
	running, err := c.RunningJobs(ctx)
	note("running", len(running), err)
	changed, _, err := c.ChangedJobs(ctx, t0)
	note("changed", len(changed), err)
	changed, _, err = c.ChangedJobs(ctx, time.Now().Add(time.Hour))
	note("changed later", len(changed), err)
	byID, err := c.JobsByID(ctx, []string{id(5), id(3), id(4000)})
	note("by id", len(byID), err)
	_, err = c.SamplesSince(ctx, map[string]time.Time{id(1): {}})
	note("no history", err)
	for _, rows := range [][]supabase.Row{
		{row(1, 0), row(1, 1), row(2, 0)}, {row(1, 1), row(1, 2), row(2, 3), row(2, 1)}, {row(1, 0)}, {row(1, 7), row(4000, 1)},
	} {
		known, err := c.InsertSamples(ctx, rows)
		note("inserted", known, err)
	}
	var many []supabase.Row
	for slot := range 1002 {
		many = append(many, row(7, slot))
	}
	_, err = c.InsertSamples(ctx, many)
	note("many", err)
	stored(c.SamplesSince(ctx, map[string]time.Time{id(1): t0, id(2): {}, id(3): {}}))
	stored(c.SamplesSince(ctx, map[string]time.Time{id(1): {}, id(7): {}, id(9): {}}))
	each := 0
	err = c.EachSample(ctx, id(7), func(supabase.Stored) { each++ })
	note("each", each, err)
	highest, err := c.HighestSequences(ctx, []string{id(1), id(2), id(7), id(8)})
	note("highest", highest[id(1)], highest[id(2)], highest[id(7)], len(highest), err)
	gap := func(job int, from, to int64) sample.Gap {
		return sample.Gap{JobID: id(job), From: t0.Add(time.Duration(from) * time.Second), To: t0.Add(time.Duration(to) * time.Second), Slots: to - from + 1, Reason: "Busy"}
	}
	note("gaps", c.PutGaps(ctx, []sample.Gap{gap(1, 20, 30), gap(1, 0, 3), gap(2, 5, 6)}))
	note("longer", c.PutGaps(ctx, []sample.Gap{gap(1, 0, 5)}))
	gaps, err := c.GapsSince(ctx, map[string]time.Time{id(1): {}, id(2): t0.Add(5 * time.Second), id(3): {}})
	note("gaps since", gaps, err)
	note("delete", c.DeleteGap(ctx, gap(1, 0, 3)), c.DeleteGap(ctx, gap(2, 5, 6)))
	gaps, err = c.GapsSince(ctx, map[string]time.Time{id(1): {}, id(2): {}})
	note("gaps left", gaps, err)
	note("touch", c.TouchJobs(ctx, []string{id(1), id(2)}, t0), c.TouchJobs(ctx, []string{id(1), id(3)}, t0.Add(-time.Second)))
	note("report", c.ReportJobs(ctx, []string{id(1), id(2)}, supabase.Report{State: "measuring", Message: `It says "hello", äöü`}))
	note("summary", c.SummarizeJob(ctx, id(1), supabase.Summary{Samples: 3, AvgRTT: &rtt}))
	read, err := c.JobsByID(ctx, []string{id(1)})
	if err != nil || len(read) == 0 {
		t.Fatal(read, err)
	}
	for range 2 {
		ended, err := c.EndJob(ctx, read[0], "completed", t0.Add(time.Hour), supabase.Summary{Samples: 4}, supabase.Report{})
		note("ended", ended, err)
	}
	note("poller", c.Heartbeat(ctx, supabase.Poller{ID: "a", SeenAt: t0, Version: "1"}), c.Heartbeat(ctx, supabase.Poller{ID: "a", SeenAt: t0, Version: "2", Message: "x"}))
	note("forget", c.ForgetPollers(ctx, "b", t0.Add(time.Second)))
	read, err = c.JobsByID(ctx, []string{id(1)})
	note("in the end", read[0].Status, read[0].CompletedAt, time.Since(read[0].UpdatedAt) < time.Minute, err)
	return results
}

func TestItAnswersLikePostgreSQL(t *testing.T) {
	project := supabasetest.New(t)
	insert := `insert into jobs (id, account_number, target_ip, cadence_seconds, duration_minutes, started_at, monitoring_mode)
		select (lpad(to_hex(n), 8, '0') || '-0000-4000-8000-000000000000')::uuid, 'A', '10.1.' || n / 256 || '.' || n % 256, 10, 60, $1, 'real_polling' from generate_series(0, 1099) n`
	if err := project.Exec(t.Context(), insert, t0); err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(project.URL())
	if err != nil {
		t.Fatal(err)
	}
	want := &recorder{next: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}}
	wanted := requests(t, clientOf(t, want, project.SecretKey()))
	got := &recorder{next: NewStore(jobs())}
	gotten := requests(t, clientOf(t, got, "sb_secret_x"))
	if diff := cmp.Diff(wanted, gotten); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want.exchanges, got.exchanges); diff != "" {
		t.Error(diff)
	}
	if len(got.exchanges) < 50 {
		t.Errorf("only %d requests were compared", len(got.exchanges))
	}
}

func TestWhatItDoesNotKnowItRefusesAndReports(t *testing.T) {
	for name, tc := range map[string]struct{ method, target, body string }{
		"a function":        {"POST", "/rest/v1/rpc/f", `{}`},
		"an operator":       {"GET", "/rest/v1/jobs?select=id&status=like.r*", ""},
		"one nobody uses":   {"GET", "/rest/v1/jobs?select=id&total_samples=lte.3", ""},
		"a parameter":       {"POST", "/rest/v1/samples?on_conflict=job_id,scheduled_at&columns=job_id", `[]`},
		"an order":          {"GET", "/rest/v1/jobs?select=id&order=id.sideways", ""},
		"a column":          {"GET", "/rest/v1/jobs?select=nothing", ""},
		"a field":           {"POST", "/rest/v1/samples", `[{"job_id":"` + id(1) + `","color":"red"}]`},
		"plain samples":     {"POST", "/rest/v1/samples", `[{"job_id":"` + id(1) + `","status":"missed"}]`},
		"another conflict":  {"POST", "/rest/v1/samples?on_conflict=id", `[]`},
		"a method":          {"PUT", "/rest/v1/jobs", `{}`},
		"changing samples":  {"PATCH", "/rest/v1/samples?job_id=eq." + id(1), `{"status":"missed"}`},
		"deleting jobs":     {"DELETE", "/rest/v1/jobs?id=eq." + id(1), ""},
		"a broken value":    {"PATCH", "/rest/v1/jobs?id=eq." + id(1), `{"total_samples":"many"}`},
		"an unknown column": {"PATCH", "/rest/v1/jobs?id=eq." + id(1), `{"color":"red"}`},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewStore(jobs())
			w := httptest.NewRecorder()
			s.ServeHTTP(w, httptest.NewRequest(tc.method, tc.target, strings.NewReader(tc.body)))
			if w.Code < 400 || len(s.Problems()) != 1 {
				t.Errorf("%d %s, %v", w.Code, w.Body, s.Problems())
			}
		})
	}
}

func TestStoredCountsByDueTime(t *testing.T) {
	s := NewStore(jobs())
	body := `[{"job_id":"` + id(1) + `","scheduled_at":"2026-11-23T10:00:10Z","recorded_at":"2026-11-23T10:00:10Z","status":"success","rtt_ms":1},
		{"job_id":"` + id(1) + `","scheduled_at":"2026-11-23T10:00:00Z","recorded_at":"2026-11-23T10:00:00Z","status":"missed","rtt_ms":null},
		{"job_id":"` + id(2) + `","scheduled_at":"2026-11-23T10:00:20Z","recorded_at":"2026-11-23T10:00:20Z","status":"missed","rtt_ms":null}]`
	for range 2 {
		req := httptest.NewRequest(http.MethodPost, "/rest/v1/samples?on_conflict=job_id,scheduled_at", strings.NewReader(body))
		req.Header.Set("Prefer", "resolution=ignore-duplicates")
		s.ServeHTTP(httptest.NewRecorder(), req)
	}
	at := time.Date(2026, time.November, 23, 10, 0, 0, 0, time.UTC)
	got := []int{s.Stored(at, at.Add(20*time.Second)), s.Stored(at.Add(time.Second), at.Add(21*time.Second)), s.Stored(at, at)}
	if want := []int{2, 2, 0}; !slices.Equal(got, want) || s.Ignored() != 3 || len(s.Problems()) > 0 {
		t.Errorf("got %v, %d ignored, %v", got, s.Ignored(), s.Problems())
	}
	if s.Sampled(id(1)).IsZero() || !s.Sampled(id(3)).IsZero() {
		t.Error("a job is sampled when it has a sample")
	}
}

func TestRequestsAreCountedByKind(t *testing.T) {
	c := Count(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); r.Method == http.MethodPatch && len(body) == 0 {
			t.Error("the body is gone")
		}
	}))
	for _, r := range []struct{ method, target, body string }{
		{"GET", "/rest/v1/jobs?select=id&status=eq.running", ""},
		{"GET", "/rest/v1/jobs?select=id&id=gt.5", ""},
		{"GET", "/rest/v1/jobs?select=id&id=in.(5)", ""},
		{"GET", "/rest/v1/jobs?select=id&updated_at=gte.2026", ""},
		{"PATCH", "/rest/v1/jobs?id=eq.5", `{"b":1,"a":null}`},
		{"POST", "/rest/v1/samples", `[]`},
	} {
		c.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(r.method, r.target, strings.NewReader(r.body)))
	}
	want := map[string]int64{"GET jobs": 2, "GET jobs by id": 1, "GET jobs by updated_at": 1, "PATCH jobs a,b": 1, "POST samples": 1}
	if diff := cmp.Diff(want, c.Seen()); diff != "" {
		t.Error(diff)
	}
	for kind, n := range want {
		if took := c.Took(kind); len(took) != int(n) || slices.Min(took) <= 0 {
			t.Errorf("%s took %v", kind, took)
		}
	}
}
