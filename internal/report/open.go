package report

import (
	"time"

	"github.com/soundcheck-io/latency-operator/internal/schedule"
)

// settling is how long after it came due a slot may be without an outcome: 10 s for the poll itself, and what storing its sample
// takes.
const settling = 30 * time.Second

// Open counts the slots that were due at asOf, with time enough for a poll and for storing its sample, and have neither a sample nor
// a reason. A job that is over has none once its books are closed. Where a job was given a shorter cadence in the middle, slots
// count that were never due, until then.
func (r *Report) Open(asOf time.Time) int64 {
	j := r.Job
	until := asOf.Add(-settling)
	if !j.EndedAt.IsZero() && j.EndedAt.Before(until) {
		until = j.EndedAt
	}
	due := schedule.Grid{Start: j.StartedAt, Cadence: j.Cadence, Duration: j.Duration}.At(until) + 1
	return max(0, due-r.Slots())
}

// Due counts the slots that were due at asOf: those that have an outcome, and those that are open.
func (r *Report) Due(asOf time.Time) int64 { return r.Slots() + r.Open(asOf) }
