package controllers

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest"
)

func TestRowsAreMirrored(t *testing.T) {
	w := newWorld(t)
	id := w.insertJob("10.0.0.1", 0)
	simulated := w.text(`insert into jobs (account_number, target_ip) values ('A-2', '10.0.0.2') returning id::text`)
	w.operate()
	w.soon(w.phase(id)).Should(Equal(v1alpha1.PhaseRunning))
	w.Expect(w.names()).To(ConsistOf(id))

	job, err := w.job(id)()
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(job.Spec.TargetIP).To(Equal("10.0.0.1"))
	owners := map[string]string{}
	for _, f := range job.ManagedFields {
		owners[f.Manager+"/"+f.Subresource] = string(f.Operation)
	}
	w.Expect(owners).To(Equal(map[string]string{"latency-sync/": "Apply", "latency-operator/status": "Apply"}))

	// A change in the app arrives; what the user set stays; what did not change is not written.
	before := job.Generation
	w.Expect(w.api.Patch(t.Context(), job, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"suspend":true}}`)))).To(Succeed())
	w.sql(`update jobs set target_ip = '10.0.0.9' where id = $1`, id)
	w.soon(func() string { job, _ := w.job(id)(); return job.Spec.TargetIP }).Should(Equal("10.0.0.9"))
	job, _ = w.job(id)()
	w.Expect(job.Spec.Suspend).To(Equal(new(true)))
	w.Expect(job.Generation).To(Equal(before + 2))
	w.Expect(w.text(`select status || monitoring_mode from jobs where id = $1`, simulated)).To(Equal("runningsimulated"))
}

func TestAJobThatEndedInTheAppEndsHere(t *testing.T) {
	w := newWorld(t)
	ids := map[string]string{}
	for _, status := range []string{"cancelled", "failed", "completed"} {
		ids[status] = w.insertJob("10.0.0.1", 0)
	}
	deleted, stays := w.insertJob("10.0.0.1", 0), w.insertJob("10.0.0.1", 0)
	w.operate()
	w.soon(w.names).Should(HaveLen(5))
	for status, id := range ids {
		w.sql(`update jobs set status = $2 where id = $1`, id, status)
	}
	w.sql(`delete from jobs where id = $1`, deleted)
	for status, phase := range map[string]v1alpha1.JobPhase{
		"cancelled": v1alpha1.PhaseCancelled, "failed": v1alpha1.PhaseFailed, "completed": v1alpha1.PhaseCompleted,
	} {
		w.soon(w.phase(ids[status])).Should(Equal(phase))
		w.soon(w.events(ids[status])).Should(ContainElement(string(phase)))
		w.Expect(w.text(`select status from jobs where id = $1`, ids[status])).To(Equal(status))
	}
	w.soon(w.names).Should(ConsistOf(ids["cancelled"], ids["failed"], ids["completed"], stays))
	w.Expect(w.phase(stays)()).To(Equal(v1alpha1.PhaseRunning))
}

func TestAnEmptyAnswerDeletesNothing(t *testing.T) {
	w := newWorld(t)
	id := w.insertJob("10.0.0.1", 0)
	w.operate()
	w.soon(w.phase(id)).Should(Equal(v1alpha1.PhaseRunning))
	fault := w.database.Inject(supabasetest.Fault{Status: 200, ContentType: "application/json", Body: "[]"})
	w.soon(fault.Count).Should(BeNumerically(">", 20))
	fault.Remove()
	w.Expect(w.phase(id)()).To(Equal(v1alpha1.PhaseRunning))
}

func TestFinishedJobsGoAfterAWhile(t *testing.T) {
	w := newWorld(t)
	id := w.insertJob("10.0.0.1", 0)
	w.operate(func(p *Parts) { p.KeepFinished = time.Second })
	w.soon(w.phase(id)).Should(Equal(v1alpha1.PhaseRunning))
	w.sql(`update jobs set status = 'cancelled' where id = $1`, id)
	w.soon(w.names).Should(BeEmpty())
}

func TestBadRowsAreReportedAndHoldUpNobody(t *testing.T) {
	w := newWorld(t)
	bad := w.text(`insert into jobs (account_number, target_ip, cadence_seconds, monitoring_mode) values ('A-1', '10.0.0.1', 0, 'real_polling') returning id::text`)
	never := w.text(`insert into jobs (account_number, target_ip, monitoring_mode, started_at) values ('A-1', '10.0.0.1', 'real_polling', 'infinity') returning id::text`)
	name := w.insertJob("modem-7", 0)
	good := w.insertJob("2001:db8::7", 0)
	w.operate()
	w.soon(w.phase(good)).Should(Equal(v1alpha1.PhaseRunning))
	w.soon(w.phase(name)).Should(Equal(v1alpha1.PhaseWaiting))
	job, _ := w.job(name)()
	w.Expect(job.Status.Message).To(Equal(`Waits for a usable target IP, to be entered in Sound Check: target_ip is "modem-7", which is not an IPv4 or IPv6 address`))
	says := func(id string) func() string {
		return func() string {
			return w.text(`select coalesce(monitor_state || ': ' || monitor_message, monitor_state, 'nothing') from jobs where id = $1`, id)
		}
	}
	w.soon(says(bad)).Should(Equal("not_measuring: Not measured: cadence_seconds is 0; it must be from 1 to 86400"))
	w.soon(says(never)).Should(ContainSubstring(`started_at is "infinity"`))
	w.soon(says(name)).Should(ContainSubstring("modem-7"))
	w.soon(says(good)).Should(Equal("measuring"))
	w.Expect(w.names()).To(ConsistOf(name, good))

	w.sql(`update jobs set target_ip = '10.0.0.7' where id = $1`, name)
	w.soon(w.phase(name)).Should(Equal(v1alpha1.PhaseRunning))
	w.soon(says(name)).Should(Equal("measuring"))
}

func TestWhoeverDoesNotLeadMirrorsNothingAndMeasures(t *testing.T) {
	w := newWorld(t)
	id := w.insertJob("10.0.0.1", 0)
	op := w.operate()
	w.soon(w.phase(id)).Should(Equal(v1alpha1.PhaseRunning))
	op.leads.Store(false)
	w.database.ResetRequests()
	polls := w.spreedb.Total().Polls
	w.soon(func() int { return w.spreedb.Total().Polls }).Should(BeNumerically(">", polls+2))
	lists := 0
	for _, r := range w.database.Requests() {
		if r.Method == "GET" && r.Path == "/rest/v1/jobs" {
			lists++
		}
	}
	// It may read some pages. Who leads would have asked some fifty times meanwhile.
	w.Expect(lists).To(BeNumerically("<=", 5), "the sync that was under way may have ended")
}

func TestAJobMadeByHandIsNeverPolled(t *testing.T) {
	w := newWorld(t)
	w.operate()
	job := &v1alpha1.LatencyJob{ObjectMeta: metav1.ObjectMeta{Name: jobID, Namespace: w.namespace}, Spec: *specOf(nil)}
	job.Spec.StartedAt = metav1.NowMicro()
	w.Expect(w.api.Create(t.Context(), job)).To(Succeed())
	w.soon(func() []metav1.Condition { job, _ := w.job(jobID)(); return job.Status.Conditions }).Should(ContainElements(
		And(HaveField("Type", "Stalled"), HaveField("Status", metav1.ConditionTrue), HaveField("Reason", "NotMirrored")),
		And(HaveField("Type", "Ready"), HaveField("Status", metav1.ConditionFalse), HaveField("Reason", "NotMirrored")),
	))
	w.Expect(w.spreedb.Total().Polls).To(BeZero())
}

func TestAJobDeletedByHandComesBackAndGoesOn(t *testing.T) {
	w := newWorld(t)
	id := w.insertJob("10.0.0.1", 0)
	w.operate()
	samples := func() int64 {
		job, err := w.job(id)()
		if err != nil {
			return 0
		}
		return job.Status.Samples.Total
	}
	w.soon(samples).Should(BeNumerically(">=", 2))
	job, _ := w.job(id)()
	w.Expect(w.api.Delete(t.Context(), job)).To(Succeed())
	w.soon(func() string { again, err := w.job(id)(); _ = err; return string(again.UID) }).ShouldNot(Or(BeEmpty(), Equal(string(job.UID))))
	w.soon(samples).Should(BeNumerically(">", job.Status.Samples.Total))
	w.Expect(w.text(`select (count(*) - count(distinct sequence_number))::text from samples`)).To(Equal("0"))
}
