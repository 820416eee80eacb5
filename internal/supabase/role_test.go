package supabase

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest"
)

// asOperator is a client with a token of the operator's own role beside the publishable key.
func (p *project) asOperator() *Client {
	p.t.Helper()
	token := p.Token(map[string]any{"role": "latency_operator", "exp": time.Now().Add(time.Hour).Unix()})
	credentials, err := NewCredentials(Source{Value: p.PublishableKey()}, Source{Value: token}, clock.RealClock{})
	if err != nil {
		p.t.Fatal(err)
	}
	c, err := New(Options{URL: p.URL(), Credentials: credentials, UserAgent: "test/1", Observer: &seen{}, Clock: clock.RealClock{}})
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

// Every request that the operator makes has to go through with the role of config/supabase/optional, and do what it does for
// service_role.
func TestTheOperatorsRoleMayMakeEveryRequest(t *testing.T) {
	p := newProject(t, supabasetest.WithOptionalMigrations())
	c := p.asOperator()
	now := time.Now()
	for _, id := range []string{idA, idB} {
		p.job(id)
	}
	p.samples(idA, 3)
	p.unscheduled(idA, 2)
	row := func(id string) Job {
		t.Helper()
		rows, err := c.JobsByID(t.Context(), []string{id})
		if err != nil || len(rows) != 1 {
			t.Fatalf("%d rows, %v", len(rows), err)
		}
		return rows[0]
	}
	gap := sample.Gap{JobID: idA, From: t0, To: t0.Add(time.Second), Slots: 2, Reason: "Busy"}
	rtt := 12.5
	for _, step := range []struct {
		name string
		do   func() error
		// want is what check gives afterwards.
		check, want string
	}{
		{"list jobs", func() error { return twoJobs(c.RunningJobs(t.Context())) }, "", ""},
		{"list changes", func() error {
			jobs, _, err := c.ChangedJobs(t.Context(), time.Time{})
			return twoJobs(jobs, err)
		}, "", ""},
		{"read samples since", func() error {
			_, err := c.SamplesSince(t.Context(), map[string]time.Time{idA: {}, idB: {}})
			return err
		}, "", ""},
		{"read each sample", func() error { return c.EachSample(t.Context(), idA, func(Stored) {}) }, "", ""},
		{"prove that samples can be read", func() error { return c.EachSample(t.Context(), idB, func(Stored) {}) }, "", ""},
		{"find the highest numbers", func() error { _, err := c.HighestSequences(t.Context(), []string{idA, idB}); return err }, "", ""},
		{"store a sample", func() error {
			_, err := c.InsertSamples(t.Context(), []Row{{Sequence: 9, Sample: sample.Sample{JobID: idB, ScheduledAt: t0, RecordedAt: t0, Status: sample.Success, RTT: &rtt}}})
			return err
		}, `select sequence_number || ' ' || rtt_ms from samples where job_id = '` + idB + `'`, "9 12.5"},
		{"store it again", func() error {
			_, err := c.InsertSamples(t.Context(), []Row{{Sequence: 10, Sample: sample.Sample{JobID: idB, ScheduledAt: t0, RecordedAt: t0, Status: sample.Missed}}})
			return err
		}, `select sequence_number || ' ' || rtt_ms from samples where job_id = '` + idB + `'`, "9 12.5"},
		{"put a gap", func() error { return c.PutGaps(t.Context(), []sample.Gap{gap}) }, `select slots::text from sample_gaps`, "2"},
		{"put a longer gap", func() error {
			gap.To, gap.Slots = gap.To.Add(time.Second), 3
			return c.PutGaps(t.Context(), []sample.Gap{gap})
		}, `select slots::text from sample_gaps`, "3"},
		{"read gaps", func() error { _, err := c.GapsSince(t.Context(), map[string]time.Time{idA: {}}); return err }, "", ""},
		{"delete a gap", func() error { return c.DeleteGap(t.Context(), gap) }, `select count(*)::text from sample_gaps`, "0"},
		{"touch", func() error { return c.TouchJobs(t.Context(), []string{idA, idB}, now) }, `select count(last_ping_at)::text from jobs`, "2"},
		{"report", func() error {
			return c.ReportJobs(t.Context(), []string{idA, idB}, Report{State: "measuring", Message: "The device does not answer"})
		}, `select count(monitor_message)::text from jobs where monitor_state = 'measuring'`, "2"},
		{"summarize", func() error { return c.SummarizeJob(t.Context(), idA, Summary{Samples: 5, AvgRTT: &rtt}) }, `select total_samples || ' ' || avg_rtt_ms from jobs where id = '` + idA + `'`, "5 12.5"},
		{"end a job", func() error {
			return done(c.EndJob(t.Context(), row(idA), "completed", now, Summary{Samples: 6}, Report{State: "not_measuring", Message: "Over"}))
		}, `select status || ' ' || total_samples || ' ' || monitor_message from jobs where id = '` + idA + `'`, "completed 6 Over"},
		{"close a job that was cancelled", func() error {
			p.exec(`update jobs set status = 'cancelled' where id = $1`, idB)
			return done(c.CloseJob(t.Context(), row(idB), Summary{Samples: 7}, Report{State: "not_measuring", Message: "Cancelled"}))
		}, `select status || ' ' || total_samples || ' ' || monitor_message from jobs where id = '` + idB + `'`, "cancelled 7 Cancelled"},
		{"heartbeat", func() error { return c.Heartbeat(t.Context(), Poller{ID: "a", SeenAt: now, Version: "v1"}) }, `select version from pollers`, "v1"},
		{"heartbeat again", func() error { return c.Heartbeat(t.Context(), Poller{ID: "a", SeenAt: now, Version: "v2"}) }, `select version from pollers`, "v2"},
		{"find jobs", func() error {
			return twoJobs(c.JobsBetween(t.Context(), idA, idB, 10))
		}, "", ""},
		{"find the newest job of a target", func() error {
			_, err := c.NewestJob(t.Context(), netip.MustParseAddr("10.1.2.3"))
			return err
		}, "", ""},
		{"read each gap", func() error { return c.EachGap(t.Context(), idA, time.Time{}, func(sample.Gap) {}) }, "", ""},
		{"reach the project", func() error { _, err := c.Reach(t.Context()); return err }, "", ""},
		{"see that no samples are hidden", func() error {
			hidden, err := c.HidesSamples(t.Context())
			if err == nil && hidden != "" {
				err = errors.New("they are of " + hidden)
			}
			return err
		}, "", ""},
		{"read what operators say", func() error { _, err := c.Pollers(t.Context()); return err }, "", ""},
		{"try each right", func() error {
			var errs []error
			for _, right := range c.Schema().Rights() {
				errs = append(errs, c.Try(t.Context(), right))
			}
			return errors.Join(errs...)
		}, "", ""},
		{"forget pollers", func() error {
			p.exec(`insert into pollers (id, last_seen_at, version) values ('b', now() - interval '8 days', 'v0')`)
			return c.ForgetPollers(t.Context(), "a", now.Add(-7*24*time.Hour))
		}, `select string_agg(id, ',') from pollers`, "a"},
	} {
		if err := step.do(); err != nil {
			t.Errorf("%s: %v", step.name, err)
		}
		if step.check == "" {
			continue
		}
		if got := p.text(step.check); got != step.want {
			t.Errorf("%s: got %s, want %s", step.name, got, step.want)
		}
	}
	if missing := c.Schema().Missing(); missing != nil {
		t.Errorf("the role does not see %v", missing)
	}
	for _, r := range p.Requests() {
		if r.Status >= 300 {
			t.Errorf("%s %s %v: %d", r.Method, r.Path, r.Query, r.Status)
		}
	}
}

func twoJobs(jobs []Job, err error) error {
	if err == nil && len(jobs) != 2 {
		return errors.New("not two jobs")
	}
	return err
}

func done(matched bool, err error) error {
	if err == nil && !matched {
		return errors.New("the row was not found")
	}
	return err
}

// A row that the role may not write must not look like a key that is refused, which would hold up all others.
func TestARowThatTheOperatorsRoleMayNotWriteHoldsUpNoOther(t *testing.T) {
	p := newProject(t, supabasetest.WithOptionalMigrations())
	c := p.asOperator()
	p.job(idA)
	p.job(idB)
	p.exec(`update jobs set monitoring_mode = 'simulated' where id = $1`, idB)
	for id, want := range map[string]Class{idB: RowRejected, jobID(9): JobGone} {
		rows := []Row{{Sample: sample.Sample{JobID: idA, ScheduledAt: t0, Status: sample.Missed}}, {Sample: sample.Sample{JobID: id, ScheduledAt: t0, Status: sample.Missed}}}
		if _, err := c.InsertSamples(t.Context(), rows); Classify(err) != want {
			t.Errorf("a sample: %v, want %s", err, want)
		}
		gaps := []sample.Gap{{JobID: idA, From: t0, To: t0, Slots: 1}, {JobID: id, From: t0, To: t0, Slots: 1}}
		if err := c.PutGaps(t.Context(), gaps); Classify(err) != want {
			t.Errorf("a gap: %v, want %s", err, want)
		}
	}
	jobs, err := c.RunningJobs(t.Context())
	if err != nil || slices.ContainsFunc(jobs, func(j Job) bool { return j.ID == idB }) {
		t.Errorf("a job that is simulated by now: %v, %v", jobs, err)
	}
}
