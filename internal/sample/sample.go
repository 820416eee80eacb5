// Package sample holds the one thing this program produces: the outcome of one poll of one job.
package sample

import "time"

// Status is the outcome of a poll as the samples table stores it.
type Status string

const (
	// Success means that the device answered: RTT is set.
	Success Status = "success"
	// Missed means that the device did not answer; it counts as packet loss.
	Missed Status = "missed"
	// SystemError means that the question could not be asked or its answer not be understood; it says nothing
	// about the device and does not count as packet loss.
	SystemError Status = "system_error"
)

// Sample is the outcome of the poll of one slot of one job. (JobID, ScheduledAt) identifies it: whoever stores it
// twice stores it once.
type Sample struct {
	// JobID is the id of the row in jobs, a UUID in lower case.
	JobID string
	// Slot is the number of the slot on the job's grid, from 0; sequence_number is derived from it.
	Slot int64
	// Cadence is the time between two slots of that grid, in whole seconds.
	Cadence time.Duration
	// ScheduledAt is the instant at which the slot was due, UTC, in whole microseconds.
	ScheduledAt time.Time
	// RecordedAt is when the request was sent, UTC, in whole microseconds.
	RecordedAt time.Time
	// Status is the outcome.
	Status Status
	// RTT is the round-trip time in milliseconds as SpreeDB measured it; nil unless Status is Success.
	// It is finite and positive.
	RTT *float64
	// Jitter is the absolute difference in milliseconds to the job's previous successful RTT; nil without one.
	Jitter *float64
}
