package controllers

import (
	"time"

	"github.com/soundcheck-io/latency-operator/internal/outbox"
)

// overtime is how long after a hand-over whoever had a job until then still begins polls of slots that came due before: as long as
// a slot waits that comes back in a ramp.
const overtime = rampTime

// Ownership decides who polls a job: one process polls all of them, several share them.
type Ownership interface {
	// Owns tells whether this process polls the job at an instant, and since which hand-over, if it took the job over from a
	// process that knew about it and polls what came due before; zero otherwise.
	Owns(jobID string, at time.Time) (mine bool, since time.Time)
}

// Peers is what is known about the other processes that share the jobs.
type Peers interface {
	// Delivered tells whether every other process has said that all that it measured before an instant is stored.
	Delivered(until time.Time) bool
	// HandedOver tells that of those who are alive or have left. Whoever died cannot say it, and what it leaves in a spool comes
	// when it comes.
	HandedOver(until time.Time) bool
}

// DeliveredUntil is an instant before which everything that this process measured is stored, given how long a poll takes at
// most. It is cautious, by as much as a poll may take and begin late. The polls in flight have to be counted before the
// outbox is looked at: one that ends between the two would be in neither.
func DeliveredUntil(now time.Time, pollTimeout time.Duration, inFlight int, box outbox.Status) time.Time {
	until := now.Add(-overtime)
	if inFlight > 0 {
		until = until.Add(-pollTimeout)
	}
	if box.Held > 0 { // the oldest of these may be known by when it was put, not by when it was measured
		until = earliest(until, box.Oldest.Add(-overtime-pollTimeout))
	}
	return until
}
