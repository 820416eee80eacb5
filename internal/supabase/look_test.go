package supabase

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	migrations "github.com/soundcheck-io/latency-operator/config/supabase"
	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest"
)

// limited is a client of a role that may do what the SQL says, and nothing else.
func limited(p *project, sql string) *Client {
	p.t.Helper()
	p.exec(`do $$ begin create role limited nologin; exception when duplicate_object then null; end $$;
		grant limited to authenticator; grant usage on schema public to limited;` + sql) // roles belong to the server, not to the database
	p.reload()
	c, err := clientWith(p.t, p.URL(), p.PublishableKey(), p.Token(map[string]any{"role": "limited"}))
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

func TestRightsAreFoundOutAndNothingIsChanged(t *testing.T) {
	const (
		readJobs    = `grant select on jobs to limited;`
		changeJobs  = `grant update on jobs to limited;`
		samples     = `grant select, insert on samples to limited;`
		bookkeeping = `grant select, insert, update, delete on pollers, sample_gaps to limited;`
	)
	for name, tc := range map[string]struct {
		sql  string
		want []string
	}{
		"everything":       {readJobs + changeJobs + samples + bookkeeping, nil},
		"jobs only":        {readJobs + changeJobs + `grant select on pollers, sample_gaps, samples to limited`, []string{"samples insert", "pollers insert update delete", "sample_gaps insert update delete"}},
		"read only":        {readJobs + samples + bookkeeping, []string{"jobs update"}},
		"write only":       {readJobs + changeJobs + bookkeeping + `grant insert on samples to limited`, []string{"samples select"}},
		"no deleting":      {readJobs + changeJobs + samples + `grant select, insert, update on pollers, sample_gaps to limited`, []string{"pollers insert update delete", "sample_gaps insert update delete"}},
		"one column less":  {readJobs + samples + bookkeeping + `grant update (status, completed_at, last_ping_at, monitor_state, monitor_message, avg_rtt_ms, total_samples) on jobs to limited`, []string{"jobs update"}},
		"a column of each": {bookkeeping + changeJobs + `grant select on jobs to limited; grant select (job_id) on samples to limited; grant insert (job_id) on samples to limited`, []string{"samples insert", "samples select"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProject(t)
			p.job(idA)
			p.samples(idA, 3)
			p.exec(`insert into sample_gaps values ($1, now(), now(), 1, 'Busy')`, idA)
			p.exec(`insert into pollers (id, last_seen_at, version) values ('a', now(), 'v')`)
			c := limited(p, tc.sql)
			const everything = `select jsonb_build_array((select jsonb_agg(j) from jobs j), (select jsonb_agg(s) from samples s), (select jsonb_agg(g) from sample_gaps g), (select jsonb_agg(p) from pollers p))::text`
			before := p.text(everything)
			schema, err := c.Known(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var lacking []string
			for _, right := range schema.Rights() {
				switch err := c.Try(t.Context(), right); {
				case LacksRight(err):
					lacking = append(lacking, right.Table+" "+strings.Join(right.Actions, " "))
				case err != nil:
					t.Errorf("%+v: %v", right, err)
				}
			}
			if diff := cmp.Diff(tc.want, lacking); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(before, p.text(everything)); diff != "" {
				t.Errorf("something changed: %s", diff)
			}
		})
	}
}

func TestASeedHasItsOwnRights(t *testing.T) {
	p := newProject(t, supabasetest.WithoutMigrations(), supabasetest.WithSQL(migrations.All()[0].SQL+`grant all on jobs, samples to service_role`))
	schema, err := p.c.Known(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, right := range schema.Rights() {
		if err := p.c.Try(t.Context(), right); err != nil {
			t.Errorf("%+v: %v", right, err)
		}
	}
	lacks := schema.Lacks()
	for _, part := range []string{"the database lacks jobs.monitor_message, ", "samples.scheduled_at", "may be stored twice", "20261124090100_operator_columns.sql, 20261124090200_pollers_and_gaps.sql)"} {
		if !strings.Contains(lacks, part) {
			t.Errorf("%q lacks %q", lacks, part)
		}
	}
	if strings.Contains(lacks, "20261124090000") {
		t.Errorf("%q names a file that is applied", lacks)
	}
}

func TestMissingThingsNameTheMigrationThatAddsThem(t *testing.T) {
	sql := map[string]string{}
	for _, m := range migrations.All() {
		sql[m.Name] = m.SQL
	}
	for _, what := range (&Schema{jobs: map[string]bool{}, samples: map[string]bool{}}).Missing() {
		table, column, isColumn := strings.Cut(what, ".")
		adds := "create table if not exists public." + table + " ("
		if isColumn {
			adds = "alter table public." + table + " add column if not exists " + column + " "
		}
		text := sql[migrationOf(what)]
		if !strings.Contains(text, adds) && (!isColumn || !strings.Contains(text, "create table public."+table) || !strings.Contains(text, column+" ")) {
			t.Errorf("%s does not add %s", migrationOf(what), what)
		}
	}
}

func TestHiddenRowsAreNoticed(t *testing.T) {
	p := newProject(t)
	c := limited(p, `grant select on jobs, samples, pollers to limited; create policy limited_jobs on jobs for select to limited using (true)`)
	look := func(want string, wantSeen bool) {
		t.Helper()
		seen, err := c.Reach(t.Context())
		if err != nil || seen != wantSeen {
			t.Errorf("sees a job: %v, %v", seen, err)
		}
		if job, err := c.HidesSamples(t.Context()); err != nil || job != want {
			t.Errorf("hidden are those of %q, %v", job, err)
		}
	}
	look("", false)
	p.job(idA)
	look("", true)
	p.samples(idA, 3)
	p.exec(`update jobs set total_samples = 3`)
	look(idA, true)
	p.exec(`create policy limited_samples on samples for select to limited using (true)`)
	look("", true)
	p.exec(`drop policy limited_jobs on jobs`)
	look("", false)
}

func TestWhatOperatorsSayAboutThemselves(t *testing.T) {
	p := newProject(t)
	p.exec(`insert into pollers values ('a', $1, 'v1', 7, null), ('b', $1::timestamptz + interval '1 s', 'v2', 8, E'SpoolUnavailable:\nno room')`, t0)
	got, err := p.c.Pollers(t.Context())
	if err != nil || len(got) != 2 || got[0].ID != "b" || got[0].Message != "SpoolUnavailable: no room" || got[1].Jobs != 7 || !got[1].SeenAt.Equal(t0) {
		t.Errorf("%+v, %v", got, err)
	}
	p.exec(`drop table pollers`)
	p.reload()
	p.c.RecheckSchema()
	if got, err := p.c.Pollers(t.Context()); err != nil || got != nil {
		t.Errorf("without the table: %v, %v", got, err)
	}
}
