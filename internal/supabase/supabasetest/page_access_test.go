package supabasetest

import (
	"fmt"
	"strings"
	"testing"
)

// Who uses the page in these tests, and whose the jobs are.
const (
	ann = "a0000000-0000-4000-8000-000000000001"
	bob = "b0000000-0000-4000-8000-000000000002"

	annsReal  = "20000000-0000-4000-8000-000000000001"
	annsFake  = "20000000-0000-4000-8000-000000000002"
	annsEnded = "20000000-0000-4000-8000-000000000003"
	bobsReal  = "20000000-0000-4000-8000-000000000004"
	bobsFake  = "20000000-0000-4000-8000-000000000005"
	noOnes    = "20000000-0000-4000-8000-000000000006"
)

const pageJobs = `
	insert into jobs (id, account_number, target_ip, cadence_seconds, duration_minutes, status, monitoring_mode, requester_id, started_at) values
		('` + annsReal + `', 'A-1', '10.0.0.1', 10, 60, 'running', 'real_polling', '` + ann + `', '2026-01-01Z'),
		('` + annsFake + `', 'A-2', '10.0.0.2', 10, 60, 'running', 'simulated', '` + ann + `', '2026-01-01Z'),
		('` + annsEnded + `', 'A-3', '10.0.0.3', 10, 60, 'completed', 'simulated', '` + ann + `', '2026-01-01Z'),
		('` + bobsReal + `', 'B-1', '10.0.0.4', 10, 60, 'running', 'real_polling', '` + bob + `', '2026-01-01Z'),
		('` + bobsFake + `', 'B-2', '10.0.0.5', 10, 60, 'running', 'simulated', '` + bob + `', '2026-01-01Z'),
		('` + noOnes + `', 'C-1', '10.0.0.6', 10, 60, 'running', 'simulated', null, '2026-01-01Z');
	insert into samples (job_id, sequence_number, status, scheduled_at) select id, 1, 'missed', '2026-01-01Z' from jobs;
	insert into sample_gaps values ('` + annsReal + `', '2026-01-02Z', '2026-01-02Z', 1, 'Busy');
	insert into pollers (id, last_seen_at, version) values ('alive', now(), 'v1')`

// who sends a request: the claims of a token, or none.
var people = map[string]map[string]any{
	"ann":        {"role": "authenticated", "sub": ann},
	"bob":        {"role": "authenticated", "sub": bob},
	"supervisor": {"role": "authenticated", "sub": "c0000000-0000-4000-8000-000000000003", "app_metadata": map[string]any{"sound_check": "supervisor"}},
	"would-be":   {"role": "authenticated", "sub": "d0000000-0000-4000-8000-000000000004", "user_metadata": map[string]any{"sound_check": "supervisor"}, "sound_check": "supervisor"},
	"no user":    {"role": "authenticated"},
	"anybody":    nil,
}

func sampleOf(job string) string {
	return fmt.Sprintf(`[{"job_id":"%s","sequence_number":2,"scheduled_at":"2026-01-01T00:00:10Z","recorded_at":"2026-01-01T00:00:10Z","status":"success","rtt_ms":12.5,"jitter_ms":0.5}]`, job)
}

// oddSample is one of a simulated job of Ann's, with this in it.
func oddSample(field string) string {
	return fmt.Sprintf(`[{"job_id":"%s","sequence_number":3,"status":"success",%s}]`, annsFake, field)
}

const upsert = "/samples?on_conflict=job_id,scheduled_at"

// asks are in an order in which they work.
var asks = []struct {
	who, name, method, path, body string
	status                        int
	want                          string
}{
	{"anybody", "read jobs", "GET", "/jobs?select=id", "", 401, `"42501"`},
	{"anybody", "read samples", "GET", "/samples?select=id", "", 401, `"42501"`},
	{"anybody", "read gaps", "GET", "/sample_gaps", "", 401, `"42501"`},
	{"anybody", "read pollers", "GET", "/pollers", "", 401, `"42501"`},
	{"anybody", "read rollups", "GET", "/sample_rollups", "", 401, `"42501"`},
	{"anybody", "start a job", "POST", "/jobs", `{"account_number":"X"}`, 401, `"42501"`},
	{"anybody", "cancel a job", "PATCH", "/jobs?id=eq." + annsReal, `{"status":"cancelled"}`, 401, `"42501"`},
	{"anybody", "add a sample", "POST", upsert, sampleOf(annsFake), 401, `"42501"`},

	{"ann", "read all jobs", "GET", "/jobs?select=account_number&order=account_number", "", 200, `[{"account_number":"A-1"},{"account_number":"A-2"},{"account_number":"A-3"},{"account_number":"B-1"},{"account_number":"B-2"},{"account_number":"C-1"}]`},
	{"ann", "read samples of others", "GET", "/samples?select=status&job_id=eq." + bobsReal, "", 200, `[{"status":"missed"}]`},
	{"ann", "read gaps", "GET", "/sample_gaps?select=reason", "", 200, `[{"reason":"Busy"}]`},
	{"ann", "read pollers", "GET", "/pollers?select=id", "", 200, `[{"id":"alive"}]`},
	{"ann", "read rollups", "GET", "/sample_rollups?select=job_id", "", 200, `[]`},

	{"ann", "start a job", "POST", "/jobs?select=requester_id,status,monitor_state", `{"id":"30000000-0000-4000-8000-000000000001","account_number":"N-1","target_ip":"10.0.0.9","cadence_seconds":10,"duration_minutes":60,"monitoring_mode":"real_polling","notification_email":null}`,
		201, `[{"requester_id":"` + ann + `","status":"running","monitor_state":null}]`},
	{"ann", "start a job without a target", "POST", "/jobs?select=target_ip", `{"account_number":"N-2","monitoring_mode":"simulated","requester_id":"` + ann + `"}`, 201, `[{"target_ip":null}]`},
	{"ann", "start a job for bob", "POST", "/jobs?select=id", `{"account_number":"N-3","requester_id":"` + bob + `"}`, 403, `"42501"`},
	{"no user", "start a job", "POST", "/jobs?select=id", `{"account_number":"N-4"}`, 403, `"42501"`},
	{"ann", "start a job that is over", "POST", "/jobs?select=id", `{"account_number":"N-5","status":"completed"}`, 403, `"42501"`},
	{"ann", "start a job in the past", "POST", "/jobs?select=id", `{"account_number":"N-6","started_at":"2020-01-01Z"}`, 403, `"42501"`},
	{"ann", "say what the operator says", "POST", "/jobs?select=id", `{"account_number":"N-7","monitor_message":"All is well."}`, 403, `"42501"`},
	{"ann", "start a job with figures", "POST", "/jobs?select=id", `{"account_number":"N-8","total_samples":5}`, 403, `"42501"`},
	{"ann", "start a job too often", "POST", "/jobs?select=id", `{"account_number":"N-9","cadence_seconds":0}`, 400, `the cadence has to be from 1 to 86400 seconds`},
	{"ann", "start a job for ever", "POST", "/jobs?select=id", `{"account_number":"N-9","duration_minutes":525601}`, 400, `the duration has to be from 1 to 525600 minutes`},
	{"ann", "start a job of no account", "POST", "/jobs?select=id", `{"account_number":" "}`, 400, `the account number has to have from 1 to 64 characters`},
	{"ann", "start a job of a long account", "POST", "/jobs?select=id", `{"account_number":"` + strings.Repeat("1", 65) + `"}`, 400, `from 1 to 64 characters`},
	{"ann", "measure a novel", "POST", "/jobs?select=id", `{"account_number":"N-9","target_ip":"` + strings.Repeat("1", 46) + `"}`, 400, `longer than any address`},
	{"ann", "write to a novel", "POST", "/jobs?select=id", `{"account_number":"N-9","notification_email":"` + strings.Repeat("1", 255) + `"}`, 400, `longer than any address`},
	{"ann", "measure in another way", "POST", "/jobs?select=id", `{"account_number":"N-9","monitoring_mode":"guess"}`, 400, `"23514"`},

	{"ann", "start a job in no way", "POST", "/jobs?select=id", `{"account_number":"N-9","monitoring_mode":null}`, 400, `the monitoring mode has to be simulated or real_polling`},

	{"ann", "change a target", "PATCH", "/jobs?select=id&id=eq." + annsFake, `{"target_ip":"10.0.0.9"}`, 403, `permission denied for table jobs`},
	{"ann", "change a cadence", "PATCH", "/jobs?select=id&id=eq." + annsFake, `{"cadence_seconds":1}`, 403, `permission denied for table jobs`},
	{"ann", "change a start", "PATCH", "/jobs?select=id&id=eq." + annsFake, `{"started_at":"2026-01-01Z"}`, 403, `permission denied for table jobs`},
	{"ann", "say what the operator says of a job", "PATCH", "/jobs?select=id&id=eq." + annsFake, `{"monitor_message":"All is well."}`, 403, `permission denied for table jobs`},
	{"ann", "change a mode", "PATCH", "/jobs?select=id&id=eq." + annsFake, `{"monitoring_mode":"real_polling"}`, 403, `permission denied for table jobs`},
	{"ann", "give a job away", "PATCH", "/jobs?select=id&id=eq." + annsFake, `{"requester_id":"` + bob + `"}`, 403, `permission denied for table jobs`},
	{"ann", "take an id", "PATCH", "/jobs?select=id&id=eq." + annsFake, `{"id":"` + noOnes + `"}`, 403, `permission denied for table jobs`},
	{"ann", "complete a real job", "PATCH", "/jobs?select=id&id=eq." + annsReal, `{"status":"completed"}`, 403, `a job that is really polled can be cancelled here, and nothing else`},
	{"ann", "write figures of a real job", "PATCH", "/jobs?select=id&id=eq." + annsReal, `{"avg_rtt_ms":1}`, 403, `can be cancelled here, and nothing else`},
	{"ann", "cancel a real job with figures", "PATCH", "/jobs?select=id&id=eq." + annsReal, `{"status":"cancelled","total_samples":9}`, 403, `the figures of a job are for whoever measures it`},
	{"ann", "fail a simulated job", "PATCH", "/jobs?select=id&id=eq." + annsFake, `{"status":"failed"}`, 403, `can be cancelled or completed here, and not failed`},
	{"ann", "say when a running job ended", "PATCH", "/jobs?select=id&id=eq." + annsFake, `{"completed_at":"2026-01-01Z"}`, 403, `and not running`},
	{"ann", "start a job anew", "PATCH", "/jobs?select=id&id=eq." + annsEnded, `{"status":"running"}`, 200, `[]`},
	{"ann", "write a job of bob over", "POST", "/jobs?on_conflict=id&columns=id,account_number&select=id", `{"id":"` + bobsReal + `","account_number":"N-9"}`, 403, `"42501"`},
	{"ann", "cancel a job of bob", "PATCH", "/jobs?select=id&id=eq." + bobsReal, `{"status":"cancelled"}`, 200, `[]`},
	{"ann", "cancel a job of nobody", "PATCH", "/jobs?select=id&id=eq." + noOnes, `{"status":"cancelled"}`, 200, `[]`},
	{"no user", "cancel a job of nobody", "PATCH", "/jobs?select=id&id=eq." + noOnes, `{"status":"cancelled"}`, 200, `[]`},
	{"would-be", "cancel a job of bob", "PATCH", "/jobs?select=id&id=eq." + bobsReal, `{"status":"cancelled"}`, 200, `[]`},
	{"ann", "delete a job", "DELETE", "/jobs?select=id&id=eq." + annsReal, "", 403, `"42501"`},

	{"ann", "add a sample of a simulated job", "POST", upsert, sampleOf(annsFake), 201, ""},
	{"ann", "add it again", "POST", upsert, sampleOf(annsFake), 201, ""},
	{"ann", "add a sample that does not say when it was due", "POST", "/samples?select=status", oddSample(`"rtt_ms":1`), 201, `"success"`},
	{"ann", "add a sample of no time", "POST", "/samples", oddSample(`"rtt_ms":"NaN"`), 403, `"42501"`},
	{"ann", "add a sample of no jitter", "POST", "/samples", oddSample(`"jitter_ms":"-Infinity"`), 403, `"42501"`},
	{"ann", "add a sample that is due at the end of time", "POST", "/samples", oddSample(`"scheduled_at":"infinity"`), 403, `"42501"`},
	{"ann", "add a sample of before the job", "POST", "/samples", oddSample(`"scheduled_at":"2025-12-31T23:59:59Z"`), 403, `"42501"`},
	{"ann", "add a sample of after the job", "POST", "/samples", oddSample(`"scheduled_at":"2026-01-01T01:00:00Z"`), 403, `"42501"`},
	{"ann", "add a sample that was measured at the end of time", "POST", "/samples", oddSample(`"recorded_at":"infinity"`), 403, `"42501"`},
	{"ann", "add a sample of a real job", "POST", upsert, sampleOf(annsReal), 403, `"42501"`},
	{"ann", "add a sample of a job that is over", "POST", upsert, sampleOf(annsEnded), 403, `"42501"`},
	{"ann", "add a sample of bob's", "POST", upsert, sampleOf(bobsFake), 403, `"42501"`},
	{"supervisor", "add a sample of bob's", "POST", upsert, sampleOf(bobsFake), 403, `"42501"`},
	{"no user", "add a sample of nobody's", "POST", upsert, sampleOf(noOnes), 403, `"42501"`},
	{"ann", "write a sample over", "POST", "/samples?on_conflict=job_id,scheduled_at&select=id", sampleOf(annsFake), 403, `"42501"`},
	{"ann", "change a sample", "PATCH", "/samples?select=id&job_id=eq." + annsFake, `{"rtt_ms":1}`, 403, `"42501"`},
	{"ann", "delete samples", "DELETE", "/samples?select=id&job_id=eq." + annsFake, "", 403, `"42501"`},
	{"ann", "put a gap", "POST", "/sample_gaps", `{"job_id":"` + annsFake + `","from_at":"2026-01-03","to_at":"2026-01-03","slots":1,"reason":"x"}`, 403, `"42501"`},
	{"ann", "be a poller", "POST", "/pollers", `{"id":"me","last_seen_at":"2026-01-03","version":"x"}`, 403, `"42501"`},
	{"ann", "call the functions", "GET", "/refuse_row", "", 404, ""},

	{"ann", "write figures of a simulated job", "PATCH", "/jobs?select=total_samples&id=eq." + annsFake, `{"avg_rtt_ms":12.5,"packet_loss_percent":50,"total_samples":2,"last_ping_at":"2026-01-01T00:00:10Z"}`, 200, `[{"total_samples":2}]`},
	{"ann", "write a loss that is no number", "PATCH", "/jobs?select=id&id=eq." + annsFake, `{"packet_loss_percent":"NaN"}`, 400, `the figures of a job have to be ones that can be measured`},
	{"ann", "write an endless time", "PATCH", "/jobs?select=id&id=eq." + annsFake, `{"avg_rtt_ms":"Infinity"}`, 400, `can be measured`},
	{"ann", "write fewer samples than none", "PATCH", "/jobs?select=id&id=eq." + annsFake, `{"total_samples":-1}`, 400, `can be measured`},
	{"ann", "write a ping at the end of time", "PATCH", "/jobs?select=id&id=eq." + annsFake, `{"last_ping_at":"infinity"}`, 400, `can be measured`},
	{"supervisor", "write figures of a simulated job", "PATCH", "/jobs?select=id&id=eq." + annsFake, `{"avg_rtt_ms":1}`, 403, `the figures of a job are for whoever measures it`},
	{"supervisor", "complete a simulated job", "PATCH", "/jobs?select=id&id=eq." + annsFake, `{"status":"completed"}`, 403, `can be cancelled here, and not completed`},
	{"ann", "complete a simulated job", "PATCH", "/jobs?select=status&id=eq." + annsFake, `{"status":"completed","completed_at":"2020-01-01Z","total_samples":2}`, 200, `[{"status":"completed"}]`},
	{"ann", "cancel a job", "PATCH", "/jobs?select=status&status=eq.running&id=eq." + annsReal, `{"status":"cancelled","completed_at":"2020-01-01Z"}`, 200, `[{"status":"cancelled"}]`},
	{"supervisor", "cancel a job of bob", "PATCH", "/jobs?select=status&id=eq." + bobsReal, `{"status":"cancelled"}`, 200, `[{"status":"cancelled"}]`},
	{"supervisor", "cancel a job of nobody", "PATCH", "/jobs?select=status&id=eq." + noOnes, `{"status":"cancelled"}`, 200, `[{"status":"cancelled"}]`},
}

func TestWhoMayDoWhatOnThePage(t *testing.T) {
	for name, before := range map[string]string{
		"a new database": "",
		// As a project has it that was made before May 2026: everybody may do everything with a new table, and policies decide.
		"an app with policies of its own": `
			create policy anything on jobs to anon, authenticated using (true) with check (true);
			create policy anything on samples using (true) with check (true);
			grant all on jobs, samples, sample_gaps, pollers to anon, authenticated`,
		"an app whose page said how a job begins": `alter table jobs alter status drop default, alter started_at drop default, drop constraint jobs_monitoring_mode_check`,
	} {
		t.Run(name, func(t *testing.T) {
			s := New(t, WithOptionalMigrations())
			exec(t, s, pageJobs)
			if before != "" {
				exec(t, s, before)
				exec(t, s, optional(t, "page_access"))
			}
			for _, tc := range asks {
				headers := []string{"apikey", s.PublishableKey(), "Content-Type", "application/json"}
				if claims := people[tc.who]; claims != nil {
					headers = append(headers, "Authorization", "Bearer "+s.Token(claims))
				}
				switch {
				case strings.Contains(tc.path, "on_conflict") && strings.HasSuffix(tc.path, "select=id"):
					headers = append(headers, "Prefer", "return=representation,resolution=merge-duplicates")
				case strings.Contains(tc.path, "on_conflict"):
					headers = append(headers, "Prefer", "return=minimal,resolution=ignore-duplicates")
				case tc.method != "GET":
					headers = append(headers, "Prefer", "return=representation")
				}
				got := ask(t, s, tc.method, "/rest/v1"+tc.path, tc.body, headers...)
				got.body = strings.ReplaceAll(got.body, ", \n ", ",") // between rows
				if got.status != tc.status || !strings.Contains(got.body, tc.want) {
					t.Errorf("%s: %s: got %d %s, want %d %s", tc.who, tc.name, got.status, got.body, tc.status, tc.want)
				}
			}
			for query, want := range map[string]string{
				`select string_agg(account_number || ' ' || status, ', ' order by account_number) from jobs`:                                                                                                        "A-1 cancelled, A-2 completed, A-3 completed, B-1 cancelled, B-2 running, C-1 cancelled, N-1 running, N-2 running",
				`select string_agg(account_number, ', ') from jobs where status <> 'running' and completed_at < now() - interval '1 hour'`:                                                                          "null",
				`select string_agg(account_number || ' ' || n, ', ' order by account_number) from (select account_number, count(samples.id) n from jobs join samples on job_id = jobs.id group by 1) x where n > 1`: "A-2 3",
				`select count(*)::text from sample_gaps`: "1",
				`select count(*)::text from pollers`:     "1",
			} {
				if got := text(t, s, query); got != want {
					t.Errorf("%s gives %q, want %q", query, got, want)
				}
			}
		})
	}
}

// An app's next migration may grant everything again, as those of old projects do. What nobody is to do stays held back by policies.
func TestALaterGrantDoesNotOpenWhatNobodyIsToDoOnThePage(t *testing.T) {
	db := emptyDatabase(t)
	db.migrate()
	db.optional("page_access")
	db.exec(pageJobs)
	db.exec(`grant all on jobs, samples to authenticated; create policy anything on jobs using (true); create policy anything on samples using (true)`)
	count := func() string {
		return db.text(`select (select count(*) from jobs) || ' jobs, ' || (select count(*) from samples where rtt_ms is null) || ' samples'`)
	}
	want := count()
	for _, sql := range []string{`delete from jobs`, `delete from samples`, `update samples set rtt_ms = 1`} {
		if code := db.try("authenticated", `set local request.jwt.claims = '{"role":"authenticated","sub":"`+ann+`","app_metadata":{"sound_check":"supervisor"}}'; `+sql); code != "" {
			t.Errorf("%s: SQLSTATE %s", sql, code)
		}
		if got := count(); got != want {
			t.Errorf("%s leaves %s of %s", sql, got, want)
		}
	}
}

// The operator goes on beside it, with its own role and as service_role, whichever file came first.
func TestTheOperatorIsNotHeldBackByThePage(t *testing.T) {
	for _, order := range [][]string{{"operator_role", "page_access", "page_access"}, {"page_access", "operator_role"}} {
		db := emptyDatabase(t)
		db.exec(elsewhere)
		db.migrate()
		for _, file := range order {
			db.optional(file)
		}
		db.exec(roleJobs)
		db.asOperator(work)
		if code := db.try("service_role", `update jobs set status = 'failed', total_samples = 7 where id = '`+fakeJob+`'`); code != "" {
			t.Errorf("%v: SQLSTATE %s", order, code)
		}
	}
}

func TestThePagesRulesAreNotMadeWhereNothingWouldHoldAnybodyBack(t *testing.T) {
	db := emptyDatabase(t)
	db.migrate()
	db.migrateOptional()
	sql := optional(t, "page_access")
	for _, tc := range []struct{ breaks, mends string }{
		{`alter table jobs disable row level security`, `alter table jobs enable row level security`},
		{`alter table samples disable row level security`, `alter table samples enable row level security`},
		{`grant select on samples to public`, `revoke all on samples from public`},
		{`grant delete on samples to public`, `revoke all on samples from public`},
		{`grant truncate on pollers to public`, `revoke all on pollers from public`},
		{`grant select on sample_rollups to public`, `revoke all on sample_rollups from public`},
		{`grant update (status) on jobs to public`, `revoke all on jobs from public`},
		{`alter table jobs rename requester_id to owner`, `alter table jobs rename owner to requester_id`},
	} {
		db.exec(tc.breaks)
		if code := db.try("", sql); code != "P0001" {
			t.Errorf("%s: SQLSTATE %q", tc.breaks, code)
		}
		db.exec(tc.mends)
	}
	db.exec(sql)
}

func TestRealtimeHearsOfJobsAndSamplesUntilSomebodySaysNo(t *testing.T) {
	db := emptyDatabase(t)
	db.migrate()
	db.exec(`create publication supabase_realtime`)
	const listed = `select coalesce(string_agg(tablename::text, ',' order by tablename), '') from pg_publication_tables where pubname = 'supabase_realtime'`
	for _, step := range []struct{ sql, want string }{
		{optional(t, "page_access"), "jobs,samples"},
		{optional(t, "page_access"), "jobs,samples"},
		{`alter publication supabase_realtime drop table public.samples`, "jobs"},
		{optional(t, "page_access"), "jobs"},
	} {
		db.exec(step.sql)
		if got := db.text(listed); got != step.want {
			t.Errorf("%q, want %q", got, step.want)
		}
	}
}
