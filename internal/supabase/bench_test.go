package supabase

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/utils/clock"
)

// page is an answer with n jobs, as PostgREST writes it.
func page(n int) []byte {
	rows := make([]string, n)
	for i := range rows {
		rows[i] = fmt.Sprintf(`{"id":"%s","target_ip":"10.1.%d.%d","cadence_seconds":10,"duration_minutes":1440,"status":"running","monitoring_mode":"real_polling",`+
			`"started_at":"2026-11-23T10:00:00.%06d+00:00","completed_at":null,"monitor_state":"measuring","monitor_message":null,"updated_at":"2026-11-23T10:00:00.%06d+00:00"}`,
			jobID(i), i/250%250, i%250, i, i)
	}
	return []byte("[" + strings.Join(rows, ", \n ") + "]")
}

// BenchmarkParseJobs reads a page of a thousand jobs.
func BenchmarkParseJobs(b *testing.B) {
	body := page(pageSize)
	b.ReportAllocs()
	for b.Loop() {
		jobs, err := parseJobs(nil, body)
		if err != nil || len(jobs) != pageSize {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*pageSize), "ns/row")
}

// sizes are how many samples a request stores.
var sizes = []int{1, 100, 1000}

// BenchmarkEncode is the body of a request that stores samples.
func BenchmarkEncode(b *testing.B) {
	schema := &Schema{samples: map[string]bool{"scheduled_at": true, "sequence_number": true, "jitter_ms": true, "recorded_at": true}}
	for _, n := range sizes {
		samples := measured(n)
		b.Run(fmt.Sprint("rows=", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if body := encode(samples, schema); len(body) > 2+rowBytes*n {
					b.Fatalf("%d bytes a row", len(body)/n)
				}
			}
		})
	}
}

// BenchmarkInsert is the whole request, and a server in the same process that reads it to its end.
func BenchmarkInsert(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = w.Write([]byte("[]"))
			return
		}
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil || n == 0 {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Range", "*/1000")
		w.WriteHeader(http.StatusCreated)
	}))
	defer s.Close()
	credentials, err := NewCredentials(Source{Value: "k"}, Source{}, clock.RealClock{})
	if err != nil {
		b.Fatal(err)
	}
	c, err := New(Options{URL: s.URL, Credentials: credentials, UserAgent: "bench/1", Observer: nobody{}, Clock: clock.RealClock{}})
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range sizes {
		samples := measured(n)
		b.Run(fmt.Sprint("rows=", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.InsertSamples(b.Context(), samples); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
