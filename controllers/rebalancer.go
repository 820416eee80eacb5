package controllers

import (
	"context"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
)

// rebalanceEvery is how often jobs are looked through although nothing is known to have changed: one that moved in the instant in
// which it was decided about would be missed for ever.
const rebalanceEvery = time.Minute

// Rebalancer has those jobs decided about that came to this process or left it, when it has changed who has which. It is a
// Runnable of the manager.
type Rebalancer struct {
	Clock     clock.Clock
	Log       logr.Logger
	Board     *Board
	Ownership Ownership
	Cached    *Cached
	// Wake has a job decided about now.
	Wake func(jobID string)

	changed nudge
}

// NewRebalancer gives a Rebalancer whose fields are still to be set.
func NewRebalancer() *Rebalancer { return &Rebalancer{changed: newNudge()} }

// NeedLeaderElection says that every process does this for itself.
func (r *Rebalancer) NeedLeaderElection() bool { return false }

// Changed says that it may have changed who has which job. It does not block.
func (r *Rebalancer) Changed() { r.changed.give() }

// Start works until ctx ends.
func (r *Rebalancer) Start(ctx context.Context) error {
	for {
		again := r.Clock.NewTimer(rebalanceEvery)
		select {
		case <-ctx.Done():
			again.Stop()
			return nil
		case <-r.changed:
		case <-again.C():
		}
		again.Stop()
		came, left, err := r.rebalance(ctx, r.Clock.Now())
		switch {
		case err != nil && ctx.Err() == nil:
			r.Log.Error(err, "Jobs may have come from another process or gone to it, and could not be looked through")
		case came+left > 0:
			r.Log.Info("Jobs moved between the processes that share them", "came", came, "left", left)
		}
	}
}

func (r *Rebalancer) rebalance(ctx context.Context, now time.Time) (came, left int, err error) {
	err = r.Cached.Each(ctx, func(job *v1alpha1.LatencyJob) {
		mine, _ := r.Ownership.Owns(job.Name, now)
		switch here := r.Board.lookup(job.Name) != nil; {
		case mine && !here:
			came++
		case !mine && here:
			left++
		default:
			return
		}
		r.Wake(job.Name)
	})
	return came, left, err
}
