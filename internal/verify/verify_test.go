package verify

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/soundcheck-io/latency-operator/internal/pgtest"
	"github.com/soundcheck-io/latency-operator/internal/schedule"
	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const (
	job   = "10000000-0000-4000-8000-000000000000"
	start = "2026-01-01T00:00:00.123456Z"
)

var began = time.Date(2026, time.January, 1, 0, 0, 0, 123456000, time.UTC)

// sound is a completed job of one minute every ten seconds: slots 0, 1, 4 and 5 were measured, 2 and 3 were not.
const sound = `
	insert into jobs (id, account_number, target_ip, cadence_seconds, duration_minutes, monitoring_mode, started_at, status,
		completed_at, last_ping_at, avg_rtt_ms, packet_loss_percent, total_samples)
	values ('` + job + `', 'A-1', '10.0.0.1', 10, 1, 'real_polling', '` + start + `', 'completed',
		'` + start + `'::timestamptz + interval '61 s', '` + start + `'::timestamptz + interval '50.01 s', 20.2, 50, 4);
	insert into samples (job_id, sequence_number, status, rtt_ms, scheduled_at, recorded_at)
	select '` + job + `', k, case when k < 2 then 'success' else 'missed' end, case when k < 2 then 20.1 + 0.2 * k end,
		'` + start + `'::timestamptz + k * interval '10 s', '` + start + `'::timestamptz + k * interval '10 s' + interval '10 ms'
	from unnest(array[0, 1, 4, 5]) k;
	insert into sample_gaps (job_id, from_at, to_at, slots, reason)
	values ('` + job + `', '` + start + `'::timestamptz + interval '20 s', '` + start + `'::timestamptz + interval '30 s', 2, 'OperatorDown');
`

// at is the SQL for an instant so many seconds after the start.
func at(seconds string) string {
	return fmt.Sprintf("'%s'::timestamptz + %s * interval '1 s'", start, seconds)
}

func database(t *testing.T, sql string) *pgx.Conn {
	t.Helper()
	server, name := pgtest.Database(t)
	dsn := server.URL(name)
	if err := supabasetest.CreateRoles(t.Context(), dsn); err != nil {
		t.Fatal(err)
	}
	if err := supabasetest.Migrate(t.Context(), dsn); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestFlawsAreFound(t *testing.T) {
	later := began.Add(time.Hour)
	minute := schedule.Grid{Start: began, Cadence: 10 * time.Second, Duration: time.Minute}
	for name, tc := range map[string]struct {
		sql     string
		now     time.Time
		periods []Period
		want    string // the flaws, and the warnings after a bar
		due     int64
	}{
		"none": {due: 6},
		"a slot without an outcome": {
			sql: `delete from samples where sequence_number = 1; update jobs set total_samples = 3, avg_rtt_ms = 20.1, packet_loss_percent = 66.667`, due: 6,
			want: "1 slot without an outcome: 2026-01-01T00:00:10.123456Z"},
		"a gap that ends a slot too early": {
			sql: `update sample_gaps set to_at = from_at, slots = 1`, due: 6,
			want: "1 slot without an outcome: 2026-01-01T00:00:30.123456Z"},
		"a sample inside a gap": {
			sql: `update sample_gaps set to_at = ` + at("40") + `, slots = 3`, due: 6,
			want: "1 slot with two outcomes: 2026-01-01T00:00:40.123456Z"},
		"two gaps over each other": {
			sql: `insert into sample_gaps values ('` + job + `', ` + at("30") + `, ` + at("30") + `, 1, 'Busy')`, due: 6,
			want: "1 slot with two outcomes: 2026-01-01T00:00:30.123456Z"},
		"a sample that is there twice": {
			sql: `alter table samples drop constraint samples_job_id_scheduled_at_key;
				insert into samples (job_id, sequence_number, status, scheduled_at, recorded_at)
					select job_id, sequence_number, status, scheduled_at, recorded_at from samples where sequence_number = 4;
				update jobs set total_samples = 5, packet_loss_percent = 60`, due: 6,
			want: "1 sample with the scheduled_at of another; 1 sample with the sequence_number of another: 2026-01-01T00:00:40.123456Z"},
		"a number that is used twice": {
			sql: `update samples set sequence_number = 4 where sequence_number = 5`, due: 6,
			want: "1 sample with the sequence_number of another: 2026-01-01T00:00:50.123456Z"},
		"figures that are not those of the samples": {
			sql: `update jobs set total_samples = 5, avg_rtt_ms = 20.3, packet_loss_percent = null`, due: 6,
			want: "total_samples is 5, and there are 4; avg_rtt_ms is 20.3, and that of the samples is 20.2; packet_loss_percent is null, and that of the samples is 50"},
		"a last ping that trails": {
			sql: `update jobs set last_ping_at = ` + at("40.01"), due: 6,
			want: "last_ping_at is 2026-01-01T00:00:40.133456Z, and the newest sample is of 2026-01-01T00:00:50.133456Z"},
		"a last ping of a poll whose slot had a sample already": {sql: `update jobs set last_ping_at = ` + at("50.02"), due: 6},
		"an app that ended it early":                            {sql: `update jobs set status = 'cancelled', completed_at = ` + at("40.5"), due: 5},
		"an app that ended it without saying when": {
			sql: `update jobs set status = 'failed', completed_at = null; delete from samples where sequence_number = 4`, due: 6,
			want: "1 slot without an outcome: 2026-01-01T00:00:40.123456Z"},
		"a cancelled job of which nothing is known": {
			sql: `delete from samples; delete from sample_gaps; update jobs set status = 'cancelled', completed_at = null`},
		"a running job": {
			sql: `update jobs set status = 'running', completed_at = null, duration_minutes = 60`, now: began.Add(time.Minute), due: 1},
		"a running job whose newest slots are missing": {
			sql: `update jobs set status = 'running', completed_at = null, duration_minutes = 60`, now: began.Add(111 * time.Second), due: 7,
			want: "1 slot without an outcome: 2026-01-01T00:01:00.123456Z"},
		"a job that runs past its end": {
			sql: `update jobs set status = 'running', completed_at = null`, due: 6,
			want: " | still running, though it was over at 2026-01-01T00:01:00.123456Z"},
		"an edited job": {sql: `update jobs set cadence_seconds = 7, duration_minutes = 60, status = 'running'`, now: began.Add(111 * time.Second), due: 2,
			want: "2 slots without an outcome: 2026-01-01T00:00:56.123456Z, 2026-01-01T00:01:03.123456Z"},
		"an edited job whose grids are known": {
			sql: `update jobs set cadence_seconds = 5; insert into samples (job_id, sequence_number, status, scheduled_at, recorded_at)
					values ('` + job + `', 6, 'missed', ` + at("55") + `, ` + at("55") + `); update jobs set total_samples = 5, packet_loss_percent = 60, last_ping_at = ` + at("55"),
			periods: []Period{{Grid: minute, Until: began.Add(50 * time.Second)}, {
				Grid: schedule.Grid{Start: began, Cadence: 5 * time.Second, Duration: time.Minute}, From: began.Add(52 * time.Second)}},
			due: 6},
		"a sample off the grids that are known": {
			sql: `update samples set scheduled_at = scheduled_at + interval '1 s' where sequence_number = 4`, periods: []Period{{Grid: minute}}, due: 6,
			want: "1 outcome on none of the job's grids: 2026-01-01T00:00:41.123456Z; 1 slot without an outcome: 2026-01-01T00:00:40.123456Z"},
		"samples of a writer without a schedule": {
			sql:  `update samples set scheduled_at = null where sequence_number = 4`,
			want: " | 1 sample without scheduled_at: which slots have an outcome is not known"},
	} {
		t.Run(name, func(t *testing.T) {
			opts := Options{Now: later, Grace: DefaultGrace}
			if !tc.now.IsZero() {
				opts.Now = tc.now
			}
			if tc.periods != nil {
				opts.Periods = map[string][]Period{job: tc.periods}
			}
			report, err := Check(t.Context(), database(t, sound+tc.sql), opts)
			if err != nil {
				t.Fatal(err)
			}
			got := report.Jobs[0]
			text := strings.Join(got.Flaws, "; ")
			if len(got.Warnings) > 0 {
				text += " | " + strings.Join(got.Warnings, "; ")
			}
			if text != tc.want {
				t.Errorf("got  %q\nwant %q", text, tc.want)
			}
			if got.Due != tc.due {
				t.Errorf("%d slots due, want %d", got.Due, tc.due)
			}
		})
	}
}

func TestJobsAreChosen(t *testing.T) {
	const other = "20000000-0000-4000-8000-000000000000"
	conn := database(t, sound+`
		insert into jobs (id, account_number, cadence_seconds, monitoring_mode, started_at) values ('`+other+`', 'A-2', 10, 'real_polling', '2026-02-01Z');
		insert into jobs (account_number, started_at) values ('A-3', '2026-02-01Z')`)
	for name, tc := range map[string]struct {
		opts Options
		want string
	}{
		"all":    {Options{}, job + " " + other},
		"by id":  {Options{Jobs: []string{other}}, other},
		"recent": {Options{Since: began.Add(time.Second)}, other},
	} {
		t.Run(name, func(t *testing.T) {
			tc.opts.Now = began.Add(time.Hour)
			report, err := Check(t.Context(), conn, tc.opts)
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, j := range report.Jobs {
				ids = append(ids, j.ID)
			}
			if got := strings.Join(ids, " "); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestTheCheckNeedsToReadAndNoMore(t *testing.T) {
	conn := database(t, sound+`
		drop role if exists verify_reader; create role verify_reader bypassrls;
		set session authorization verify_reader; set default_transaction_read_only = on`)
	defer func() {
		_, _ = conn.Exec(context.Background(), "set default_transaction_read_only = off")
		_, _ = conn.Exec(context.Background(), "reset session authorization; drop owned by verify_reader; drop role verify_reader")
	}()
	opts := Options{Now: began.Add(time.Hour)}
	if _, err := Check(t.Context(), conn, opts); err == nil || !strings.Contains(err.Error(), "grant it select on jobs, samples and sample_gaps") {
		t.Errorf("without grants: %v", err)
	}
	for _, sql := range []string{`set default_transaction_read_only = off`, `reset session authorization;
		grant usage on schema public to verify_reader; grant select on jobs, samples, sample_gaps to verify_reader;
		set session authorization verify_reader; set default_transaction_read_only = on`} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	report, err := Check(t.Context(), conn, opts)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Jobs) != 1 || report.Flawed() != 0 {
		t.Errorf("got %+v", report)
	}
}

func TestAMissingTableIsNamed(t *testing.T) {
	conn := database(t, sound+`drop table sample_gaps`)
	if _, err := Check(t.Context(), conn, Options{Now: began}); err == nil || !strings.Contains(err.Error(), "apply the migrations in config/supabase/migrations") {
		t.Errorf("got %v", err)
	}
}

func TestTable(t *testing.T) {
	report := &Report{Jobs: []Job{
		{ID: "a", Status: "completed", Due: 6, Samples: 4, Gaps: map[string]int64{"OperatorDown": 1, "Busy": 1}},
		{ID: "b", Status: "running", Due: 2, Samples: 1, WithoutOutcome: 1, Flaws: []string{"1 slot without an outcome"}, Warnings: []string{"look"}},
		{ID: "c", Status: "running", Due: 2, Samples: 2, Edited: true},
	}}
	var out strings.Builder
	if err := report.WriteTable(&out); err != nil {
		t.Fatal(err)
	}
	want := `JOB   STATUS      DUE   SAMPLES   GAPS                     NO OUTCOME   TWO OUTCOMES   SAME NUMBER   VERDICT
a     completed   6     4         Busy 1, OperatorDown 1   0            0              0             ok
b     running     2     1         -                        1            0              0             BROKEN
c     running     2     2         -                        0            0              0             ok, edited

b: 1 slot without an outcome
b: warning: look
BROKEN for 1 job. 3 jobs: 10 slots due, 7 samples, 2 slots unmeasured for a reason; 1 job edited and checked in part.
`
	if out.String() != want {
		t.Errorf("got\n%s", out.String())
	}
}
