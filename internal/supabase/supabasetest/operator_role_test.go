package supabasetest

import (
	"encoding/base64"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	migrations "github.com/soundcheck-io/latency-operator/config/supabase"
)

// Jobs of the tests of the operator's role.
const (
	operatorRole = "latency_operator"

	realJob   = "10000000-0000-4000-8000-000000000001"
	fakeJob   = "10000000-0000-4000-8000-000000000002"
	endedJob  = "10000000-0000-4000-8000-000000000003"
	nobodyJob = "10000000-0000-4000-8000-000000000009"
)

// roleJobs are a job of the operator's, one of the simulator's and one that was cancelled, with a sample each.
const roleJobs = `
	insert into jobs (id, account_number, target_ip, cadence_seconds, duration_minutes, status, monitoring_mode, notification_email) values
		('` + realJob + `', 'A-1', '10.0.0.1', 10, 60, 'running', 'real_polling', 'a@example.org'),
		('` + fakeJob + `', 'A-2', '10.0.0.2', 10, 60, 'running', 'simulated', 'b@example.org'),
		('` + endedJob + `', 'A-3', '10.0.0.3', 10, 60, 'cancelled', 'real_polling', 'c@example.org');
	insert into samples (job_id, sequence_number, status, scheduled_at) select id, 1, 'missed', '2026-01-01Z' from jobs where account_number in ('A-1', 'A-2', 'A-3');
	insert into sample_gaps values ('` + fakeJob + `', '2026-01-02Z', '2026-01-02Z', 1, 'Busy');
	insert into pollers (id, last_seen_at, version) values ('alive', now(), 'v1'), ('dead', now() - interval '7 days', 'v1')`

// elsewhere is what a Supabase project has beside the app's tables.
const elsewhere = `
	create schema if not exists auth; create table if not exists auth.users (id uuid);
	create schema if not exists vault; create table if not exists vault.secrets (secret text);
	create table if not exists public.customers (name text); alter table public.customers enable row level security;
	create sequence if not exists public.invoice`

// optional is the SQL of an optional migration that has a word in its name.
func optional(t *testing.T, word string) string {
	t.Helper()
	for _, m := range migrations.Optional() {
		if strings.Contains(m.Name, word) {
			return m.SQL
		}
	}
	t.Fatalf("there is no optional migration %s", word)
	return ""
}

func (db *database) optional(word string) {
	db.t.Helper()
	db.exec(optional(db.t, word))
}

// step is a statement of the operator's role.
type step struct {
	name, sql string
	// code is the SQLSTATE that refuses it; empty when it goes through.
	code string
	// check is a query for what is there afterwards, and want its answer.
	check, want string
}

// denials are what the role may not do. Where row-level security hides rows, a statement goes through and changes nothing.
var denials = []step{
	{name: "read everything of jobs", sql: `select * from jobs`, code: "42501"},
	{name: "read account numbers", sql: `select account_number from jobs`, code: "42501"},
	{name: "read e-mail addresses", sql: `select notification_email from jobs`, code: "42501"},
	{name: "find a job by its account number", sql: `select id from jobs where account_number = 'A-1'`, code: "42501"},
	{name: "order jobs by e-mail address", sql: `select id from jobs order by notification_email`, code: "42501"},
	{name: "read who asked for a job", sql: `select requester_id from jobs`, code: "42501"},
	{name: "insert a job", sql: `insert into jobs (id, cadence_seconds) values (gen_random_uuid(), 1)`, code: "42501"},
	{name: "delete a job", sql: `delete from jobs where id = '` + realJob + `'`, code: "42501"},
	{name: "truncate jobs", sql: `truncate jobs cascade`, code: "42501"},
	{name: "change a target", sql: `update jobs set target_ip = '10.0.0.9' where id = '` + realJob + `'`, code: "42501"},
	{name: "change a cadence", sql: `update jobs set cadence_seconds = 1 where id = '` + realJob + `'`, code: "42501"},
	{name: "change a duration", sql: `update jobs set duration_minutes = 1 where id = '` + realJob + `'`, code: "42501"},
	{name: "change a start", sql: `update jobs set started_at = now() where id = '` + realJob + `'`, code: "42501"},
	{name: "change an account number", sql: `update jobs set account_number = 'A' where id = '` + realJob + `'`, code: "42501"},
	{name: "change an e-mail address", sql: `update jobs set notification_email = 'x@example.org' where id = '` + realJob + `'`, code: "42501"},
	{name: "make a simulated job real", sql: `update jobs set monitoring_mode = 'real_polling' where id = '` + fakeJob + `'`, code: "42501"},
	{name: "set when a job changed", sql: `update jobs set updated_at = now() where id = '` + realJob + `'`, code: "42501"},
	{name: "set a job running that is over", sql: `update jobs set status = 'running' where id = '` + endedJob + `'`, code: "42501"},
	{name: "complete a job that was cancelled", sql: `update jobs set status = 'completed' where id = '` + endedJob + `'`, code: "42501"},
	{name: "move the end of a job", sql: `update jobs set completed_at = now() where id = '` + endedJob + `'`, code: "42501"},
	{name: "see simulated jobs", sql: `select 1 / count(*) from jobs where id = '` + fakeJob + `'`, code: "22012"},
	{name: "complete a simulated job", sql: `update jobs set status = 'completed' where id = '` + fakeJob + `'`, check: `select status from jobs where id = '` + fakeJob + `'`, want: "running"},
	{name: "report about a simulated job", sql: `update jobs set monitor_message = 'x', last_ping_at = now()`, check: `select coalesce(monitor_message, '') || coalesce(last_ping_at::text, '') from jobs where id = '` + fakeJob + `'`, want: ""},
	{name: "store a sample of a simulated job", sql: `insert into samples (job_id, status, scheduled_at, sequence_number) values ('` + fakeJob + `', 'success', '2026-01-01 00:00:10Z', 2)`, code: "23514"},
	{name: "store a sample of no job", sql: `insert into samples (job_id, status, scheduled_at, sequence_number) values ('` + nobodyJob + `', 'success', '2026-01-01 00:00:10Z', 2)`, code: "23503"},
	{name: "choose the id of a sample", sql: `insert into samples (id, job_id, status, sequence_number) values (gen_random_uuid(), '` + realJob + `', 'success', 2)`, code: "42501"},
	{name: "change a sample", sql: `update samples set rtt_ms = 1`, code: "42501"},
	{name: "overwrite a sample", sql: `insert into samples (job_id, status, scheduled_at, sequence_number) values ('` + realJob + `', 'success', '2026-01-01Z', 2) on conflict (job_id, scheduled_at) do update set status = excluded.status`, code: "42501"},
	{name: "delete samples", sql: `delete from samples`, code: "42501"},
	{name: "put a gap of a simulated job", sql: `insert into sample_gaps values ('` + fakeJob + `', '2026-01-03Z', '2026-01-03Z', 1, 'Busy')`, code: "23514"},
	{name: "change a gap of a simulated job", sql: `update sample_gaps set slots = 9 where job_id = '` + fakeJob + `'`, check: `select slots::text from sample_gaps where job_id = '` + fakeJob + `'`, want: "1"},
	{name: "put a gap of no job", sql: `insert into sample_gaps values ('` + nobodyJob + `', '2026-01-03Z', '2026-01-03Z', 1, 'Busy')`, code: "23503"},
	{name: "delete a gap of a simulated job", sql: `delete from sample_gaps where job_id = '` + fakeJob + `'`, check: `select count(*)::text from sample_gaps where job_id = '` + fakeJob + `'`, want: "1"},
	{name: "forget a poller that is alive", sql: `delete from pollers where id = 'alive'`, check: `select string_agg(id, ',') from pollers where id = 'alive'`, want: "alive"},
	{name: "read other tables", sql: `select * from customers`, code: "42501"},
	{name: "use a sequence", sql: `select nextval('invoice')`, code: "42501"},
	{name: "make a table", sql: `create table public.mine (n int)`, code: "42501"},
	{name: "read users", sql: `select * from auth.users`, code: "42501"},
	{name: "read secrets", sql: `select * from vault.secrets`, code: "42501"},
	{name: "look into the schema soundcheck", sql: `select soundcheck.refuse_row('` + realJob + `')`, code: "42501"},
	{name: "switch a trigger off", sql: `alter table jobs disable trigger user`, code: "42501"},
	{name: "drop a policy", sql: `drop policy latency_operator_only on jobs`, code: "42501"},
}

// work is what the operator does, as PostgREST turns it into SQL, in an order that works.
var work = []step{
	{name: "read jobs", sql: `select id, target_ip, cadence_seconds, duration_minutes, status, monitoring_mode, started_at, completed_at, last_ping_at, updated_at, monitor_state, monitor_message, avg_rtt_ms, packet_loss_percent, total_samples from jobs`},
	{name: "read samples", sql: `select id, job_id, status, rtt_ms, scheduled_at, sequence_number, jitter_ms, recorded_at from samples`},
	{name: "store a sample", sql: `insert into samples (job_id, status, rtt_ms, scheduled_at, sequence_number, jitter_ms, recorded_at) values ('` + realJob + `', 'success', 1, '2026-01-01 00:00:10Z', 2, 0, now()) on conflict (job_id, scheduled_at) do nothing returning 1`},
	{name: "store it again", sql: `insert into samples (job_id, status, scheduled_at, sequence_number) values ('` + realJob + `', 'success', '2026-01-01 00:00:10Z', 2) on conflict (job_id, scheduled_at) do nothing`, check: `select count(*)::text from samples where job_id = '` + realJob + `'`, want: "2"},
	{name: "store a sample of a job that has ended", sql: `insert into samples (job_id, status, scheduled_at, sequence_number) values ('` + endedJob + `', 'success', '2026-01-01 00:00:10Z', 2)`},
	{name: "report", sql: `update jobs set monitor_state = 'measuring', monitor_message = null, total_samples = 2, avg_rtt_ms = 1, packet_loss_percent = 0, last_ping_at = now() where id in ('` + realJob + `', '` + endedJob + `')`},
	{name: "put a gap", sql: `insert into sample_gaps (job_id, from_at, to_at, slots, reason) values ('` + realJob + `', '2026-01-03Z', '2026-01-03Z', 1, 'Busy')`},
	{name: "put a longer gap", sql: `insert into sample_gaps (job_id, from_at, to_at, slots, reason) values ('` + realJob + `', '2026-01-03Z', '2026-01-03 00:00:10Z', 2, 'Busy') on conflict (job_id, from_at) do update set job_id = excluded.job_id, from_at = excluded.from_at, to_at = excluded.to_at, slots = excluded.slots, reason = excluded.reason`, check: `select slots::text from sample_gaps where job_id = '` + realJob + `'`, want: "2"},
	{name: "delete a gap", sql: `delete from sample_gaps where job_id = '` + realJob + `' and from_at = '2026-01-03Z'`, check: `select count(*)::text from sample_gaps where job_id = '` + realJob + `'`, want: "0"},
	{name: "heartbeat", sql: `insert into pollers (id, last_seen_at, version, jobs, message) values ('alive', now(), 'v2', 3, 'x') on conflict (id) do update set id = excluded.id, last_seen_at = excluded.last_seen_at, version = excluded.version, jobs = excluded.jobs, message = excluded.message`, check: `select version from pollers where id = 'alive'`, want: "v2"},
	{name: "forget pollers", sql: `delete from pollers where id <> 'me' and last_seen_at < now()`, check: `select string_agg(id, ',') from pollers`, want: "alive"},
	{name: "complete a job", sql: `update jobs set status = 'completed', completed_at = now() where id = '` + realJob + `' and status = 'running' and cadence_seconds = 10`, check: `select status from jobs where id = '` + realJob + `'`, want: "completed"},
	{name: "close a cancelled job", sql: `update jobs set total_samples = 5, monitor_message = 'Cancelled' where id = '` + endedJob + `' and status = 'cancelled'`},
}

// asOperator runs steps as the operator's role.
func (db *database) asOperator(steps []step) {
	db.t.Helper()
	for _, s := range steps {
		if got := db.try(operatorRole, s.sql); got != s.code {
			db.t.Errorf("%s: SQLSTATE %q, want %q", s.name, got, s.code)
		}
		if s.check == "" {
			continue
		}
		if got := db.text(s.check); got != s.want {
			db.t.Errorf("%s: %s gives %q, want %q", s.name, s.check, got, s.want)
		}
	}
}

func TestTheOperatorsRoleMayDoItsWorkAndNothingElse(t *testing.T) {
	for name, prepare := range startStates {
		t.Run(name, func(t *testing.T) {
			db := emptyDatabase(t)
			prepare(t, db)
			db.migrate()
			db.optional("operator_role")
			db.exec(`delete from jobs`)
			db.exec(roleJobs)
			db.exec(elsewhere)
			db.asOperator(denials)
			db.asOperator(work)
		})
	}
}

// The same through the REST API, with a token beside the publishable key.
func TestTheOperatorsTokenMayNotDoMore(t *testing.T) {
	s := New(t, WithOptionalMigrations(), WithSQL(elsewhere))
	exec(t, s, roleJobs)
	for _, tc := range []struct {
		name, method, path, body string
		status                   int
		want                     string
	}{
		{"read a job", "GET", "/jobs?select=target_ip&id=eq." + realJob, "", 200, `[{"target_ip":"10.0.0.1"}]`},
		{"read a simulated job", "GET", "/jobs?select=target_ip&id=eq." + fakeJob, "", 200, `[]`},
		{"read everything of jobs", "GET", "/jobs", "", 403, `"42501"`},
		{"read e-mail addresses", "GET", "/jobs?select=notification_email", "", 403, `"42501"`},
		{"find a job by its account number", "GET", "/jobs?select=id&account_number=eq.A-1", "", 403, `"42501"`},
		{"change a target", "PATCH", "/jobs?id=eq." + realJob, `{"target_ip":"10.0.0.9"}`, 403, `"42501"`},
		{"have a changed job shown", "PATCH", "/jobs?id=eq." + realJob, `{"monitor_message":"x"}`, 403, `"42501"`},
		{"reopen a job", "PATCH", "/jobs?select=id&id=eq." + endedJob, `{"status":"running"}`, 403, `"42501"`},
		{"complete a simulated job", "PATCH", "/jobs?select=id&id=eq." + fakeJob, `{"status":"completed"}`, 200, `[]`},
		{"insert a job", "POST", "/jobs?select=id", `{"cadence_seconds":10}`, 403, `"42501"`},
		{"delete a job", "DELETE", "/jobs?select=id&id=eq." + realJob, "", 403, `"42501"`},
		{"delete samples", "DELETE", "/samples?select=id&job_id=eq." + realJob, "", 403, `"42501"`},
		{"change a sample", "PATCH", "/samples?select=id&job_id=eq." + realJob, `{"rtt_ms":1}`, 403, `"42501"`},
		{"store a sample of a simulated job", "POST", "/samples?select=id", `{"job_id":"` + fakeJob + `","status":"missed","sequence_number":2}`, 400, `"23514"`},
		{"store a sample of no job", "POST", "/samples?select=id", `{"job_id":"` + nobodyJob + `","status":"missed","sequence_number":2}`, 409, `Key (job_id)=(` + nobodyJob + `) is not present in table \"jobs\".`},
		{"put a gap of a simulated job", "POST", "/sample_gaps?select=job_id", `{"job_id":"` + fakeJob + `","from_at":"2026-01-03","to_at":"2026-01-03","slots":1,"reason":"x"}`, 400, `"23514"`},
		{"read customers", "GET", "/customers", "", 403, `"42501"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			headers := []string{"apikey", s.PublishableKey(), "Authorization", "Bearer " + s.Token(map[string]any{"role": operatorRole}), "Content-Type", "application/json"}
			if tc.method != "GET" {
				headers = append(headers, "Prefer", "return=representation")
			}
			got := ask(t, s, tc.method, "/rest/v1"+tc.path, tc.body, headers...)
			if got.status != tc.status || !strings.Contains(got.body, tc.want) {
				t.Errorf("got %d %s, want %d %s", got.status, got.body, tc.status, tc.want)
			}
		})
	}
	if got := text(t, s, `select string_agg(status || ' ' || target_ip, ', ' order by id) from jobs`); got != "running 10.0.0.1, running 10.0.0.2, cancelled 10.0.0.3" {
		t.Errorf("afterwards: %s", got)
	}
}

func TestTheOperatorsRoleReachesNothingElse(t *testing.T) {
	db := emptyDatabase(t)
	db.exec(elsewhere)
	db.migrate()
	db.optional("operator_role")
	for what, query := range map[string]string{
		"schemas": `select coalesce(string_agg(nspname, ' '), '') from pg_namespace
			where has_schema_privilege('latency_operator', oid, 'usage') and nspname !~ '^pg_' and nspname not in ('information_schema', 'public')`,
		"schemas to make things in": `select coalesce(string_agg(nspname, ' '), '') from pg_namespace where has_schema_privilege('latency_operator', oid, 'create') and nspname !~ '^pg_'`,
		"tables": `select coalesce(string_agg(oid::regclass::text, ' '), '') from pg_class
			where relnamespace = 'public'::regnamespace and relkind in ('r', 'v', 'm', 'f', 'p') and relname not in ('jobs', 'samples', 'sample_gaps', 'pollers')
			and (has_table_privilege('latency_operator', oid, 'select, insert, update, delete, truncate, references, trigger') or has_any_column_privilege('latency_operator', oid, 'select, insert, update, references'))`,
		"whole tables": `select coalesce(string_agg(oid::regclass::text, ' ' order by relname), '') from pg_class
			where relnamespace = 'public'::regnamespace and relkind = 'r' and has_table_privilege('latency_operator', oid, 'select, insert, update, truncate, references, trigger')`,
		"roles": `select coalesce(string_agg(rolname, ' '), '') from pg_roles where pg_has_role('latency_operator', oid, 'member') and rolname <> 'latency_operator'`,
		"attributes": `select concat_ws(' ', case when rolsuper then 'superuser' end, case when rolbypassrls then 'bypassrls' end, case when rolcreaterole then 'createrole' end,
			case when rolcreatedb then 'createdb' end, case when rolcanlogin then 'login' end, case when rolreplication then 'replication' end) from pg_roles where rolname = 'latency_operator'`,
	} {
		if got := db.text(query); got != "" {
			t.Errorf("%s: %s", what, got)
		}
	}
	if got := db.text(`select rolconfig::text from pg_roles where rolname = 'latency_operator'`); got != "{statement_timeout=8s}" {
		t.Errorf("its settings are %s", got)
	}
}

func TestARoleIsNotMadeWhereNothingWouldHoldItBack(t *testing.T) {
	db := emptyDatabase(t)
	db.migrate()
	for _, sql := range []string{
		`alter table jobs disable row level security`, `alter table samples disable row level security`, `alter table pollers disable row level security`,
	} {
		db.exec(sql)
		if code := db.try("", optional(t, "operator_role")); code != "P0001" {
			t.Errorf("%s: SQLSTATE %q", sql, code)
		}
		db.exec(strings.Replace(sql, "disable", "enable", 1))
	}
	db.optional("operator_role")
}

// What the Supabase CLI 3.1.0 makes of docs/database.md: the public half of "supabase gen signing-key --algorithm ES256" and the
// answer of "supabase gen bearer-jwt --role latency_operator --valid-for 2160h".
func TestATokenOfTheSupabaseCLIIsTheOperators(t *testing.T) {
	keys, err := os.ReadFile("testdata/cli_signing_keys.json")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile("testdata/cli_token.txt")
	if err != nil {
		t.Fatal(err)
	}
	token := strings.TrimSpace(string(raw))
	var now atomic.Pointer[time.Time]
	s := New(t, WithOptionalMigrations(), WithOptions(func(o *Options) { o.JWKS, o.Now = keys, func() time.Time { return *now.Load() } }))
	exec(t, s, roleJobs)
	signature := strings.LastIndex(token, ".") + 1
	_, rest, _ := strings.Cut(token, ".")
	another := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256","kid":"another","typ":"JWT"}`))
	for name, tc := range map[string]struct {
		token  string
		at     time.Time
		status int
		want   string
	}{
		"valid":                  {token, time.Date(2027, time.January, 1, 0, 0, 0, 0, time.UTC), 200, `[{"id":"` + realJob + `"}]`},
		"expired":                {token, time.Date(2027, time.March, 1, 0, 0, 0, 0, time.UTC), 401, `"PGRST303"`},
		"with another signature": {token[:signature] + "A" + token[signature+1:], time.Date(2027, time.January, 1, 0, 0, 0, 0, time.UTC), 401, `"PGRST301"`},
		"of another key":         {another + "." + rest, time.Date(2027, time.January, 1, 0, 0, 0, 0, time.UTC), 401, `"PGRST301"`},
	} {
		t.Run(name, func(t *testing.T) {
			now.Store(&tc.at)
			got := ask(t, s, "GET", "/rest/v1/jobs?select=id&status=eq.running", "", "apikey", s.PublishableKey(), "Authorization", "Bearer "+tc.token)
			if got.status != tc.status || !strings.Contains(got.body, tc.want) {
				t.Errorf("got %d %s, want %d %s", got.status, got.body, tc.status, tc.want)
			}
		})
	}
}
