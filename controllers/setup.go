package controllers

import (
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/soundcheck-io/latency-operator/internal/outbox"
)

// Parts is what the reconcilers are made of.
type Parts struct {
	Namespace  string
	Clock      clock.Clock
	Board      *Board
	Poller     *Poller
	Outbox     Outbox
	Ownership  Ownership
	Peers      Peers
	Leadership Leadership
	Observer   Observer
	Rows       Rows
	Finisher   Finisher
	History    History
	Reports    ReportTable
	Health     *PollHealth
	// Trouble is why samples cannot be delivered.
	Trouble func() outbox.Trouble
	// Keyed tells whether the database can know slots; true while that is not known.
	Keyed func() bool
	// KnowsChanges tells whether it can say which rows have changed.
	KnowsChanges func() bool
	// KeepsGaps tells whether it has a place for slots without a sample.
	KeepsGaps func() bool
	// Ahead is how far our clock is ahead of the database's, as far as is known.
	Ahead func() time.Duration
	Log   logr.Logger

	// PollTimeout is how long one request to SpreeDB may take.
	PollTimeout time.Duration
	// SyncEvery is the time between two looks at the jobs table, and FullSyncEvery between two comparisons of all running rows.
	SyncEvery, FullSyncEvery time.Duration
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
	Rebalancer  *Rebalancer
}

// mirrorTime is how long a sync takes at most, when all is well.
const mirrorTime = 2 * time.Second

// SetUp makes the reconcilers and registers them with the manager.
func SetUp(mgr ctrl.Manager, p Parts) (*Set, error) {
	statuses := &StatusReconciler{
		Client: mgr.GetClient(), Clock: p.Clock, Board: p.Board, Outbox: p.Outbox, Observer: p.Observer,
		Delivery: func() Delivery { return deliveryOf(p.Trouble()) },
		Recorder: mgr.GetEventRecorder("latency-operator"), Budget: p.StatusBudget,
	}
	completions := &CompletionReconciler{
		Client: mgr.GetClient(), Clock: p.Clock, Board: p.Board, Outbox: p.Outbox, Observer: p.Observer, Finisher: p.Finisher, Statuses: statuses,
		Ahead: p.Ahead, KeepsGaps: p.KeepsGaps, Peers: p.Peers,
	}
	auditor := NewAuditor()
	jobs := &LatencyJobReconciler{
		Clock: p.Clock, Board: p.Board, Poller: p.Poller, Outbox: p.Outbox, Ownership: p.Ownership,
		Observer: p.Observer, Health: p.Health, Completions: completions, Statuses: statuses, Auditor: auditor, PollTimeout: p.PollTimeout, Workers: p.Workers,
		Lag: p.SyncEvery + mirrorTime, Cached: NewCached(mgr.GetCache(), p.Namespace),
	}
	auditor.Clock, auditor.Log, auditor.Board, auditor.Outbox = p.Clock, p.Log.WithName("audit"), p.Board, p.Outbox
	auditor.Observer, auditor.History, auditor.Statuses, auditor.Keyed, auditor.Wake, auditor.Peers = p.Observer, p.History, statuses, p.Keyed, jobs.Wake, p.Peers
	reporter := &Reporter{Clock: p.Clock, Log: p.Log.WithName("report"), Board: p.Board, Table: p.Reports}
	mirror := &SyncReconciler{
		Client: mgr.GetClient(), Namespace: p.Namespace, Clock: p.Clock, Rows: p.Rows, Leadership: p.Leadership, Board: p.Board,
		Outbox: p.Outbox, Observer: p.Observer, Every: p.SyncEvery, FullEvery: p.FullSyncEvery, KeepFinished: p.KeepFinished,
		Wake: jobs.Wake, Cached: jobs.Cached, KnowsChanges: p.KnowsChanges,
	}
	rebalancer := NewRebalancer()
	rebalancer.Clock, rebalancer.Log, rebalancer.Board = p.Clock, p.Log.WithName("rebalance"), p.Board
	rebalancer.Ownership, rebalancer.Cached, rebalancer.Wake = p.Ownership, jobs.Cached, jobs.Wake
	for _, set := range []func() error{
		func() error { return statuses.SetupWithManager(mgr, p.Namespace) },
		func() error { return completions.SetupWithManager(mgr, p.Namespace) },
		func() error { return jobs.SetupWithManager(mgr, p.Namespace) },
		func() error { return mirror.SetupWithManager(mgr) },
		func() error { return mgr.Add(auditor) },
		func() error { return mgr.Add(reporter) },
		func() error { return mgr.Add(rebalancer) },
	} {
		if err := set(); err != nil {
			return nil, err
		}
	}
	return &Set{Sync: mirror, Jobs: jobs, Completions: completions, Statuses: statuses, Rebalancer: rebalancer}, nil
}
