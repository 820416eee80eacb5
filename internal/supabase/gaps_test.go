package supabase

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest"
)

func gap(id string, from, to int, reason string) sample.Gap {
	return sample.Gap{
		JobID: id, From: t0.Add(time.Duration(from) * time.Second), To: t0.Add(time.Duration(to) * time.Second),
		Slots: int64(to - from + 1), Reason: reason,
	}
}

func (p *project) gaps() string {
	return p.text(`select coalesce(string_agg(right(job_id::text, 1) || ' ' || extract(epoch from from_at - $1)::int || '-' || extract(epoch from to_at - $1)::int
		|| ' ' || slots || ' ' || reason, ', ' order by job_id, from_at), '') from sample_gaps`, t0)
}

func TestPutGaps(t *testing.T) {
	p := newProject(t)
	p.job(jobID(0))
	p.job(jobID(1))
	put := func(want string, gaps ...sample.Gap) {
		t.Helper()
		if err := p.c.PutGaps(t.Context(), gaps); err != nil {
			t.Fatal(err)
		}
		if got := p.gaps(); got != want {
			t.Errorf("stored %q, want %q", got, want)
		}
	}
	put("")
	put("0 0-4 5 Busy, 0 8-8 1 Lost, 1 0-0 1 Busy", gap(jobID(0), 0, 4, "Busy"), gap(jobID(0), 8, 8, "Lost"), gap(jobID(1), 0, 0, "Busy"))
	put("0 0-6 7 Busy, 0 8-8 1 Lost, 1 0-0 1 Busy", gap(jobID(0), 0, 6, "Busy"))                                                               // longer
	put("0 0-2 3 Suspended, 0 8-8 1 Lost, 1 0-0 1 Busy", gap(jobID(0), 0, 2, "Suspended"))                                                     // shorter
	put("0 0-5 6 Busy, 0 8-8 1 Lost, 1 0-0 1 Busy", gap(jobID(0), 0, 3, "Lost"), gap(jobID(0), 0, 5, "Busy"), gap(jobID(0), 0, 4, "Overload")) // at once
	put("0 0-5 6 NoTarget, 0 8-8 1 Lost, 1 0-0 1 Busy", gap(jobID(0), 0, 5, "Lost"), gap(jobID(0), 0, 5, "NoTarget"))                          // the last of equals
	sub := gap(jobID(1), 0, 1, "Busy")
	sub.From, sub.To = sub.From.Add(999*time.Nanosecond), sub.To.In(time.FixedZone("", 3600))
	put("0 0-5 6 NoTarget, 0 8-8 1 Lost, 1 0-1 2 Busy", gap(jobID(1), 0, 0, "Lost"), sub) // the same instant for the database
}

func TestGapsThatAreRefused(t *testing.T) {
	p := newProject(t)
	p.job(idA)
	err := p.c.PutGaps(t.Context(), []sample.Gap{gap(idA, 0, 1, "Busy"), gap(idB, 0, 1, "Busy")})
	answer, ok := errors.AsType[*Error](err)
	if !ok || Classify(err) != JobGone || answer.Op != "put_gaps" || !strings.Contains(answer.Details, idB) {
		t.Errorf("a job that is gone: %v, %+v", err, answer)
	}
	backwards := gap(idA, 5, 6, "Busy")
	backwards.To = t0
	if err := p.c.PutGaps(t.Context(), []sample.Gap{backwards}); Classify(err) != RowRejected {
		t.Errorf("an end before its beginning: %v", err)
	}
	if got := p.gaps(); got != "" {
		t.Errorf("stored %q", got)
	}
	p.exec(`alter table sample_gaps drop constraint sample_gaps_pkey`)
	if err := p.c.PutGaps(t.Context(), []sample.Gap{gap(idA, 0, 1, "Busy")}); Classify(err) != SchemaNotReady || !strings.Contains(err.Error(), "apply config/supabase") {
		t.Errorf("without the key: %v", err)
	}
}

func TestDeleteGap(t *testing.T) {
	p := newProject(t)
	p.job(jobID(0))
	p.job(jobID(1))
	if err := p.c.PutGaps(t.Context(), []sample.Gap{gap(jobID(0), 0, 4, "Busy"), gap(jobID(1), 0, 4, "Busy")}); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		g    sample.Gap
		want string
	}{
		{gap(jobID(0), 0, 3, "Busy"), "0 0-4 5 Busy, 1 0-4 5 Busy"}, // it is longer by now
		{gap(jobID(0), 1, 4, "Busy"), "0 0-4 5 Busy, 1 0-4 5 Busy"},
		{gap(jobID(0), 0, 4, "Lost"), "1 0-4 5 Busy"},
		{gap(jobID(0), 0, 4, "Busy"), "1 0-4 5 Busy"}, // it is gone already
	} {
		if err := p.c.DeleteGap(t.Context(), tc.g); err != nil {
			t.Fatal(err)
		}
		if got := p.gaps(); got != tc.want {
			t.Errorf("left %q, want %q", got, tc.want)
		}
	}
	if err := p.c.DeleteGap(t.Context(), sample.Gap{JobID: "x"}); err == nil {
		t.Error("an id that is none is no error")
	}
}

func TestGapsOfManyJobsWhateverThePageSize(t *testing.T) {
	for _, rows := range []int{1, 3, 1000} {
		t.Run(strconv.Itoa(rows), func(t *testing.T) {
			p := newProject(t, maxRows(rows))
			var all []sample.Gap
			for job := range 5 {
				p.job(jobID(job))
				for i := range 7 {
					all = append(all, gap(jobID(job), 10*i, 10*i+5, fmt.Sprint("reason ", i)))
				}
			}
			p.samples(jobID(0), 1)
			if err := p.c.PutGaps(t.Context(), all); err != nil {
				t.Fatal(err)
			}
			p.exec(`insert into sample_gaps values ($1, '-infinity', now(), 1, ''), ($1, $2, 'infinity', 1, ''), ($1, '12026-01-01', 'infinity', 1, ''), ($1, 'infinity', 'infinity', 1, '')`,
				jobID(2), t0.Add(100*time.Second))
			got, err := p.c.GapsSince(t.Context(), map[string]time.Time{
				jobID(0): t0.Add(55 * time.Second), jobID(2): {}, jobID(3): t0.Add(time.Hour), jobID(4): t0.Add(24 * time.Second),
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(slices.Concat(all[6:7], all[14:21], all[30:35]), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestGapsWithoutATable(t *testing.T) {
	p := newProject(t)
	p.job(idA)
	p.samples(idA, 1)
	one := []sample.Gap{gap(idA, 0, 1, "Busy")}
	since := map[string]time.Time{idA: {}}
	if err := p.c.PutGaps(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	for name, reload := range map[string]func(){"known to PostgREST": func() {}, "not known to PostgREST": p.reload} {
		p.exec(`drop table sample_gaps`)
		reload()
		if err := p.c.PutGaps(t.Context(), one); Classify(err) != SchemaNotReady {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff([]string{"sample_gaps"}, p.c.Schema().Missing()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		p.ResetRequests()
		got, err := p.c.GapsSince(t.Context(), since)
		if err := errors.Join(err, p.c.PutGaps(t.Context(), one), p.c.DeleteGap(t.Context(), one[0])); err != nil || got != nil || len(p.Requests()) != 0 {
			t.Errorf("%s: %v, %v, %d requests", name, got, err, len(p.Requests()))
		}
		if err := supabasetest.Migrate(t.Context(), p.DSN()); err != nil {
			t.Fatal(err)
		}
		p.reload()
		p.c.RecheckSchema()
		if err := p.c.PutGaps(t.Context(), one); err != nil {
			t.Fatal(err)
		}
		if got, err := p.c.GapsSince(t.Context(), since); err != nil || !cmp.Equal(one, got) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}
