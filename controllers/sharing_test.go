package controllers

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/spreedb/spreedbtest"
	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest"
)

// until is the Ownership of a process that hands all its jobs over at an instant, and from that of the one that takes them.
type (
	until time.Time
	from  time.Time
)

func (u until) Owns(_ string, at time.Time) (mine bool, since time.Time) {
	return at.Before(time.Time(u)), time.Time{}
}

func (f from) Owns(_ string, at time.Time) (mine bool, since time.Time) {
	if at.Before(time.Time(f)) {
		return false, time.Time{}
	}
	return true, time.Time(f)
}

// besideOperation are the Peers of a process beside another, which says in an instant what it would say in its Lease.
type besideOperation struct{ *operation }

func (f besideOperation) Delivered(until time.Time) bool {
	now, inFlight := time.Now(), f.poller.InFlight()
	return !DeliveredUntil(now, 900*time.Millisecond, inFlight, f.outbox.Status()).Before(until)
}
func (f besideOperation) HandedOver(until time.Time) bool { return f.Delivered(until) }

func TestAHandOverCostsNoSlotAndPollsNoneTwice(t *testing.T) {
	w := newWorld(t)
	ids := []string{w.insertJob("10.0.0.1", 0), w.insertJob("10.0.0.2", 300*time.Millisecond), w.insertJob("10.0.0.3", 700*time.Millisecond)}
	instant := time.Now().Add(4 * time.Second)
	first := w.operate(func(p *Parts) { p.Ownership = until(instant) })
	second := w.operate(func(p *Parts) { p.Ownership, p.Peers = from(instant), besideOperation{first} })
	second.leads.Store(false)
	w.soon(func() int { return w.spreedb.Total().Polls }).Should(BeNumerically(">=", 6))
	w.soon(func() bool { return time.Now().After(instant) }).Should(BeTrue())
	first.rebalancer.Changed()
	second.rebalancer.Changed()
	w.soon(func() int { return len(second.board.snapshot()) }).Should(Equal(3))
	w.soon(func() int { return len(first.board.snapshot()) }).Should(BeZero(), "the first one forgets them")
	w.soon(func() string {
		return w.text(`select count(*)::text from samples where scheduled_at > $1::timestamptz + interval '4 s'`, instant.Format(time.RFC3339Nano))
	}).ShouldNot(Equal("0"))
	w.Expect(w.text(`select count(*)::text from sample_gaps where to_at >= $1::timestamptz - interval '2 s'`, instant.Format(time.RFC3339Nano))).To(Equal("0"))
	for _, id := range ids {
		w.soon(func() string {
			return w.text(`select count(*)::text from samples where job_id = $1 and scheduled_at >= $2::timestamptz - interval '2 s' and scheduled_at < $2::timestamptz + interval '3 s'`,
				id, instant.Format(time.RFC3339Nano))
		}).Should(Equal("5"), "no slot is missing")
	}
	w.Expect(w.text(onGrid)).To(Equal("0 off the grid, 0 twice"))
	polls := w.spreedb.Total().Polls
	w.soon(func() string { return w.text(`select (count(*) >= $1::bigint)::text from samples`, itoa(int64(polls))) }).Should(Equal("true"), "no slot was polled twice")
}

// holding are Peers that have not delivered yet what they measured.
type holding struct{ delivered atomic.Bool }

func (h *holding) Delivered(time.Time) bool  { return h.delivered.Load() }
func (h *holding) HandedOver(time.Time) bool { return h.delivered.Load() }

func TestNothingIsAGapThatAnotherProcessStillHolds(t *testing.T) {
	w := newWorld(t)
	id := w.insertJob("10.0.0.1", -2*time.Second)
	instant := time.Now().Add(5 * time.Second)
	backlog := w.database.Inject(supabasetest.Fault{Status: 503, Match: func(r *http.Request) bool {
		return r.Method == http.MethodPost && r.URL.Path == "/rest/v1/samples" && earliestDue(r).Before(instant)
	}})
	peers := &holding{}
	first := w.operate(func(p *Parts) { p.Ownership = until(instant) })
	second := w.operate(func(p *Parts) { p.Ownership, p.Peers, p.PollTimeout = from(instant), peers, 900*time.Millisecond })
	second.leads.Store(false)
	w.soon(func() bool { return time.Now().After(instant) }).Should(BeTrue())
	first.rebalancer.Changed()
	second.rebalancer.Changed()
	w.soon(func() *entry { return first.board.lookup(id) }).Should(BeNil())
	polls := w.spreedb.Total().Polls
	w.soon(func() int { return w.spreedb.Total().Polls }).Should(BeNumerically(">", polls+6), "it goes on without an answer")
	w.Expect(first.outbox.Status().Held).To(BeNumerically(">", 2))
	backlog.Remove()
	w.soon(func() int { return first.outbox.Status().Held }).Should(BeZero())
	peers.delivered.Store(true)
	w.soon(func() int64 {
		e := second.board.lookup(id)
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.ledger.Unknown()
	}).Should(BeZero())
	w.soon(func() int { return second.outbox.Pending(id) }).Should(BeNumerically("<", 2))
	w.Expect(w.text(`select count(*)::text from samples s join sample_gaps g using (job_id) where scheduled_at between from_at and to_at`)).To(Equal("0"), "slots with two outcomes")
}

// earliestDue is when the first sample of a request was due.
func earliestDue(r *http.Request) (at time.Time) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	var rows []struct {
		ScheduledAt time.Time `json:"scheduled_at"`
	}
	if json.Unmarshal(body, &rows) == nil && len(rows) > 0 {
		at = rows[0].ScheduledAt
	}
	return at
}

func TestASlotThatWaitsAtTheGateAtAHandOverIsOverload(t *testing.T) {
	w := newWorld(t)
	w.limits = Limits{InFlight: 1, PerSecond: 1000}
	w.spreedb.Set("10.0.0.9", spreedbtest.Hanging())
	w.sql(`insert into jobs (account_number, target_ip, cadence_seconds, duration_minutes, monitoring_mode, started_at) values ('A-1', '10.0.0.9', 20, 1, 'real_polling', now())`)
	instant := time.Now().Add(5 * time.Second)
	first := w.operate(func(p *Parts) { p.Ownership = until(instant) })
	w.soon(func() int { return w.spreedb.Total().Polls }).Should(Equal(1))
	id := w.insertJob("10.0.0.1", 0)
	w.soon(w.phase(id)).Should(Equal(v1alpha1.PhaseRunning))
	w.limits = Limits{}
	second := w.operate(func(p *Parts) { p.Ownership = from(instant) })
	second.leads.Store(false)
	w.soon(func() bool { return time.Now().After(instant) }).Should(BeTrue())
	first.rebalancer.Changed()
	second.rebalancer.Changed()
	w.soon(func() string {
		return w.text(`select coalesce(string_agg(distinct reason, ','), 'none') from sample_gaps where job_id = $1 and to_at >= $2::timestamptz - interval '1 s'`,
			id, instant.Format(time.RFC3339Nano))
	}).Should(Equal("Overload"))
}

// A job that another process has ended and whose row runs again has to be told to that one: it does not read the rows.
func TestARowThatRunsAgainIsToldToTheProcessThatEndedIt(t *testing.T) {
	w := newWorld(t)
	id := w.insertJob("10.0.0.1", 57*time.Second)
	nobodys := until(time.Time{})
	leader := w.operate(func(p *Parts) { p.Ownership = nobodys })
	other := w.operate()
	other.leads.Store(false)
	leader.leads.Store(true)
	w.soon(w.phase(id)).Should(Equal(v1alpha1.PhaseCompleted))
	leader.leads.Store(false) // it sees the row only once that runs again
	w.sql(`update jobs set status = 'running', duration_minutes = 1, completed_at = null where id = $1`, id)
	leader.leads.Store(true)
	w.soon(func() string { return w.text(`select status from jobs where id = $1`, id) }).Should(Equal("completed"))
}

func TestChangesAreBroughtWithoutComparingEverything(t *testing.T) {
	w := newWorld(t)
	id, other := w.insertJob("10.0.0.1", 0), w.insertJob("10.0.0.2", 0)
	w.operate(func(p *Parts) { p.FullSyncEvery = time.Hour })
	w.soon(w.phase(id)).Should(Equal(v1alpha1.PhaseRunning))
	w.soon(w.phase(other)).Should(Equal(v1alpha1.PhaseRunning))
	w.database.ResetRequests()

	later := w.insertJob("10.0.0.3", 0)
	w.soon(w.phase(later)).Should(Equal(v1alpha1.PhaseRunning))
	w.sql(`update jobs set status = 'cancelled' where id = $1`, id)
	w.soon(w.phase(id)).Should(Equal(v1alpha1.PhaseCancelled))
	w.sql(`update jobs set target_ip = '10.0.0.4' where id = $1`, later)
	w.soon(func() string { job, _ := w.job(later)(); return job.Spec.TargetIP }).Should(Equal("10.0.0.4"))

	job, err := w.job(other)()
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.api.Delete(t.Context(), job)).To(Succeed())
	w.soon(w.phase(other)).Should(Equal(v1alpha1.PhaseRunning), "one deleted by hand comes back")
	w.sql(`update jobs set target_ip = 'nonsense' where id = $1`, later)
	w.soon(func() string { job, _ := w.job(later)(); return job.Annotations[v1alpha1.RowProblemAnnotation] }).Should(ContainSubstring("nonsense"))

	for _, req := range w.database.Requests() {
		w.Expect(req.Path+req.Query.Get("status")).NotTo(Equal("/rest/v1/jobseq.running"), "all rows were listed")
	}
}
