package supabase

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"k8s.io/utils/clock"
)

// odd are bodies of rows and of errors, as PostgREST, gateways and proxies send them, and what could be made of them.
var odd = []string{
	"", "null", "[]", "{}", "[null]", "[[]]", `"x"`, "7", "<html><body>520</body></html>", "error code: 523", "[{", "\x00\xff",
	`{"code":"23503","message":"violates foreign key constraint","details":"Key (job_id)=(` + idA + `) is not present in table \"jobs\".","hint":null}`,
	`{"code":"PGRST201","message":"ambiguous","details":[{"a":1}],"hint":"Try changing"}`,
	`{"code":"PGRST204","message":"Could not find the 'scheduled_at' column of 'samples' in the schema cache"}`,
	`{"code":"PGRST205","message":"Could not find the table 'public.sample_gaps' in the schema cache"}`,
	`{"code":"57014","message":"canceling statement due to statement timeout","details":{"a":null}}`,
	`{"code":"a\nb","message":"m"}`,
	`{"code":42501,"message":["x"],"error":"\ud800","msg":"a\nb"}`,
	`{"message":"` + strings.Repeat("ä", 400) + `"}`,
	`[{"id":"` + idA + `","target_ip":"10.1.2.3","cadence_seconds":10,"duration_minutes":60,"started_at":"2026-11-23T10:00:00+00:00","completed_at":null,"status":"running","monitoring_mode":"real_polling","monitor_state":null}]`,
	`[{"id":"` + idA + `","cadence_seconds":1.5,"duration_minutes":99999999999999999999,"target_ip":{"a":1},"status":null}]`,
	`[{"id":"` + idA + `","job_id":"` + idA + `","scheduled_at":"2026-11-23T10:00:00.123456+00:00","recorded_at":null,"status":"success","rtt_ms":12.5,"jitter_ms":0}]`,
	`[{"job_id":"` + idA + `","scheduled_at":"infinity","recorded_at":"-infinity","status":1,"rtt_ms":"NaN","jitter_ms":1e400}]`,
	`[{"job_id":"` + idB + `","scheduled_at":"12026-01-01T00:00:00+00:00","rtt_ms":-1}]`,
	`[{"job_id":"` + idA + `","from_at":"2026-11-23T10:00:00+00:00","to_at":"2026-11-23T10:00:10+00:00","slots":2,"reason":"Busy"}]`,
	`[{"job_id":"` + idA + `","from_at":"0044-03-15T00:00:00+00:00 BC","to_at":7,"slots":"x","reason":null}]`,
}

// FuzzParseRow reads a row of each table.
func FuzzParseRow(f *testing.F) {
	for _, body := range odd {
		f.Add([]byte(strings.Trim(body, "[]")))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		raw := json.RawMessage(data)
		if job := parseJob(raw); !json.Valid(raw) && job.Problem == "" {
			t.Errorf("%q became %+v", data, job)
		}
		s := parseStored(raw)
		for _, v := range []*float64{s.row.RTT, s.row.Jitter} {
			if v != nil && (math.IsNaN(*v) || math.IsInf(*v, 0)) {
				t.Errorf("%q has the number %v", data, *v)
			}
		}
		for _, at := range []time.Time{s.row.ScheduledAt, s.row.RecordedAt} {
			if at.Location() != time.UTC || !at.Equal(at.Truncate(time.Microsecond)) {
				t.Errorf("%q has the time %v", data, at)
			}
		}
		if s.whole == s.row.ScheduledAt.IsZero() {
			t.Errorf("%q became %+v", data, s)
		}
		if g := parseGap(raw); g.whole && (g.row.From.IsZero() || g.row.To.IsZero() || g.row.Slots < 1) {
			t.Errorf("%q became %+v", data, g)
		}
	})
}

// fixedAnswer gives each request the same answer.
type fixedAnswer struct {
	status            int
	contentType, body string
}

// nobody observes.
type nobody struct{}

func (nobody) Requested(string, int, time.Duration) {}
func (nobody) ClockSkew(time.Duration)              {}

// FuzzParseAnswer has every method read an answer, whatever was asked. Each has to come to an end, and say in one line what is wrong.
func FuzzParseAnswer(f *testing.F) {
	for i, body := range odd {
		f.Add(200, "application/json; charset=utf-8", body)
		f.Add([]int{300, 400, 401, 403, 409, 500, 503, 520, 544}[i%9], []string{"application/json", "text/html", ""}[i%3], body)
	}
	var current atomic.Pointer[fixedAnswer]
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := current.Load()
		if strings.Count(r.URL.Query().Get("select"), ",") > 2 && r.URL.Query().Get("limit") == "1" {
			_, _ = w.Write([]byte("[]")) // the database has all columns
			return
		}
		w.Header().Set("Content-Type", a.contentType)
		w.WriteHeader(a.status)
		_, _ = w.Write([]byte(a.body))
	}))
	defer s.Close()
	credentials, err := NewCredentials(Source{Value: "k"}, Source{}, clock.RealClock{})
	if err != nil {
		f.Fatal(err)
	}
	c, err := New(Options{URL: s.URL, Credentials: credentials, UserAgent: "test/1", Observer: nobody{}, Clock: clock.RealClock{}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, status int, contentType, body string) {
		if status < 200 || status > 999 || strings.ContainsFunc(contentType, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Skip()
		}
		current.Store(&fixedAnswer{status, contentType, body})
		c.schema, c.probed = nil, time.Time{} // as a new client would be, on the same connections
		c.proven.Store(false)
		ctx := t.Context()
		_, running := c.RunningJobs(ctx)
		_, byID := c.JobsByID(ctx, []string{idA})
		_, highest := c.HighestSequences(ctx, []string{idA})
		_, closed := c.CloseJob(ctx, Job{ID: idA}, Summary{}, Report{})
		errs := askAll(ctx, c)
		errs["running"], errs["by id"], errs["highest"], errs["closed"] = running, byID, highest, closed
		for method, err := range errs {
			if answer, ok := errors.AsType[*Error](err); ok {
				text := answer.Error() + answer.Details
				if strings.ContainsAny(text, "\n\r\x00") || !utf8.ValidString(text) || utf8.RuneCountInString(answer.Message) > 300 {
					t.Errorf("%s: %q", method, text)
				}
				_ = Classify(err).String()
			} else if err != nil && !errors.Is(err, ErrNoHistory) {
				t.Errorf("%s: %v is not an *Error", method, err)
			}
		}
	})
}
