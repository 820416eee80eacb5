package render

import (
	"encoding/json"
	"io"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/report"
)

// Document is a report as JSON. Times are UTC; fields are only ever added.
type Document struct {
	Job     JobDocument    `json:"job"`
	AsOf    time.Time      `json:"asOf"`
	Verdict report.Verdict `json:"verdict"`
	// Says is the verdict in sentences, Path what it is about.
	Says string `json:"says"`
	Path string `json:"path"`

	// First and Last are when the first and the last of the samples were due.
	First time.Time `json:"first,omitzero"`
	Last  time.Time `json:"last,omitzero"`

	Samples SampleDocument `json:"samples"`
	Slots   SlotDocument   `json:"slots"`

	// Loss, Errors and Completeness are shares from 0 to 1; absent where there is nothing that they could be a share of.
	Loss         *float64 `json:"loss,omitempty"`
	Errors       *float64 `json:"errors,omitempty"`
	Completeness *float64 `json:"completeness,omitempty"`

	RTT    *SpreadDocument `json:"rttMs,omitempty"`
	Jitter *SpreadDocument `json:"jitterMs,omitempty"`

	// Outages counts runs of at least OutageAfter missed polls.
	Outages       int64           `json:"outages"`
	OutageAfter   int64           `json:"outageAfter"`
	LongestOutage *OutageDocument `json:"longestOutage,omitempty"`
	LongestGap    *GapDocument    `json:"longestGap,omitempty"`
}

// JobDocument is what was measured.
type JobDocument struct {
	ID              string    `json:"id"`
	Target          string    `json:"target,omitempty"`
	Status          string    `json:"status"`
	CadenceSeconds  float64   `json:"cadenceSeconds"`
	DurationMinutes float64   `json:"durationMinutes"`
	StartedAt       time.Time `json:"startedAt,omitzero"`
	// EndedAt is when the job was over, or where its row does not say, when the newest slot with an outcome was due; absent while it runs.
	EndedAt time.Time `json:"endedAt,omitzero"`
}

// SampleDocument counts samples by outcome.
type SampleDocument struct {
	Total       int64 `json:"total"`
	Success     int64 `json:"success"`
	Missed      int64 `json:"missed"`
	SystemError int64 `json:"systemError"`
}

// SlotDocument counts the slots that were due: Measured and Unmeasured have an outcome, Open have none.
type SlotDocument struct {
	Measured   int64 `json:"measured"`
	Unmeasured int64 `json:"unmeasured"`
	// UnmeasuredBy splits Unmeasured by reason.
	UnmeasuredBy map[string]int64 `json:"unmeasuredBy,omitempty"`
	Open         int64            `json:"open"`
}

// SpreadDocument sums up values in milliseconds; percentiles are by nearest rank.
type SpreadDocument struct {
	Count int64   `json:"count"`
	Min   float64 `json:"min"`
	Avg   float64 `json:"avg"`
	Max   float64 `json:"max"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P95   float64 `json:"p95"`
	P99   float64 `json:"p99"`
}

// OutageDocument is a run of missed polls.
type OutageDocument struct {
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	Missed  int64     `json:"missed"`
	Seconds float64   `json:"seconds"`
}

// GapDocument is a stretch of slots without a sample.
type GapDocument struct {
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Slots  int64     `json:"slots"`
	Reason string    `json:"reason"`
}

// ComparisonDocument is a comparison as JSON.
type ComparisonDocument struct {
	// Overall is what became of loss and round-trip times together.
	Overall report.Change `json:"overall"`
	Loss    report.Change `json:"loss"`
	RTT     report.Change `json:"rtt"`
	Jitter  report.Change `json:"jitter"`
	Says    string        `json:"says"`
	// Cautions speak against taking it at its word.
	Cautions []string `json:"cautions,omitempty"`
	Before   Document `json:"before"`
	After    Document `json:"after"`
}

// Document makes the report's JSON.
func (s *Subject) Document() Document {
	r := s.Report
	j := r.Job
	d := Document{
		Job: JobDocument{
			ID: j.ID, Target: j.Target, Status: s.Status, CadenceSeconds: j.Cadence.Seconds(), DurationMinutes: j.Duration.Minutes(),
			StartedAt: j.StartedAt.UTC(), EndedAt: j.EndedAt.UTC(),
		},
		AsOf: s.AsOf.UTC(), Verdict: r.Verdict(), Says: s.Says(), Path: report.Path, First: r.First.UTC(), Last: r.Last.UTC(),
		Samples: SampleDocument{Total: r.Samples(), Success: r.Success, Missed: r.Missed, SystemError: r.SystemError},
		Slots:   SlotDocument{Measured: r.Samples(), Unmeasured: r.UnmeasuredSlots(), UnmeasuredBy: r.Unmeasured, Open: r.Open(s.AsOf)},
		Loss:    share(r.Loss), Errors: share(r.Errors), Completeness: share(func() (float64, bool) { return r.Completeness(s.AsOf) }),
		RTT: spread(r.RTT), Jitter: spread(r.Jitter), Outages: r.Outages, OutageAfter: report.OutageAfter,
	}
	if o := r.Outage; o != nil {
		d.LongestOutage = &OutageDocument{From: o.From.UTC(), To: o.To.UTC(), Missed: o.Missed, Seconds: o.Lasted.Seconds()}
	}
	if g := r.Gap; g != nil {
		d.LongestGap = &GapDocument{From: g.From.UTC(), To: g.To.UTC(), Slots: g.Slots, Reason: g.Reason}
	}
	return d
}

func share(of func() (float64, bool)) *float64 {
	if v, ok := of(); ok {
		return &v
	}
	return nil
}

func spread(s *report.Spread) *SpreadDocument {
	if s == nil {
		return nil
	}
	d := SpreadDocument(*s)
	return &d
}

// JSON writes a report.
func (s *Subject) JSON(to io.Writer) error { return writeJSON(to, s.Document()) }

// ComparisonJSON writes a comparison.
func ComparisonJSON(to io.Writer, before, after *Subject) error {
	c := report.Compare(before.Report, after.Report)
	return writeJSON(to, ComparisonDocument{
		Overall: c.Overall(), Loss: c.Loss, RTT: c.RTT, Jitter: c.Jitter, Says: c.Says(), Cautions: c.Cautions(),
		Before: before.Document(), After: after.Document(),
	})
}

func writeJSON(to io.Writer, v any) error {
	encoder := json.NewEncoder(to)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}
