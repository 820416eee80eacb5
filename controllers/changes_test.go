package controllers

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	applyv1alpha1 "github.com/soundcheck-io/latency-operator/api/applyconfiguration/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/spreedb/spreedbtest"
)

func TestARowThatRunsAgainIsMeasuredAgain(t *testing.T) {
	for name, restart := range map[string]bool{"same process": false, "another process": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			id := w.insertJob("10.0.0.1", 57*time.Second)
			op := w.operate()
			w.soon(w.phase(id)).Should(Equal(v1alpha1.PhaseCompleted))
			first, _ := w.job(id)()
			if restart {
				op.stop()
			}
			w.sql(`update jobs set status = 'running', started_at = now() - interval '52 s', completed_at = null where id = $1`, id)
			if restart {
				w.operate()
			}
			w.soon(w.phase(id)).Should(Equal(v1alpha1.PhaseRunning))
			w.soon(w.phase(id)).Should(Equal(v1alpha1.PhaseCompleted))
			w.Expect(w.text(`select status || (completed_at > started_at) || (select count(*) = count(distinct sequence_number) from samples) from jobs where id = $1`, id)).
				To(Equal("completedtruetrue"))
			second, _ := w.job(id)()
			w.Expect(second.Status.Samples.Total).To(BeNumerically(">", first.Status.Samples.Total))
			w.Expect(second.Status.CompletionTime.Time).To(BeTemporally(">", first.Status.CompletionTime.Time))
		})
	}
}

func TestARowThatIsSetBackToRunningIsEndedAgain(t *testing.T) {
	w := newWorld(t)
	id := w.insertJob("10.0.0.1", 58*time.Second)
	w.operate()
	w.soon(w.phase(id)).Should(Equal(v1alpha1.PhaseCompleted))
	w.soon(func() v1alpha1.JobState { job, _ := w.job(id)(); return job.Spec.State }).Should(Equal(v1alpha1.StateCompleted))
	w.sql(`update jobs set status = 'running' where id = $1`, id)
	w.soon(func() string { return w.text(`select status from jobs where id = $1`, id) }).Should(Equal("completed"))
}

func TestAJobThatIsExtendedJustBeforeItsEndIsNotCompleted(t *testing.T) {
	w := newWorld(t)
	id := w.insertJob("10.0.0.1", 52*time.Second)
	op := w.operate(func(p *Parts) { p.SyncEvery = time.Hour })
	w.soon(w.phase(id)).Should(Equal(v1alpha1.PhaseRunning))
	w.sql(`update jobs set duration_minutes = 2 where id = $1`, id)
	w.soon(w.phase(id)).Should(Equal(v1alpha1.PhaseCompleting))
	w.database.ResetRequests()
	w.soon(func() int { return len(w.database.Requests()) }).Should(BeNumerically(">=", 2), "it looks again and again")
	w.Expect(w.text(`select status from jobs where id = $1`, id)).To(Equal("running"))
	op.stop()
	w.operate() // which syncs
	w.soon(w.phase(id)).Should(Equal(v1alpha1.PhaseRunning))
	w.soon(func() string {
		return w.text(`select (count(*) filter (where sequence_number >= 60) > 0)::text from samples`)
	}).Should(Equal("true"))
}

func TestACadenceThatChangesDuringAPollDoublesNothing(t *testing.T) {
	w := newWorld(t)
	w.spreedb.Set("10.0.0.1", spreedbtest.Slow(1500*time.Millisecond))
	id := w.insertJob("10.0.0.1", 0)
	w.operate()
	w.soon(func() int { return w.spreedb.Target("10.0.0.1").InFlight }).Should(Equal(1))
	w.sql(`update jobs set cadence_seconds = 3 where id = $1`, id)
	w.soon(func() string {
		return w.text(`select (count(*) >= 2)::text from samples where extract(epoch from scheduled_at - (select started_at from jobs))::int % 3 = 0 and scheduled_at > (select started_at from jobs) + interval '2 s'`)
	}).Should(Equal("true"))
	w.Expect(w.spreedb.MaxOverlap()).To(Equal(1))
	w.Expect(w.text(`select (count(*) = count(distinct scheduled_at) and count(*) = count(distinct sequence_number))::text from samples`)).To(Equal("true"))
	job, _ := w.job(id)()
	w.Expect(job.Status.Samples.Total + job.Status.Slots.Unmeasured).To(BeNumerically("<=", job.Status.Slots.Due))
}

func TestAJobThatWasTakenForGoneIsMeasuredAgain(t *testing.T) {
	w := newWorld(t)
	id := w.insertJob("10.0.0.1", 0)
	op := w.operate()
	w.soon(w.phase(id)).Should(Equal(v1alpha1.PhaseRunning))
	op.board.Gone(id)
	polls := w.spreedb.Total().Polls
	w.soon(func() int { return w.spreedb.Total().Polls }).Should(BeNumerically(">", polls+2))
}

// As above, by a process that does not mirror: nobody tells it that the row is there.
func TestAJobThatAnotherTakesForGoneIsMeasuredAgainLater(t *testing.T) {
	w := newWorld(t)
	id := w.insertJob("10.0.0.1", 0)
	leader := w.operate(func(p *Parts) { p.Ownership = until(time.Time{}) })
	leader.leads.Store(true)
	other := w.operate()
	other.leads.Store(false)
	w.soon(func() int { return w.spreedb.Total().Polls }).Should(BeNumerically(">", 2))
	other.board.update(id, func(e *entry) { e.gone = time.Now().Add(2*time.Second - goneFor) })
	polls := w.spreedb.Total().Polls
	w.soon(func() int { return w.spreedb.Total().Polls }).Should(BeNumerically(">", polls+2))
}

func TestARowThatIsPutBackIsMeasuredAgainWhoeverMirrors(t *testing.T) {
	w := newWorld(t)
	id := w.insertJob("10.0.0.1", 0)
	w.insertJob("10.0.0.2", 0) // it proves that rows can be read
	w.operate(func(p *Parts) { p.Ownership = until(time.Time{}) })
	other := w.operate()
	other.leads.Store(false)
	w.soon(func() int { return w.spreedb.Target("10.0.0.1").Polls }).Should(BeNumerically(">", 2))
	w.sql(`create table kept as select * from jobs where id = $1`, id)
	w.sql(`delete from jobs where id = $1`, id)
	w.soon(w.names).ShouldNot(ContainElement(id))
	w.sql(`insert into jobs select * from kept`)
	polls := w.spreedb.Target("10.0.0.1").Polls
	w.soon(func() int { return w.spreedb.Target("10.0.0.1").Polls }).Should(BeNumerically(">", polls+2))
}

func TestAStatusIsWrittenAgainAfterTheLatencyJobWasDeletedDuringAPoll(t *testing.T) {
	w := newWorld(t)
	w.spreedb.Set("10.0.0.1", spreedbtest.Slow(700*time.Millisecond))
	id := w.insertJob("10.0.0.1", 0)
	op := w.operate()
	w.soon(w.phase(id)).Should(Equal(v1alpha1.PhaseRunning))
	w.soon(func() int { return w.spreedb.Target("10.0.0.1").InFlight }).Should(Equal(1))
	polls := w.spreedb.Total().Polls
	op.leads.Store(false) // so that it does not come back before the poll has ended
	job, _ := w.job(id)()
	w.Expect(w.api.Delete(t.Context(), job)).To(Succeed())
	w.soon(func() string { return w.text(`select (count(*) >= $1::int)::text from samples`, polls) }).Should(Equal("true"))
	op.leads.Store(true)
	w.soon(func() int64 {
		job, err := w.job(id)()
		if err != nil {
			return 0
		}
		return job.Status.Samples.Total
	}).Should(BeNumerically(">", int64(polls)))
}

func TestAnEventIsToldAlsoWhenItsStatusWriteFailedAtFirst(t *testing.T) {
	w := newWorld(t)
	id := w.insertJob("10.0.0.1", 0)
	var failures atomic.Int64
	w.intercept = &interceptor.Funcs{
		SubResourceApply: func(ctx context.Context, c client.Client, sub string, obj runtime.ApplyConfiguration, opts ...client.SubResourceApplyOption) error {
			if failures.Add(1) == 1 {
				return errors.New("the API server has a hiccup")
			}
			return c.SubResource(sub).Apply(ctx, obj, opts...)
		},
	}
	w.operate()
	w.soon(w.events(id)).Should(ContainElement("Started"))
	w.Expect(failures.Load()).To(BeNumerically(">", 1))
}

func TestWhatKubernetesRefusesIsAProblemOfTheRow(t *testing.T) {
	w := newWorld(t)
	bad, good := w.insertJob("10.0.0.2", 0), w.insertJob("10.0.0.1", 0)
	w.intercept = &interceptor.Funcs{
		Apply: func(ctx context.Context, c client.WithWatch, obj runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			if job, ok := obj.(*applyv1alpha1.LatencyJobApplyConfiguration); ok && *job.GetName() == bad {
				return apierrors.NewInvalid(v1alpha1.GroupVersion.WithKind("LatencyJob").GroupKind(), bad, nil)
			}
			return c.Apply(ctx, obj, opts...)
		},
	}
	op := w.operate()
	w.soon(w.phase(good)).Should(Equal(v1alpha1.PhaseRunning))
	w.soon(func() string {
		return w.text(`select coalesce(monitor_message, 'nothing') from jobs where id = $1`, bad)
	}).
		Should(HavePrefix("Not measured: Kubernetes refuses it"))
	w.Expect(op.sync.LastError()).NotTo(HaveOccurred())
}
