package main

import (
	"fmt"
	"strings"
	"time"
)

// target is what is promised about a load on a machine with two processors that runs everything at once. What is 0 is not
// promised, but of unmeasured slots.
type target struct {
	load load
	// unmeasured is the largest share of slots, lateness the largest 99th percentile in milliseconds.
	unmeasured, lateness float64
	// cpuRatio is the CPU per poll compared with the floor.
	cpuRatio                 float64
	apiWrites, supabase      float64 // per poll
	kibPerJob                float64
	firstSamplesWithinSecond float64
}

var targets = []target{
	{load: load{Jobs: 5000}, lateness: 50, cpuRatio: 1.6, apiWrites: 0.05, supabase: 0.02, kibPerJob: 25, firstSamplesWithinSecond: 25},
	{load: load{Jobs: 5000, Hanging: 500}, lateness: 100, apiWrites: 0.05, supabase: 0.02, kibPerJob: 35},
	{load: load{Jobs: 20000}, lateness: 100, cpuRatio: 1.5, apiWrites: 0.02, supabase: 0.01, kibPerJob: 12},
	{load: load{Jobs: 50000}, unmeasured: 0.001, lateness: 500, cpuRatio: 1.4, apiWrites: 0.01, supabase: 0.005, kibPerJob: 10},
	{load: load{Jobs: 3000, Phases: phasesSecond}},
}

// check is one figure beside what is promised about it.
type check struct {
	What   string  `json:"what"`
	Is     float64 `json:"is"`
	AtMost float64 `json:"atMost"`
	Met    bool    `json:"met"`
	// Unknown tells that nothing was measured that Is could be, so that nothing is met either.
	Unknown bool `json:"unknown,omitempty"`
}

// String says it in a line.
func (c check) String() string {
	verdict := "met"
	if !c.Met {
		verdict = "MISSED"
	}
	is := fmt.Sprintf("%.4g", c.Is)
	if c.Unknown {
		is = "unknown"
	}
	return fmt.Sprintf("%s: %s, at most %.4g: %s", c.What, is, c.AtMost, verdict)
}

// checks compare a result with what is promised about its load: nothing where nothing is. Figures that are not to be believed
// meet no promise.
func checks(res result, cadence time.Duration) []check {
	for _, t := range targets {
		if t.load.Phases == "" {
			t.load.Phases = phasesSpread
		}
		t.load.Replicas = 1
		if t.load == res.Load && cadence == 10*time.Second {
			return t.check(res)
		}
	}
	return nil
}

func (t target) check(res result) (all []check) {
	f := res.Operator
	add := func(what string, is, most float64, known bool) {
		all = append(all, check{What: what, Is: is, AtMost: most, Met: known && is <= most, Unknown: !known})
	}
	promised := func(what string, is, most float64, known bool) {
		if most > 0 {
			add(what, is, most, known)
		}
	}
	add("share of slots unmeasured", ratio(float64(f.Unmeasured), float64(f.Slots)), t.unmeasured, f.Slots > 0)
	promised("lateness p99 in ms", f.LatenessMillis.P99, t.lateness, f.Slots > f.Unmeasured)
	if res.Floor != nil {
		promised("CPU per poll to the floor's", res.CPURatio, t.cpuRatio, res.CPURatio > 0)
	}
	promised("API writes per poll", f.APIWritesPerPoll, t.apiWrites, f.Polls > 0)
	promised("Supabase requests per poll", f.SupabasePerPoll, t.supabase, f.Polls > 0)
	promised("memory per job in KiB", f.KiBPerJob, t.kibPerJob, f.KiBPerJob > 0)
	if first := f.FirstSampleSeconds; first != nil {
		promised("start to every job's first sample in s", *first, t.firstSamplesWithinSecond, *first > 0)
	}
	add("problems", float64(len(res.Problems)), 0, true)
	return all
}

// missed are the checks that are not met, in one line; empty if all are.
func missed(all []check) string {
	var texts []string
	for _, c := range all {
		if !c.Met {
			texts = append(texts, c.What)
		}
	}
	return strings.Join(texts, ", ")
}
