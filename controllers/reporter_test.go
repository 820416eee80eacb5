package controllers

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/utils/clock"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/ledger"
	"github.com/soundcheck-io/latency-operator/internal/spreedb/spreedbtest"
)

// reports counts the requests that tell rows something.
func (w *world) reports() (n int) {
	for _, r := range w.database.Requests() {
		if r.Method == "PATCH" && strings.Contains(r.Body, "monitor_state") {
			n++
		}
	}
	return n
}

func TestTheAppIsToldWhatIsDoneAboutAJobOnceForEachChange(t *testing.T) {
	w := newWorld(t)
	jobs := []string{w.insertJob("10.0.0.1", 0), w.insertJob("10.0.0.1", 0), w.insertJob("10.0.0.2", 0)}
	ahead := w.text(`insert into jobs (account_number, target_ip, monitoring_mode, started_at) values ('A-1', '10.0.0.1', 'real_polling', '2099-01-01Z') returning id::text`)
	says := func(id string) func() string {
		return func() string {
			return w.text(`select coalesce(monitor_state, 'nothing') || coalesce(': ' || monitor_message, '') from jobs where id = $1`, id)
		}
	}
	op := w.operate()
	for _, id := range jobs {
		w.soon(says(id)).Should(Equal("measuring"))
	}
	w.soon(says(ahead)).Should(Equal("waiting: Starts at 2099-01-01T00:00:00Z"))
	w.Expect(w.reports()).To(BeNumerically("<=", 3), "rows that read the same share a request")
	w.spreedb.Set("10.0.0.2", spreedbtest.Dead())
	w.soon(says(jobs[2])).Should(Equal("measuring: The device does not answer"))
	w.suspend(jobs[0], "true")
	w.soon(says(jobs[0])).Should(HavePrefix("not_measuring: Paused"))
	w.Expect(w.reports()).To(BeNumerically("<=", 5))
	op.stop()

	// Another process finds out what the rows say, and writes nothing.
	w.database.ResetRequests()
	next := w.operate()
	known := func() (n int) {
		next.board.each(func(_ string, e *entry) {
			if e.report.known {
				n++
			}
		})
		return n
	}
	w.soon(known).Should(Equal(4))
	w.Expect(w.reports()).To(BeZero())
	w.Expect(w.text(`select count(*)::text from jobs where updated_at > created_at + interval '1 ms'`)).To(Equal("0"), "what the operator writes is no change of the app's")
}

func TestARunningJobShowsItsSummaryInTheApp(t *testing.T) {
	w := newWorld(t)
	id := w.insertJob("10.0.0.1", 0)
	w.operate()
	w.soon(func() string {
		return w.text(`select (total_samples > 0 and avg_rtt_ms > 0 and packet_loss_percent = 0)::text from jobs where id = $1`, id)
	}).Should(Equal("true"))
}

// A clock that is ahead must not end a job before its time.
func TestAJobIsNotCompletedWhileOurClockIsAhead(t *testing.T) {
	w := newWorld(t)
	id := w.insertJob("10.0.0.1", 54*time.Second)
	var ahead atomic.Int64
	ahead.Store(int64(time.Minute))
	w.operate(func(p *Parts) { p.Ahead = func() time.Duration { return time.Duration(ahead.Load()) } })
	w.soon(w.phase(id)).Should(Equal(v1alpha1.PhaseCompleting))
	w.database.ResetRequests()
	w.soon(func() int { return len(w.database.Requests()) }).Should(BeNumerically(">=", 2), "it looks again and again")
	w.Expect(w.text(`select status from jobs where id = $1`, id)).To(Equal("running"))
	ahead.Store(0)
	w.soon(w.complete(id)).Should(Equal("Completed"))
}

func TestAJobThatIsNotDecidedAboutIsOverdue(t *testing.T) {
	b := NewBoard(clock.RealClock{})
	job := jobOf(nil)
	e := b.entry(&job)
	for name, tc := range map[string]struct {
		wake, absent time.Time
		want         time.Duration
	}{
		"waits for nothing":       {want: 0},
		"its time lies ahead":     {wake: start.Add(time.Second), want: 0},
		"late":                    {wake: start.Add(-time.Minute), want: time.Minute},
		"its LatencyJob was gone": {wake: start.Add(-time.Minute), absent: start.Add(-time.Minute), want: 0},
	} {
		t.Run(name, func(t *testing.T) {
			e.wake, e.absentSince = tc.wake, tc.absent
			if got := b.Overdue(start); got != tc.want {
				t.Errorf("overdue by %s, want %s", got, tc.want)
			}
		})
	}
}

func TestReportOfEnd(t *testing.T) {
	account := func(success, foreign, noTarget, down int64) *ledger.Account {
		return &ledger.Account{Sums: ledger.Sums{Totals: ledger.Totals{Success: success}, Foreign: foreign, Unmeasured: [ledger.Reasons]int64{ledger.NoTarget: noTarget, ledger.OperatorDown: down}}}
	}
	for name, tc := range map[string]struct {
		state   v1alpha1.JobState
		account *ledger.Account
		want    string
	}{
		"all of it":         {v1alpha1.StateCompleted, account(360, 0, 0, 0), "Over; all 360 polls were made"},
		"with gaps":         {v1alpha1.StateCompleted, account(350, 0, 0, 10), "Over; 350 of 360 polls were made"},
		"of others, too":    {v1alpha1.StateCompleted, account(350, 5, 0, 15), "Over; 345 of 360 polls were made"},
		"cancelled at once": {v1alpha1.StateCancelled, account(0, 0, 0, 0), "Cancelled"},
		"never a target":    {v1alpha1.StateFailed, account(0, 0, 6, 0), "Failed; there was no usable target IP"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := reportOfEnd(tc.state, tc.account); got.Message != tc.want || got.State != "not_measuring" {
				t.Errorf("got %+v, want %q", got, tc.want)
			}
		})
	}
	sum := summaryOf(&ledger.Account{Sums: ledger.Sums{Totals: ledger.Totals{Missed: 1, SystemError: 1}}})
	if sum.AvgRTT != nil || *sum.LossPercent != 100 || sum.Samples != 2 {
		t.Errorf("summary %+v", sum)
	}
}
