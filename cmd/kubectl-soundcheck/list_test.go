package main

import (
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
)

func TestAJobIsJudgedByItsStatus(t *testing.T) {
	begun := time.Date(2026, time.November, 24, 8, 0, 0, 0, time.UTC)
	now := begun.Add(2 * time.Hour)
	running := func(change func(*v1alpha1.LatencyJobStatus)) v1alpha1.LatencyJobStatus {
		s := v1alpha1.LatencyJobStatus{
			Phase: v1alpha1.PhaseRunning, AsOf: new(metav1.NewTime(now)), Samples: v1alpha1.SampleCounts{Total: 100, Success: 100},
			Last: &v1alpha1.LastSample{},
		}
		change(&s)
		return s
	}
	for name, c := range map[string]struct {
		status v1alpha1.LatencyJobStatus
		want   string
		rank   int
	}{
		"well":       {running(func(*v1alpha1.LatencyJobStatus) {}), "healthy", rankWell},
		"lossy":      {running(func(s *v1alpha1.LatencyJobStatus) { s.Samples.Missed = 5 }), "loses packets", rankLoss},
		"two misses": {running(func(s *v1alpha1.LatencyJobStatus) { s.Last.MissesInARow = 2 }), "healthy", rankWell},
		"silent":     {running(func(s *v1alpha1.LatencyJobStatus) { s.Last.MissesInARow = 3 }), "silent now, 3 misses in a row", rankSilent},
		"SpreeDB": {running(func(s *v1alpha1.LatencyJobStatus) {
			s.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonSpreeDBUnavailable}}
		}), "measuring fails: SpreeDB is away", rankUnmeasured},
		"errors":       {running(func(s *v1alpha1.LatencyJobStatus) { s.Samples.Success, s.Samples.SystemError = 10, 90 }), "measuring failed", rankUnmeasured},
		"no news":      {running(func(s *v1alpha1.LatencyJobStatus) { s.AsOf = new(metav1.NewTime(now.Add(-time.Hour))) }), "no news for 1h: does the operator run?", rankUnmeasured},
		"some minutes": {running(func(s *v1alpha1.LatencyJobStatus) { s.AsOf = new(metav1.NewTime(now.Add(-14 * time.Minute))) }), "healthy", rankWell},
		"nothing":      {running(func(s *v1alpha1.LatencyJobStatus) { s.Samples = v1alpha1.SampleCounts{} }), "nothing measured", rankUnmeasured},
		"stalled": {running(func(s *v1alpha1.LatencyJobStatus) {
			s.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue}}
		}), "stalled: see MESSAGE in -o wide", rankAct},
		"waiting":                {v1alpha1.LatencyJobStatus{Phase: v1alpha1.PhaseWaiting}, "waits for a target IP", rankWaiting},
		"suspended":              {v1alpha1.LatencyJobStatus{Phase: v1alpha1.PhaseSuspended}, "suspended", rankWaiting},
		"pending":                {v1alpha1.LatencyJobStatus{Phase: v1alpha1.PhasePending}, "has not begun", rankUnclear},
		"untouched":              {v1alpha1.LatencyJobStatus{}, "no status yet: does the operator run?", rankUnmeasured},
		"over":                   {v1alpha1.LatencyJobStatus{Phase: v1alpha1.PhaseCompleted, Report: &v1alpha1.JobReport{Verdict: "DeviceDropped"}}, "device dropped out", rankLoss},
		"over, without a report": {v1alpha1.LatencyJobStatus{Phase: v1alpha1.PhaseCancelled, Samples: v1alpha1.SampleCounts{Success: 50}}, "healthy", rankWell},
	} {
		job := &v1alpha1.LatencyJob{Spec: v1alpha1.LatencyJobSpec{CadenceSeconds: 10, StartedAt: metav1.NewMicroTime(begun)}, Status: c.status}
		if got := judge(job, now); got.words != c.want || got.rank != c.rank {
			t.Errorf("%s: %+v", name, got)
		}
	}
	job := &v1alpha1.LatencyJob{Spec: v1alpha1.LatencyJobSpec{CadenceSeconds: 10, StartedAt: metav1.NewMicroTime(now)}, Status: running(func(s *v1alpha1.LatencyJobStatus) { s.Samples = v1alpha1.SampleCounts{} })}
	if got := judge(job, now.Add(30*time.Second)); got.words != "just begun" {
		t.Errorf("%+v", got)
	}
}

func TestIDsAreAsShortAsTheyCanBe(t *testing.T) {
	jobs := []v1alpha1.LatencyJob{{}, {}, {}}
	jobs[0].Name, jobs[1].Name, jobs[2].Name = idA, idB, idC
	NewWithT(t).Expect(shortIDs(jobs)).To(Equal(map[string]string{idA: "0b9c3f0e-5", idB: "0b9c3f0e-9", idC: "5b0c6f0e"}))
}

func TestTheListShowsTroubleFirst(t *testing.T) {
	w := newWorld(t)
	user := w.asAccount("reader", mayList)
	got := w.do(user, "list")
	w.Expect(got).To(Equal(result{err: "No jobs in the namespace " + w.namespace + ". If there should be some, name the right one with -n, or run kubectl soundcheck doctor.\n"}))

	asOf := new(metav1.NewTime(time.Now()))
	w.job(idA, "10.1.2.3", "running", v1alpha1.LatencyJobStatus{
		Phase: v1alpha1.PhaseRunning, AsOf: asOf, Loss: "0.00%", Errors: "0.00%", Samples: v1alpha1.SampleCounts{Total: 100, Success: 100},
		RTT: &v1alpha1.RTTSummary{Last: "12.345ms"}, Message: "Measuring.",
	})
	w.job(idB, "10.1.9.4", "running", v1alpha1.LatencyJobStatus{
		Phase: v1alpha1.PhaseRunning, AsOf: asOf, Loss: "50.00%", Samples: v1alpha1.SampleCounts{Total: 100, Success: 50, Missed: 50},
		Last: &v1alpha1.LastSample{Status: "missed", MissesInARow: 12, ScheduledAt: metav1.NewMicroTime(w.begun), RecordedAt: metav1.NewMicroTime(w.begun)},
	})
	w.job(idC, "", "running", v1alpha1.LatencyJobStatus{Phase: v1alpha1.PhaseWaiting})
	rows := func(args ...string) (rows []string) {
		t.Helper()
		got := w.do(user, append([]string{"list"}, args...)...)
		w.Expect(got.code).To(BeZero(), got.err)
		for line := range strings.Lines(got.out) {
			rows = append(rows, strings.Join(strings.Fields(line), " "))
		}
		return rows
	}
	w.Expect(rows()).To(Equal([]string{
		"JOB TARGET PHASE VERDICT LOSS RTT SAMPLES STARTED",
		"0b9c3f0e-9 10.1.9.4 Running silent now, 12 misses in a row 50.00% - 100 120m ago",
		"5b0c6f0e - Waiting waits for a target IP - - 0 120m ago",
		"0b9c3f0e-5 10.1.2.3 Running healthy 0.00% 12.345ms 100 120m ago",
	}))
	w.Expect(rows("-o", "wide", "--no-headers", "--target", "10.1.2.0/24")).To(Equal([]string{
		idA + " 10.1.2.3 Running healthy 0.00% 12.345ms 100 120m ago 0.00% 0 10s 60m Measuring.",
	}))
	w.Expect(rows("--phase", "running", "--sort-by", "target", "-o", "name")).To(Equal([]string{
		"latencyjob.latency.soundcheck.io/" + idA, "latencyjob.latency.soundcheck.io/" + idB,
	}))
	w.Expect(rows("--target", "10.1.9.4", "-o", `jsonpath={.items[*].spec.jobID}`)).To(Equal([]string{idB}))
	w.Expect(rows("-o", "yaml")[0]).To(Equal("apiVersion: latency.soundcheck.io/v1alpha1"))
	w.Expect(w.do(user, "list", "--phase", "Failed").err).To(Equal("None of the 3 jobs in the namespace " + w.namespace + " is like that.\n"))

	complete := func(command string, words ...string) string {
		return w.do(nil, append(append([]string{"__complete", command}, user...), words...)...).out
	}
	w.Expect(complete("report", "0b9")).To(HavePrefix(idA + "\t10.1.2.3, Running\n" + idB + "\t10.1.9.4, Running\n:4\n"))
	w.Expect(complete("compare", idA, "10.1.2")).To(HavePrefix("10.1.2.3\tits newest job\n"))
	w.Expect(complete("watch", idA, "")).To(HavePrefix(":4\n"))
	w.Expect(complete("report", "x", "-o", "")).To(HavePrefix("text\njson\nhtml\n"))
	w.Expect(args([]string{"/usr/bin/kubectl_complete-soundcheck", "report", ""})).To(Equal([]string{"__complete", "report", ""}))
	w.Expect(args([]string{"/usr/bin/kubectl-soundcheck", "list"})).To(Equal([]string{"list"}))
}
