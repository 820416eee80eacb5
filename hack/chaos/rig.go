package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/soundcheck-io/latency-operator/internal/spreedb/spreedbtest"
	"github.com/soundcheck-io/latency-operator/internal/stack"
	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest"
)

// keepPolls is more polls than any run has: the ledger of SpreeDB must be complete.
const keepPolls = 50_000_000

// endless is how often the operator may end by itself until the run is given up.
const endless = 5

// rig is the operator with all that surrounds it, and the ways to spoil it. It is used by one goroutine.
type rig struct {
	*stack.Stack
	opts     options
	random   *rand.Rand
	log      io.Writer
	progress io.Writer

	// The ways between the operator and what surrounds it.
	api, supabase, spreedb *stack.Link
	kubeconfig             string
	keyFile, spool         string
	metricsURL             string

	operator *stack.Operator
	// replicas is how many others there were so far.
	replicas int
	jobs     *population
	// deaths are the instants at which an operator process was killed.
	deaths []time.Time
	// ended is how often an operator ended by itself.
	ended int
	// problems are what went wrong on the way, beside what the tables tell.
	problems []string
}

func newRig(ctx context.Context, opts options, log, progress io.Writer) (_ *rig, err error) {
	r := &rig{opts: opts, random: rand.New(rand.NewPCG(opts.Seed, 0)), log: log, progress: progress}
	r.say("Starting etcd, kube-apiserver, PostgreSQL, the gateway and SpreeDB. The seed is %d.", opts.Seed)
	r.Stack, err = stack.Start(ctx, stack.Options{
		Build: opts.Binary == "", Log: progress,
		Gateway: func(o *supabasetest.Options) { o.KeepRequests = 100 },
		SpreeDB: spreedbtest.Options{Seed: opts.Seed, Keep: keepPolls, Default: spreedbtest.Good(18 * time.Millisecond)},
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	if opts.Binary != "" {
		if r.Binary, err = filepath.Abs(opts.Binary); err != nil {
			return nil, err
		}
	}
	if err := r.link(); err != nil {
		return nil, err
	}
	r.spool, r.keyFile = filepath.Join(r.Dir, "spool"), filepath.Join(r.Dir, "key")
	if err := os.WriteFile(r.keyFile, []byte(r.Gateway.SecretKey()), 0o600); err != nil {
		return nil, fmt.Errorf("write the key: %w", err)
	}
	port, err := stack.FreePort()
	if err != nil {
		return nil, err
	}
	r.metricsURL = fmt.Sprintf("http://127.0.0.1:%d/metrics", port)
	r.jobs = newPopulation(r)
	return r, r.start()
}

// link puts a link before everything that the operator talks to.
func (r *rig) link() (err error) {
	if r.api, err = r.LinkToAPIServer(); err != nil {
		return err
	}
	if r.kubeconfig, err = r.KubeconfigThrough(r.api); err != nil {
		return err
	}
	if r.supabase, err = stack.NewLink(strings.TrimPrefix(r.Gateway.URL(), "http://")); err != nil {
		return err
	}
	r.spreedb, err = stack.NewLink(r.SpreeDBServer.Addr)
	return err
}

func (r *rig) close() {
	for _, l := range []*stack.Link{r.api, r.supabase, r.spreedb} {
		if l != nil {
			l.Close()
		}
	}
	r.Close()
}

// settings are how an operator is run here. Small segments and quick syncing make more happen in little time.
func (r *rig) settings() stack.OperatorOptions {
	return stack.OperatorOptions{
		Log: r.log,
		Env: map[string]string{
			"SUPABASE_URL": "http://" + r.supabase.Addr(), "POLLER_BASE_URL": "http://" + r.spreedb.Addr(), "KUBECONFIG": r.kubeconfig,
			"SUPABASE_SERVICE_ROLE_KEY": "", "SUPABASE_SERVICE_ROLE_KEY_FILE": r.keyFile, "SPOOL_DIR": r.spool,
		},
		Args: []string{"--metrics-bind-address=" + strings.TrimSuffix(strings.TrimPrefix(r.metricsURL, "http://"), "/metrics"), "--no-metrics-secure"},
	}
}

func (r *rig) start() (err error) {
	r.operator, err = r.Operator(r.settings())
	return err
}

// kill sends SIGKILL.
func (r *rig) kill() { r.killed(r.operator) }

func (r *rig) killed(o *stack.Operator) {
	before := time.Now()
	o.Kill()
	r.deaths = append(r.deaths, before, time.Now())
}

// stop ends the operator in good order.
func (r *rig) stop(ctx context.Context, o *stack.Operator) error {
	ctx, cancel := context.WithTimeout(ctx, 45*time.Second)
	defer cancel()
	if err := o.Stop(ctx); err != nil {
		r.deaths = append(r.deaths, time.Now())
		return err
	}
	return nil
}

// watch notes an operator that ended by itself, and starts it again so that the run can go on.
func (r *rig) watch() error {
	select {
	case <-r.operator.Done():
		r.deaths = append(r.deaths, time.Now())
		r.complain("the operator ended by itself: %s", r.operator.Ending())
		if r.ended++; r.ended > endless {
			return errors.New("the operator does not stay alive")
		}
		return r.start()
	default:
		return nil
	}
}

func (r *rig) complain(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.problems = append(r.problems, text)
	r.say("  PROBLEM: %s", text)
}

func (r *rig) say(format string, args ...any) { _, _ = fmt.Fprintf(r.progress, format+"\n", args...) }

// wait lets time pass.
func (r *rig) wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// between is a random time.
func (r *rig) between(least, most time.Duration) time.Duration {
	return least + time.Duration(r.random.Int64N(int64(most-least)))
}

// await asks until the answer is yes; false when patience is over.
func (r *rig) await(ctx context.Context, patience time.Duration, ask func() (bool, error)) (bool, error) {
	for deadline := time.Now().Add(patience); ; {
		yes, err := ask()
		if yes || err != nil {
			return yes, err
		}
		if time.Now().After(deadline) {
			return false, nil
		}
		if err := r.wait(ctx, 100*time.Millisecond); err != nil {
			return false, err
		}
	}
}

// connect opens a connection that may write even to a read-only database.
func (r *rig) connect(ctx context.Context) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(r.DSN)
	if err != nil {
		return nil, err
	}
	config.RuntimeParams["default_transaction_read_only"] = "off"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	return conn, nil
}

// exec runs SQL as the superuser.
func (r *rig) exec(ctx context.Context, sql string, args ...any) error {
	conn, err := r.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, sql, args...); err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}

// count runs a query that gives one number.
func (r *rig) count(ctx context.Context, sql string, args ...any) (n int, err error) {
	conn, err := r.connect(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if err := conn.QueryRow(ctx, sql, args...).Scan(&n); err != nil {
		return 0, fmt.Errorf("%s: %w", sql, err)
	}
	return n, nil
}

// metric sums the series of a metric of the operator that have all the labels, such as `code="0"`. It is 0 for a process
// that has not such a metric yet.
func (r *rig) metric(ctx context.Context, name string, match func(labels string) bool) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.metricsURL, nil)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, fmt.Errorf("ask the operator for its metrics: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	sum := 0.0
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		series, value, _ := strings.Cut(lines.Text(), " ")
		metric, labels, _ := strings.Cut(series, "{")
		if metric != name || !match(labels) {
			continue
		}
		number, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, fmt.Errorf("read the metric %s: %w", name, err)
		}
		sum += number
	}
	return sum, nil
}

func anyLabels(string) bool { return true }

// failures counts requests to Supabase that failed, as the operator tells.
func (r *rig) failures(ctx context.Context) (int, error) {
	n, err := r.metric(ctx, "soundcheck_supabase_requests_total", func(labels string) bool { return !strings.Contains(labels, `code="2`) })
	return int(n), err
}

// apiFailures counts requests to the API server to which no answer came, as the operator tells.
func (r *rig) apiFailures(ctx context.Context) (int, error) {
	n, err := r.metric(ctx, "rest_client_requests_total", func(labels string) bool { return strings.Contains(labels, `code="<error>"`) })
	return int(n), err
}

// footprint is the memory of the operator and the disk its spool takes, in bytes.
func (r *rig) footprint() (memory, disk int64, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.operator.PID()))
	if err != nil {
		return 0, 0, fmt.Errorf("see how much memory the operator has: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			if err != nil {
				return 0, 0, fmt.Errorf("see how much memory the operator has: %w", err)
			}
			memory = kib << 10
		}
	}
	entries, err := os.ReadDir(r.spool)
	if err != nil {
		return 0, 0, fmt.Errorf("see how much disk the spool takes: %w", err)
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil { // one that is gone takes none
			disk += info.Size()
		}
	}
	if memory == 0 {
		return 0, 0, errors.New("see how much memory the operator has: /proc does not tell")
	}
	return memory, disk, nil
}
