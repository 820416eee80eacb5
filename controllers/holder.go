package controllers

import (
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
)

// Holder is what a Lease says about the process that holds it, for people.
type Holder struct {
	// Identity is the process's; empty when nobody holds the Lease.
	Identity string
	// Renewed is when the process said so last, and Lasts how long that counts.
	Renewed time.Time
	Lasts   time.Duration
	// Leaves is when it hands its jobs over; zero for as long as it lives. DeliveredUntil is the instant before which all that it
	// measured is stored; zero where the Lease does not say.
	Leaves, DeliveredUntil time.Time
}

// HolderOf reads the Lease of the mirroring process, or of one that shares the jobs.
func HolderOf(lease *coordinationv1.Lease) Holder {
	p := peerOf(lease, time.Time{})
	h := Holder{Identity: identityOf(lease), Renewed: p.renewed, Leaves: p.leaves, DeliveredUntil: p.delivered}
	if lease.Spec.LeaseDurationSeconds != nil {
		h.Lasts = time.Duration(*lease.Spec.LeaseDurationSeconds) * time.Second
	}
	return h
}

// Silent tells whether the process has not renewed its Lease in time, so that the others do without it.
func (h *Holder) Silent(now time.Time) bool { return now.Sub(h.Renewed) >= h.Lasts }
