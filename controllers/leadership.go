package controllers

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// LeaseName is the Lease that the mirroring process holds.
const LeaseName = "latency-operator"

// How long the Lease lasts. The manager's own election ends the process when the Lease is lost, which here would stop the
// measuring; ours only stops the mirroring. So losing it costs little, and the times are short: after a crash the next
// process mirrors within leaseDuration.
const (
	leaseDuration = 15 * time.Second
	renewDeadline = 10 * time.Second
	retryPeriod   = 3 * time.Second
)

// Election is the Leadership among the processes that share a namespace. It is a Runnable of the manager.
type Election struct {
	config  leaderelection.LeaderElectionConfig
	current atomic.Pointer[leaderelection.LeaderElector]
}

// NewElection gives an Election for a process that is known as identity.
func NewElection(config *rest.Config, namespace, identity string, log logr.Logger) (*Election, error) {
	config = rest.CopyConfig(config)
	config.Timeout = renewDeadline / 2 // a request that hangs must not cost the Lease
	client, err := coordinationv1.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client for the Lease %s: %w", LeaseName, err)
	}
	return &Election{config: leaderelection.LeaderElectionConfig{
		Name: LeaseName,
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: namespace, Name: LeaseName},
			Client:     client,
			LockConfig: resourcelock.ResourceLockConfig{Identity: identity},
		},
		LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod,
		ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) { log.Info("This process mirrors the jobs now", "lease", LeaseName) },
			OnStoppedLeading: func() { log.Info("This process does not mirror jobs; it goes on measuring", "lease", LeaseName) },
		},
	}}, nil
}

// Start takes part in the election until ctx ends, and then gives the Lease up.
func (e *Election) Start(ctx context.Context) error {
	for ctx.Err() == nil {
		elector, err := leaderelection.NewLeaderElector(e.config)
		if err != nil {
			return fmt.Errorf("take part in the election for the Lease %s: %w", LeaseName, err)
		}
		e.current.Store(elector)
		elector.Run(ctx) // returns when the Lease was lost
		e.current.Store(nil)
	}
	return nil
}

// NeedLeaderElection says that the manager need not elect anybody for this.
func (e *Election) NeedLeaderElection() bool { return false }

// Leads tells whether this process holds the Lease.
func (e *Election) Leads() bool {
	elector := e.current.Load()
	return elector != nil && elector.IsLeader()
}
