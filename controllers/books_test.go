package controllers

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/spreedb/spreedbtest"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest"
)

// books tells how many slots of a job that is over have no outcome in the database, and how many have more than one.
func (w *world) books(id string) string {
	w.t.Helper()
	return w.text(`select count(*) filter (where n = 0) || ' without an outcome, ' || count(*) filter (where n > 1) || ' with two' from (
		select (select count(*) from samples where job_id = j.id and scheduled_at = due)
			+ (select count(*) from sample_gaps where job_id = j.id and due between from_at and to_at) n
		from jobs j, generate_series(started_at, least(started_at + duration_minutes * interval '1 minute', coalesce(completed_at, 'infinity')) - interval '1 microsecond',
			cadence_seconds * interval '1 second') due
		where j.id = $1) slots`, id)
}

const (
	balanced = "0 without an outcome, 0 with two"
	// figures is what the database makes of the samples and gaps of a job, and summary what the row says.
	figures = `select count(*) || ' samples, ' || count(*) filter (where status = 'success') || ' success, ' || coalesce(round(avg(rtt_ms), 3), 0) || 'ms, '
		|| coalesce(round(avg(jitter_ms), 3), 0) || 'ms, ' || (select coalesce(sum(slots), 0) from sample_gaps where job_id = $1) || ' unmeasured' from samples where job_id = $1`
	summary = `select coalesce((total_samples = (select count(*) from samples where job_id = $1) and abs(avg_rtt_ms - (select avg(rtt_ms) from samples where job_id = $1)) < 0.00001
		and abs(packet_loss_percent - (select 100.0 * count(*) filter (where status = 'missed') / count(*) filter (where status <> 'system_error') from samples where job_id = $1)) < 0.0001)::text,
		'nothing') from jobs where id = $1`
)

// shown is what a status says, in the words of figures.
func (w *world) shown(id string) string {
	w.t.Helper()
	job, err := w.job(id)()
	w.Expect(err).NotTo(HaveOccurred())
	s := &job.Status
	rtt := "0ms"
	if s.RTT != nil {
		rtt = s.RTT.Avg
	}
	jitter := s.Jitter
	if jitter == "" {
		jitter = "0ms"
	}
	return itoa(s.Samples.Total) + " samples, " + itoa(s.Samples.Success) + " success, " + rtt + ", " + jitter + ", " + itoa(s.Slots.Unmeasured) + " unmeasured"
}

// complete is the reason of the condition Complete once that is True, for Eventually.
func (w *world) complete(id string) func() string {
	return func() string {
		job, err := w.job(id)()
		if err != nil {
			return err.Error()
		}
		for _, c := range job.Status.Conditions {
			if c.Type == v1alpha1.ConditionComplete && c.Status == metav1.ConditionTrue {
				return c.Reason
			}
		}
		return "not complete"
	}
}

// pass waits until some time has passed since the last poll.
func (w *world) pass(seconds int) {
	w.t.Helper()
	at := w.text(`select now()::text`)
	w.soon(func() string {
		return w.text(`select (now() > $1::timestamptz + $2 * interval '1 s')::text`, at, seconds)
	}).Should(Equal("true"))
}

func TestAfterACrashEverySlotHasAnOutcomeAndTheFiguresAreExact(t *testing.T) {
	w := newWorld(t)
	id := w.insertJob("10.0.0.1", 45*time.Second)
	op := w.operate()
	w.soon(func() int { return w.spreedb.Total().Polls }).Should(BeNumerically(">=", 4))
	op.crash()
	w.pass(2)
	w.operate()
	w.soon(w.complete(id)).Should(Equal("Completed"))
	w.Expect(w.books(id)).To(Equal(balanced))
	w.Expect(w.shown(id)).To(Equal(w.text(figures, id)))
	w.Expect(w.text(summary, id)).To(Equal("true"))
	w.Expect(w.text(`select monitor_state || ': ' || monitor_message from jobs where id = $1`, id)).To(MatchRegexp(`^not_measuring: Over; \d+ of 60 polls were made$`))
	w.Expect(w.text(`select string_agg(distinct reason, ', ') from sample_gaps`)).To(Equal("OperatorDown"))
	// A poll that waited as long as it may for the database to tell what came before has none.
	w.Expect(w.text(`select count(*)::text from (select rtt_ms - lag(rtt_ms) over (order by scheduled_at) step, jitter_ms, recorded_at - scheduled_at waited from samples) s
		where abs(step) is distinct from jitter_ms and not (jitter_ms is null and waited > interval '800 ms')`)).To(Equal("0"), "each jitter is taken to the sample before, also across the crash")
}

// A running job shows what the database has as soon as it has been read back, and not only at its end.
func TestAfterACrashARunningJobShowsWhatWasMeasuredBefore(t *testing.T) {
	w := newWorld(t)
	id := w.insertJob("10.0.0.1", 0)
	op := w.operate(func(p *Parts) { p.StatusBudget.SetLimit(0.0001); p.StatusBudget.SetBurst(2) }) // so that the status is old
	w.soon(func() string { return w.text(`select (count(*) >= 4)::text from samples`) }).Should(Equal("true"))
	op.crash()
	before := w.text(`select count(*)::text from samples`)
	w.operate()
	w.soon(func() string {
		job, err := w.job(id)()
		w.Expect(err).NotTo(HaveOccurred())
		s := &job.Status
		return w.text(`select ($1::int > $2::int and $3::int = 0)::text`, s.Samples.Total, before, s.Slots.Unmeasured-gapSlots(w, id))
	}).Should(Equal("true"))
	w.Expect(w.text(`select count(*)::text from samples s join sample_gaps g using (job_id) where scheduled_at between from_at and to_at`)).To(Equal("0"))
}

func gapSlots(w *world, id string) int64 {
	var n int64
	for _, c := range w.text(`select coalesce(sum(slots), 0)::text from sample_gaps where job_id = $1`, id) {
		n = 10*n + int64(c-'0')
	}
	return n
}

func TestAJobThatWasCancelledWhileTheOperatorWasAwayIsClosed(t *testing.T) {
	w := newWorld(t)
	id := w.insertJob("10.0.0.1", 3*time.Second)
	op := w.operate()
	w.soon(func() int { return w.spreedb.Total().Polls }).Should(BeNumerically(">=", 3))
	op.stop()
	w.pass(3)
	w.sql(`update jobs set status = 'cancelled', completed_at = now() where id = $1`, id)
	w.operate()
	w.soon(w.complete(id)).Should(Equal("Cancelled"))
	w.Expect(w.books(id)).To(Equal(balanced))
	w.Expect(w.shown(id)).To(Equal(w.text(figures, id)))
	w.Expect(w.text(summary, id)).To(Equal("true"))
	w.Expect(w.text(`select status || ', ' || monitor_state || ': ' || monitor_message from jobs where id = $1`, id)).To(MatchRegexp(`^cancelled, not_measuring: Cancelled; \d+ of \d+ polls were made$`))
}

func TestAJobIsStartedAnew(t *testing.T) {
	w := newWorld(t)
	id := w.insertJob("10.0.0.1", 0)
	w.operate()
	w.soon(func() string { return w.text(`select (count(*) >= 3)::text from samples`) }).Should(Equal("true"))
	w.sql(`update jobs set status = 'completed', completed_at = now() where id = $1`, id)
	w.soon(w.complete(id)).Should(Equal("Completed"))
	first := w.text(`select count(*)::text from samples`)
	w.pass(2)
	w.sql(`update jobs set status = 'running', started_at = now(), completed_at = null where id = $1`, id)
	w.soon(w.phase(id)).Should(Equal(v1alpha1.PhaseRunning))
	w.soon(func() string { return w.text(`select (count(*) > 2 + $1::int)::text from samples`, first) }).Should(Equal("true"))
	w.soon(func() string { return w.text(`select monitor_state || coalesce(monitor_message, '') from jobs`) }).Should(Equal("measuring"))
	w.sql(`update jobs set status = 'cancelled', completed_at = now() where id = $1`, id)
	w.soon(w.complete(id)).Should(Equal("Cancelled"))
	w.Expect(w.books(id)).To(Equal(balanced))
	w.Expect(w.text(`select (count(*) > $1::int and count(*) = count(distinct sequence_number) and count(*) = count(distinct scheduled_at))::text from samples`, first)).To(Equal("true"))
	w.Expect(w.shown(id)).To(Equal(w.text(figures, id)), "the figures are about all samples of the job, as in the app")
}

func TestSlotsThatNobodyAskedInAreInTheDatabaseWithTheirReason(t *testing.T) {
	w := newWorld(t)
	id := w.insertJob("10.0.0.1", 0)
	w.operate()
	w.soon(w.phase(id)).Should(Equal(v1alpha1.PhaseRunning))
	w.suspend(id, "true")
	w.soon(func() string {
		return w.text(`select coalesce(string_agg(reason || ' ' || (slots >= 3) || ' ' || (extract(epoch from to_at - from_at) = slots - 1), ', '), 'none') from sample_gaps where reason = 'Suspended'`)
	}).Should(Equal("Suspended true true"), "one row that grows")
	w.soon(func() string { return w.text(`select monitor_state from jobs where id = $1`, id) }).Should(Equal("not_measuring"))
	w.suspend(id, "false")
	w.sql(`update jobs set target_ip = null where id = $1`, id)
	w.soon(func() string { return w.text(`select (count(*) > 0)::text from sample_gaps where reason = 'NoTarget'`) }).Should(Equal("true"))
	w.spreedb.Set("10.0.0.66", spreedbtest.Slow(2500*time.Millisecond))
	w.sql(`update jobs set target_ip = '10.0.0.66' where id = $1`, id)
	w.soon(func() string { return w.text(`select (count(*) > 0)::text from sample_gaps where reason = 'Busy'`) }).Should(Equal("true"))
	w.Expect(w.text(`select count(*)::text from samples s join sample_gaps g using (job_id) where scheduled_at between from_at and to_at`)).To(Equal("0"))
}

// A sample that the database refuses for good leaves a gap that says so, and the books of the job can be closed.
func TestARefusedSampleLeavesAGap(t *testing.T) {
	w := newWorld(t)
	w.sql(`alter table samples add constraint no_fives check (sequence_number % 5 <> 0)`)
	id := w.insertJob("10.0.0.1", 50*time.Second)
	w.operate()
	w.soon(w.complete(id)).Should(Equal("Completed"))
	w.Expect(w.books(id)).To(Equal(balanced))
	w.Expect(w.shown(id)).To(Equal(w.text(figures, id)))
	w.Expect(w.text(`select (count(*) > 0)::text from sample_gaps where reason = 'Lost'`)).To(Equal("true"))
}

// A role that may write samples and not read them measures and ends jobs, also across a restart. Of slots that no process of it
// saw nobody can tell what became: better no outcome than two.
func TestARoleThatMayNotReadSamplesIsEnough(t *testing.T) {
	w := newWorld(t)
	id := w.insertJob("10.0.0.1", 50*time.Second)
	w.database.Inject(supabasetest.Fault{Match: reads("samples"), Status: 403, ContentType: "application/json", Body: `{"code":"42501","message":"permission denied for table samples"}`})
	op := w.operate()
	w.soon(func() int { return w.spreedb.Total().Polls }).Should(BeNumerically(">=", 4))
	op.stop()
	w.operate()
	w.soon(w.complete(id)).Should(Equal("Completed"))
	w.Expect(w.books(id)).To(HaveSuffix(", 0 with two"))
	w.Expect(w.shown(id)).To(Equal(w.text(figures, id)))
}

func TestAJobThatWasCancelledLongAgoHasNoGapsSince(t *testing.T) {
	w := newWorld(t)
	id := w.insertJob("10.0.0.1", 3*time.Second)
	op := w.operate()
	w.soon(func() int { return w.spreedb.Total().Polls }).Should(BeNumerically(">=", 3))
	op.crash()
	w.sql(`update jobs set status = 'cancelled', completed_at = now() where id = $1`, id)
	w.pass(5)
	w.database.Inject(supabasetest.Fault{Delay: 100 * time.Millisecond}) // so that the first look at the job comes before the sync
	w.operate(func(p *Parts) { p.SyncEvery = 3 * time.Second })
	w.soon(w.complete(id)).Should(Equal("Cancelled"))
	w.Expect(w.books(id)).To(Equal(balanced))
	w.Expect(w.text(`select count(*)::text from sample_gaps, jobs where to_at >= completed_at`)).To(Equal("0"))
	w.Expect(w.shown(id)).To(Equal(w.text(figures, id)))
}

func TestAStartThatIsMovedBackLeavesNoSlotOut(t *testing.T) {
	w := newWorld(t)
	id := w.insertJob("10.0.0.1", 45*time.Second)
	w.operate()
	w.soon(func() int { return w.spreedb.Total().Polls }).Should(BeNumerically(">=", 3))
	w.sql(`update jobs set started_at = started_at - interval '5 s' where id = $1`, id)
	w.soon(w.complete(id)).Should(Equal("Completed"))
	w.Expect(w.books(id)).To(Equal(balanced))
}

func TestARunningJobDoesNotCountWhatWasRefused(t *testing.T) {
	w := newWorld(t)
	w.sql(`alter table samples add constraint no_threes check (sequence_number % 3 <> 0)`)
	id := w.insertJob("10.0.0.1", 0)
	w.operate()
	w.soon(func() string { return w.text(`select (count(*) >= 4)::text from samples`) }).Should(Equal("true"))
	w.sql(`update jobs set target_ip = null where id = $1`, id) // so that the figures stand still
	w.soon(w.phase(id)).Should(Equal(v1alpha1.PhaseWaiting))
	w.soon(func() string {
		job, err := w.job(id)()
		w.Expect(err).NotTo(HaveOccurred())
		return itoa(job.Status.Samples.Total)
	}).Should(Equal(w.text(`select count(*)::text from samples`)))
}

// finisher lets a test do something while the books of a job are being closed.
type finisher struct {
	Finisher
	once   sync.Once
	during func()
}

func (f *finisher) EachSample(ctx context.Context, id string, do func(supabase.Stored)) error {
	f.once.Do(f.during)
	return f.Finisher.EachSample(ctx, id, do)
}

func TestAJobThatIsStartedAnewWhileItsBooksAreClosedRuns(t *testing.T) {
	w := newWorld(t)
	id := w.insertJob("10.0.0.1", 57*time.Second)
	closing := make(chan struct{})
	w.operate(func(p *Parts) {
		p.Finisher = &finisher{Finisher: p.Finisher, during: func() {
			defer close(closing)
			w.spreedb.Set("10.0.0.1", spreedbtest.Slow(2*time.Second))
			w.sql(`update jobs set started_at = now() where id = $1`, id)
			w.soon(func() int { return w.spreedb.Target("10.0.0.1").InFlight }).Should(Equal(1))
		}}
	})
	w.Eventually(closing, patience).Should(BeClosed())
	polls := w.spreedb.Total().Polls
	w.soon(func() int { return w.spreedb.Total().Polls }).Should(BeNumerically(">", polls+1))
	w.Expect(w.text(`select status from jobs where id = $1`, id)).To(Equal("running"))
}

func TestAJobThatIsSetBackToRunningBeforeTheSyncSawItsEndIsEndedAgain(t *testing.T) {
	w := newWorld(t)
	id := w.insertJob("10.0.0.1", 57*time.Second)
	w.operate(func(p *Parts) { p.SyncEvery = 4 * time.Second })
	w.soon(w.phase(id)).Should(Equal(v1alpha1.PhaseCompleted))
	w.sql(`update jobs set status = 'running' where id = $1`, id)
	w.soon(func() string { return w.text(`select status from jobs where id = $1`, id) }).Should(Equal("completed"))
}

// reads matches requests that read a table.
func reads(table string) func(*http.Request) bool {
	return func(r *http.Request) bool { return r.Method == http.MethodGet && r.URL.Path == "/rest/v1/"+table }
}
