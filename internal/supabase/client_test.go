package supabase

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"

	"github.com/soundcheck-io/latency-operator/internal/sample"
)

const (
	idA = "0b9c3f0e-5a54-4c6e-9d0c-2a4f6f1f7a11"
	idB = "1b9c3f0e-5a54-4c6e-9d0c-2a4f6f1f7a11"
)

// seen is what the observer was told.
type seen struct {
	mu       sync.Mutex
	requests []string
	skew     time.Duration
}

func (s *seen) Requested(op string, status int, _ time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, fmt.Sprint(op, " ", status))
}

func (s *seen) ClockSkew(ahead time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.skew = ahead
}

// server answers requests for the schema with an empty list and hands all others to handle; it remembers them.
type server struct {
	*httptest.Server
	handle   http.HandlerFunc
	mu       sync.Mutex
	requests []*http.Request
	bodies   []string
}

func serve(t *testing.T, handle http.HandlerFunc) *server {
	t.Helper()
	s := &server{handle: handle}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.URL.Query().Get("limit") == "1" && !r.URL.Query().Has("order") { // the schema is looked at
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte("[]"))
			return
		}
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.requests = append(s.requests, r)
		s.bodies = append(s.bodies, string(body))
		s.mu.Unlock()
		s.handle(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func clientOf(t *testing.T, url string, key Source) (*Client, *seen) {
	t.Helper()
	credentials, err := NewCredentials(key, Source{}, clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	observer := &seen{}
	c, err := New(Options{URL: url, Credentials: credentials, UserAgent: "test/1", Observer: observer, Clock: clock.RealClock{}})
	if err != nil {
		t.Fatal(err)
	}
	return c, observer
}

// clientWith is a client with a key and the token of a role.
func clientWith(t *testing.T, url, key, token string) (*Client, error) {
	t.Helper()
	credentials, err := NewCredentials(Source{Value: key}, Source{Value: token}, clock.RealClock{})
	if err != nil {
		return nil, err
	}
	return New(Options{URL: url, Credentials: credentials, UserAgent: "test/1", Observer: &seen{}, Clock: clock.RealClock{}})
}

func answer(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if contentType != "" {
			w.Header().Set("Content-Type", contentType)
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

func TestAnswersAndWhatTheyMean(t *testing.T) {
	const jsonType = "application/json; charset=utf-8"
	for name, tc := range map[string]struct {
		handle http.HandlerFunc
		class  Class
		text   string
	}{
		"HTML of Cloudflare":   {answer(520, "text/html", "<html><body>Web server is returning an unknown error</body></html>"), Unavailable, "520"},
		"nothing, 401":         {answer(401, "", ""), KeyRefused, "401: Unauthorized"},
		"null":                 {answer(500, jsonType, "null"), Unavailable, "500: Internal Server Error"},
		"an array":             {answer(503, jsonType, `["x"]`), Unavailable, "503"},
		"status without name":  {answer(544, "", ""), Unavailable, "544: no explanation"},
		"gateway":              {answer(401, jsonType, `{"message":"Invalid API key"}`), KeyRefused, "Invalid API key"},
		"expired token":        {answer(401, jsonType, `{"code":"PGRST303","message":"JWT expired","details":null,"hint":null}`), KeyRefused, "(PGRST303): JWT expired"},
		"no such role":         {answer(401, jsonType, `{"code":"22023","message":"role \"x\" does not exist"}`), KeyRefused, "(22023)"},
		"no grant":             {answer(403, jsonType, `{"code":"42501","message":"permission denied","hint":"GRANT it"}`), KeyRefused, "permission denied (GRANT it)"},
		"paused project":       {answer(540, jsonType, `{"message":"Project paused"}`), Unavailable, "Project paused"},
		"over quota":           {answer(402, jsonType, `{"message":"exceeded_db_size"}`), Unavailable, "exceeded_db_size"},
		"read-only":            {answer(405, jsonType, `{"code":"25006","message":"cannot execute INSERT in a read-only transaction"}`), Unavailable, "25006"},
		"pool exhausted":       {answer(504, jsonType, `{"code":"PGRST003","message":"Timed out acquiring connection from connection pool."}`), Unavailable, "PGRST003"},
		"statement timeout":    {answer(500, jsonType, `{"code":"57014","message":"canceling statement due to statement timeout"}`), TooLarge, "57014"},
		"body too large":       {answer(413, "", ""), TooLarge, "413"},
		"missing column":       {answer(400, jsonType, `{"code":"PGRST204","message":"Could not find the column"}`), SchemaNotReady, "PGRST204"},
		"missing constraint":   {answer(400, jsonType, `{"code":"42P10","message":"there is no unique or exclusion constraint"}`), SchemaNotReady, "42P10"},
		"job gone":             {answer(409, jsonType, `{"code":"23503","message":"violates foreign key constraint"}`), JobGone, "23503"},
		"check violated":       {answer(400, jsonType, `{"code":"23514","message":"violates check constraint"}`), RowRejected, "23514"},
		"out of range":         {answer(400, jsonType, `{"code":"22003","message":"integer out of range"}`), RowRejected, "22003"},
		"details are an array": {answer(300, jsonType, `{"code":"PGRST201","message":"ambiguous","details":[{"a":1}]}`), Unavailable, "300 (PGRST201): ambiguous"},
		"code in a header": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Proxy-Status", "PostgREST; error=42501")
			w.WriteHeader(403)
		}, KeyRefused, "403 (42501)"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		}, Unavailable, "302"},
		"cut off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("x"))
		}, Unavailable, "did not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := clientOf(t, serve(t, tc.handle).URL, Source{Value: "sb_secret_x"})
			_, err := c.InsertSamples(t.Context(), []Row{{Sample: sample.Sample{JobID: idA, Status: sample.Missed}}})
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Fatalf("got %v", err)
			}
			if Classify(err) != tc.class || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("%v is %v; want %v and %q", err, Classify(err), tc.class, tc.text)
			}
			if strings.Contains(err.Error(), "sb_secret") || strings.Contains(err.Error(), "http://") {
				t.Errorf("%q shows more than it should", err)
			}
		})
	}
}

func TestAPageOfAProxyIsNoAnswer(t *testing.T) {
	c, _ := clientOf(t, serve(t, answer(200, "text/html", "<html>log in</html>")).URL, Source{Value: "k"})
	if _, err := c.RunningJobs(t.Context()); err == nil || !strings.Contains(err.Error(), "is SUPABASE_URL the project's URL?") {
		t.Errorf("got %v", err)
	}
}

func TestRetryAfter(t *testing.T) {
	c, _ := clientOf(t, serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(503)
	}).URL, Source{Value: "k"})
	_, err := c.RunningJobs(t.Context())
	var typed *Error
	if !errors.As(err, &typed) || typed.RetryAfter != 7*time.Second {
		t.Errorf("got %v", err)
	}
}

func TestDeadlineCoversTheBody(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		<-release
	})
	defer close(release)
	c, observer := clientOf(t, s.URL, Source{Value: "k"})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.RunningJobs(ctx); err == nil || !strings.Contains(err.Error(), "no answer in time") {
		t.Errorf("got %v", err)
	}
	if last := observer.requests[len(observer.requests)-1]; last != "list_jobs 0" {
		t.Errorf("the observer heard %q", last)
	}
}

func TestHeaders(t *testing.T) {
	legacy := "eyJhbGciOiJIUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(`{"role":"service_role"}`)) + ".c2ln"
	for name, tc := range map[string]struct {
		key, token            string
		apikey, authorization string
	}{
		"new secret key": {key: "sb_secret_x", apikey: "sb_secret_x"},
		"legacy key":     {key: legacy, apikey: legacy, authorization: "Bearer " + legacy},
		"unknown key":    {key: "self-hosted", apikey: "self-hosted", authorization: "Bearer self-hosted"},
		"role's token":   {key: "sb_publishable_x", token: legacy, apikey: "sb_publishable_x", authorization: "Bearer " + legacy},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, answer(201, "", ""))
			credentials, err := NewCredentials(Source{Value: tc.key}, Source{Value: tc.token}, clock.RealClock{})
			if err != nil {
				t.Fatal(err)
			}
			c, err := New(Options{URL: s.URL, Credentials: credentials, UserAgent: "test/1", Observer: &seen{}, Clock: clock.RealClock{}})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.InsertSamples(t.Context(), []Row{{Sample: sample.Sample{JobID: idA, Status: sample.Missed}}}); err != nil {
				t.Fatal(err)
			}
			h := s.requests[0].Header
			got := []string{h.Get("apikey"), h.Get("Authorization"), h.Get("User-Agent"), strings.Join(h.Values("Prefer"), "|"), h.Get("Content-Type")}
			want := []string{tc.apikey, tc.authorization, "test/1", "resolution=ignore-duplicates,return=minimal,count=exact", "application/json"}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOneUnreadableRowDoesNotSpoilTheOthers(t *testing.T) {
	page := `[{"id":"` + idA + `","target_ip":"10.1.2.3","cadence_seconds":1.5,"duration_minutes":1,"status":"running"},
		{"id":"` + idB + `","target_ip":null,"cadence_seconds":10,"duration_minutes":1,"started_at":"2026-11-23T10:00:00+00:00","status":"running","monitoring_mode":"real_polling"}]`
	c, _ := clientOf(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("id") {
			page = "[]"
		}
		_, _ = w.Write([]byte(page))
	}).URL, Source{Value: "k"})
	jobs, err := c.RunningJobs(t.Context())
	if err != nil || len(jobs) != 2 || jobs[0].ID != idA || jobs[0].Problem == "" || jobs[1].Problem != "" || jobs[1].CadenceSeconds != 10 {
		t.Errorf("got %+v, %v", jobs, err)
	}
}

func TestPagesOutOfOrderAreAnErrorAndNotAnEndlessLoop(t *testing.T) {
	c, _ := clientOf(t, serve(t, answer(200, "application/json", `[{"id":"`+idA+`"}]`)).URL, Source{Value: "k"})
	if _, err := c.RunningJobs(t.Context()); err == nil || !strings.Contains(err.Error(), "not in order") {
		t.Errorf("got %v", err)
	}
}

// A column may be in the database and not yet in PostgREST's schema cache.
func TestAColumnThatPostgRESTDoesNotKnowIsLeftOut(t *testing.T) {
	s := serve(t, nil)
	handle := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("on_conflict") {
			answer(400, "application/json", `{"code":"PGRST204","message":"Could not find the 'scheduled_at' column of 'samples' in the schema cache"}`)(w, r)
			return
		}
		w.WriteHeader(201)
	}
	s.handle = handle
	c, _ := clientOf(t, s.URL, Source{Value: "k"})
	rows := []Row{{Sample: sample.Sample{JobID: idA, Status: sample.Missed}}}
	if _, err := c.InsertSamples(t.Context(), rows); Classify(err) != SchemaNotReady {
		t.Fatalf("got %v", err)
	}
	if _, err := c.InsertSamples(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	if last := s.bodies[len(s.bodies)-1]; strings.Contains(last, "scheduled_at") || !strings.Contains(last, "recorded_at") {
		t.Errorf("sent %s", last)
	}
	if diff := cmp.Diff([]string{"samples.scheduled_at"}, c.Schema().Missing()); diff != "" {
		t.Error(diff)
	}
}

func TestClockSkew(t *testing.T) {
	c, observer := clientOf(t, serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(-time.Minute).UTC().Format(http.TimeFormat))
		_, _ = w.Write([]byte("[]"))
	}).URL, Source{Value: "k"})
	if _, err := c.RunningJobs(t.Context()); err != nil {
		t.Fatal(err)
	}
	if observer.skew < 58*time.Second || observer.skew > 62*time.Second {
		t.Errorf("ahead by %v, want about a minute", observer.skew)
	}
}

func TestCheckURL(t *testing.T) {
	const wrong = "SUPABASE_URL is not a project's URL"
	for raw, want := range map[string]string{
		"":                               "SUPABASE_URL is not set",
		"abc":                            wrong,
		"sb_secret_in_the_wrong_place":   wrong,
		"ftp://x":                        wrong,
		"https://":                       wrong,
		"https://u:secret@x.supabase.co": wrong,
		"https://x.supabase.co?a=b":      wrong,
		"https://x.supabase.co":          "",
		"http://localhost:54321/":        "",
		"https://x.supabase.co/rest/v1/": "",
	} {
		err := CheckURL(raw)
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%q: %v", raw, err)
		}
	}
}
