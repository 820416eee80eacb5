package controllers

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/soundcheck-io/latency-operator/internal/spreedb/spreedbtest"
)

// Eight jobs with one start and a slot every second, where four polls a second are allowed.
func TestJobsThatShareAPhaseShareWhatSpreeDBMayBeAsked(t *testing.T) {
	w := newWorld(t)
	w.limits = Limits{InFlight: 100, PerSecond: 4}
	w.sql(`insert into jobs (account_number, target_ip, cadence_seconds, duration_minutes, monitoring_mode, started_at)
		select 'A-1', '10.0.0.' || n, 1, 1, 'real_polling', now() - interval '40 s' from generate_series(1, 8) n`)
	w.operate()
	w.soon(func() int { return w.spreedb.Total().Polls }).Should(BeNumerically(">=", 40))
	for n := 1; n <= 8; n++ {
		w.Expect(w.spreedb.Target(fmt.Sprintf("10.0.0.%d", n)).Polls).To(BeNumerically("~", 5, 2), "polls of job %d of 40 in all", n)
	}
	w.soon(func() string { return w.text(`select count(*)::text from jobs where status = 'completed'`) }).Should(Equal("8"))
	w.Expect(w.text(`select string_agg(distinct reason, ',') from sample_gaps where from_at > (select max(started_at) + interval '50 s' from jobs)`)).To(Or(Equal("Overload"), Equal("Busy,Overload")), "busy is one whose poll began late in the slot before")
	w.Expect(w.text(outcomes)).To(Equal("480"), "each slot has one outcome")
	w.Expect(w.text(onGrid)).To(Equal("0 off the grid, 0 twice"))
}

// outcomes counts the slots that have one.
const outcomes = `select ((select count(*) from samples) + (select sum(slots) from sample_gaps))::text`

func TestTheLimitOfPollsInFlightHoldsWhateverHangs(t *testing.T) {
	w := newWorld(t)
	w.limits = Limits{InFlight: 3, PerSecond: 1000}
	const jobs = 10
	for n := range jobs {
		w.spreedb.Set(fmt.Sprintf("10.0.0.%d", n), spreedbtest.Hanging())
		w.insertJob(fmt.Sprintf("10.0.0.%d", n), 0)
	}
	w.operate(func(p *Parts) { p.PollTimeout = time.Second })
	w.soon(func() int {
		polled := 0
		for n := range jobs {
			polled += min(2, w.spreedb.Target(fmt.Sprintf("10.0.0.%d", n)).Polls)
		}
		return polled
	}).Should(Equal(2*jobs), "each job gets its turn")
	w.Expect(w.spreedb.Total().MaxInFlight).To(BeNumerically("<=", 2*3), "and as many whose clients have just given up")
}
