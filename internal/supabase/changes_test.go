package supabase

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// changed asks for changes and gives the numbers of the jobs, in the order in which they come, with their status.
func (p *project) changed(since time.Time) (out []string, newest time.Time) {
	p.t.Helper()
	jobs, newest, err := p.c.ChangedJobs(p.t.Context(), since)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, job := range jobs {
		out = append(out, strings.TrimLeft(job.ID[24:], "0")+" "+job.Status)
	}
	return out, newest
}

// changedAt sets when jobs changed last, seconds after t0.
func (p *project) changedAt(second int, numbers ...int) {
	p.t.Helper()
	for _, n := range numbers {
		p.stamp(`update jobs set updated_at = $2 where id = $1`, jobID(n), t0.Add(time.Duration(second)*time.Second))
	}
}

func TestWhatTheAppChangesIsNoticed(t *testing.T) {
	p := newProject(t)
	for i := range 6 {
		p.job(jobID(i + 1))
	}
	p.changedAt(0, 1, 2, 3, 4, 5, 6)
	p.changedAt(10, 5, 3)
	p.changedAt(9, 6)
	since := t0.Add(9 * time.Second)
	got, newest := p.changed(since)
	if diff := cmp.Diff([]string{"6 running", "3 running", "5 running"}, got); diff != "" || !newest.Equal(t0.Add(10*time.Second)) {
		t.Errorf("%s, newest %v", diff, newest)
	}
	// What the operator itself writes is none of the app's changes.
	if err := p.c.TouchJobs(t.Context(), []string{jobID(1), jobID(2)}, t0); err != nil {
		t.Fatal(err)
	}
	if err := p.c.ReportJobs(t.Context(), []string{jobID(1)}, Report{State: "measuring"}); err != nil {
		t.Fatal(err)
	}
	if err := p.c.SummarizeJob(t.Context(), jobID(1), summary); err != nil {
		t.Fatal(err)
	}
	if got, newest := p.changed(t0.Add(11 * time.Second)); got != nil || !newest.IsZero() {
		t.Errorf("%v, %v", got, newest)
	}
	p.exec(`update jobs set status = 'cancelled' where id = $1`, jobID(1))
	p.exec(`update jobs set monitoring_mode = 'simulated' where id = $1`, jobID(2))
	p.job(jobID(7))
	if got, _ := p.changed(t0.Add(11 * time.Second)); !slices.Equal(got, []string{"1 cancelled", "7 running"}) {
		t.Errorf("got %v", got)
	}
}

func TestChangesWhateverThePageSize(t *testing.T) {
	for _, rows := range []int{1, 3, 1000} {
		t.Run(strconv.Itoa(rows), func(t *testing.T) {
			p := newProject(t, maxRows(rows))
			var want []string
			for i := range 7 {
				p.job(jobID(i + 1))
				want = append(want, fmt.Sprintf("%d running", i+1))
			}
			p.stamp(`update jobs set updated_at = $1`, t0) // in one statement
			p.job(jobID(8))
			got, newest := p.changed(t0)
			if diff := cmp.Diff(append(want, "8 running"), got); diff != "" || !newest.After(t0) {
				t.Errorf("%s, newest %v", diff, newest)
			}
		})
	}
}

func TestManyChangesOfOneStatement(t *testing.T) {
	p := newProject(t)
	p.stamp(`insert into jobs (account_number, monitoring_mode, updated_at) select 'A', 'real_polling', $1 from generate_series(1, 2345)`, t0)
	p.stamp(`insert into jobs (account_number, monitoring_mode, updated_at) select 'A', 'real_polling', $1::timestamptz + n * interval '1 us' from generate_series(1, 1500) n`, t0)
	got, newest := p.changed(t0)
	slices.Sort(got)
	if n := len(slices.Compact(got)); len(got) != 2345+1500 || n != len(got) || !newest.Equal(t0.Add(1500*time.Microsecond)) {
		t.Errorf("%d rows, %d of them once, newest %v", len(got), n, newest)
	}
	if n := p.sent("jobs"); n != 1+3+1+2+1 {
		t.Errorf("%d requests", n) // for the schema, of one instant, its end, the others, and their end
	}
}

func TestNothingNewIsOneRequest(t *testing.T) {
	p := newProject(t)
	p.job(jobID(1))
	p.changedAt(0, 1)
	p.changed(t0)
	p.ResetRequests()
	if got, _ := p.changed(t0.Add(time.Microsecond)); got != nil || p.sent("jobs") != 1 {
		t.Errorf("%v with %d requests", got, p.sent("jobs"))
	}
}

func TestATimeThatCannotBeReadEndsTheList(t *testing.T) {
	p := newProject(t, maxRows(2))
	for i := range 5 {
		p.job(jobID(i + 1))
	}
	p.changedAt(0, 1, 2, 3, 4, 5)
	p.stamp(`update jobs set updated_at = 'infinity' where id in ($1, $2)`, jobID(1), jobID(2))
	got, newest := p.changed(t0)
	if diff := cmp.Diff([]string{"3 running", "4 running", "5 running", "1 running"}, got); diff != "" || !newest.Equal(t0) {
		t.Errorf("%s, newest %v", diff, newest)
	}
}

func TestWhereChangesAreNotKnown(t *testing.T) {
	for name, sql := range map[string]string{
		"no time":                         `alter table jobs drop column updated_at`,
		"a time that nothing vouches for": `alter table jobs drop column monitor_state`,
	} {
		t.Run(name, func(t *testing.T) {
			p := newProject(t)
			p.job(idA)
			p.exec(sql)
			p.reload()
			_, _, err := p.c.ChangedJobs(t.Context(), t0)
			if Classify(err) != SchemaNotReady || !strings.Contains(err.Error(), "apply config/supabase/migrations") || p.c.Schema().KnowsChanges() {
				t.Errorf("%v, %v", err, p.c.Schema().KnowsChanges())
			}
			jobs, err := p.c.RunningJobs(t.Context())
			if err != nil || len(jobs) != 1 || jobs[0].UpdatedAt.IsZero() != (name == "no time") {
				t.Errorf("%+v, %v", jobs, err)
			}
		})
	}
}

func TestChangesOutOfOrderAreAnError(t *testing.T) {
	row := func(id, updated string) string { return `[{"id":"` + id + `","updated_at":"` + updated + `"}]` }
	for name, page := range map[string]string{
		"the same page again": row(idA, "2026-11-23T10:00:00.123456+00:00"),
		"before":              row(idA, "2026-11-23T09:00:00+00:00"),
		"no id":               row("x", "2026-11-24T10:00:00+00:00"),
	} {
		c, _ := clientOf(t, serve(t, answer(200, "application/json", page)).URL, Source{Value: "k"})
		if _, _, err := c.ChangedJobs(t.Context(), t0); err == nil || !strings.Contains(err.Error(), "not in order") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// ours is our clock, which need not have anything to do with the database's.
func ours(second int) time.Time {
	return time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(second) * time.Second)
}

func TestMark(t *testing.T) {
	at := func(second int) time.Time { return t0.Add(time.Duration(second) * time.Second) }
	var m Mark
	if _, known := m.Since(); known {
		t.Error("a new one knows something")
	}
	m.Note(time.Time{}, ours(0), ours(1))
	if _, known := m.Since(); known {
		t.Error("nothing was read, and something is known")
	}
	for _, step := range []struct {
		newest          time.Time
		asked, answered int
		want            int
		why             string
	}{
		{at(100), 10, 12, 98 - 10, "the database's clock may have shown 98 when it was asked"},
		{at(100), 15, 15, 103 - 10, "five seconds later it shows five seconds more"},
		{time.Time{}, 30, 31, 118 - 10, "what changed last has been read, and does not come again"},
		{at(200), 40, 40, 200 - 10, "it is further than was known"},
		{at(150), 41, 41, 201 - 10, "a change that appears late takes nothing back"},
		{at(150), 39, 39, 201 - 10, "nor does a look that began earlier"},
	} {
		newest := step.newest
		m.Note(newest, ours(step.asked), ours(step.answered))
		if since, known := m.Since(); !known || !since.Equal(at(step.want)) {
			t.Errorf("%s: since %v, want %v", step.why, since.Sub(t0), at(step.want).Sub(t0))
		}
	}
}

// A change whose transaction is under way while others are read is noticed once it ends.
func TestALateChangeIsNotMissed(t *testing.T) {
	p := newProject(t)
	p.job(jobID(1))
	p.job(jobID(2))
	var m Mark
	look := func() (out []string) {
		asked := time.Now()
		since, _ := m.Since()
		out, newest := p.changed(since)
		m.Note(newest, asked, time.Now())
		return out
	}
	look()
	ended := make(chan error, 1)
	go func() {
		ended <- p.Exec(t.Context(), `begin; update jobs set status = 'cancelled' where id = '`+jobID(1)+`'; select pg_sleep(0.3); commit`)
	}()
	for p.text(`select count(*)::text from pg_stat_activity where query like 'begin; update%' and wait_event = 'PgSleep' and datname = current_database()`) == "0" {
		if err := t.Context().Err(); err != nil {
			t.Fatal(err)
		}
	}
	p.exec(`update jobs set target_ip = '10.0.0.1' where id = $1`, jobID(2))
	if got := look(); !slices.Contains(got, "2 running") || slices.Contains(got, "1 cancelled") {
		t.Errorf("meanwhile: %v", got)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if got := look(); !slices.Contains(got, "1 cancelled") {
		t.Errorf("afterwards: %v", got)
	}
}
