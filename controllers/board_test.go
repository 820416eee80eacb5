package controllers

import (
	"math"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/schedule"
)

func TestSlotsAreDueOfJobsThatAreMeasured(t *testing.T) {
	clk := clocktesting.NewFakePassiveClock(start)
	b := NewBoard(clk)
	add := func(name string, phase v1alpha1.JobPhase, cadence time.Duration) *entry {
		e := &entry{decided: phase, grid: schedule.Grid{Start: start, Cadence: cadence, Duration: time.Hour}}
		b.entries[name] = e
		return e
	}
	if rate := b.DueRate(); rate != 0 {
		t.Errorf("without a job %v come due", rate)
	}
	add("a", v1alpha1.PhaseRunning, 10*time.Second)
	add("b", v1alpha1.PhaseRunning, 2*time.Second)
	add("waits", v1alpha1.PhaseWaiting, time.Second)
	add("is over", v1alpha1.PhaseCompleting, time.Second)
	add("not decided about yet", "", 0)
	add("was deleted", v1alpha1.PhaseRunning, time.Second).absentSince = start
	add("is rarely polled", v1alpha1.PhaseRunning, 15*time.Minute)
	for after, perMinute := range map[time.Duration]float64{
		-time.Second: 0, 0: 3, 10 * time.Second: 9, 5 * time.Minute: 36, 15*time.Minute + 30*time.Second: 37, 16 * time.Minute: 36, time.Hour - time.Second: 36,
		time.Hour + 31*time.Second: 16, 2 * time.Hour: 0,
	} {
		clk.SetTime(start.Add(after))
		if rate := b.DueRate() * 60; math.Abs(rate-perMinute) > 1e-9 {
			t.Errorf("%s after the start %v came due in a minute, want %v", after, rate, perMinute)
		}
	}
}
