package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
)

// TestBench is a run as short as can be: that the figures are there, and agree with each other.
func TestBench(t *testing.T) {
	ctrl.SetLogger(logr.Discard())
	opts := options{
		Jobs: []flagged{{Jobs: 100, Hanging: 5}}, Phases: phasesSpread, Replicas: []int{1}, Cadence: time.Second, Dead: 0.1,
		Settle: time.Second, Window: 3 * time.Second, Floor: true, Restart: true, Seed: 1, JSON: filepath.Join(t.TempDir(), "bench.json"),
		env: map[string]string{"POLL_TIMEOUT_MS": "900"},
	}
	var table strings.Builder
	r, err := run(t.Context(), &opts, &table, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	t.Log(table.String())
	res := r.Results[0]
	if len(res.Problems) > 0 {
		t.Error(res.Problems)
	}
	for name, f := range map[string]*figures{"operator": &res.Operator, "floor": res.Floor} {
		if f.Slots != 300 || f.HangingSlots != 15 || f.Unmeasured != 0 || f.Twice != 0 || f.Measured != f.Stored {
			t.Errorf("%s: %+v", name, f)
		}
		if f.Polls < 290 || f.Polls > 330 || f.PeakInFlight < 5 || f.FirstPollSeconds <= 0 {
			t.Errorf("%s: %d polls, %d in flight, the first after %.1f s", name, f.Polls, f.PeakInFlight, f.FirstPollSeconds)
		}
		late := f.LatenessMillis
		if late.P50 <= 0 || late.P50 > late.P99 || late.P99 > late.Max || late.Max > 1000 {
			t.Errorf("%s: lateness %+v", name, late)
		}
		if f.CPUPerPollMicros <= 0 || f.RSSMiB < 1 || f.PeakMiB < f.RSSMiB || f.MachineBusy <= 0 || f.RigCores <= 0 || f.ControlPlaneCores <= 0 || f.SupabasePerSecond <= 0 {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if res.CPURatio <= 0 || res.Operator.APIWrites["latencyjobs/status"] <= 0 || *res.Operator.FirstSampleSeconds < res.Operator.FirstPollSeconds-1 {
		t.Errorf("%+v", res)
	}
	if again := res.Restart; again.FirstPollSeconds <= 0 || again.PeakInFlight < 5 || again.PeakPerSecond < 100 || again.StopSeconds <= 0 {
		t.Errorf("restarted: %+v", again)
	}
	var kept report
	if text, err := os.ReadFile(opts.JSON); err != nil || json.Unmarshal(text, &kept) != nil || kept.Results[0].Operator.Polls != res.Operator.Polls {
		t.Errorf("the JSON: %v, %s", err, text)
	}
}
