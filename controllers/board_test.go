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
	b := NewBoard(clocktesting.NewFakePassiveClock(start))
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
	if rate := b.DueRate(); math.Abs(rate-0.6) > 1e-9 {
		t.Errorf("got %v, want 0.1 + 0.5", rate)
	}
}
