package controllers

import (
	"context"
	"flag"
	"fmt"
	"os"
	goruntime "runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/ledger"
	"github.com/soundcheck-io/latency-operator/internal/outbox"
	"github.com/soundcheck-io/latency-operator/internal/pgtest"
	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/spreedb"
	"github.com/soundcheck-io/latency-operator/internal/spreedb/spreedbtest"
	"github.com/soundcheck-io/latency-operator/internal/stack"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest"
)

// patience is how long a test waits for what has to happen.
const patience = 20 * time.Second

var (
	apiServer *rest.Config
	scheme    = runtime.NewScheme()
	worlds    atomic.Int64
)

// atOnce is how many tests run at once: they wait for slots most of the time, and with one for each processor these would wait
// too. More than two for each processor make slots late that are to be in time.
var atOnce = strconv.Itoa(2 * goruntime.GOMAXPROCS(0))

func TestMain(m *testing.M) {
	flag.Parse()
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == "test.parallel" })
	if !asked {
		if err := flag.Set("test.parallel", atOnce); err != nil {
			panic(err)
		}
	}
	os.Exit(runSuite(m))
}

// runSuite runs the tests beside one API server. The pure ones need none, so without the programs for it they run alone
// and the others fail.
func runSuite(m *testing.M) int {
	ctrl.SetLogger(logr.Discard())
	defer pgtest.StopShared()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			panic(err)
		}
	}
	assets, err := stack.Assets(context.Background(), os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "no API server:", err)
		return m.Run()
	}
	env := &envtest.Environment{CRDDirectoryPaths: []string{"../config/crd/bases"}, ErrorIfCRDPathMissing: true, BinaryAssetsDirectory: assets}
	config, err := env.Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, "no API server:", err)
		return m.Run()
	}
	defer func() { _ = env.Stop() }()
	apiServer = config
	return m.Run()
}

// world is the operator's surroundings, with a namespace and a database of their own.
type world struct {
	*WithT
	t         *testing.T
	namespace string
	api       client.Client
	database  *supabasetest.Server
	spreedb   *spreedbtest.SpreeDB
	pollerURL string
	// intercept gets between the reconcilers and the API server.
	intercept *interceptor.Funcs
	// limits of polls; zero for wide ones.
	limits Limits
}

func newWorld(t *testing.T) *world {
	t.Helper()
	t.Parallel() // each has a namespace and a database of its own, and mostly waits
	g := NewWithT(t)
	if apiServer == nil {
		t.Fatal("no API server; see the first line of the output")
	}
	api, err := client.New(apiServer, client.Options{Scheme: scheme})
	g.Expect(err).NotTo(HaveOccurred())
	w := &world{
		WithT: g, t: t, namespace: fmt.Sprintf("world-%d", worlds.Add(1)), api: api,
		database: supabasetest.New(t), spreedb: spreedbtest.New(spreedbtest.Options{}),
	}
	w.pollerURL = w.spreedb.Start(t)
	g.Expect(api.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}})).To(Succeed())
	return w
}

// operation is an operator in this process.
type operation struct {
	outbox *outbox.Outbox
	board  *Board
	leads  *leads
	sync   *SyncReconciler
	poller *Poller

	rebalancer *Rebalancer
	// stop ends it as the program does; crash takes its life away, so that nothing in flight or unsent is dealt with.
	stop, crash func()
}

// leads is a Leadership that a test decides about.
type leads struct{ atomic.Bool }

func (l *leads) Leads() bool { return l.Load() }

// alone is the Ownership of a process that is alone, and Peers without any.
type alone struct{}

func (alone) Owns(string, time.Time) (mine bool, since time.Time) { return true, time.Time{} }
func (alone) Delivered(time.Time) bool                            { return true }
func (alone) HandedOver(time.Time) bool                           { return true }

// operate starts the reconcilers as the program does, and stops them as it does at the end of the test or before.
func (w *world) operate(change ...func(*Parts)) *operation {
	w.t.Helper()
	clk := clock.RealClock{}
	credentials, err := supabase.NewCredentials(supabase.Source{Value: w.database.SecretKey()}, supabase.Source{}, clk)
	w.Expect(err).NotTo(HaveOccurred())
	rows, err := supabase.New(supabase.Options{URL: w.database.URL(), Credentials: credentials, UserAgent: "test/1", Observer: nobody{}, Clock: clk})
	w.Expect(err).NotTo(HaveOccurred())
	prober, err := spreedb.New(spreedb.Options{BaseURL: w.pollerURL})
	w.Expect(err).NotTo(HaveOccurred())
	mgr, err := ctrl.NewManager(apiServer, ctrl.Options{
		Scheme: scheme, Logger: logr.Discard(), Metrics: metricsserver.Options{BindAddress: "0"},
		Cache:      cache.Options{DefaultFieldSelector: fields.OneTermEqualSelector("metadata.namespace", w.namespace), DefaultTransform: Slim, DefaultUnsafeDisableDeepCopy: new(true)},
		Controller: config.Controller{SkipNameValidation: new(true)}, // several in one process
		NewClient: func(c *rest.Config, o client.Options) (client.Client, error) {
			plain, err := client.NewWithWatch(c, o)
			if err != nil || w.intercept == nil {
				return plain, err
			}
			return interceptor.NewClient(plain, *w.intercept), nil
		},
	})
	w.Expect(err).NotTo(HaveOccurred())
	r := &operation{board: NewBoard(clk), leads: &leads{}}
	r.leads.Store(true)
	r.outbox = outbox.New(outbox.Options{
		Store: rows, Listener: r.board, Observer: nobody{}, Clock: clk, Log: logr.Discard(),
		Limit: 1000, Batch: 100, Linger: 10 * time.Millisecond, Trail: time.Second,
	})
	parts := Parts{
		Namespace: w.namespace, Clock: clk, Board: r.board, Poller: NewPoller(prober, Limits{InFlight: 100, PerSecond: 1000}, clk), Outbox: r.outbox, Ownership: alone{}, Peers: alone{}, Leadership: r.leads,
		Observer: nobody{}, Rows: rows, Finisher: rows, History: rows, Reports: rows,
		Keyed: func() bool { return true }, KeepsGaps: func() bool { return true }, KnowsChanges: func() bool { s := rows.Schema(); return s != nil && s.KnowsChanges() }, Ahead: func() time.Duration { return 0 }, Log: logr.Discard(), Health: &PollHealth{}, Trouble: func() outbox.Trouble { return r.outbox.Status().Trouble },
		PollTimeout: 10 * time.Second, SyncEvery: 100 * time.Millisecond, FullSyncEvery: time.Second, KeepFinished: time.Hour, Workers: 2, StatusBudget: rate.NewLimiter(rate.Inf, 1),
	}
	for _, c := range change {
		c(&parts)
	}
	if limits := w.limits; limits != (Limits{}) {
		parts.Poller = NewPoller(prober, limits, clk)
	}
	set, err := SetUp(mgr, parts)
	w.Expect(err).NotTo(HaveOccurred())
	r.sync, r.poller = set.Sync, parts.Poller
	r.rebalancer = set.Rebalancer
	r.stop, r.crash = w.start(mgr, parts.Poller, r.outbox, set.Statuses)
	w.t.Cleanup(r.stop)
	return r
}

func (w *world) start(mgr ctrl.Manager, poller *Poller, box *outbox.Outbox, statuses *StatusReconciler) (stop, crash func()) {
	ctx, cancel := context.WithCancel(context.Background())
	delivering, stopDelivering := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	delivered := make(chan struct{})
	go func() { ended <- mgr.Start(ctx) }()
	go func() { defer close(delivered); box.Run(delivering) }()
	stopped := false
	end := func(polls context.Context) (again bool) {
		if stopped {
			return true
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			w.t.Error(err)
		}
		poller.Drain(polls)
		stopDelivering()
		<-delivered
		return false
	}
	stop = func() {
		last, cancelLast := context.WithTimeout(context.Background(), patience)
		defer cancelLast()
		if !end(last) {
			box.Flush(last)
			statuses.Flush(last)
		}
	}
	crash = func() {
		over, cut := context.WithCancel(context.Background())
		cut()
		end(over)
	}
	return stop, crash
}

// nobody observes nothing.
type nobody struct{}

func (nobody) Polled(sample.Status, time.Duration, time.Duration, time.Time) {}
func (nobody) Unmeasured(ledger.Reason, int64)                               {}
func (nobody) StatusWritten()                                                {}
func (nobody) Synced(time.Time, int)                                         {}
func (nobody) Stored(int)                                                    {}
func (nobody) Known(int)                                                     {}
func (nobody) Rejected(int)                                                  {}
func (nobody) Dropped(string, int)                                           {}
func (nobody) Requested(string, int, time.Duration)                          {}
func (nobody) ClockSkew(time.Duration)                                       {}

// sql runs a statement on the database.
func (w *world) sql(statement string, args ...any) {
	w.t.Helper()
	w.Expect(w.database.Exec(w.t.Context(), statement, args...)).To(Succeed())
}

// text is the one text that a query gives.
func (w *world) text(query string, args ...any) string {
	w.t.Helper()
	out, err := w.database.Text(w.t.Context(), query, args...)
	w.Expect(err).NotTo(HaveOccurred())
	return out
}

// insertJob starts a real_polling job with a cadence of one second and gives its id. It began ago, and lasts a minute.
func (w *world) insertJob(ip any, ago time.Duration) string {
	w.t.Helper()
	return w.text(`insert into jobs (account_number, target_ip, cadence_seconds, duration_minutes, monitoring_mode, started_at)
		values ('A-1', $1, 1, 1, 'real_polling', now() - $2 * interval '1 microsecond') returning id::text`, ip, ago.Microseconds())
}

// job gives the LatencyJob of a row, for Eventually.
func (w *world) job(id string) func() (*v1alpha1.LatencyJob, error) {
	return func() (*v1alpha1.LatencyJob, error) {
		var job v1alpha1.LatencyJob
		err := w.api.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: id}, &job)
		return &job, err
	}
}

// names lists the LatencyJobs, for Eventually.
func (w *world) names() ([]string, error) {
	var list v1alpha1.LatencyJobList
	err := w.api.List(w.t.Context(), &list, client.InNamespace(w.namespace))
	names := []string{}
	for i := range list.Items {
		names = append(names, list.Items[i].Name)
	}
	return names, err
}

// events lists the reasons of the events about a LatencyJob, for Eventually.
func (w *world) events(id string) func() ([]string, error) {
	return func() ([]string, error) {
		var list eventsv1.EventList
		err := w.api.List(w.t.Context(), &list, client.InNamespace(w.namespace))
		reasons := []string{}
		for i := range list.Items {
			if list.Items[i].Regarding.Name == id {
				reasons = append(reasons, list.Items[i].Reason)
			}
		}
		return reasons, err
	}
}

// phase is the phase of a LatencyJob, for Eventually.
func (w *world) phase(id string) func() v1alpha1.JobPhase {
	return func() v1alpha1.JobPhase {
		job, err := w.job(id)()
		if err != nil {
			return v1alpha1.JobPhase(err.Error())
		}
		return job.Status.Phase
	}
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// soon waits for something.
func (w *world) soon(actual any) AsyncAssertion {
	return w.Eventually(actual, patience, 20*time.Millisecond)
}
