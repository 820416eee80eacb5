package supabase

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/soundcheck-io/latency-operator/internal/sample"
)

// told is what the technician sees of a job.
func (p *project) told(id string) string {
	p.t.Helper()
	return p.text(`select concat_ws(' ', status, coalesce(completed_at::text, '-'), total_samples, coalesce(avg_rtt_ms::text, '-'), coalesce(packet_loss_percent::text, '-'),
		coalesce(monitor_state, '-'), coalesce(monitor_message, '-')) from jobs where id = $1`, id)
}

func (p *project) row(id string) Job {
	p.t.Helper()
	rows, err := p.c.JobsByID(p.t.Context(), []string{id})
	if err != nil || len(rows) != 1 {
		p.t.Fatalf("%v, %v", rows, err)
	}
	return rows[0]
}

var (
	summary = Summary{Samples: 3, AvgRTT: new(12.34567891), LossPercent: new(33.33333)}
	report  = Report{State: "not_measuring", Message: "The job is over."}
)

func TestSummaryAndReport(t *testing.T) {
	p := newProject(t)
	for i := range 3 {
		p.job(jobID(i))
	}
	p.stamp(`update jobs set updated_at = '2026-01-01Z'`)
	if err := p.c.SummarizeJob(t.Context(), jobID(0), summary); err != nil {
		t.Fatal(err)
	}
	if err := p.c.ReportJobs(t.Context(), []string{jobID(0), jobID(2)}, Report{State: "waiting", Message: "No address, yet."}); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{
		jobID(0): "running - 3 12.345679 33.3333 waiting No address, yet.",
		jobID(1): "running - 0 - - - -",
		jobID(2): "running - 0 - - waiting No address, yet.",
	} {
		if got := p.told(id); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if err := p.c.SummarizeJob(t.Context(), jobID(0), Summary{AvgRTT: new(math.NaN()), LossPercent: new(math.Inf(1))}); err != nil {
		t.Fatal(err)
	}
	if err := p.c.ReportJobs(t.Context(), []string{jobID(0)}, Report{}); err != nil {
		t.Fatal(err)
	}
	if got := p.told(jobID(0)); got != "running - 0 - - - -" {
		t.Errorf("got %q", got)
	}
	if n := p.text(`select count(*)::text from jobs where updated_at = '2026-01-01Z'`); n != "3" {
		t.Errorf("updated_at of %s jobs of 3 did not move", n)
	}
	if err := p.c.ReportJobs(t.Context(), make([]string, 101), report); err == nil {
		t.Error("101 ids are no error")
	}
}

func TestEndJob(t *testing.T) {
	for name, tc := range map[string]struct {
		meanwhile string
		matched   bool
		want      string
	}{
		"as it was read":   {"", true, "completed 2026-11-23 10:00:00.123456+00 3 12.345679 33.3333 not_measuring The job is over."},
		"cancelled":        {`update jobs set status = 'cancelled'`, false, "cancelled - 0 - - - -"},
		"another duration": {`update jobs set duration_minutes = 99`, false, "running - 0 - - - -"},
		"another cadence":  {`update jobs set cadence_seconds = 99`, false, "running - 0 - - - -"},
		"started anew":     {`update jobs set started_at = now()`, false, "running - 0 - - - -"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProject(t)
			p.job(idA)
			p.job(idB)
			row := p.row(idA)
			p.exec(tc.meanwhile)
			matched, err := p.c.EndJob(t.Context(), row, "completed", t0, summary, report)
			if err != nil || matched != tc.matched {
				t.Fatalf("%v, %v", matched, err)
			}
			if got := p.told(idA); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if p.row(idB).Status == "completed" {
				t.Error("another job was ended too")
			}
		})
	}
}

func TestCloseJob(t *testing.T) {
	const closed = " 2026-11-23 11:00:00+00 3 12.345679 33.3333 not_measuring The job is over."
	for name, tc := range map[string]struct {
		meanwhile string
		matched   bool
		want      string
	}{
		"as it was read":     {"", true, "cancelled" + closed},
		"another duration":   {`update jobs set duration_minutes = 99`, true, "cancelled" + closed},
		"running once more":  {`update jobs set status = 'running'`, false, "running 2026-11-23 11:00:00+00 0 - - - -"},
		"the row is deleted": {`delete from jobs`, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProject(t)
			p.job(idA)
			p.exec(`update jobs set status = 'cancelled', completed_at = '2026-11-23 11:00Z'`)
			row := p.row(idA)
			if row.CompletedAt != "2026-11-23T11:00:00+00:00" {
				t.Errorf("completed at %q", row.CompletedAt)
			}
			p.exec(tc.meanwhile)
			p.stamp(`update jobs set updated_at = '2026-01-01Z'`)
			matched, err := p.c.CloseJob(t.Context(), row, summary, report)
			if err != nil || matched != tc.matched {
				t.Fatalf("%v, %v", matched, err)
			}
			if tc.want == "" {
				return
			}
			if got := p.told(idA); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if p.text(`select updated_at::text from jobs`) != "2026-01-01 00:00:00+00" {
				t.Error("updated_at moved")
			}
		})
	}
}

func TestAsFarAsTheDatabaseHasTheColumns(t *testing.T) {
	p := newProject(t)
	p.job(idA)
	p.exec(`alter table jobs drop column avg_rtt_ms, drop column monitor_message, drop column completed_at`)
	p.reload()
	row := p.row(idA)
	if diff := cmp.Diff([]string{"jobs.avg_rtt_ms", "jobs.completed_at", "jobs.monitor_message"}, p.c.Schema().Missing()); diff != "" {
		t.Error(diff)
	}
	if err := p.c.ReportJobs(t.Context(), []string{idA}, report); err != nil {
		t.Error(err)
	}
	if matched, err := p.c.EndJob(t.Context(), row, "failed", t0, summary, report); err != nil || !matched {
		t.Errorf("%v, %v", matched, err)
	}
	if got := p.text(`select concat_ws(' ', status, total_samples, packet_loss_percent, monitor_state) from jobs`); got != "failed 3 33.3333" {
		t.Errorf("got %q", got)
	}
	p.exec(`alter table jobs drop column total_samples, drop column packet_loss_percent`)
	p.reload()
	p.c.RecheckSchema()
	p.row(idA)
	p.ResetRequests()
	if err := p.c.SummarizeJob(t.Context(), idA, summary); err != nil {
		t.Error(err)
	}
	if matched, err := p.c.CloseJob(t.Context(), row, summary, report); err != nil || !matched {
		t.Errorf("%v, %v", matched, err)
	}
	if n := len(p.Requests()); n != 0 {
		t.Errorf("%d requests for nothing", n)
	}
}

// A role that was given its rights before there were summaries and gaps goes on ending jobs and storing samples.
func TestARoleWithoutTheNewRightsIsEnough(t *testing.T) {
	p := newProject(t)
	p.job(idA)
	p.exec(`revoke update on jobs from service_role; grant update (status, completed_at, last_ping_at) on jobs to service_role;
		revoke insert, update, delete on sample_gaps from service_role`)
	row := p.row(idA)
	if err := p.c.PutGaps(t.Context(), []sample.Gap{gap(idA, 0, 1, "Busy")}); err != nil {
		t.Errorf("gaps: %v", err)
	}
	if err := p.c.DeleteGap(t.Context(), gap(idA, 0, 1, "Busy")); err != nil {
		t.Errorf("no gaps: %v", err)
	}
	if missing := p.c.Schema().Missing(); !slices.Contains(missing, "sample_gaps") {
		t.Errorf("missing are %v", missing)
	}
	if matched, err := p.c.EndJob(t.Context(), row, "completed", t0, summary, report); err != nil || !matched {
		t.Errorf("end: %v, %v", matched, err)
	}
	if matched, err := p.c.CloseJob(t.Context(), p.row(idA), summary, report); err != nil || !matched {
		t.Errorf("close: %v, %v", matched, err)
	}
	if got := p.told(idA); !strings.HasPrefix(got, "completed 2026-11-23 10:00:00.123456+00 0 -") {
		t.Errorf("the row says %q", got)
	}
}
