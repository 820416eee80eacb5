package controllers

import (
	"hash/fnv"
	"math"
	"time"
)

// After a restart, or when the jobs of a process that died come to another, thousands of slots are open at once. SpreeDB is
// not to meet them as a wall: they come back as a ramp.
const (
	// lateAfter is how long a slot must have been due until it counts as one of those.
	lateAfter = time.Second
	// lateAtOnce is how many of them are polled without delay, all of a small installation's, and latePerSecond how many more
	// in each second: jobs that appear one after another are no wall.
	lateAtOnce    = 100
	latePerSecond = 500
	// rampTime is over how long the others are spread.
	rampTime = 5 * time.Second
	// rampShare is the part of what is left of its slot that a poll waits at most.
	rampShare = 0.8
)

// ramp is how long the poll of a slot that is late waits, of which so much is left: for each job another time, evenly spread.
func ramp(jobID string, left time.Duration) time.Duration {
	h := fnv.New64a()
	_, _ = h.Write([]byte(jobID)) // it never fails
	share := float64(h.Sum64()>>11) / (1 << 53)
	return time.Duration(share * math.Min(float64(rampTime), rampShare*float64(left)))
}
