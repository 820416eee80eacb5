package controllers

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/spreedb/spreedbtest"
	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest"
)

// onGrid counts samples that are not due at a slot of their job, and slots that have more than one.
const onGrid = `select count(*) filter (where extract(epoch from scheduled_at - started_at)::numeric % cadence_seconds <> 0)
	|| ' off the grid, ' || count(*) - count(distinct (job_id, scheduled_at)) || ' twice'
	from samples join jobs on jobs.id = job_id`

func (w *world) suspend(id string, on string) {
	w.t.Helper()
	job, err := w.job(id)()
	w.Expect(err).NotTo(HaveOccurred())
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"suspend":`+on+`}}`))
	w.Expect(w.api.Patch(w.t.Context(), job, patch)).To(Succeed())
}

func TestAJobRunsToItsEnd(t *testing.T) {
	w := newWorld(t)
	id := w.insertJob("10.0.0.1", 56*time.Second)
	w.operate()
	w.soon(w.phase(id)).Should(Equal(v1alpha1.PhaseCompleted))
	w.Expect(w.text(`select status || ' ' || (completed_at >= started_at + interval '1 minute') || ' ' || (completed_at < now()) from jobs where id = $1`, id)).
		To(Equal("completed true true"))
	w.Expect(w.text(onGrid)).To(Equal("0 off the grid, 0 twice"))

	job, err := w.job(id)()
	w.Expect(err).NotTo(HaveOccurred())
	s := job.Status
	stored := w.text(`select count(*)::text from samples`)
	w.Expect(stored).To(Equal(w.text(`select $1::text`, itoa(s.Samples.Total))))
	w.Expect(s.Slots.Total).To(Equal(int64(60)))
	w.Expect(s.Slots.Due).To(Equal(int64(60)))
	w.Expect(s.Samples.Total+s.Slots.Unmeasured).To(Equal(int64(60)), "every slot has one outcome")
	w.Expect(s.Slots.UnmeasuredBy.OperatorDown).To(Equal(s.Slots.Unmeasured))
	w.Expect(s.Samples.Total).To(BeNumerically(">=", 3))
	w.Expect(s.CompletionTime).NotTo(BeNil())
	w.Expect(s.NextPollTime).To(BeNil())
	w.Expect(s.RTT.Avg + " " + s.Jitter).To(Equal(w.text(`select round(avg(rtt_ms), 3) || 'ms ' || round(avg(jitter_ms), 3) || 'ms' from samples`)))
	w.Expect(w.text(`select (last_ping_at = (select max(recorded_at) from samples))::text from jobs where id = $1`, id)).To(Equal("true"))
	w.soon(w.events(id)).Should(ContainElements("Started", "Completed"))
	w.Expect(s.Conditions).To(ContainElements(
		And(HaveField("Type", "Complete"), HaveField("Status", metav1.ConditionTrue), HaveField("Reason", "Completed")),
		And(HaveField("Type", "Ready"), HaveField("Status", metav1.ConditionTrue), HaveField("Reason", "Finished")),
		And(HaveField("Type", "Delivered"), HaveField("Status", metav1.ConditionTrue)),
	))
}

func TestACancelledJobIsNotCompleted(t *testing.T) {
	w := newWorld(t)
	id := w.insertJob("10.0.0.1", 50*time.Second) // so that it is cancelled before it ends, on a busy machine too
	// The database learns of the cancellation, and the sync does not.
	w.operate(func(p *Parts) { p.SyncEvery = time.Hour })
	w.soon(w.phase(id)).Should(Equal(v1alpha1.PhaseRunning))
	w.sql(`update jobs set status = 'cancelled' where id = $1`, id)
	w.soon(w.phase(id)).Should(Equal(v1alpha1.PhaseCancelled))
	w.Expect(w.text(`select status || coalesce(completed_at::text, ' never') from jobs where id = $1`, id)).To(Equal("cancelled never"))
}

func TestAJobWithoutATargetWaitsStartsAndFailsIfNoneComes(t *testing.T) {
	w := newWorld(t)
	late, never := w.insertJob(nil, 0), w.insertJob(nil, 58*time.Second)
	w.operate()
	w.soon(w.phase(late)).Should(Equal(v1alpha1.PhaseWaiting))
	job, _ := w.job(late)()
	w.Expect(job.Status.Conditions).To(ContainElement(And(HaveField("Type", "Ready"), HaveField("Reason", "WaitingForTarget"))))
	w.sql(`update jobs set target_ip = '10.0.0.5' where id = $1`, late)
	w.soon(w.phase(late)).Should(Equal(v1alpha1.PhaseRunning))
	w.soon(func() string { return w.text(`select count(*)::text from samples where job_id = $1`, late) }).ShouldNot(Equal("0"))
	w.soon(w.phase(never)).Should(Equal(v1alpha1.PhaseFailed))
	w.Expect(w.text(`select status from jobs where id = $1`, never)).To(Equal("failed"))
	job, _ = w.job(never)()
	w.Expect(job.Status.Message).To(Equal("Had no usable target IP through its whole duration; start it anew in Sound Check with one"))
	w.Expect(job.Status.Slots.UnmeasuredBy.NoTarget).To(BeNumerically(">", 0))
}

func TestSuspendPausesAndResumesOnTheGrid(t *testing.T) {
	w := newWorld(t)
	id := w.insertJob("10.0.0.1", 0)
	w.operate()
	w.soon(w.phase(id)).Should(Equal(v1alpha1.PhaseRunning))
	w.suspend(id, "true")
	w.soon(w.phase(id)).Should(Equal(v1alpha1.PhaseSuspended))
	w.soon(func() int64 {
		job, _ := w.job(id)()
		if by := job.Status.Slots.UnmeasuredBy; by != nil {
			return by.Suspended
		}
		return 0
	}).Should(BeNumerically(">=", 2))
	polls := w.spreedb.Total().Polls
	w.suspend(id, "false")
	w.soon(func() int { return w.spreedb.Total().Polls }).Should(BeNumerically(">", polls+1))
	w.soon(w.phase(id)).Should(Equal(v1alpha1.PhaseRunning))
	w.soon(w.events(id)).Should(ContainElements("Suspended", "Resumed"))
	w.Expect(w.text(onGrid)).To(Equal("0 off the grid, 0 twice"))
}

func TestAHangingTargetHoldsUpNobodyAndNeverOverlaps(t *testing.T) {
	w := newWorld(t)
	w.spreedb.Set("10.0.0.66", spreedbtest.Hanging())
	hangs, good := w.insertJob("10.0.0.66", 0), w.insertJob("10.0.0.1", 0)
	w.operate(func(p *Parts) { p.PollTimeout = time.Second })
	count := func(id, status string) func() string {
		return func() string {
			return w.text(`select (count(*) >= 3)::text from samples where job_id = $1 and status = $2`, id, status)
		}
	}
	w.soon(count(good, "success")).Should(Equal("true"))
	w.soon(count(hangs, "system_error")).Should(Equal("true"))
	w.Expect(w.spreedb.Target("10.0.0.66").MaxInFlight).To(Equal(1))
	job, _ := w.job(hangs)()
	w.Expect(job.Status.LastError.Message).To(Equal("no answer from SpreeDB within 900ms"))
	w.Expect(w.text(`select (max(recorded_at - scheduled_at) < interval '500 ms')::text from samples where job_id = $1 and sequence_number > 1`, good)).To(Equal("true"))
}

func TestSlotsThatPassWhileAPollRunsAreBusy(t *testing.T) {
	w := newWorld(t)
	w.spreedb.Set("10.0.0.66", spreedbtest.Slow(2500*time.Millisecond))
	id := w.insertJob("10.0.0.66", -2*time.Second) // so that its first slot is polled in time
	w.operate()
	w.soon(func() bool {
		job, _ := w.job(id)()
		by, samples := job.Status.Slots.UnmeasuredBy, job.Status.Samples.Total
		return by != nil && samples >= 2 && by.Busy == 2*samples
	}).Should(BeTrue(), "each poll takes its slot and the next two")
	w.Expect(w.spreedb.MaxOverlap()).To(Equal(1))
}

func TestATargetThatGoesDownAndComesBackIsTold(t *testing.T) {
	w := newWorld(t)
	id := w.insertJob("10.0.0.1", 0)
	w.operate()
	w.soon(w.phase(id)).Should(Equal(v1alpha1.PhaseRunning))
	w.spreedb.Set("10.0.0.1", spreedbtest.Dead())
	w.soon(w.events(id)).Should(ContainElement("TargetDown"))
	w.spreedb.Set("10.0.0.1", spreedbtest.Good(10*time.Millisecond))
	w.soon(w.events(id)).Should(ContainElement("TargetUp"))
}

func TestEverythingGoesOnAfterARestart(t *testing.T) {
	w := newWorld(t)
	id := w.insertJob("10.0.0.1", 0)
	op := w.operate()
	w.soon(func() int { return w.spreedb.Total().Polls }).Should(BeNumerically(">=", 3))
	op.stop()
	stored := w.text(`select count(*)::text from samples`)
	w.Expect(stored).To(Equal(itoa(int64(w.spreedb.Total().Polls))), "what was polled is stored when the process ends")
	job, _ := w.job(id)()
	w.Expect(job.Status.Samples.Total).To(Equal(int64(w.spreedb.Total().Polls)), "and shown")

	w.operate()
	w.soon(func() int64 { job, _ := w.job(id)(); return job.Status.Samples.Total }).Should(BeNumerically(">=", int64(w.spreedb.Total().Polls)))
	w.soon(func() string { return w.text(`select (count(*) > $1::bigint)::text from samples`, stored) }).Should(Equal("true"))
	w.Expect(w.text(onGrid)).To(Equal("0 off the grid, 0 twice"))
	w.Expect(w.text(`select (count(*) = count(distinct sequence_number))::text from samples`)).To(Equal("true"))
}

func TestAnOutageOfSupabaseCostsNoSample(t *testing.T) {
	w := newWorld(t)
	id := w.insertJob("10.0.0.1", 0)
	w.operate()
	w.soon(func() string { return w.text(`select count(*)::text from samples`) }).ShouldNot(Equal("0"))
	fault := w.database.Inject(supabasetest.Fault{Status: 522, ContentType: "text/html", Body: "<html>"})
	w.soon(func() []metav1.Condition { job, _ := w.job(id)(); return job.Status.Conditions }).Should(ContainElement(
		And(HaveField("Type", "Delivered"), HaveField("Status", metav1.ConditionFalse), HaveField("Reason", "SupabaseUnavailable"))))
	w.Expect(w.phase(id)()).To(Equal(v1alpha1.PhaseRunning))
	fault.Remove()
	w.soon(func() string {
		return w.text(`select (count(*) = 1 + max(sequence_number) - min(sequence_number))::text || (max(scheduled_at) > now() - interval '2 s')::text from samples`)
	}).Should(Equal("truetrue"))
	w.soon(func() []metav1.Condition { job, _ := w.job(id)(); return job.Status.Conditions }).Should(ContainElement(
		And(HaveField("Type", "Delivered"), HaveField("Status", metav1.ConditionTrue))))
}

func TestADeletedRowStopsAtItsFirstRefusedSample(t *testing.T) {
	w := newWorld(t)
	id := w.insertJob("10.0.0.1", 0)
	w.operate()
	w.soon(w.phase(id)).Should(Equal(v1alpha1.PhaseRunning))
	// The only row goes, so that no answer can prove it; only the refused sample can.
	w.sql(`delete from jobs where id = $1`, id)
	w.soon(w.names).Should(BeEmpty())
}
