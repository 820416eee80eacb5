package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/soundcheck-io/latency-operator/controllers"
	"github.com/soundcheck-io/latency-operator/internal/metrics"
	"github.com/soundcheck-io/latency-operator/internal/outbox"
	"github.com/soundcheck-io/latency-operator/internal/spreedb"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

const (
	// batchSize stays well below what Supabase can store within its statement timeout of 8 s.
	batchSize = 1000
	linger    = time.Second
	// leaveTimeout is how long handing over takes at most, with an API server that is slow.
	leaveTimeout = 6 * time.Second
	// workers is how many jobs are decided about at once. A decision takes microseconds and waits for nothing.
	workers = 4
)

// operator is everything that runs, wired together.
type operator struct {
	log        logr.Logger
	mgr        ctrl.Manager
	membership *controllers.Membership
	poller     *controllers.Poller
	outbox     *outbox.Outbox
	statuses   *controllers.StatusReconciler
	timeout    time.Duration
}

// run operates until ctx ends, and then finishes what it has begun.
func run(ctx context.Context, opts *options, log logr.Logger) error {
	op, err := wire(opts, log)
	if err != nil {
		return err
	}
	log.Info("Starting", "version", buildVersion())
	delivering, stopDelivering := context.WithCancel(context.WithoutCancel(ctx))
	delivered := make(chan struct{})
	go func() {
		defer close(delivered)
		op.outbox.Run(delivering)
	}()
	running, stopRunning := context.WithCancel(context.WithoutCancel(ctx))
	defer stopRunning()
	context.AfterFunc(ctx, func() {
		op.leave(running)
		stopRunning()
	})
	err = op.mgr.Start(running)
	op.finish(context.WithoutCancel(ctx), func() { stopDelivering(); <-delivered })
	log.Info("Stopped")
	return err
}

// leave hands the jobs over to the other processes while this one still polls them.
func (o *operator) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	o.membership.Leave(ctx)
}

// finish lets the polls in flight end, sends what they brought, shows it in the statuses, and has nobody wait for this process if
// nothing is left.
func (o *operator) finish(ctx context.Context, stopDelivering func()) {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	// However long the polls may take, a third is kept for sending what they bring.
	polls, cancelPolls := context.WithTimeout(ctx, o.timeout*2/3)
	defer cancelPolls()
	o.poller.Drain(polls)
	stopDelivering()
	o.outbox.Flush(ctx)
	last := context.WithoutCancel(ctx)
	statuses, cancelStatuses := context.WithTimeout(last, 3*time.Second) // with thousands of jobs they take all of it
	defer cancelStatuses()
	o.statuses.Flush(statuses)
	if o.outbox.Status().Held > 0 {
		return // the Lease says so to the others, as long as the next process with this spool may come
	}
	if err := o.membership.Release(last); err != nil { // which has a time limit of its own
		o.log.Error(err, "The others wait for this process for a while although it has delivered everything")
	}
}

// outside is what is reached over the network.
type outside struct {
	credentials *supabase.Credentials
	database    *supabase.Client
	prober      *spreedb.Client
	cluster     *cluster
}

// clockWatch remembers how far our clock is ahead of the database's.
type clockWatch struct {
	*metrics.Metrics
	skew atomic.Int64
}

// ClockSkew notes it.
func (w *clockWatch) ClockSkew(ahead time.Duration) {
	w.skew.Store(int64(ahead))
	w.Metrics.ClockSkew(ahead)
}

func (w *clockWatch) ahead() time.Duration { return time.Duration(w.skew.Load()) }

// userAgent tells those who are asked who asks.
func userAgent() string {
	return "latency-operator/" + buildVersion() + " (+https://github.com/soundcheck-io/latency-operator)"
}

// credentialsOf loads the key, and the token where one is given.
func credentialsOf(opts *options, clk clock.PassiveClock) (*supabase.Credentials, error) {
	return supabase.NewCredentials(
		supabase.Source{Variable: "SUPABASE_SERVICE_ROLE_KEY", Value: opts.key, File: opts.KeyFile},
		supabase.Source{Variable: "SUPABASE_ACCESS_TOKEN", Value: opts.accessToken, File: opts.AccessTokenFile}, clk)
}

// databaseOf makes the client of Supabase.
func databaseOf(opts *options, credentials *supabase.Credentials, authorities *supabase.Authorities, observer supabase.Observer, clk clock.PassiveClock) (*supabase.Client, error) {
	return supabase.New(supabase.Options{
		URL: opts.SupabaseURL, Credentials: credentials, Authorities: authorities, UserAgent: userAgent(), Observer: observer, Clock: clk,
	})
}

// proberOf makes the client of SpreeDB.
func proberOf(opts *options) (*spreedb.Client, error) {
	return spreedb.New(spreedb.Options{BaseURL: opts.PollerBaseURL, UserAgent: userAgent(), UseProxy: opts.PollerThroughProxy})
}

// connect prepares the clients. It makes no request, so that whoever is away holds up nothing.
func connect(opts *options, observer supabase.Observer, clk clock.PassiveClock, log logr.Logger) (o outside, err error) {
	if o.credentials, err = credentialsOf(opts, clk); err != nil {
		return o, err
	}
	authorities := supabase.NewAuthorities(opts.CAFile, clk, log.WithName("supabase"))
	if o.database, err = databaseOf(opts, o.credentials, authorities, observer, clk); err != nil {
		return o, err
	}
	if o.prober, err = proberOf(opts); err != nil {
		return o, err
	}
	o.cluster, err = clusterOf(opts)
	return o, err
}

// wire makes all parts and hands each what it needs.
func wire(opts *options, log logr.Logger) (*operator, error) {
	clk := clock.RealClock{}
	counts := metrics.New(ctrlmetrics.Registry)
	watch := &clockWatch{Metrics: counts}
	out, err := connect(opts, watch, clk, log)
	if err != nil {
		return nil, err
	}
	mgr, err := newManager(out.cluster, opts, out.database, clk, log)
	if err != nil {
		return nil, err
	}
	election, err := controllers.NewElection(out.cluster.config, out.cluster.namespace, out.cluster.identity, log.WithName("election"))
	if err != nil {
		return nil, err
	}
	membership, err := controllers.NewMembership(out.cluster.config, out.cluster.namespace, out.cluster.identity, clk, log.WithName("membership"))
	if err != nil {
		return nil, err
	}
	board := controllers.NewBoard(clk)
	box, spoolErr := newOutbox(opts, outbox.Options{
		Store: out.database, Listener: board, Observer: counts, Clock: clk, Log: log.WithName("outbox"),
		Limit: opts.OutboxLimit, Batch: batchSize, Linger: linger, Trail: opts.LastPingTrail,
	})
	parts := controllers.Parts{
		Namespace: out.cluster.namespace, Clock: clk, Board: board, Outbox: box, Observer: counts, Rows: out.database, Finisher: out.database,
		Poller: controllers.NewPoller(out.prober, controllers.Limits{InFlight: opts.MaxPollsInFlight, PerSecond: opts.MaxPollsPerSecond}, clk), Health: &controllers.PollHealth{},
		History: out.database, Reports: out.database,
		Ownership: membership, Peers: membership, Leadership: election, Trouble: func() outbox.Trouble { return box.Status().Trouble },
		Keyed:        func() bool { s := out.database.Schema(); return s == nil || s.Keyed() },
		KeepsGaps:    func() bool { s := out.database.Schema(); return s == nil || s.KeepsGaps() },
		KnowsChanges: func() bool { s := out.database.Schema(); return s != nil && s.KnowsChanges() }, Ahead: watch.ahead, Log: log,
		PollTimeout: time.Duration(opts.PollTimeout), SyncEvery: time.Duration(opts.PollInterval), FullSyncEvery: opts.FullSyncInterval, KeepFinished: opts.KeepFinished,
		Workers: workers, StatusBudget: rate.NewLimiter(rate.Limit(opts.StatusWritesPerSecond), max(1, int(opts.StatusWritesPerSecond))),
	}
	set, err := controllers.SetUp(mgr, parts)
	if err != nil {
		return nil, err
	}
	membership.Changed = set.Rebalancer.Changed
	membership.DeliveredUntil = func() time.Time {
		return controllers.DeliveredUntil(clk.Now(), parts.PollTimeout, parts.Poller.InFlight(), box.Status()) // in this order
	}
	herald := &controllers.Herald{
		Clock: clk, Log: log.WithName("herald"), Key: out.credentials, Schema: out.database, Outbox: box, Spool: spoolErr, Sync: set.Sync, Polls: parts.Health,
		Recorder: mgr.GetEventRecorder("latency-operator"), Regarding: out.cluster.self, Every: 2 * time.Second,
	}
	heartbeat := &controllers.Heartbeat{
		Clock: clk, Log: log.WithName("heartbeat"), Table: out.database, Board: board, ID: out.cluster.identity, Version: buildVersion(), Message: herald.Message,
	}
	if err := errors.Join(mgr.Add(election), mgr.Add(membership), mgr.Add(herald), mgr.Add(heartbeat),
		addProbes(mgr, func() time.Duration { return board.Overdue(clk.Now()) }, membership.Joined)); err != nil {
		return nil, err
	}
	metrics.Collect(ctrlmetrics.Registry, metrics.Sources{
		Version: buildVersion(), Outbox: box.Status, OutboxLimit: opts.SpoolLimit << 20, Phases: board.Phases, DueRate: board.DueRate, Now: clk.Now,
		Key: keyOf(out.credentials, herald), Troubles: herald.Troubles,
		Missing:  func() int { return len(out.database.Schema().Missing()) },
		InFlight: parts.Poller.InFlight, Waiting: parts.Poller.Waiting, Replicas: membership.Members,
	})
	return &operator{log: log, mgr: mgr, membership: membership, poller: parts.Poller, outbox: box, statuses: set.Statuses, timeout: opts.ShutdownTimeout}, nil
}

// keyOf describes the key, and tells whether it is refused or cannot work.
func keyOf(credentials *supabase.Credentials, herald *controllers.Herald) func() (supabase.KeyInfo, bool) {
	return func() (supabase.KeyInfo, bool) {
		info, err := credentials.Info()
		return info, err != nil || herald.Raised(controllers.EventKeyRefused)
	}
}

// stuckAfter is how late the decision about a job may be before the process counts as stuck: a clock that is set by a minute
// must not look like it.
const stuckAfter = 3 * time.Minute

// addProbes adds /healthz and /readyz. Alive means that jobs are decided about when it is their time. Ready means that the
// LatencyJobs are known, and that this process has its share of them. A database or SpreeDB that is away is nothing that a restart would mend.
func addProbes(mgr ctrl.Manager, overdue func() time.Duration, joined func() bool) error {
	alive := func(*http.Request) error {
		if late := overdue(); late > stuckAfter {
			return fmt.Errorf("a job waits for its decision since %s: polling has stopped", late.Round(time.Second))
		}
		return nil
	}
	synced := func(req *http.Request) error {
		ctx, cancel := context.WithTimeout(req.Context(), time.Second)
		defer cancel()
		if !mgr.GetCache().WaitForCacheSync(ctx) {
			return fmt.Errorf("the LatencyJobs are not read yet")
		}
		return nil
	}
	has := func(*http.Request) error {
		if !joined() {
			return errors.New("this process does not have its share of the jobs yet")
		}
		return nil
	}
	return errors.Join(mgr.AddHealthzCheck("polling", alive), mgr.AddReadyzCheck("cache", synced), mgr.AddReadyzCheck("joined", has))
}
