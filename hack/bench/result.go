package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// report is what --json writes.
type report struct {
	Began time.Time `json:"began"`
	// Processors is how many the machine has, for everything together.
	Processors int     `json:"processors"`
	Processor  string  `json:"processor,omitempty"`
	Cadence    string  `json:"cadence"`
	Window     string  `json:"window"`
	Dead       float64 `json:"dead"`
	// Database is memory or postgresql.
	Database string   `json:"database"`
	Results  []result `json:"results"`
}

// result is what was measured under one load.
type result struct {
	Load     load     `json:"load"`
	Operator figures  `json:"operator"`
	Floor    *figures `json:"floor,omitempty"`
	// Restart is how the operator came back, if it was restarted.
	Restart *restart `json:"restart,omitempty"`
	// CPURatio is the operator's CPU per poll, divided by the floor's.
	CPURatio float64 `json:"cpuRatio,omitempty"`
	// Problems say why the figures are not to be believed.
	Problems []string `json:"problems,omitempty"`
	// Targets are the figures beside what is promised, where they were to be compared.
	Targets []check `json:"targets,omitempty"`
}

// figures are those of one program, in the window unless said otherwise.
type figures struct {
	// Polls is how many requests SpreeDB had.
	Polls          int64   `json:"polls"`
	PollsPerSecond float64 `json:"pollsPerSecond"`
	// Slots, Unmeasured and Twice count slots that were due, without those of hanging targets.
	Slots      int `json:"slots"`
	Unmeasured int `json:"unmeasured"`
	Twice      int `json:"twice"`
	// HangingSlots and HangingUnmeasured are the same of hanging targets.
	HangingSlots      int         `json:"hangingSlots"`
	HangingUnmeasured int         `json:"hangingUnmeasured"`
	LatenessMillis    percentiles `json:"latenessMillis"`

	CPUPerPollMicros float64 `json:"cpuPerPollMicros"`
	// Cores is how many processors were in use on average; CPUShares are the shares of several replicas.
	Cores     float64   `json:"cores"`
	CPUShares []float64 `json:"cpuShares,omitempty"`
	// RSSMiB is the mean, PeakMiB the most since the process began.
	RSSMiB    float64 `json:"rssMiB"`
	PeakMiB   float64 `json:"peakMiB"`
	KiBPerJob float64 `json:"kibPerJob"`

	APIWritesPerSecond float64 `json:"apiWritesPerSecond"`
	APIWritesPerPoll   float64 `json:"apiWritesPerPoll"`
	// APIWrites are the same by resource, per second.
	APIWrites map[string]float64 `json:"apiWrites,omitempty"`

	SupabasePerSecond float64 `json:"supabasePerSecond"`
	SupabasePerPoll   float64 `json:"supabasePerPoll"`
	// Supabase are requests by what they do, per second.
	Supabase map[string]float64 `json:"supabase,omitempty"`

	// SamplePostMillis are how long Supabase took for a POST of samples, and PollsPerPost how many polls there were for each.
	SamplePostMillis percentiles `json:"samplePostMillis"`
	PollsPerPost     float64     `json:"pollsPerPost"`

	// FirstPollSeconds is the time from the start of the process until every job was polled, FirstSampleSeconds until a sample of
	// every job whose target does not hang was stored; 0 if it did not happen. FirstSampleSeconds is nil where nobody can tell:
	// PostgreSQL does not keep when a row came, and what the operator has stored the floor cannot be the first to.
	FirstPollSeconds   float64  `json:"firstPollSeconds"`
	FirstSampleSeconds *float64 `json:"firstSampleSeconds,omitempty"`
	// Measured is how many slots of the window were polled, Stored how many have a sample after the program has ended. Ignored
	// counts samples, of the whole run, that were sent again.
	Measured int `json:"measured"`
	Stored   int `json:"stored"`
	// StoredPerSecond is how many of these samples there are for each second of the window.
	StoredPerSecond float64 `json:"storedPerSecond"`
	Ignored         int64   `json:"ignored"`
	// PeakInFlight is the most requests that SpreeDB had at once in the whole run, PeakPerSecond the most that came in a second.
	PeakInFlight  int64 `json:"peakInFlight"`
	PeakPerSecond int   `json:"peakPerSecond"`
	// ControlPlaneCores is how many processors etcd and kube-apiserver used, DatabaseCores PostgreSQL if there is one, RigCores what
	// plays SpreeDB and Supabase.
	ControlPlaneCores float64 `json:"controlPlaneCores"`
	DatabaseCores     float64 `json:"databaseCores,omitempty"`
	RigCores          float64 `json:"rigCores"`
	// MachineBusy is the share of the machine that was in use, by everything together.
	MachineBusy float64 `json:"machineBusy"`
}

// doubt says how the figures contradict each other; empty if they do not.
func (f *figures) doubt() string {
	if f.Measured != f.Stored {
		return fmt.Sprintf("%d slots were polled, %d have a sample", f.Measured, f.Stored)
	}
	return ""
}

// restart is how a second process came to jobs that the first had measured.
type restart struct {
	// StopSeconds is how long the first took to end after SIGTERM, FirstPollSeconds how long the second took from its start until
	// every job was polled.
	StopSeconds      float64 `json:"stopSeconds"`
	FirstPollSeconds float64 `json:"firstPollSeconds"`
	PeakInFlight     int64   `json:"peakInFlight"`
	PeakPerSecond    int     `json:"peakPerSecond"`
}

// databasePostgres is report.Database with --postgres.
const databasePostgres = "postgresql"

func newReport(opts *options) *report {
	r := &report{
		Began: time.Now().UTC().Truncate(time.Second), Processors: runtime.NumCPU(), Processor: processor(),
		Cadence: opts.Cadence.String(), Window: opts.Window.String(), Dead: opts.Dead, Database: "memory",
	}
	if opts.Postgres {
		r.Database = databasePostgres
	}
	return r
}

func (r *report) writeJSON(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, append(text, '\n'), 0o644))
	}
	if err != nil {
		return fmt.Errorf("write the result as JSON: %w", err)
	}
	return nil
}
