package controllers

import (
	"time"

	"github.com/soundcheck-io/latency-operator/internal/outbox"
)

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
}

// Everything is the Ownership of a process that is alone, and Peers without any.
type Everything struct{}

// Owns reports true.
func (Everything) Owns(string, time.Time) (mine bool, since time.Time) { return true, time.Time{} }

// Delivered reports true.
func (Everything) Delivered(time.Time) bool { return true }

// DeliveredUntil is an instant before which everything that this process measured is stored, given how long a poll takes at
// most. It is cautious, by as much as a poll may take.
func DeliveredUntil(now time.Time, pollTimeout time.Duration, poller *Poller, box outbox.Status) time.Time {
	until := now
	if poller.InFlight() > 0 {
		until = now.Add(-pollTimeout)
	}
	if box.Held > 0 { // the oldest of these may be known by when it was put, not by when it was measured
		until = earliest(until, box.Oldest.Add(-pollTimeout))
	}
	return until
}
