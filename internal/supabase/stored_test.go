package supabase

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest"
)

func TestSamplesOfManyJobsWhateverThePageSize(t *testing.T) {
	for _, rows := range []int{1, 3, 1000} {
		t.Run(strconv.Itoa(rows), func(t *testing.T) {
			p := newProject(t, maxRows(rows))
			for i := range 7 {
				p.job(jobID(i))
			}
			p.samples(jobID(0), 4)
			p.samples(jobID(1), 6) // its newest is known
			p.samples(jobID(2), 3) // all are known, and more than a page are before the earliest instant of the others
			p.samples(jobID(4), 7)
			p.unscheduled(jobID(4), 2)
			p.samples(jobID(5), 5) // not asked for
			p.samples(jobID(6), 1)
			got, err := p.c.SamplesSince(t.Context(), map[string]time.Time{
				jobID(0): {}, jobID(1): t0.Add(4 * time.Second), jobID(2): t0.Add(time.Hour), jobID(3): {},
				jobID(4): t0.Add(time.Second), jobID(6): t0.Add(-time.Microsecond),
			})
			if err != nil {
				t.Fatal(err)
			}
			want := []string{"0 0s success 0", "0 1s success 1", "0 2s success 2", "0 3s success 3", "1 5s success 5"}
			for i := 2; i < 7; i++ {
				want = append(want, fmt.Sprintf("4 %ds success %d", i, i))
			}
			if diff := cmp.Diff(append(want, "6 0s success 0"), show(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNewSamplesOfManyJobsTakeFewRequests(t *testing.T) {
	p := newProject(t)
	since := map[string]time.Time{}
	for i := range 50 {
		p.job(jobID(i))
		p.samples(jobID(i), 5)
		since[jobID(i)] = t0.Add(2 * time.Second)
	}
	if _, err := p.c.known(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.ResetRequests()
	got, err := p.c.SamplesSince(t.Context(), since)
	if err != nil || len(got) != 100 {
		t.Fatalf("%d samples, %v", len(got), err)
	}
	if n := p.sent("samples"); n != 2 {
		t.Errorf("%d requests", n)
	}
	// An instant that lies far ahead of the others' is not approached page by page.
	p.exec(`insert into samples (job_id, sequence_number, scheduled_at, status)
		select $1::uuid, i, $2::timestamptz + i * interval '1 s', 'missed' from generate_series(5, 20000) i`, jobID(49), t0)
	p.ResetRequests()
	got, err = p.c.SamplesSince(t.Context(), map[string]time.Time{jobID(48): {}, jobID(49): t0.Add(19_999 * time.Second)})
	if err != nil || len(got) != 6 {
		t.Fatalf("%d samples, %v", len(got), err)
	}
	if n := p.sent("samples"); n != 3 {
		t.Errorf("%d requests", n)
	}
}

func TestEachSample(t *testing.T) {
	p := newProject(t)
	for i, n := range []int{0, 1, 999, 1000, 1001, 2500} {
		p.job(jobID(i))
		p.samples(jobID(i), n)
	}
	p.unscheduled(jobID(5), 2100)
	for i, want := range []int{0, 1, 999, 1000, 1001, 4600} {
		var got []Stored
		if err := p.c.EachSample(t.Context(), jobID(i), func(s Stored) { got = append(got, s) }); err != nil {
			t.Fatal(err)
		}
		if len(got) != want {
			t.Errorf("%d samples, want %d", len(got), want)
		}
		for n, s := range got {
			scheduled := n < 2500
			if s.JobID != jobID(i) || scheduled && (!s.ScheduledAt.Equal(t0.Add(time.Duration(n)*time.Second)) || *s.RTT != float64(n) || *s.Jitter != 0.5 || !s.RecordedAt.Equal(s.ScheduledAt)) ||
				!scheduled && (!s.ScheduledAt.IsZero() || s.Status != sample.Missed || s.RTT != nil) {
				t.Fatalf("sample %d is %+v", n, s)
			}
		}
	}
}

func TestEachSampleOfShortPages(t *testing.T) {
	for _, rows := range []int{1, 3} {
		p := newProject(t, maxRows(rows))
		p.job(idA)
		p.samples(idA, 7)
		p.unscheduled(idA, 6)
		n := 0
		if err := p.c.EachSample(t.Context(), idA, func(Stored) { n++ }); err != nil || n != 13 {
			t.Errorf("max-rows %d: %d samples, %v", rows, n, err)
		}
	}
}

func TestPagesThatTakeTooLongAreHalved(t *testing.T) {
	p := newProject(t)
	p.job(idA)
	p.samples(idA, 600)
	p.unscheduled(idA, 300)
	p.Inject(supabasetest.Fault{
		Match: func(r *http.Request) bool {
			limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
			return limit > 125
		},
		Status: 500, ContentType: "application/json", Body: `{"code":"57014","message":"canceling statement due to statement timeout"}`,
	})
	n := 0
	if err := p.c.EachSample(t.Context(), idA, func(Stored) { n++ }); err != nil || n != 900 {
		t.Fatalf("%d samples, %v", n, err)
	}
	var limits []string
	for _, r := range p.Requests() {
		if limit := r.Query.Get("limit"); limit != "1" {
			limits = append(limits, limit)
		}
	}
	want := append([]string{"1000", "500", "250"}, slices.Repeat([]string{"125"}, 6+4)...)
	if diff := cmp.Diff(want, limits); diff != "" {
		t.Error(diff)
	}
}

func TestValuesThatCannotBeReadSpoilNothingElse(t *testing.T) {
	for _, rows := range []int{1, 3, 1000} {
		p := newProject(t, maxRows(rows))
		p.job(idA)
		p.job(idB)
		p.exec(`insert into samples (job_id, sequence_number, scheduled_at, recorded_at, status, rtt_ms, jitter_ms) values
			($1, 1, '-infinity', now(), 'success', 1, 1), ($1, 2, '0044-03-15 BC', now(), 'success', 1, 1),
			($1, 3, $3, 'infinity', 'success', 'NaN', 'NaN'), ($1, 4, $4, '-infinity', 'success', '1e400', 2),
			($1, 5, '12026-01-01', now(), 'success', 1, 1), ($1, 6, 'infinity', now(), 'success', 1, 1),
			($2, 1, $3, now(), 'success', 3, null)`, idA, idB, t0, t0.Add(time.Second))
		want := []string{"1 0s success null", "1 1s success null"}
		var each []Stored
		if err := p.c.EachSample(t.Context(), idA, func(s Stored) { each = append(each, s) }); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, show(each)); diff != "" {
			t.Error(diff)
		}
		if !each[0].RecordedAt.IsZero() || each[0].Jitter != nil || *each[1].Jitter != 2 {
			t.Errorf("got %+v", each)
		}
		got, err := p.c.SamplesSince(t.Context(), map[string]time.Time{idA: {}, idB: {}})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(append(want, "1 0s success 3"), show(got)); diff != "" {
			t.Error(diff)
		}
	}
}

// askAll calls the three methods that read history about idA.
func askAll(ctx context.Context, c *Client) map[string]error {
	since := map[string]time.Time{idA: {}}
	_, samples := c.SamplesSince(ctx, since)
	_, gaps := c.GapsSince(ctx, since)
	return map[string]error{"samples": samples, "gaps": gaps, "each": c.EachSample(ctx, idA, func(Stored) {})}
}

func TestNoHistory(t *testing.T) {
	for name, tc := range map[string]struct {
		sql string
		// proven tells that there is a sample of another job to see.
		proven bool
		text   string
	}{
		"no sample at all":     {"", false, "row-level security"},
		"one of another job":   {"", true, ""},
		"rows are hidden":      {`drop policy samples_app_select on samples`, true, "row-level security"},
		"no right to read":     {`revoke select on samples from anon`, true, "permission denied"},
		"no due times":         {`alter table samples drop column scheduled_at`, true, "apply config/supabase/migrations"},
		"no table of gaps":     {`drop table sample_gaps`, true, ""},
		"no right on gaps":     {`revoke select on sample_gaps from anon`, true, ""},
		"due times not in use": {`update samples set scheduled_at = null`, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProject(t)
			p.job(idA)
			if tc.proven {
				p.job(idB)
				p.samples(idB, 1)
			}
			p.exec(tc.sql)
			p.reload()
			for method, err := range askAll(t.Context(), p.client(p.PublishableKey())) {
				if errors.Is(err, ErrNoHistory) != (tc.text != "") || err != nil && !strings.Contains(err.Error(), tc.text) {
					t.Errorf("%s: %v, want %q", method, err, tc.text)
				}
			}
		})
	}
}

func TestHistoryIsProvenOnce(t *testing.T) {
	p := newProject(t)
	p.job(idA)
	proofs := func() int {
		n := 0
		for _, r := range p.Requests() {
			if r.Query.Get("select") == "job_id" {
				n++
			}
		}
		return n
	}
	for method, err := range askAll(t.Context(), p.c) {
		if !errors.Is(err, ErrNoHistory) {
			t.Errorf("%s: %v", method, err)
		}
	}
	if n := proofs(); n != 3 {
		t.Errorf("%d times it was looked whether there is any sample", n)
	}
	p.samples(idA, 1)
	p.ResetRequests()
	if got, err := p.c.SamplesSince(t.Context(), map[string]time.Time{idA: {}}); err != nil || len(got) != 1 {
		t.Fatalf("%v, %v", got, err)
	}
	p.exec(`delete from samples`)
	for method, err := range askAll(t.Context(), p.c) {
		if err != nil {
			t.Errorf("%s: %v", method, err)
		}
	}
	if n := proofs(); n != 0 {
		t.Errorf("%d times it was looked whether there is any sample, though one had been seen", n)
	}
}

func TestWhatHistoryIsNotAskedFor(t *testing.T) {
	p := newProject(t)
	many := map[string]time.Time{}
	for i := range 51 {
		many[jobID(i)] = t0
	}
	for name, since := range map[string]map[string]time.Time{
		"too many jobs": many, "an id that is none": {"x": {}}, "an id in capitals": {strings.ToUpper(idA): {}},
	} {
		if _, err := p.c.SamplesSince(t.Context(), since); err == nil || errors.Is(err, ErrNoHistory) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := p.c.GapsSince(t.Context(), since); err == nil || errors.Is(err, ErrNoHistory) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, err := p.c.SamplesSince(t.Context(), nil); err != nil || got != nil {
		t.Errorf("no jobs: %v, %v", got, err)
	}
	for _, id := range []string{"", "x", strings.ToUpper(idA)} {
		if err := p.c.EachSample(t.Context(), id, func(Stored) {}); err == nil || errors.Is(err, ErrNoHistory) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// A server that ignores filters or orders otherwise must not be believed, nor asked for ever.
func TestHistoryOutOfOrderIsAnError(t *testing.T) {
	row := func(id, due string) string {
		return `{"id":"` + idA + `","job_id":"` + id + `","scheduled_at":` + due + `,"from_at":` + due + `,"to_at":` + due + `,"status":"missed","slots":1,"reason":"x"}`
	}
	for name, page := range map[string]string{
		"the same page again": row(idA, `"2026-11-23T10:00:00+00:00"`),
		"another job's":       row(idB, `"2026-11-23T10:00:00+00:00"`),
		"no due time":         row(idA, `7`),
		"no rows":             `null,5,"x"`,
	} {
		c, _ := clientOf(t, serve(t, answer(200, "application/json", "["+page+"]")).URL, Source{Value: "k"})
		for method, err := range askAll(t.Context(), c) {
			if err == nil || !strings.Contains(err.Error(), "not in order") {
				t.Errorf("%s, %s: %v", name, method, err)
			}
		}
	}
}
