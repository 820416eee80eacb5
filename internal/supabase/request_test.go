package supabase

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/soundcheck-io/latency-operator/internal/sample"
)

func TestRequestsAsTheyAreSent(t *testing.T) {
	at := time.Date(2026, 11, 23, 10, 0, 0, 123456789, time.UTC)
	rtt, jitter := 12.5, 0.25
	for name, tc := range map[string]struct {
		do           func(c *Client) error
		method, path string
		query        map[string]string
		body         string
	}{
		"insert samples": {
			do: func(c *Client) error {
				_, err := c.InsertSamples(t.Context(), []Row{{Sequence: 7, Sample: sample.Sample{
					JobID: idA, ScheduledAt: at, RecordedAt: at, Status: sample.Success, RTT: &rtt, Jitter: &jitter,
				}}})
				return err
			},
			method: "POST", path: "/rest/v1/samples",
			query: map[string]string{"on_conflict": "job_id,scheduled_at"},
			body:  `[{"job_id":"` + idA + `","status":"success","rtt_ms":12.5,"scheduled_at":"2026-11-23T10:00:00.123456Z","sequence_number":7,"jitter_ms":0.25,"recorded_at":"2026-11-23T10:00:00.123456Z"}]`,
		},
		"end a job": {
			do: func(c *Client) error {
				_, err := c.EndJob(t.Context(), Job{ID: idA, CadenceSeconds: 10, DurationMinutes: 60, StartedAt: "2026-11-23T09:00:00+00:00"}, "completed", at, Summary{Samples: 3}, Report{State: "not_measuring", Message: "Over"})
				return err
			},
			method: "PATCH", path: "/rest/v1/jobs",
			query: map[string]string{"id": "eq." + idA, "status": "eq.running", "cadence_seconds": "eq.10", "duration_minutes": "eq.60", "started_at": "eq.2026-11-23T09:00:00+00:00"},
			body:  `{"avg_rtt_ms":null,"completed_at":"2026-11-23T10:00:00.123456Z","monitor_message":"Over","monitor_state":"not_measuring","packet_loss_percent":null,"status":"completed","total_samples":3}`,
		},
		"touch jobs": {
			do:     func(c *Client) error { return c.TouchJobs(t.Context(), []string{idA, idB}, at) },
			method: "PATCH", path: "/rest/v1/jobs",
			query: map[string]string{
				"id": "in.(" + idA + "," + idB + ")",
				"or": "(last_ping_at.is.null,last_ping_at.lt.2026-11-23T10:00:00.123456Z)",
			},
			body: `{"last_ping_at":"2026-11-23T10:00:00.123456Z"}`,
		},
		"put gaps": {
			do: func(c *Client) error {
				return c.PutGaps(t.Context(), []sample.Gap{{JobID: idA, From: at, To: at.Add(time.Second), Slots: 2, Reason: "Busy"}})
			},
			method: "POST", path: "/rest/v1/sample_gaps", query: map[string]string{"on_conflict": "job_id,from_at"},
			body: `[{"job_id":"` + idA + `","from_at":"2026-11-23T10:00:00.123456Z","to_at":"2026-11-23T10:00:01.123456Z","slots":2,"reason":"Busy"}]`,
		},
		"delete a gap": {
			do: func(c *Client) error {
				return c.DeleteGap(t.Context(), sample.Gap{JobID: idA, From: at, To: at.Add(time.Second)})
			},
			method: "DELETE", path: "/rest/v1/sample_gaps",
			query: map[string]string{"job_id": "eq." + idA, "from_at": "eq.2026-11-23T10:00:00.123456Z", "to_at": "eq.2026-11-23T10:00:01.123456Z"},
		},
		"close a job": {
			do: func(c *Client) error {
				_, err := c.CloseJob(t.Context(), Job{ID: idA, Status: "cancelled", StartedAt: "2026-11-23T09:00:00+00:00"}, Summary{Samples: 1, AvgRTT: &rtt}, Report{State: "waiting"})
				return err
			},
			method: "PATCH", path: "/rest/v1/jobs", query: map[string]string{"id": "eq." + idA, "status": "eq.cancelled", "started_at": "eq.2026-11-23T09:00:00+00:00"},
			body: `{"avg_rtt_ms":12.5,"monitor_message":null,"monitor_state":"waiting","packet_loss_percent":null,"total_samples":1}`,
		},
		"clear a report": {
			do:     func(c *Client) error { return c.ReportJobs(t.Context(), []string{idA}, Report{State: "measuring"}) },
			method: "PATCH", path: "/rest/v1/jobs", query: map[string]string{"id": "in.(" + idA + ")", "status": "eq.running"},
			body: `{"monitor_message":null,"monitor_state":"measuring"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, answer(204, "", ""))
			c, _ := clientOf(t, s.URL+"/", Source{Value: "k"})
			if err := tc.do(c); err != nil {
				t.Fatal(err)
			}
			r := s.requests[0]
			query := map[string]string{}
			for k, v := range r.URL.Query() {
				query[k] = strings.Join(v, "|")
			}
			if r.Method != tc.method || r.URL.Path != tc.path {
				t.Errorf("%s %s", r.Method, r.URL.Path)
			}
			if diff := cmp.Diff(tc.query, query); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tc.body, s.bodies[0]); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNothingIsSentThatCouldDoHarm(t *testing.T) {
	s := serve(t, answer(204, "", ""))
	c, _ := clientOf(t, s.URL, Source{Value: "k"})
	for name, do := range map[string]func() error{
		"an id with a filter in it": func() error { return c.TouchJobs(t.Context(), []string{idA + ")"}, time.Now()) },
		"a URN of an id": func() error {
			_, err := c.EndJob(t.Context(), Job{ID: "urn:uuid:" + idA}, "completed", time.Now(), Summary{}, Report{})
			return err
		},
		"no id at all":           func() error { _, err := c.JobsByID(t.Context(), nil); return err },
		"too many ids":           func() error { _, err := c.JobsByID(t.Context(), make([]string, 102)); return err },
		"too many jobs to touch": func() error { return c.TouchJobs(t.Context(), slices.Repeat([]string{idA}, TouchAtOnce+1), time.Now()) },
	} {
		if err := do(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if len(s.requests) != 0 {
		t.Errorf("%d requests were sent", len(s.requests))
	}
}

// Gateways refuse a request whose line is longer than some 8,192 characters.
func TestAsManyJobsAsCanBeTouchedFitIntoAURL(t *testing.T) {
	s := serve(t, answer(204, "", ""))
	c, _ := clientOf(t, s.URL, Source{Value: "k"})
	ids := make([]string, TouchAtOnce)
	for i := range ids {
		ids[i] = jobID(i)
	}
	if err := c.TouchJobs(t.Context(), ids, t0); err != nil {
		t.Fatal(err)
	}
	if n := len(s.requests[0].RequestURI); n > 8000 {
		t.Errorf("%d characters", n)
	}
}
