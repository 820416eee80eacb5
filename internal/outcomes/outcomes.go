// Package outcomes is what became of the slots of one job, as the operator serves it at /jobs/{id}/samples and the CLI reads it:
// one JSON object per line (NDJSON, application/x-ndjson).
//
// The first line is the job. Then come its samples in the order in which they were due, those that do not say when they were due
// at the end, and among them, in the order in which they begin, the gaps. The last line is the end with the number of both, or an
// error. What has neither was cut off.
package outcomes

import (
	"time"

	"github.com/soundcheck-io/latency-operator/internal/sample"
)

// MediaType is what the lines are sent as.
const MediaType = "application/x-ndjson"

// Job is the row of the job. It has neither an account number nor an e-mail address: those do not enter the cluster.
type Job struct {
	// ID is the row's id, a UUID in lower case.
	ID string `json:"id"`
	// TargetIP is the address that is measured; empty where there is none yet.
	TargetIP string `json:"targetIP,omitempty"`
	// CadenceSeconds is the time between two slots, and DurationMinutes how long there are any.
	CadenceSeconds  int64 `json:"cadenceSeconds"`
	DurationMinutes int64 `json:"durationMinutes"`
	// StartedAt is when the first slot was due; zero where the row does not say.
	StartedAt time.Time `json:"startedAt,omitzero"`
	// CompletedAt is when the job was over; zero while it is not.
	CompletedAt time.Time `json:"completedAt,omitzero"`
	// Status is the row's: running, completed, cancelled or failed.
	Status string `json:"status"`
}

// Sample is a sample that the database has. Its writer need not be the operator.
type Sample struct {
	// ScheduledAt is when it was due; zero where the row does not say, because somebody else wrote it.
	ScheduledAt time.Time `json:"scheduledAt,omitzero"`
	// RecordedAt is when the device was asked; zero where the row does not say.
	RecordedAt time.Time `json:"recordedAt,omitzero"`
	// Status is what the row says, which may be none of the known ones.
	Status sample.Status `json:"status"`
	// RTT and Jitter are in milliseconds, finite; nil where there is none.
	RTT    *float64 `json:"rttMs,omitempty"`
	Jitter *float64 `json:"jitterMs,omitempty"`
}

// Gap is a stretch of slots without a sample, all for the same reason.
type Gap struct {
	// FromAt and ToAt are when the first and the last of the slots were due.
	FromAt time.Time `json:"fromAt"`
	ToAt   time.Time `json:"toAt"`
	// Slots is how many there are, at least one.
	Slots int64 `json:"slots"`
	// Reason is why, such as OperatorDown. A later version may know reasons that this one does not.
	Reason string `json:"reason"`
}

// End says that nothing is missing.
type End struct {
	// Samples and Gaps are how many lines of each kind came before.
	Samples int64 `json:"samples"`
	Gaps    int64 `json:"gaps"`
}

// Line is one line. Exactly one field is set.
type Line struct {
	Job    *Job    `json:"job,omitempty"`
	Sample *Sample `json:"sample,omitempty"`
	Gap    *Gap    `json:"gap,omitempty"`
	End    *End    `json:"end,omitempty"`
	// Error is one sentence about what went wrong midway.
	Error string `json:"error,omitempty"`
}
