package supabase

import (
	"encoding/json"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest"
)

// measured are n samples, one a second from t0, each of another job.
func measured(n int) []Row {
	rows := make([]Row, n)
	for i := range rows {
		at := t0.Add(time.Duration(i) * time.Second)
		rows[i] = Row{Sequence: int64(i), Sample: sample.Sample{
			JobID: jobID(i), Slot: int64(i), Cadence: 10 * time.Second, ScheduledAt: at, RecordedAt: at.Add(1234 * time.Microsecond),
			Status: sample.Success, RTT: new(10 + float64(i)/7), Jitter: new(float64(i) / 70),
		}}
	}
	return rows
}

// slowly is what encode is to give, made in the plainest way.
func slowly(samples []Row, schema *Schema) []map[string]any {
	rows := []map[string]any{}
	for _, s := range samples {
		row := map[string]any{"job_id": s.JobID, "status": s.Status, "rtt_ms": s.RTT}
		for column, v := range map[string]any{
			"scheduled_at": s.ScheduledAt.UTC().Truncate(time.Microsecond), "sequence_number": s.Sequence,
			"jitter_ms": s.Jitter, "recorded_at": s.RecordedAt.UTC().Truncate(time.Microsecond),
		} {
			if schema.samples[column] {
				row[column] = v
			}
		}
		rows = append(rows, row)
	}
	return rows
}

func TestEncodedSamplesHaveTheColumnsOfTheDatabase(t *testing.T) {
	samples := measured(3)
	samples[1].RTT, samples[1].Jitter, samples[1].Status = nil, nil, sample.Missed
	samples[1].ScheduledAt = t0.Truncate(time.Second).In(time.FixedZone("", 3600))
	for _, v := range []float64{math.SmallestNonzeroFloat64, math.MaxFloat64, 0, 1e21, 1e-7, 0.1, 123456789.123456789} {
		samples = append(samples, Row{Sequence: math.MaxInt64, Sample: sample.Sample{
			JobID: "\"\\\n\x00ä\xff<>", Status: "what\tever", RTT: &v, Jitter: &v, ScheduledAt: t0.Add(999), RecordedAt: time.Unix(0, 0),
		}})
	}
	for columns := range 1 << len(sampleExtras) {
		schema := &Schema{samples: map[string]bool{}}
		for i, column := range sampleExtras {
			schema.samples[column] = columns>>i&1 == 1
		}
		for n := range len(samples) {
			plain, err := json.Marshal(slowly(samples[:n], schema))
			if err != nil {
				t.Fatal(err)
			}
			var got, want []map[string]any
			if err := json.Unmarshal(encode(samples[:n], schema), &got); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(plain, &want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%v: %s", schema.samples, diff)
			}
		}
	}
}

func TestWhatJSONHasNoNumberForIsNull(t *testing.T) {
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if got := string(appendNumber(nil, &v)); got != "null" {
			t.Errorf("%v became %s", v, got)
		}
	}
}

func TestSamplesThatTheDatabaseHasAreCounted(t *testing.T) {
	p := newProject(t)
	samples := measured(5)
	for i := range samples {
		p.job(jobID(i))
	}
	for _, step := range []struct{ from, to, known int }{{0, 3, 0}, {0, 3, 3}, {1, 5, 2}, {4, 5, 1}} {
		if known, err := p.c.InsertSamples(t.Context(), samples[step.from:step.to]); err != nil || known != step.known {
			t.Errorf("%v: %d were there, %v", step, known, err)
		}
	}
	const stored = `select string_agg(concat_ws(' ', right(job_id::text, 1), sequence_number, status, round(rtt_ms, 3), round(jitter_ms, 3),
		extract(epoch from scheduled_at - $1::timestamptz)::int, extract(milliseconds from recorded_at - scheduled_at)), ', ' order by job_id) from samples`
	if diff := cmp.Diff("0 0 success 10.000 0.000 0 1.234, 1 1 success 10.143 0.014 1 1.234, 2 2 success 10.286 0.029 2 1.234, "+
		"3 3 success 10.429 0.043 3 1.234, 4 4 success 10.571 0.057 4 1.234", p.text(stored, t0)); diff != "" {
		t.Error(diff)
	}
}

func TestWithoutTheKeyNothingIsCounted(t *testing.T) {
	p := newProject(t, supabasetest.WithoutMigrations(), supabasetest.WithSQL(`
		create table jobs (id uuid primary key, target_ip text, cadence_seconds int, duration_minutes int, status text, monitoring_mode text, started_at timestamptz);
		create table samples (job_id uuid references jobs (id), status text, rtt_ms numeric);
		grant all on jobs, samples to service_role`))
	p.exec(`insert into jobs (id) values ($1)`, jobID(0))
	for range 2 {
		if known, err := p.c.InsertSamples(t.Context(), measured(1)); err != nil || known != 0 {
			t.Fatalf("%d, %v", known, err)
		}
	}
	if n := p.text(`select count(*)::text from samples`); n != "2" {
		t.Errorf("%s rows", n)
	}
}

func TestAnAnswerThatDoesNotCountIsNoHarm(t *testing.T) {
	for contentRange, want := range map[string]int{
		"*/1": 2, "*/0": 3, "*/3": 0, "": 0, "*/*": 0, "*/x": 0, "*/-1": 0, "*/4": 0, "x": 0, "0-1/2/3": 0, "*/99999999999999999999": 0,
	} {
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			if contentRange != "" {
				w.Header().Set("Content-Range", contentRange)
			}
			w.WriteHeader(http.StatusCreated)
		})
		c, _ := clientOf(t, s.URL, Source{Value: "k"})
		if known, err := c.InsertSamples(t.Context(), measured(3)); err != nil || known != want {
			t.Errorf("%q: %d, %v, want %d", contentRange, known, err, want)
		}
		if prefer := s.requests[0].Header.Get("Prefer"); !strings.Contains(prefer, "count=exact") {
			t.Errorf("asked for %s", prefer)
		}
	}
}
