package controllers

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

// rowOf is the row behind specOf, changed as a test needs it.
func rowOf(change func(*supabase.Job)) supabase.Job {
	row := supabase.Job{
		ID: jobID, TargetIP: "10.1.2.3", CadenceSeconds: 10, DurationMinutes: 1,
		StartedAt: "2026-11-23T10:00:00+00:00", Status: "running", Mode: "real_polling",
	}
	if change != nil {
		change(&row)
	}
	return row
}

func TestImageOf(t *testing.T) {
	for name, tc := range map[string]struct {
		row     func(*supabase.Job)
		spec    func(*v1alpha1.LatencyJobSpec)
		none    bool
		problem string
	}{
		"as it should be": {},
		"microseconds": {
			row:  func(r *supabase.Job) { r.StartedAt = "2026-11-23T10:00:00.123456+00:00" },
			spec: func(s *v1alpha1.LatencyJobSpec) { s.StartedAt.Time = start.Add(123456 * time.Microsecond) },
		},
		"another time zone": {row: func(r *supabase.Job) { r.StartedAt = "2026-11-23T15:30:00+05:30" }},
		"no target":         {row: func(r *supabase.Job) { r.TargetIP = "" }, spec: target("")},
		"blank target":      {row: func(r *supabase.Job) { r.TargetIP = "  " }, spec: target("")},
		"spaces around it":  {row: func(r *supabase.Job) { r.TargetIP = " 10.1.2.3\n" }},
		"IPv6":              {row: func(r *supabase.Job) { r.TargetIP = "2001:DB8:0::7" }, spec: target("2001:db8::7")},
		"IPv4 in IPv6":      {row: func(r *supabase.Job) { r.TargetIP = "::ffff:10.1.2.3" }},
		"a name":            {row: func(r *supabase.Job) { r.TargetIP = "modem-7" }, spec: target(""), problem: `target_ip is "modem-7", which is not an IPv4 or IPv6 address`},
		"a zone":            {row: func(r *supabase.Job) { r.TargetIP = "fe80::1%eth0" }, spec: target(""), problem: "not an IPv4 or IPv6"},
		"leading zeros":     {row: func(r *supabase.Job) { r.TargetIP = "010.001.002.003" }, spec: target(""), problem: "not an IPv4 or IPv6"},
		"cadence 0":         {row: func(r *supabase.Job) { r.CadenceSeconds = 0 }, none: true, problem: "cadence_seconds is 0; it must be from 1 to 86400"},
		"cadence negative":  {row: func(r *supabase.Job) { r.CadenceSeconds = -5 }, none: true, problem: "cadence_seconds is -5"},
		"cadence too long":  {row: func(r *supabase.Job) { r.CadenceSeconds = 86401 }, none: true, problem: "cadence_seconds is 86401"},
		"duration 0":        {row: func(r *supabase.Job) { r.DurationMinutes = 0 }, none: true, problem: "duration_minutes is 0; it must be from 1 to 525600"},
		"duration too long": {row: func(r *supabase.Job) { r.DurationMinutes = 525601 }, none: true, problem: "duration_minutes"},
		"no start":          {row: func(r *supabase.Job) { r.StartedAt = "" }, none: true, problem: `started_at is "", which is not a time that a job can start at`},
		"zero start":        {row: func(r *supabase.Job) { r.StartedAt = "0001-01-01T00:00:00+00:00" }, none: true, problem: "started_at"},
		"infinite start":    {row: func(r *supabase.Job) { r.StartedAt = "infinity" }, none: true, problem: "started_at"},
		"no time zone":      {row: func(r *supabase.Job) { r.StartedAt = "2026-11-23T10:00:00" }, none: true, problem: "started_at"},
		"not a UUID":        {row: func(r *supabase.Job) { r.ID = "17" }, none: true, problem: `id is "17"`},
		"unreadable":        {row: func(r *supabase.Job) { r.Problem = "the row cannot be read: x" }, none: true, problem: "the row cannot be read: x"},
	} {
		t.Run(name, func(t *testing.T) {
			row := rowOf(tc.row)
			got := imageOf(&row)
			if tc.none != (got.spec == nil) {
				t.Fatalf("spec is %v", got.spec)
			}
			if !tc.none {
				if diff := cmp.Diff(specOf(tc.spec), got.spec); diff != "" {
					t.Error(diff)
				}
			}
			if (tc.problem == "") != (got.problem == "") || !strings.Contains(got.problem, tc.problem) {
				t.Errorf("problem is %q, want %q", got.problem, tc.problem)
			}
		})
	}
}

// jobOf is the LatencyJob of a row, changed as a test needs it.
func jobOf(change func(*v1alpha1.LatencyJob)) v1alpha1.LatencyJob {
	job := v1alpha1.LatencyJob{
		ObjectMeta: metav1.ObjectMeta{Name: jobID, Namespace: "default", Labels: map[string]string{v1alpha1.MirroredLabel: v1alpha1.MirroredValue}},
		Spec:       *specOf(nil),
	}
	if change != nil {
		change(&job)
	}
	return job
}

func finished(ago time.Duration) func(*v1alpha1.LatencyJob) {
	return func(j *v1alpha1.LatencyJob) {
		j.Spec.State = v1alpha1.StateCompleted
		j.Status.Phase = v1alpha1.PhaseCompleted
		j.Status.CompletionTime = &metav1.Time{Time: start.Add(-ago)}
		j.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionComplete, Status: metav1.ConditionTrue}}
	}
}

// unsettled takes from a finished job that its books are closed.
func unsettled(j *v1alpha1.LatencyJob) { j.Status.Conditions[0].Status = metav1.ConditionFalse }

func TestCompare(t *testing.T) {
	bad := func(r *supabase.Job) { r.CadenceSeconds = 0 }
	for name, tc := range map[string]struct {
		rows     []supabase.Job
		jobs     []v1alpha1.LatencyJob
		gone     bool
		apply    []change
		ask      []string
		remove   int
		problems int
		orphans  int
	}{
		"nothing":          {},
		"new row":          {rows: []supabase.Job{rowOf(nil)}, apply: []change{{spec: *specOf(nil)}}},
		"nothing changed":  {rows: []supabase.Job{rowOf(nil)}, jobs: []v1alpha1.LatencyJob{jobOf(nil)}},
		"user's suspend":   {rows: []supabase.Job{rowOf(nil)}, jobs: []v1alpha1.LatencyJob{jobOf(func(j *v1alpha1.LatencyJob) { suspend(&j.Spec) })}},
		"cadence changed":  {rows: []supabase.Job{rowOf(nil)}, jobs: []v1alpha1.LatencyJob{jobOf(func(j *v1alpha1.LatencyJob) { j.Spec.CadenceSeconds = 5 })}, apply: []change{{spec: *specOf(nil)}}},
		"target taken":     {rows: []supabase.Job{rowOf(func(r *supabase.Job) { r.TargetIP = "" })}, jobs: []v1alpha1.LatencyJob{jobOf(nil)}, apply: []change{{spec: *specOf(target(""))}}},
		"started anew":     {rows: []supabase.Job{rowOf(nil)}, jobs: []v1alpha1.LatencyJob{jobOf(finished(time.Hour))}, apply: []change{{spec: *specOf(nil)}}},
		"made by hand":     {jobs: []v1alpha1.LatencyJob{jobOf(func(j *v1alpha1.LatencyJob) { j.Labels = nil })}},
		"by hand, has row": {rows: []supabase.Job{rowOf(nil)}, jobs: []v1alpha1.LatencyJob{jobOf(func(j *v1alpha1.LatencyJob) { j.Labels = nil })}, apply: []change{{spec: *specOf(nil)}}},
		"bad row, no job":  {rows: []supabase.Job{rowOf(bad)}, problems: 1, orphans: 1},
		"row turned bad": {
			rows: []supabase.Job{rowOf(bad)}, jobs: []v1alpha1.LatencyJob{jobOf(nil)}, problems: 1,
			apply: []change{{spec: *specOf(nil), problem: "cadence_seconds is 0; it must be from 1 to 86400"}},
		},
		"still bad": {
			rows: []supabase.Job{rowOf(bad)}, problems: 1,
			jobs: []v1alpha1.LatencyJob{jobOf(func(j *v1alpha1.LatencyJob) {
				j.Annotations = map[string]string{v1alpha1.RowProblemAnnotation: "cadence_seconds is 0; it must be from 1 to 86400"}
			})},
		},
		"row left the running ones": {jobs: []v1alpha1.LatencyJob{jobOf(nil)}, ask: []string{jobID}},
		"row known to be gone":      {jobs: []v1alpha1.LatencyJob{jobOf(nil)}, gone: true, remove: 1},
		"gone, but there it is":     {rows: []supabase.Job{rowOf(nil)}, jobs: []v1alpha1.LatencyJob{jobOf(nil)}, gone: true},
		"finished lately":           {jobs: []v1alpha1.LatencyJob{jobOf(finished(23 * time.Hour))}},
		"finished long ago":         {jobs: []v1alpha1.LatencyJob{jobOf(finished(24 * time.Hour))}, remove: 1},
		"finished, books open":      {jobs: []v1alpha1.LatencyJob{jobOf(func(j *v1alpha1.LatencyJob) { finished(48 * time.Hour)(j); unsettled(j) })}, ask: []string{jobID}},
		"ended, status not written": {jobs: []v1alpha1.LatencyJob{jobOf(func(j *v1alpha1.LatencyJob) { j.Spec.State = v1alpha1.StateCancelled })}},
	} {
		t.Run(name, func(t *testing.T) {
			var jobs []*v1alpha1.LatencyJob
			for i := range tc.jobs {
				jobs = append(jobs, &tc.jobs[i])
			}
			got := compare(tc.rows, jobs, map[string]bool{jobID: tc.gone}, start, 24*time.Hour)
			if diff := cmp.Diff(tc.apply, got.apply, cmp.AllowUnexported(change{}), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("apply:\n%s", diff)
			}
			var ask []string
			for _, job := range got.ask {
				ask = append(ask, job.Name)
			}
			if diff := cmp.Diff(tc.ask, ask, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("ask:\n%s", diff)
			}
			if len(got.remove) != tc.remove || len(got.problems) != tc.problems || len(got.orphans) != tc.orphans {
				t.Errorf("removes %d, problems %v, orphans %v", len(got.remove), got.problems, got.orphans)
			}
		})
	}
}

func TestJudge(t *testing.T) {
	witness := rowOf(func(r *supabase.Job) { r.ID = "ffffffff-5a54-4c6e-9d0c-2a4f6f1f7a11" })
	says := func(status, mode string) supabase.Job {
		return rowOf(func(r *supabase.Job) { r.Status, r.Mode = status, mode })
	}
	for name, tc := range map[string]struct {
		answer []supabase.Job
		state  v1alpha1.JobState
		remove bool
		open   bool
		proven bool
	}{
		"empty answer":        {open: true},
		"only the witness":    {answer: []supabase.Job{witness}, open: true, proven: true},
		"cancelled":           {answer: []supabase.Job{says("cancelled", "real_polling")}, state: v1alpha1.StateCancelled, proven: true},
		"completed":           {answer: []supabase.Job{says("completed", "real_polling"), witness}, state: v1alpha1.StateCompleted, proven: true},
		"failed":              {answer: []supabase.Job{says("failed", "real_polling")}, state: v1alpha1.StateFailed, proven: true},
		"something unknown":   {answer: []supabase.Job{says("paused", "real_polling")}, state: v1alpha1.StateFailed, proven: true},
		"simulated by now":    {answer: []supabase.Job{says("running", "simulated")}, remove: true, proven: true},
		"runs, list was late": {answer: []supabase.Job{says("running", "real_polling")}, proven: true},
	} {
		t.Run(name, func(t *testing.T) {
			job := jobOf(nil)
			got := judge([]*v1alpha1.LatencyJob{&job}, tc.answer)
			state := v1alpha1.JobState("")
			if len(got.apply) == 1 {
				state = got.apply[0].spec.State
			}
			if state != tc.state || (len(got.remove) == 1) != tc.remove || (len(got.open) == 1) != tc.open || got.proven != tc.proven {
				t.Errorf("got %+v", got)
			}
		})
	}
}
