package supabasetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// age is how long ago the jobs of these tests were over.
const age = 40 * 24 * time.Hour

// old makes a job that was over 40 days ago, closed by the operator, with n rolled-up samples, one a second. set changes its row.
func (r *rolled) old(id string, n int, set string) {
	r.t.Helper()
	r.job(id, "real_polling")
	r.store(id, -age, n)
	r.exec(`select soundcheck.roll_up_samples(1000000)`)
	r.exec(fmt.Sprintf(`update jobs set status = 'completed', started_at = now() - interval '41 days', completed_at = now() - interval '40 days',
		last_ping_at = now() - interval '40 days', monitor_state = 'not_measuring', monitor_message = 'Over; all 600 polls were made', total_samples = %d where id = '%s'`, n, id))
	r.exec(`alter table jobs disable trigger user; update jobs set updated_at = now() - interval '40 days' where id = '` + id + `'; alter table jobs enable trigger user`)
	if set != "" {
		r.exec(`update jobs set ` + set + ` where id = '` + id + `'`)
	}
}

func newRemoval(t *testing.T) *rolled {
	t.Helper()
	return newRolled(t, "remove_old_samples")
}

func (r *rolled) left(id string) string {
	r.t.Helper()
	return r.text(`select count(*)::text from samples where job_id = '` + id + `'`)
}

func TestOnlySamplesThatNobodyNeedsAreRemoved(t *testing.T) {
	for name, tc := range map[string]struct {
		// set changes the row of the job, and sql anything else.
		set, sql string
		keep     string
		left     string
	}{
		"over for long":                                  {left: "0"},
		"not for long enough":                            {keep: "'41 days'", left: "600"},
		"failed for long":                                {set: `status = 'failed', monitor_message = 'Failed; there was no usable target IP'`, left: "0"},
		"cancelled for long":                             {set: `status = 'cancelled', monitor_message = 'Cancelled; 600 of 601 polls were made'`, left: "0"},
		"over, with no slot":                             {set: `monitor_message = 'Over'`, left: "0"},
		"running, and all its samples are old":           {set: `status = 'running', completed_at = null, monitor_state = 'measuring', monitor_message = null`, left: "600"},
		"running, and the row says when it ended before": {set: `status = 'running'`, left: "600"},
		"in a state that nobody knows":                   {sql: `alter table jobs drop constraint jobs_status_check; update jobs set status = 'paused'`, left: "600"},
		"completed a moment ago":                         {set: `completed_at = now()`, left: "600"},
		"measured a moment ago":                          {set: `last_ping_at = now()`, left: "600"},
		"started a moment ago":                           {set: `started_at = now()`, left: "600"},
		"cancelled in the app, which says no time":       {set: `status = 'cancelled', completed_at = null`, left: "600"},
		"cancelled, and the operator was down since":     {set: `status = 'cancelled', monitor_state = 'measuring', monitor_message = null`, left: "600"},
		"cancelled while it was paused":                  {set: `status = 'cancelled', monitor_message = 'Paused by whoever runs the cluster'`, left: "600"},
		"over while its device was silent":               {set: `monitor_state = 'measuring', monitor_message = 'The device does not answer'`, left: "600"},
		"never reported about, with the operator's":      {set: `monitor_state = null, monitor_message = null`, left: "600"},
		"of the poller before, which had no due times":   {set: `monitor_state = null, monitor_message = null`, sql: `update samples set recorded_at = scheduled_at, scheduled_at = null`, left: "0"},
		"simulated":         {set: `monitoring_mode = 'simulated', monitor_state = null, monitor_message = null`, left: "0"},
		"not rolled up":     {sql: `delete from sample_rollups`, left: "600"},
		"rolled up in part": {sql: `delete from sample_rollups where bucket_start = (select min(bucket_start) from sample_rollups)`, left: "300"},
		"with a sample that came after the rollup": {sql: `alter table samples disable trigger note_samples;
			insert into samples (job_id, sequence_number, status, scheduled_at) select job_id, 1, 'missed', min(scheduled_at) + interval '500 ms' from samples group by job_id`, left: "301"},
		"with samples at no time": {sql: `insert into samples (job_id, sequence_number, status) select id, 1, 'missed' from jobs`, left: "1"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRemoval(t)
			r.old(realJob, 600, tc.set)
			if tc.sql != "" {
				r.exec(tc.sql)
			}
			r.exec(`insert into sample_gaps values ('` + realJob + `', now(), now(), 1, 'Busy')`)
			keep := tc.keep
			if keep == "" {
				keep = "'30 days'"
			}
			before := r.text(`select string_agg(r::text, e'\n' order by bucket_start) from sample_rollups r`)
			for range 2 { // it comes again every minute
				r.text(`select soundcheck.remove_old_samples(` + keep + `)::text`)
			}
			if got := r.left(realJob); got != tc.left {
				t.Errorf("%s samples are left, want %s", got, tc.left)
			}
			if got := r.text(`select string_agg(r::text, e'\n' order by bucket_start) from sample_rollups r`); got != before {
				t.Errorf("the rollups have become %s", got)
			}
			if got := r.text(`select (select count(*) from jobs) || ' ' || (select count(*) from sample_gaps)`); got != "1 1" {
				t.Errorf("jobs and gaps: %s", got)
			}
		})
	}
}

func TestARemovalTakesNoMoreThanItShouldAndTheNextGoesOn(t *testing.T) {
	r := newRemoval(t)
	ids := make([]string, 4)
	for i := range ids {
		ids[i] = fmt.Sprintf("20000000-0000-4000-8000-%012d", i)
		r.old(ids[i], 6000, fmt.Sprintf(`completed_at = completed_at - interval '%d minutes'`, 10-i))
	}
	r.exec(`delete from sample_rollups where job_id = '` + ids[1] + `'`)
	for run, want := range []struct{ removed, left string }{
		{"6000", "0 6000 6000 6000"}, // the job that was over first; of the second, which has no rollups, 5,000 were looked at
		{"10800", "0 6000 0 1200"},   // the third, and of the last whole rollups of 300 each
		{"1200", "0 6000 0 0"},
		{"0", "0 6000 0 0"},
	} {
		removed := r.text(`select soundcheck.remove_old_samples('30 days', 7000)::text`)
		left := make([]string, len(ids))
		for i, id := range ids {
			left[i] = r.left(id)
		}
		if got := strings.Join(left, " "); removed != want.removed || got != want.left {
			t.Errorf("run %d removed %s and left %s, want %s and %s", run, removed, got, want.removed, want.left)
		}
	}
	// What is left without a rollup has its turn once it has one, a day later.
	r.exec(`select soundcheck.queue_job('` + ids[1] + `')`)
	r.exec(`select soundcheck.roll_up_samples(); update soundcheck.emptied_jobs set emptied_at = now() - interval '25 hours'`)
	r.exec(`select soundcheck.remove_old_samples()`)
	if got := r.left(ids[1]); got != "0" {
		t.Errorf("%s samples are left of the job whose rollups came late", got)
	}
}

// Jobs that nothing can be removed of must not make a run endless, nor keep others waiting when they are looked at again.
func TestARemovalReadsNoMoreThanItMayRemove(t *testing.T) {
	r := newRemoval(t)
	ids := make([]string, 5)
	for i := range ids {
		ids[i] = fmt.Sprintf("20000000-0000-4000-8000-%012d", i)
		r.old(ids[i], 1000, fmt.Sprintf(`completed_at = completed_at - interval '%d minutes'`, 10-i))
	}
	looked := func() string {
		return r.text(`select coalesce(string_agg(right(job_id::text, 1), ' ' order by job_id), '') from soundcheck.emptied_jobs where emptied_at > now() - interval '1 day'`)
	}
	r.exec(`delete from sample_rollups where job_id <> '` + ids[4] + `'`)
	for _, want := range []string{"0 1", "0 1 2 3", "0 1 2 3 4"} {
		r.exec(`select soundcheck.remove_old_samples('30 days', 1500)`)
		if got := looked(); got != want {
			t.Errorf("looked at are %s, want %s", got, want)
		}
	}
	if got := r.left(ids[4]); got != "0" {
		t.Errorf("%s samples are left of the job that has rollups", got)
	}
	// A day later those without rollups have their turn again, after a job that is new.
	r.exec(`update soundcheck.emptied_jobs set emptied_at = now() - interval '25 hours'`)
	r.old(realJob, 1000, "")
	r.exec(`select soundcheck.remove_old_samples('30 days', 500)`)
	if got := r.left(realJob) + ", " + looked(); got != "0, 1" {
		t.Errorf("left of the new job, and looked at: %s, want 0, 1", got)
	}
}

// The list of jobs is read once, and a run takes a while: what the app does with a job meanwhile counts.
func TestAJobThatIsStartedAnewDuringARunKeepsItsSamples(t *testing.T) {
	r := newRemoval(t)
	r.old(realJob, 600, "")
	app, err := pgx.Connect(t.Context(), r.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = app.Close(context.Background()) }()
	const anew = `update jobs set status = 'running'`
	starting, err := app.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := starting.Exec(t.Context(), anew); err != nil {
		t.Fatal(err)
	}
	r.exec(`set local lock_timeout = '10s'; select soundcheck.remove_old_samples()`)
	if got := r.left(realJob); got != "600" {
		t.Errorf("%s samples are left of a job that is being started anew", got)
	}
	if err := starting.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The other way about, the app waits until the run is over.
	removing, err := r.conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := removing.Exec(t.Context(), `select soundcheck.remove_old_samples()`); err != nil {
		t.Fatal(err)
	}
	_, err = app.Exec(t.Context(), `set lock_timeout = '200ms'; `+anew)
	if refused, ok := errors.AsType[*pgconn.PgError](err); !ok || refused.Code != "55P03" {
		t.Errorf("starting a job anew whose samples are being removed: %v", err)
	}
	if err := removing.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.left(realJob); got != "0" {
		t.Errorf("%s samples are left", got)
	}
}

func TestSamplesAreKeptForADayAtLeast(t *testing.T) {
	r := newRemoval(t)
	r.old(realJob, 600, "")
	for _, keep := range []string{`'23 hours'`, `'0'`, `'-1 day'`, `null`} {
		if code := r.try("", `select soundcheck.remove_old_samples(`+keep+`)`); code != "22023" {
			t.Errorf("%s: SQLSTATE %q", keep, code)
		}
	}
	if got := r.left(realJob); got != "600" {
		t.Errorf("%s samples are left", got)
	}
}

func TestThereIsNoRemovalWithoutRollups(t *testing.T) {
	db := emptyDatabase(t)
	db.migrate()
	if code := db.try("", optional(t, "remove_old_samples")); code != "P0001" {
		t.Errorf("SQLSTATE %q", code)
	}
}

// A job that is started anew keeps the rollups of its samples that were removed, and its new samples go once it has been over for long again.
func TestAJobThatIsStartedAnewAfterItsSamplesWereRemoved(t *testing.T) {
	r := newRemoval(t)
	r.old(realJob, 600, "")
	r.exec(`select soundcheck.remove_old_samples()`)
	r.exec(`update jobs set status = 'running', started_at = ` + r.at(0) + `, completed_at = null, monitor_state = 'measuring', monitor_message = null`)
	r.store(realJob, 0, 300)
	r.rollUp()
	r.exec(`select soundcheck.remove_old_samples()`)
	if got := r.left(realJob) + " " + r.text(`select string_agg(sample_count::text, ' ') from sample_rollups`); got != "300 300 300 300" {
		t.Errorf("samples left, and rollups: %s, want 300 300 300 300", got)
	}
	r.exec(`update samples set scheduled_at = scheduled_at - interval '35 days'; delete from sample_rollups where bucket_start >= ` + r.at(0) + `; select soundcheck.queue_job(id) from jobs; select soundcheck.roll_up_samples()`)
	r.exec(`update soundcheck.emptied_jobs set emptied_at = now() - interval '36 days';
		update jobs set status = 'completed', started_at = now() - interval '35 days', completed_at = now() - interval '35 days', last_ping_at = now() - interval '35 days', monitor_state = 'not_measuring', monitor_message = 'Over'`)
	r.exec(`select soundcheck.remove_old_samples()`)
	if got := r.left(realJob); got != "0" {
		t.Errorf("%s samples are left", got)
	}
}
