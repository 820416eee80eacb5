package supabasetest

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

// rolled is a database with rollups, in which bucket 0 begins two hours ago.
type rolled struct {
	*database
	zero time.Time
}

func newRolled(t *testing.T, optional ...string) *rolled {
	t.Helper()
	db := emptyDatabase(t)
	db.migrate()
	for _, word := range append([]string{"sample_rollups"}, optional...) {
		db.optional(word)
	}
	return &rolled{database: db, zero: time.Now().UTC().Add(-2 * time.Hour).Truncate(5 * time.Minute)}
}

func (r *rolled) job(id, mode string) {
	r.t.Helper()
	r.exec(`insert into jobs (id, account_number, monitoring_mode) values ('` + id + `', 'A', '` + mode + `')`)
}

// at is an instant after the beginning of bucket 0, for SQL.
func (r *rolled) at(after time.Duration) string {
	return "'" + r.zero.Add(after).Format(time.RFC3339Nano) + "'"
}

// store stores samples of a job, one a second from an instant on.
func (r *rolled) store(id string, from time.Duration, n int) {
	r.t.Helper()
	r.exec(fmt.Sprintf(`insert into samples (job_id, sequence_number, status, rtt_ms, scheduled_at, recorded_at)
		select '%s', i, 'success', i, %s::timestamptz + i * interval '1 s', now() from generate_series(0, %d) i`, id, r.at(from), n-1))
}

// rollUp computes what is noted and gives the number of rows.
func (r *rolled) rollUp() string {
	r.t.Helper()
	return r.text(`select soundcheck.roll_up_samples()::text`)
}

// counts lists the rollups as bucket:samples.
func (r *rolled) counts() string {
	r.t.Helper()
	return r.text(`select coalesce(string_agg(extract(epoch from bucket_start - ` + r.at(0) + `)::int / 300 || ':' || sample_count, ' ' order by job_id, bucket_start), '') from sample_rollups`)
}

// made is a sample as a test makes it.
type made struct {
	job, status string
	// rtt and jitter are in microseconds; there may be none, and some are no number.
	rtt, jitter int
	due         time.Time
	scheduled   bool
}

const (
	none = -1
	nan  = -2
)

func milliseconds(microseconds int) string {
	return fmt.Sprintf("%d.%03d", microseconds/1000, microseconds%1000)
}

func (s made) sql() string {
	number := func(v int) string {
		switch v {
		case none:
			return "null"
		case nan:
			return "'NaN'"
		default:
			return milliseconds(v)
		}
	}
	due := s.due.Format(time.RFC3339Nano)
	scheduled := "null"
	if s.scheduled {
		scheduled = "'" + due + "'"
	}
	return fmt.Sprintf("('%s', 1, '%s', %s, %s, %s, '%s')", s.job, s.status, number(s.rtt), number(s.jitter), scheduled, due)
}

// naive computes the rollups of samples as anybody would.
func naive(samples []made) []string {
	type key struct {
		job    string
		bucket time.Time
	}
	buckets := map[key][]made{}
	for _, s := range samples {
		k := key{s.job, s.due.Truncate(5 * time.Minute)}
		buckets[k] = append(buckets[k], s)
	}
	var out []string
	for k, in := range buckets {
		status := map[string]int{}
		var rtts, jitters []int
		for _, s := range in {
			status[s.status]++
			if s.status == "success" && s.rtt >= 0 {
				rtts = append(rtts, s.rtt)
			}
			if s.jitter >= 0 {
				jitters = append(jitters, s.jitter)
			}
		}
		slices.Sort(rtts)
		slices.Sort(jitters)
		line := fmt.Sprintf("%s %s %s %d %d %d %d", k.job, k.bucket.Format(time.RFC3339), k.bucket.Add(5*time.Minute).Format(time.RFC3339), len(in), status["success"], status["missed"], status["system_error"])
		if n := len(rtts); n > 0 {
			p95 := rtts[int(math.Ceil(0.95*float64(n)))-1]
			line += fmt.Sprintf(" %s %s %s %s", mean(rtts), milliseconds(rtts[n-1]), milliseconds(rtts[0]), milliseconds(p95))
		} else {
			line += " - - - -"
		}
		if n := len(jitters); n > 0 {
			line += fmt.Sprintf(" %s %s", mean(jitters), milliseconds(jitters[n-1]))
		} else {
			line += " - -"
		}
		out = append(out, line)
	}
	slices.Sort(out)
	return out
}

// mean is rounded to whole microseconds, a half up.
func mean(values []int) string {
	sum, n := 0, len(values)
	for _, v := range values {
		sum += v
	}
	return milliseconds((2*sum + n) / (2 * n))
}

func (r *rolled) rollups() []string {
	r.t.Helper()
	r.exec(`set timezone = 'UTC'`)
	number := func(column string) string {
		return `coalesce(to_char(` + column + `, 'FM999999990.000'), '-')`
	}
	all := r.text(`select coalesce(string_agg(concat_ws(' ', job_id, to_char(bucket_start, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), to_char(bucket_end, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
		sample_count, success_count, missed_count, system_error_count, ` + number("avg_rtt_ms") + `, ` + number("max_rtt_ms") + `, ` + number("min_rtt_ms") + `, ` + number("p95_rtt_ms") + `,
		` + number("avg_jitter_ms") + `, ` + number("max_jitter_ms") + `), e'\n'), '') from sample_rollups`)
	lines := strings.Split(all, "\n")
	slices.Sort(lines)
	return lines
}

// Samples of several jobs and writers come in any order and in any company, with runs in between; the rollups are what anybody would
// compute from all of them.
func TestRollupsAreWhatTheirSamplesComeTo(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			r := newRolled(t)
			jobs := []string{realJob, endedJob, fakeJob}
			for _, id := range jobs {
				r.job(id, "real_polling")
			}
			var samples []made
			for i := range 1500 {
				s := made{job: jobs[random.IntN(len(jobs))], status: "success", rtt: none, jitter: none, due: r.zero.Add(time.Duration(i*4)*time.Second + time.Duration(random.IntN(4000))*time.Millisecond)}
				s.scheduled = s.job != fakeJob || random.IntN(3) == 0
				switch random.IntN(12) {
				case 0:
					s.status = "missed"
				case 1:
					s.status = "system_error"
				case 2:
					s.rtt = nan
				default:
					s.rtt, s.jitter = random.IntN(100_000), random.IntN(5000)
				}
				samples = append(samples, s)
			}
			late := slices.Clone(samples)
			random.Shuffle(len(late), func(i, j int) { late[i], late[j] = late[j], late[i] })
			for len(late) > 0 {
				n := min(len(late), 1+random.IntN(200))
				values := make([]string, n)
				for i, s := range late[:n] {
					values[i] = s.sql()
				}
				late = late[n:]
				r.exec(`insert into samples (job_id, sequence_number, status, rtt_ms, jitter_ms, scheduled_at, recorded_at) values ` + strings.Join(values, ", ") + ` on conflict (job_id, scheduled_at) do nothing`)
				if random.IntN(3) == 0 {
					r.text(fmt.Sprintf(`select soundcheck.roll_up_samples(%d)::text`, 1+random.IntN(30)))
				}
			}
			r.rollUp()
			once := r.rollups()
			if diff := cmp.Diff(naive(samples), once); diff != "" {
				t.Error(diff)
			}
			r.exec(`select soundcheck.queue_job(id) from jobs`)
			if n := r.rollUp(); n == "0" {
				t.Error("nothing was computed again")
			}
			if diff := cmp.Diff(once, r.rollups()); diff != "" {
				t.Errorf("computed again: %s", diff)
			}
		})
	}
}

func TestLateSamplesAreCountedAndNothingIsComputedTwice(t *testing.T) {
	r := newRolled(t)
	r.job(realJob, "real_polling")
	for _, step := range []struct {
		name           string
		do             func()
		computed, want string
	}{
		{"nothing is there", func() {}, "0", ""},
		{"ten minutes", func() { r.store(realJob, 0, 600) }, "2", "0:300 1:300"},
		{"nothing new", func() {}, "0", "0:300 1:300"},
		{"the same again", func() {
			r.exec(`insert into samples (job_id, sequence_number, status, scheduled_at) select job_id, 1, status, scheduled_at from samples on conflict (job_id, scheduled_at) do nothing`)
		}, "0", "0:300 1:300"},
		{"later ones, and earlier ones that come late", func() { r.store(realJob, 20*time.Minute, 10); r.store(realJob, -time.Minute, 10) }, "2", "0:300 1:300 4:10 -1:10"},
		{"one more of the second five minutes", func() { r.store(realJob, 5*time.Minute+500*time.Millisecond, 1) }, "1", "0:300 1:301 4:10 -1:10"},
		{"five minutes that are not over", func() {
			r.exec(`insert into samples (job_id, sequence_number, status, scheduled_at) values ('` + realJob + `', 1, 'missed', now())`)
		}, "0", "0:300 1:301 4:10 -1:10"},
		{"samples at no time", func() {
			r.exec(`insert into samples (job_id, sequence_number, status, scheduled_at, recorded_at) values ('` + realJob + `', 1, 'missed', 'infinity', now()), ('` + realJob + `', 1, 'missed', null, null),
				('` + realJob + `', 1, 'missed', '290000-01-01Z', null)`)
		}, "0", "0:300 1:301 4:10 -1:10"},
		{"some were removed and another came", func() {
			r.exec(`delete from samples where scheduled_at < ` + r.at(5*time.Minute))
			r.store(realJob, 500*time.Millisecond, 1)
		}, "1", "0:300 1:301 4:10 -1:10"},
		{"the job was deleted with samples noted", func() { r.store(realJob, 40*time.Minute, 5); r.exec(`delete from jobs`) }, "1", ""},
	} {
		step.do()
		if got := r.rollUp(); got != step.computed {
			t.Errorf("%s: %s rows were computed, want %s", step.name, got, step.computed)
		}
		want := strings.Fields(step.want)
		slices.Sort(want)
		got := strings.Fields(r.counts())
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", step.name, diff)
		}
	}
}

func TestARunComputesNoMoreRowsThanAskedForAndLosesNone(t *testing.T) {
	r := newRolled(t)
	r.exec(`insert into jobs (account_number) select 'A' from generate_series(1, 10)`)
	r.exec(`insert into samples (job_id, sequence_number, status, scheduled_at) select id, 1, 'missed', t from jobs, generate_series(` + r.at(0) + `::timestamptz, ` + r.at(14*time.Minute) + `, '1 min') t`)
	for _, want := range []string{"7", "7", "7", "7", "2", "0"} {
		if got := r.text(`select soundcheck.roll_up_samples(7)::text`); got != want {
			t.Errorf("%s rows were computed, want %s", got, want)
		}
	}
	if got := r.text(`select count(*) || ' ' || sum(sample_count) || ' ' || (select count(*) from soundcheck.rollup_queue) from sample_rollups`); got != "30 150 0" {
		t.Errorf("rows, samples and notes: %s, want 30 150 0", got)
	}
}

// What is stored while a run computes is not seen by it, and so has to be noted for the next one.
func TestWhatIsStoredDuringARunIsCountedByTheNext(t *testing.T) {
	r := newRolled(t)
	r.job(realJob, "real_polling")
	r.store(realJob, 0, 10)
	other, err := pgx.Connect(t.Context(), r.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close(context.Background()) }()
	storing, err := other.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := storing.Exec(t.Context(), `insert into samples (job_id, sequence_number, status, scheduled_at) values ('`+realJob+`', 1, 'missed', `+r.at(time.Minute)+`)`); err != nil {
		t.Fatal(err)
	}
	r.rollUp()
	if got := r.counts(); got != "0:10" {
		t.Errorf("before the other transaction ends: %s", got)
	}
	if err := storing.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.rollUp()
	if got := r.counts(); got != "0:11" {
		t.Errorf("after it: %s", got)
	}
}

func TestRollupsRespectATableOfTheApp(t *testing.T) {
	const columns = `job_id uuid not null references jobs on delete cascade, bucket_start timestamptz not null, sample_count int not null, success_count int, missed_count int, system_error_count int, avg_rtt_ms double precision, max_rtt_ms double precision`
	for name, sql := range map[string]string{
		"with its own key":                  `create table sample_rollups (id uuid primary key default gen_random_uuid(), ` + columns + `, unique (job_id, bucket_start))`,
		"with the key in the other order":   `create table sample_rollups (` + columns + `, primary key (bucket_start, job_id))`,
		"without a key":                     `create table sample_rollups (` + columns + `)`,
		"with a key of a column more":       `create table sample_rollups (` + columns + `, note text, unique (job_id, bucket_start, note))`,
		"with a key of some rows of it":     `create table sample_rollups (` + columns + `); create unique index on sample_rollups (job_id, bucket_start) where sample_count > 0`,
		"with an end of five minutes of it": `create table sample_rollups (` + columns + `, bucket_end timestamptz not null, unique (job_id, bucket_start))`,
	} {
		t.Run(name, func(t *testing.T) {
			db := emptyDatabase(t)
			db.migrate()
			db.exec(sql)
			db.exec(`alter table sample_rollups enable row level security; create policy own on sample_rollups for select to authenticated using (true); grant select on sample_rollups to authenticated;
				insert into jobs (id, account_number) values ('` + realJob + `', 'A')`)
			before := strings.Split(db.shape(), "\n")
			db.optional("sample_rollups")
			after := db.shape()
			for _, line := range before {
				if !strings.Contains(after, line) {
					t.Errorf("gone or changed: %s", line)
				}
			}
			if strings.Contains(after, "sample_rollups_app_select") {
				t.Error("a policy was added to the app's")
			}
			r := &rolled{database: db, zero: time.Now().UTC().Add(-2 * time.Hour).Truncate(5 * time.Minute)}
			r.store(realJob, 0, 20)
			r.rollUp()
			if got := db.text(`select concat_ws(' ', sample_count, avg_rtt_ms, p95_rtt_ms, bucket_end - bucket_start) from sample_rollups`); got != "20 9.5 18 00:05:00" {
				t.Errorf("got %s", got)
			}
		})
	}
}

func TestOnlyTheOwnerRollsUpAndTheAppReads(t *testing.T) {
	r := newRolled(t, "operator_role", "remove_old_samples")
	r.job(realJob, "simulated")
	for _, role := range []string{"anon", "authenticated", "service_role", operatorRole} {
		for _, sql := range []string{
			`select soundcheck.roll_up_samples()`, `select soundcheck.queue_job(gen_random_uuid())`, `select soundcheck.remove_old_samples()`, `select soundcheck.jobs_to_empty('1 day')`,
			`select * from soundcheck.rollup_queue`, `insert into soundcheck.rollup_queue (bucket_start, job_ids) values (now(), '{}')`, `select * from soundcheck.emptied_jobs`, `create table soundcheck.t (n int)`,
		} {
			if code := r.try(role, sql); code != "42501" {
				t.Errorf("%s: %s: SQLSTATE %q", role, sql, code)
			}
		}
	}
	// Who stores a sample needs no right to note it.
	for _, role := range []string{"anon", "authenticated", "service_role"} {
		if code := r.try(role, `insert into samples (job_id, sequence_number, status, recorded_at) values ('`+realJob+`', 1, 'missed', `+r.at(time.Minute)+`)`); code != "" {
			t.Errorf("%s may no longer store a sample: SQLSTATE %s", role, code)
		}
	}
	r.rollUp()
	for role, want := range map[string]string{"anon": "", "authenticated": "", "service_role": "", operatorRole: "42501"} {
		if code := r.try(role, `select sample_count from sample_rollups`); code != want {
			t.Errorf("%s reads rollups: SQLSTATE %q, want %q", role, code, want)
		}
	}
	for sql, want := range map[string]string{`insert into sample_rollups (job_id) values (gen_random_uuid())`: "42501", `update sample_rollups set sample_count = 0`: "42501", `delete from sample_rollups`: "42501"} {
		if code := r.try("anon", sql); code != want {
			t.Errorf("anon: %s: SQLSTATE %q", sql, code)
		}
	}
	if got := r.counts(); got != "0:3" {
		t.Errorf("rollups: %s", got)
	}
	see := func() string {
		r.exec(`set role anon`)
		defer r.exec(`reset role`)
		return r.text(`select count(*)::text from sample_rollups`)
	}
	if got := see(); got != "1" {
		t.Errorf("anon sees %s rollups", got)
	}
	r.exec(`drop policy jobs_app_select on jobs`)
	if got := see(); got != "0" {
		t.Errorf("anon sees %s rollups once it may not see the job", got)
	}
	if got := r.text(`select coalesce(string_agg(oid::regprocedure::text, ', '), '') from pg_proc where pronamespace = 'soundcheck'::regnamespace
		and prosqlbody is null and not coalesce(proconfig @> array['search_path=""'], false)`); got != "" {
		t.Errorf("these take their search_path from whoever calls them: %s", got)
	}
	if got := r.text(`select string_agg(oid::regprocedure::text, ', ' order by proname) from pg_proc where pronamespace = 'soundcheck'::regnamespace and prosecdef`); got != "soundcheck.note_samples(), soundcheck.refuse_row(uuid)" {
		t.Errorf("these run as their owner: %s", got)
	}
}
