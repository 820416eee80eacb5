package supabasetest

import (
	"encoding/json"
	"testing"
)

// plan is what PostgreSQL says about one step of a query, and about those below it.
type plan struct {
	Node  string  `json:"Node Type"`
	Index string  `json:"Index Name"`
	Rows  float64 `json:"Actual Rows"`
	Hits  int     `json:"Shared Hit Blocks"`
	Reads int     `json:"Shared Read Blocks"`
	Plans []plan  `json:"Plans"`
}

// uses lists the indexes that a plan reads, and tables that it reads without one.
func (p *plan) uses(found map[string]bool) map[string]bool {
	if p.Index != "" {
		found[p.Index] = true
	}
	if p.Node == "Seq Scan" || p.Node == "Sort" {
		found[p.Node] = true
	}
	for i := range p.Plans {
		p.Plans[i].uses(found)
	}
	return found
}

// explain runs a prepared statement and gives its plan.
func (db *database) explain(execute string) plan {
	db.t.Helper()
	var raw []byte
	if err := db.conn.QueryRow(db.t.Context(), `explain (analyze, buffers, format json) `+execute).Scan(&raw); err != nil {
		db.t.Fatal(err)
	}
	var plans []struct{ Plan plan }
	if err := json.Unmarshal(raw, &plans); err != nil {
		db.t.Fatal(err)
	}
	return plans[0].Plan
}

// What the operator asks for every few seconds has to read what has changed and no more, whatever PostgreSQL believes about
// parameters: PostgREST prepares its statements, so that in the end a plan may be made for any values.
func TestWhatHasNotChangedIsNotRead(t *testing.T) {
	db := emptyDatabase(t)
	db.migrate()
	db.exec(`alter table jobs disable trigger user;
		insert into jobs (account_number, monitoring_mode, updated_at) select 'A', 'real_polling', now() - n * interval '1 s' from generate_series(1, 50000) n;
		alter table jobs enable trigger user;
		analyze jobs`)
	db.exec(`prepare changed (text, timestamptz) as with answer as (
			select * from jobs where monitoring_mode = $1 and updated_at >= $2 order by updated_at, id limit 1000
		) select json_agg(answer) from answer`)
	for _, mode := range []string{"force_generic_plan", "force_custom_plan", "auto"} {
		db.exec(`set plan_cache_mode = ` + mode)
		for since, most := range map[string]int{"now()": 20, "now() - interval '100 s'": 150} {
			p := db.explain(`execute changed ('real_polling', ` + since + `)`)
			if used := p.uses(map[string]bool{}); len(used) != 1 || !used["jobs_updated_at_id_idx"] {
				t.Errorf("%s, since %s: uses %v", mode, since, used)
			}
			if p.Hits+p.Reads > most {
				t.Errorf("%s, since %s: reads %d pages", mode, since, p.Hits+p.Reads)
			}
		}
	}
}

// Notes of a day that nobody took, one a second: each is read a few times, and not once for every five minutes after it.
func TestARunOverALongBacklogReadsEachNoteAFewTimes(t *testing.T) {
	r := newRolled(t)
	r.job(realJob, "real_polling")
	r.exec(`insert into soundcheck.rollup_queue (bucket_start, job_ids) select soundcheck.bucket_of(now() - i * interval '1 s', null), array['` + realJob + `'::uuid] from generate_series(600, 86999) i; analyze soundcheck.rollup_queue`)
	if pages := explainPages(t, r.conn, `select soundcheck.roll_up_samples()`); pages > 3*86_400 {
		t.Errorf("%d pages were looked at for 86,400 notes", pages)
	}
	if got := r.text(`select count(*)::text from soundcheck.rollup_queue`); got != "0" {
		t.Errorf("%s notes are left", got)
	}
}

// A chart is read in thousands of rows: a policy that looked into jobs for each of them would be felt there.
func TestThePagesPoliciesMakeReadingAChartNoDearer(t *testing.T) {
	db := emptyDatabase(t)
	db.migrate()
	db.migrateOptional()
	db.exec(pageJobs)
	db.exec(`drop policy samples_app_select on samples; -- which would count instead, because it lets everybody see every row
		insert into samples (job_id, sequence_number, status, scheduled_at)
		select id, n, 'missed', timestamptz '2026-02-01Z' + n * interval '10 s' from jobs, generate_series(1, 5000) n;
		analyze samples; set role authenticated; set request.jwt.claims = '{"role":"authenticated","sub":"` + ann + `"}'`)
	p := db.explain(`select scheduled_at, status, rtt_ms from samples where job_id = '` + bobsReal + `' and scheduled_at >= '2026-02-01 05:00Z' order by scheduled_at limit 1000`)
	used := p.uses(map[string]bool{})
	delete(used, "Sort")
	if len(used) != 1 || !used["samples_job_id_scheduled_at_key"] || p.Rows != 1000 {
		t.Errorf("reads %v rows with %v", p.Rows, used)
	}
}
