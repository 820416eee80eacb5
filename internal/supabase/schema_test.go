package supabase

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest"
)

func TestMissingInAnOldDatabase(t *testing.T) {
	p := newProject(t)
	p.exec(`drop table pollers, sample_gaps; alter table samples drop column scheduled_at`)
	p.reload()
	if _, err := p.c.RunningJobs(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"pollers", "sample_gaps", "samples.scheduled_at"}, p.c.Schema().Missing()); diff != "" {
		t.Error(diff)
	}
	if err := supabasetest.Migrate(t.Context(), p.DSN()); err != nil {
		t.Fatal(err)
	}
	p.reload()
	p.c.RecheckSchema()
	if _, err := p.c.RunningJobs(t.Context()); err != nil {
		t.Fatal(err)
	}
	if missing := p.c.Schema().Missing(); missing != nil {
		t.Errorf("missing after the migration: %v", missing)
	}
}

func TestATableThatIsDroppedIsLeftOutFromThenOn(t *testing.T) {
	p := newProject(t)
	beat := func() error { return p.c.Heartbeat(t.Context(), Poller{ID: "a", SeenAt: t0, Version: "1"}) }
	if err := beat(); err != nil {
		t.Fatal(err)
	}
	p.exec(`drop table pollers`)
	p.reload()
	if err := beat(); Classify(err) != SchemaNotReady {
		t.Errorf("got %v", err)
	}
	p.ResetRequests()
	if err := beat(); err != nil || len(p.Requests()) != 0 {
		t.Errorf("%v, %d requests", err, len(p.Requests()))
	}
	if diff := cmp.Diff([]string{"pollers"}, p.c.Schema().Missing()); diff != "" {
		t.Error(diff)
	}
}

func TestWhatAnErrorSaysIsUnknown(t *testing.T) {
	all := func() *Schema {
		s := &Schema{jobs: map[string]bool{}, samples: map[string]bool{}, pollers: true, gaps: true}
		for _, column := range jobExtras {
			s.jobs[column] = true
		}
		for _, column := range sampleExtras {
			s.samples[column] = true
		}
		return s
	}
	for message, want := range map[string]string{
		"Could not find the 'total_samples' column of 'jobs' in the schema cache":   "jobs.total_samples",
		"Could not find the 'jitter_ms' column of 'samples' in the schema cache":    "samples.jitter_ms",
		"Could not find the 'reason' column of 'sample_gaps' in the schema cache":   "sample_gaps",
		"Could not find the table 'public.sample_gaps' in the schema cache":         "sample_gaps",
		"Could not find the table 'public.pollers' in the schema cache (Perhaps x)": "pollers",
		`relation "public.sample_gaps" does not exist`:                              "sample_gaps",
		`relation "pollers" does not exist`:                                         "pollers",
		"Could not find the 'target_ip' column of 'jobs' in the schema cache":       "",
		"Could not find the table 'public.jobs' in the schema cache":                "",
		`relation "public.sample_gaps_pkey" does not exist`:                         "",
		"": "",
	} {
		got := ""
		if s := all().without(missingIn(message)); s != nil {
			missing := s.Missing()
			if len(missing) != 1 {
				t.Fatalf("%q: %v", message, missing)
			}
			got = missing[0]
		}
		if got != want {
			t.Errorf("%q: %q, want %q", message, got, want)
		}
	}
}

// A role may have rights on single columns only.
func TestColumnsThatMayNotBeRead(t *testing.T) {
	p := newProject(t, supabasetest.WithSQL(`alter default privileges revoke all on tables from anon`))
	p.job(idA)
	p.exec(`revoke all on jobs, samples from anon;
		grant select (id, target_ip, cadence_seconds, duration_minutes, status, monitoring_mode, started_at, last_ping_at) on jobs to anon;
		alter table samples drop column jitter_ms`)
	p.reload()
	c := p.client(p.PublishableKey())
	jobs, err := c.RunningJobs(t.Context())
	if err != nil || len(jobs) != 1 {
		t.Fatalf("%v, %v", jobs, err)
	}
	want := []string{
		"jobs.avg_rtt_ms", "jobs.completed_at", "jobs.monitor_message", "jobs.monitor_state", "jobs.packet_loss_percent", "jobs.total_samples", "jobs.updated_at",
		"samples.jitter_ms",
	}
	if diff := cmp.Diff(want, c.Schema().Missing()); diff != "" {
		t.Error(diff)
	}
	p.exec(`revoke select (started_at) on jobs from anon`)
	c.RecheckSchema()
	if _, err := c.RunningJobs(t.Context()); Classify(err) != KeyRefused {
		t.Errorf("without a column that is needed: %v", err)
	}
}
