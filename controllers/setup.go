package controllers

import (
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/soundcheck-io/latency-operator/internal/outbox"
)

// Parts is what the reconcilers are made of.
type Parts struct {
	Namespace  string
	Clock      clock.PassiveClock
	Board      *Board
	Poller     *Poller
	Outbox     Outbox
	Ownership  Ownership
	Leadership Leadership
	Observer   Observer
	Rows       Rows
	Finisher   Finisher
	Health     *PollHealth
	// Trouble is why samples cannot be delivered.
	Trouble func() outbox.Trouble

	// PollTimeout is how long one request to SpreeDB may take.
	PollTimeout time.Duration
	// SyncEvery is the time between two looks at the jobs table.
	SyncEvery time.Duration
	// KeepFinished is how long a LatencyJob stays visible after its job has ended.
	KeepFinished time.Duration
	// Workers is how many jobs are decided about at once.
	Workers int
	// StatusBudget holds the status writes per second.
	StatusBudget *rate.Limiter
}

// Set is the reconcilers, set up.
type Set struct {
	Sync        *SyncReconciler
	Jobs        *LatencyJobReconciler
	Completions *CompletionReconciler
	Statuses    *StatusReconciler
}

// SetUp makes the reconcilers and registers them with the manager.
func SetUp(mgr ctrl.Manager, p Parts) (*Set, error) {
	statuses := &StatusReconciler{
		Client: mgr.GetClient(), Clock: p.Clock, Board: p.Board, Outbox: p.Outbox, Observer: p.Observer,
		Delivery: func() Delivery { return deliveryOf(p.Trouble()) },
		Recorder: mgr.GetEventRecorder("latency-operator"), Budget: p.StatusBudget,
	}
	completions := &CompletionReconciler{
		Client: mgr.GetClient(), Clock: p.Clock, Board: p.Board, Outbox: p.Outbox, Finisher: p.Finisher, Statuses: statuses,
	}
	jobs := &LatencyJobReconciler{
		Client: mgr.GetClient(), Clock: p.Clock, Board: p.Board, Poller: p.Poller, Outbox: p.Outbox, Ownership: p.Ownership,
		Observer: p.Observer, Health: p.Health, Completions: completions, Statuses: statuses, PollTimeout: p.PollTimeout, Workers: p.Workers,
	}
	mirror := &SyncReconciler{
		Client: mgr.GetClient(), Namespace: p.Namespace, Clock: p.Clock, Rows: p.Rows, Leadership: p.Leadership, Board: p.Board,
		Outbox: p.Outbox, Observer: p.Observer, Every: p.SyncEvery, KeepFinished: p.KeepFinished,
		Wake: jobs.Wake,
	}
	for _, set := range []func() error{
		func() error { return statuses.SetupWithManager(mgr, p.Namespace) },
		func() error { return completions.SetupWithManager(mgr, p.Namespace) },
		func() error { return jobs.SetupWithManager(mgr, p.Namespace) },
		func() error { return mirror.SetupWithManager(mgr) },
	} {
		if err := set(); err != nil {
			return nil, err
		}
	}
	return &Set{Sync: mirror, Jobs: jobs, Completions: completions, Statuses: statuses}, nil
}
