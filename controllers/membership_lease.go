package controllers

import (
	"regexp"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// MemberLabel marks the Leases of the processes that share the jobs.
	MemberLabel = "latency.soundcheck.io/member"
	// MemberValue is its value.
	MemberValue = "true"
	// LeavesAtAnnotation is when a process hands its jobs over. (When it takes them over is the Lease's acquireTime.)
	LeavesAtAnnotation = "latency.soundcheck.io/leaves-at"
	// DeliveredUntilAnnotation is the instant before which all that a process measured is stored.
	DeliveredUntilAnnotation = "latency.soundcheck.io/delivered-until"
	// InTouchSinceAnnotation is since when a process has known without a break what the Leases of the others say.
	InTouchSinceAnnotation = "latency.soundcheck.io/in-touch-since"
)

// notInNames is what the name of a Lease cannot have, and the name of a machine may.
var notInNames = regexp.MustCompile(`[^a-z0-9.-]+`)

// memberLease is the name of the Lease of a process.
func memberLease(identity string) string {
	return LeaseName + "-" + strings.Trim(notInNames.ReplaceAllString(strings.ToLower(identity), "-"), "-.")
}

// identityOf tells whose Lease it is; empty when it does not say.
func identityOf(lease *coordinationv1.Lease) string {
	if lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}

// peerOf reads a Lease that was seen to change at an instant of our clock.
func peerOf(lease *coordinationv1.Lease, changed time.Time) peer {
	f := peer{
		leaves: instantOf(lease, LeavesAtAnnotation), delivered: instantOf(lease, DeliveredUntilAnnotation),
		inTouch: instantOf(lease, InTouchSinceAnnotation), renewed: renewedAt(lease),
		version: lease.ResourceVersion, changed: changed,
	}
	if lease.Spec.AcquireTime != nil {
		f.joins = lease.Spec.AcquireTime.Time
	}
	return f
}

// renewedAt is when a Lease says that it was renewed, by the clock of its process; zero when it does not say.
func renewedAt(lease *coordinationv1.Lease) time.Time {
	if lease.Spec.RenewTime == nil {
		return time.Time{}
	}
	return lease.Spec.RenewTime.Time
}

// instantOf reads an annotation; zero when there is none that can be read.
func instantOf(lease *coordinationv1.Lease, annotation string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, lease.Annotations[annotation])
	if err != nil {
		return time.Time{}
	}
	return t
}

// claim is what a process writes into its Lease.
type claim struct {
	identity string
	now      time.Time
	// joins changes from when on it polls, unless it is zero; leaves is until when, zero for as long as it lives.
	joins, leaves time.Time
	// delivered is the instant before which all that it measured is stored.
	delivered time.Time
	// inTouch is since when it has known without a break what the others' Leases say.
	inTouch time.Time
}

// on gives the Lease as it is to be, from the one that there is; nil for none.
func (c *claim) on(lease *coordinationv1.Lease) *coordinationv1.Lease {
	if lease == nil {
		lease = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: memberLease(c.identity)}}
	}
	lease = lease.DeepCopy()
	if lease.Labels == nil {
		lease.Labels = map[string]string{}
	}
	lease.Labels[MemberLabel] = MemberValue
	if lease.Annotations == nil {
		lease.Annotations = map[string]string{}
	}
	lease.Annotations[DeliveredUntilAnnotation] = c.delivered.UTC().Format(time.RFC3339Nano)
	lease.Annotations[InTouchSinceAnnotation] = c.inTouch.UTC().Format(time.RFC3339Nano)
	delete(lease.Annotations, LeavesAtAnnotation)
	if !c.leaves.IsZero() {
		lease.Annotations[LeavesAtAnnotation] = c.leaves.UTC().Format(time.RFC3339Nano)
	}
	lease.Spec.HolderIdentity = new(c.identity)
	lease.Spec.LeaseDurationSeconds = new(int32(deadAfter / time.Second))
	lease.Spec.RenewTime = new(metav1.NewMicroTime(c.now))
	if !c.joins.IsZero() {
		lease.Spec.AcquireTime = new(metav1.NewMicroTime(c.joins))
	}
	return lease
}
