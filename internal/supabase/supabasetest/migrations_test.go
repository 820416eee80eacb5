package supabasetest

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	migrations "github.com/soundcheck-io/latency-operator/config/supabase"
	"github.com/soundcheck-io/latency-operator/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// startStates are the states in which the migrations may find a database.
var startStates = map[string]func(t *testing.T, db *database){
	"empty": func(*testing.T, *database) {},
	"old app": func(t *testing.T, db *database) {
		t.Helper()
		sql, err := os.ReadFile("testdata/app_old.sql")
		if err != nil {
			t.Fatal(err)
		}
		db.exec(string(sql))
	},
	"today's app": func(t *testing.T, db *database) {
		t.Helper()
		db.exec(migrations.All()[0].SQL)
		db.exec(`insert into jobs (account_number) values ('A-1');
			insert into samples (job_id, sequence_number, status) select id, n % 3, 'missed' from jobs, generate_series(1, 9) n`)
	},
}

type database struct {
	t    *testing.T
	dsn  string
	conn *pgx.Conn
}

// emptyDatabase has Supabase's roles and no tables.
func emptyDatabase(t *testing.T) *database {
	t.Helper()
	server, name := pgtest.Database(t)
	dsn := server.URL(name)
	if err := CreateRoles(t.Context(), dsn); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return &database{t: t, dsn: dsn, conn: conn}
}

func (db *database) migrate() {
	db.t.Helper()
	if err := Migrate(db.t.Context(), db.dsn); err != nil {
		db.t.Fatal(err)
	}
}

func (db *database) migrateOptional() {
	db.t.Helper()
	if err := MigrateOptional(db.t.Context(), db.dsn); err != nil {
		db.t.Fatal(err)
	}
}

func (db *database) exec(sql string) {
	db.t.Helper()
	if code := db.try("", sql); code != "" {
		db.t.Fatalf("%s: SQLSTATE %s", sql, code)
	}
}

// try runs sql as a role (empty: the superuser) and returns the SQLSTATE of the error, empty without one.
func (db *database) try(role, sql string) string {
	db.t.Helper()
	ctx := db.t.Context()
	tx, err := db.conn.Begin(ctx)
	if err != nil {
		db.t.Fatal(err)
	}
	if role != "" {
		if _, err := tx.Exec(ctx, "set local role "+role); err != nil {
			db.t.Fatal(err)
		}
	}
	if _, err = tx.Exec(ctx, sql); err == nil {
		if err = tx.Commit(ctx); err != nil {
			db.t.Fatal(err)
		}
		return ""
	}
	_ = tx.Rollback(ctx)
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		db.t.Fatalf("%s: %v", sql, err)
	}
	return pg.Code
}

func (db *database) text(sql string) string {
	db.t.Helper()
	var out *string
	if err := db.conn.QueryRow(db.t.Context(), sql).Scan(&out); err != nil {
		db.t.Fatalf("%s: %v", sql, err)
	}
	if out == nil {
		return "null"
	}
	return *out
}

// shape describes every table, column, constraint, index, trigger, policy and grant of the schema.
func (db *database) shape() string {
	db.t.Helper()
	return db.text(`select string_agg(line, e'\n' order by line) from (
		select format('column %s.%s %s %s %s', table_name, column_name, data_type, is_nullable, column_default) from information_schema.columns where table_schema = 'public'
		union all select format('constraint %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) from pg_constraint where connamespace = 'public'::regnamespace
		union all select indexdef from pg_indexes where schemaname = 'public'
		union all select pg_get_triggerdef(oid) from pg_trigger where not tgisinternal
		union all select format('policy %s %s %s %s %s %s %s', tablename, policyname, permissive, roles, cmd, qual, with_check) from pg_policies
		union all select format('grants %s %s %s', relname, relrowsecurity, relacl) from pg_class where relnamespace in ('public'::regnamespace, to_regnamespace('soundcheck')) and relkind = 'r'
		union all select format('grants %s.%s %s', attrelid::regclass, attname, attacl) from pg_attribute where attacl is not null and attrelid in (select oid from pg_class where relnamespace = 'public'::regnamespace)
		union all select format('function %s %s %s %s', oid::regprocedure, prosecdef, proconfig, proacl) from pg_proc where pronamespace = to_regnamespace('soundcheck')
		union all select format('schema %s %s', nspname, nspacl) from pg_namespace where nspname = 'soundcheck'
	) s(line)`)
}

func TestMigrationsApplyToEveryStateAndAgain(t *testing.T) {
	for name, prepare := range startStates {
		t.Run(name, func(t *testing.T) {
			db := emptyDatabase(t)
			prepare(t, db)
			db.migrate()
			once := db.shape()
			db.migrate()
			if diff := cmp.Diff(once, db.shape()); diff != "" {
				t.Errorf("the second application changed something:\n%s", diff)
			}
			for _, column := range []string{
				"jobs.monitoring_mode", "jobs.last_ping_at", "jobs.avg_rtt_ms", "jobs.packet_loss_percent", "jobs.total_samples",
				"jobs.updated_at", "jobs.monitor_state", "jobs.monitor_message", "samples.scheduled_at", "samples.jitter_ms",
				"samples.recorded_at", "pollers.last_seen_at", "sample_gaps.from_at",
			} {
				if !strings.Contains(once, "column "+column+" ") {
					t.Errorf("%s is missing", column)
				}
			}
		})
	}
}

func TestOptionalMigrationsApplyToEveryStateAndAgain(t *testing.T) {
	for name, prepare := range startStates {
		t.Run(name, func(t *testing.T) {
			db := emptyDatabase(t)
			prepare(t, db)
			db.migrate()
			before := strings.Split(db.shape(), "\n")
			db.migrateOptional()
			once := db.shape()
			for _, line := range before {
				if !strings.Contains(once, line) && !strings.HasPrefix(line, "grants ") {
					t.Errorf("gone or changed: %s", line)
				}
			}
			db.migrate()
			db.migrateOptional()
			if diff := cmp.Diff(once, db.shape()); diff != "" {
				t.Errorf("the second application changed something:\n%s", diff)
			}
		})
	}
}

func TestMigrationsKeepTheAppsDataPoliciesAndGrants(t *testing.T) {
	db := emptyDatabase(t)
	startStates["old app"](t, db)
	before := strings.Split(db.shape(), "\n")
	db.migrate()
	after := db.shape()
	for _, line := range before {
		if !strings.Contains(after, line) {
			t.Errorf("gone or changed: %s", line)
		}
	}
	if got := db.text(`select count(*) || ' ' || count(distinct sequence_number) from samples`); got != "100 50" {
		t.Errorf("samples and distinct numbers: %s, want 100 50", got)
	}
	if got := db.text(`select string_agg(distinct monitoring_mode || ' ' || total_samples, ',') from jobs`); got != "simulated 0" {
		t.Errorf("existing jobs became %s", got)
	}
}

func TestTheAppsOwnWritesGoOn(t *testing.T) {
	const job = `'10000000-0000-4000-8000-000000000000'`
	for name, prepare := range startStates {
		t.Run(name, func(t *testing.T) {
			db := emptyDatabase(t)
			prepare(t, db)
			db.migrate()
			for _, role := range []string{"anon", "authenticated"} {
				for _, sql := range []string{
					`insert into jobs (id, account_number, target_ip, cadence_seconds, duration_minutes) values (` + job + `, 'A-9', '10.9.9.9', 10, 60)`,
					`insert into samples (job_id, sequence_number, status, rtt_ms) values (` + job + `, 0, 'success', 1.5), (` + job + `, 0, 'missed', null)`,
					`insert into samples (job_id, sequence_number, status) values (` + job + `, 0, 'missed')`,
					`update jobs set status = 'cancelled', completed_at = now() where id = ` + job,
				} {
					if code := db.try(role, sql); code != "" {
						t.Errorf("%s may no longer %q: SQLSTATE %s", role, sql, code)
					}
				}
				for sql, want := range map[string]string{
					`select count(*)::text from samples where job_id = ` + job + ` and sequence_number = 0 and scheduled_at is null and recorded_at is not null`: "3",
					`select status || ' ' || monitoring_mode from jobs where id = ` + job:                                                                        "cancelled simulated",
				} {
					if got := db.text(sql); got != want {
						t.Errorf("%s: got %s, want %s", sql, got, want)
					}
				}
				db.exec(`delete from jobs where id = ` + job)
			}
		})
	}
}

func TestOnlyTheAppsChangesBumpUpdatedAt(t *testing.T) {
	db := emptyDatabase(t)
	startStates["old app"](t, db)
	db.migrate()
	const id = `'00000000-0000-4000-8000-000000000001'`
	for set, bumps := range map[string]bool{
		`status = 'cancelled'`:       true,
		`target_ip = '10.0.0.9'`:     true,
		`notes = '{"b": 2}'`:         true,
		`target_ip = null`:           true,
		`status = 'completed'`:       true,
		`last_ping_at = now()`:       false,
		`status = status`:            false,
		`updated_at = '2031-01-01Z'`: false,
		`monitor_message = 'text'`:   false,
		`last_ping_at = now(), monitor_state = 'measuring', monitor_message = null, avg_rtt_ms = 1, packet_loss_percent = 2, total_samples = 3`: false,
		`last_ping_at = now(), cadence_seconds = 20`: true,
	} {
		t.Run(set, func(t *testing.T) {
			db := &database{t: t, dsn: db.dsn, conn: db.conn}
			db.exec(`alter table jobs disable trigger user;
				update jobs set updated_at = '2020-01-01Z', status = 'running', target_ip = '10.0.0.1', cadence_seconds = 10, notes = '{"b": 1}' where id = ` + id + `;
				alter table jobs enable trigger user`)
			db.exec(`update jobs set ` + set + ` where id = ` + id)
			if got := db.text(`select (updated_at > '2020-01-02Z')::text from jobs where id = ` + id); (got == "true") != bumps {
				t.Errorf("bumped: %s, want %v", got, bumps)
			}
		})
	}
}

func TestNobodyElseSetsWhenAJobChanged(t *testing.T) {
	db := emptyDatabase(t)
	db.migrate()
	db.exec(`create function set_updated_at() returns trigger language plpgsql as 'begin new.updated_at := now() + interval ''1 h''; return new; end';
		create trigger set_updated_at before insert or update on jobs for each row execute function set_updated_at();
		insert into jobs (account_number, updated_at) values ('ahead', now() + interval '5 min'), ('behind', '2020-01-01Z')`)
	if got := db.text(`select count(*)::text from jobs where updated_at between now() - interval '1 min' and now()`); got != "2" {
		t.Errorf("%s of 2 new rows are changed now", got)
	}
	before := db.text(`select max(updated_at)::text from jobs`)
	db.exec(`update jobs set last_ping_at = now()`)
	if after := db.text(`select max(updated_at)::text from jobs`); after != before {
		t.Errorf("the operator's own columns moved it from %s to %s", before, after)
	}
}

func TestANewRowIsAChangeAlsoWhereTheAppHasItsOwnColumn(t *testing.T) {
	db := emptyDatabase(t)
	startStates["old app"](t, db)
	db.exec(`alter table jobs add column updated_at timestamptz`)
	db.migrate()
	db.exec(`insert into jobs (account_number, target_ip, cadence_seconds, duration_minutes) values ('new', '10.0.0.1', 10, 60)`)
	if got := db.text(`select (updated_at > now() - interval '1 min')::text from jobs where account_number = 'new'`); got != "true" {
		t.Errorf("it is one: %s", got)
	}
}

func TestOperatorsFrequentUpdatesTouchNoIndex(t *testing.T) {
	db := emptyDatabase(t)
	db.migrate()
	db.exec(`insert into jobs (account_number) select 'A' from generate_series(1, 10)`)
	db.exec(`update jobs set last_ping_at = now(), monitor_message = 'x', total_samples = 1`)
	db.exec(`select pg_stat_force_next_flush()`)
	if got := db.text(`select n_tup_hot_upd || ' of ' || n_tup_upd from pg_stat_user_tables where relname = 'jobs'`); got != "10 of 10" {
		t.Errorf("heap-only updates: %s", got)
	}
}

func TestConstraintsRefuseWhatTheyShould(t *testing.T) {
	db := emptyDatabase(t)
	db.migrate()
	const job = `'10000000-0000-4000-8000-000000000000'`
	db.exec(`insert into jobs (id, account_number, monitoring_mode) values (` + job + `, 'A', 'real_polling')`)
	sample := func(at string) string {
		return `insert into samples (job_id, sequence_number, status, scheduled_at) values (` + job + `, 1, 'missed', ` + at + `)`
	}
	gap := func(values string) string {
		return `insert into sample_gaps (job_id, from_at, to_at, slots, reason) values (` + values + `)`
	}
	for _, step := range []struct{ role, sql, want string }{
		{"service_role", sample(`'2026-01-01Z'`), ""},
		{"service_role", sample(`'2026-01-01Z'`), "23505"},
		{"service_role", sample(`'2026-01-01Z'`) + ` on conflict (job_id, scheduled_at) do nothing`, ""},
		{"service_role", sample(`'2026-01-01 00:00:10Z'`), ""},
		{"service_role", sample(`null`), ""},
		{"service_role", sample(`null`), ""},
		{"anon", sample(`null`), "42501"}, // not a simulated job
		{"service_role", `update jobs set monitor_state = 'measuring'`, ""},
		{"service_role", `update jobs set monitor_state = 'bored'`, "23514"},
		{"service_role", `update jobs set monitor_state = null`, ""},
		{"service_role", gap(job + `, '2026-01-01Z', '2026-01-01Z', 1, 'Busy'`), ""},
		{"service_role", gap(job + `, '2026-01-01Z', '2026-01-02Z', 9, 'Busy'`), "23505"},
		{"service_role", gap(job + `, '2026-01-02Z', '2026-01-01Z', 1, 'Busy'`), "23514"},
		{"service_role", gap(job + `, '2026-01-03Z', '2026-01-03Z', 0, 'Busy'`), "23514"},
		{"service_role", gap(`gen_random_uuid(), '2026-01-03Z', '2026-01-03Z', 1, 'Busy'`), "23503"},
		{"service_role", `insert into pollers (id, last_seen_at, version) values ('p', now(), 'v1')`, ""},
		{"anon", `insert into pollers (id, last_seen_at, version) values ('q', now(), 'v1')`, "42501"},
		{"anon", gap(job + `, '2026-01-04Z', '2026-01-04Z', 1, 'Busy'`), "42501"},
		{"anon", `delete from jobs`, "42501"},
		{"service_role", `delete from jobs`, ""},
	} {
		if got := db.try(step.role, step.sql); got != step.want {
			t.Errorf("%s: %s: got %q, want %q", step.role, step.sql, got, step.want)
		}
	}
	if got := db.text(`select (select count(*) from samples) || ' ' || (select count(*) from sample_gaps)`); got != "0 0" {
		t.Errorf("samples and gaps of a deleted job: %s", got)
	}
}

func TestTheAppSeesPollersAndTheGapsOfJobsItSees(t *testing.T) {
	db := emptyDatabase(t)
	db.migrate()
	db.exec(`insert into jobs (id, account_number) values ('10000000-0000-4000-8000-000000000000', 'A');
		insert into sample_gaps select id, now(), now(), 1, 'Busy' from jobs;
		insert into pollers (id, last_seen_at, version) values ('p', now(), 'v1')`)
	see := func() string {
		db.exec(`set role anon`)
		defer db.exec(`reset role`)
		return db.text(`select (select count(*) from pollers) || ' ' || (select count(*) from sample_gaps)`)
	}
	if got := see(); got != "1 1" {
		t.Errorf("anon sees %s pollers and gaps, want 1 1", got)
	}
	db.exec(`drop policy jobs_app_select on jobs`)
	if got := see(); got != "1 0" {
		t.Errorf("anon sees %s pollers and gaps once it may not see the job, want 1 0", got)
	}
}

func TestAnInterruptedIndexBuildIsNamed(t *testing.T) {
	db := emptyDatabase(t)
	startStates["old app"](t, db)
	db.exec(`alter table samples add column scheduled_at timestamptz;
		create unique index samples_job_id_scheduled_at_key on samples (job_id, scheduled_at);
		update pg_index set indisvalid = false where indexrelid = 'samples_job_id_scheduled_at_key'::regclass`)
	err := Migrate(t.Context(), db.dsn)
	if err == nil || !strings.Contains(err.Error(), "samples_job_id_scheduled_at_key is invalid") {
		t.Errorf("got %v", err)
	}
	rollups := newRolled(t)
	rollups.exec(`update pg_index set indisvalid = false where indexrelid = 'samples_job_id_recorded_at_idx'::regclass`)
	if code := rollups.try("", optional(t, "sample_rollups")); code != "P0001" {
		t.Errorf("the index of the rollups: SQLSTATE %q", code)
	}
}
