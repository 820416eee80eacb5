package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/soundcheck-io/latency-operator/internal/stack"
	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest"
	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest/auth"
)

const (
	// headStart lets the operator see the jobs before their first slot, so that none is missed.
	headStart = 3 * time.Second
	// grace is for the operator's last words: a job to complete, samples to send.
	grace = 15 * time.Second
)

// demo is a running demo.
type demo struct {
	opts   options
	screen *screen

	stack    *stack.Stack
	operator *stack.Operator
	log      *os.File
	metrics  string
	// page is where Sound Check is, nothing if it was not built.
	page string

	db     *pgx.Conn
	viewer *viewer
	jobs   []*job
	// start is when the jobs' first slots are due.
	start time.Time
	notes []string
}

// run runs the demo until ctx ends or its time is over.
func run(ctx context.Context, opts options, screen *screen) (err error) {
	d := &demo{opts: opts, screen: screen}
	screen.say("The latency operator and all that surrounds it, on 127.0.0.1 only. Ctrl-C ends it.", "")
	assets, err := stack.Assets(ctx, os.Stderr)
	if err != nil {
		return endOf(ctx, err)
	}
	screen.say("Starting: some ten seconds, or a minute where the operator was never compiled.")
	if err := d.launch(ctx, assets); err != nil {
		return endOf(ctx, err)
	}
	defer func() { d.close(err != nil && ctx.Err() == nil) }()
	if err := d.begin(ctx); err != nil {
		return endOf(ctx, err)
	}
	if err := d.watch(ctx); err != nil {
		return err
	}
	return d.finish(ctx)
}

// endOf prefers to say that the viewer ended it.
func endOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// launch starts the stack, which compiles the operator meanwhile, and then the operator.
func (d *demo) launch(ctx context.Context, assets string) (err error) {
	ready, printed := make(chan string), make(chan struct{})
	go func() {
		defer close(printed)
		for line := range ready {
			d.screen.say(line)
		}
	}()
	d.stack, err = stack.Start(ctx, stack.Options{
		Assets: assets, Build: true, Version: version, RealPostgREST: true, Log: os.Stderr,
		Gateway:  func(o *supabasetest.Options) { o.Users = []auth.User{technician()} },
		Progress: func(part, where string) { ready <- fmt.Sprintf("  %-24s %s", part, where) },
	})
	close(ready)
	<-printed
	if err != nil {
		return err
	}
	if err := errors.Join(d.startOperator(), d.startPage(ctx)); err != nil {
		d.stack.Close()
		return err
	}
	return nil
}

func (d *demo) startOperator() (err error) {
	if d.log, err = os.Create(filepath.Join(d.stack.Dir, "operator.log")); err != nil {
		return fmt.Errorf("make a file for the operator's log: %w", err)
	}
	port, err := stack.FreePort()
	if err != nil {
		return err
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	d.metrics = "http://" + address + "/metrics"
	d.operator, err = d.stack.Operator(stack.OperatorOptions{
		Log:  d.log,
		Args: []string{"--metrics-bind-address=" + address, "--no-metrics-secure", "--log-format=console", "--shutdown-timeout=8s"},
	})
	return err
}

func (d *demo) startPage(ctx context.Context) (err error) {
	d.page, err = openPage(ctx, d.stack, &d.opts)
	return err
}

// begin puts the jobs into the database and says what they are and how to look further.
func (d *demo) begin(ctx context.Context) (err error) {
	if d.db, err = d.stack.Connect(ctx); err != nil {
		return err
	}
	if err := d.admitViewer(ctx); err != nil {
		return err
	}
	d.start = time.Now().Add(headStart).UTC().Truncate(time.Microsecond)
	table := [][]string{}
	for i, f := range fates() {
		d.stack.SpreeDB.Set(f.ip, f.device)
		j, err := insert(ctx, d.db, i+1, f, d.start)
		if err != nil {
			return err
		}
		d.jobs = append(d.jobs, j)
		table = append(table, []string{"  " + f.name, f.ip, fmt.Sprintf("every %s for %d min", f.cadence, f.minutes), f.shows})
	}
	if d.viewer, err = newViewer(d.stack, d.db, d.jobs); err != nil {
		return err
	}
	d.screen.say("", fmt.Sprintf("The operator runs. %d jobs were started in the app's table jobs:", len(d.jobs)))
	d.screen.say(align(table)...)
	d.screen.say(d.further()...)
	if d.page != "" && d.opts.Open && d.screen.tty {
		showPage(d.page)
	}
	if d.screen.tty {
		d.screen.say("") // elsewhere each block begins with one
	}
	return nil
}

// watch shows what happens until ctx ends or the time is over.
func (d *demo) watch(ctx context.Context) error {
	var over <-chan time.Time
	if d.opts.For > 0 {
		over = time.After(time.Until(d.start.Add(d.opts.For)))
	}
	// Looked at more often than shown, so that what happens in the app happens on time.
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	upcoming := events(d.jobs, d.opts.For)
	var shown time.Time
	if !d.screen.tty {
		shown = time.Now() // a block that shows nothing yet is not worth its lines
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-over:
			return nil
		case <-d.operator.Done():
			return fmt.Errorf("the operator ended by itself: %s", d.operator.Ending())
		case now := <-tick.C:
			if len(upcoming) > 0 && now.Sub(d.start) >= upcoming[0].at {
				if err := upcoming[0].do(ctx, d.db, time.Now()); err != nil {
					return endQuietly(ctx, err)
				}
				d.notes = append(d.notes, fmt.Sprintf("%s: %s.", d.age(now), upcoming[0].note))
				upcoming = upcoming[1:]
			}
			if now.Sub(shown) < d.screen.every()-100*time.Millisecond {
				continue
			}
			if err := d.show(ctx, now); err != nil {
				return endQuietly(ctx, err)
			}
			shown = now
		}
	}
}

// endQuietly drops the error of a call that Ctrl-C cut off.
func endQuietly(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

func (d *demo) show(ctx context.Context, now time.Time) error {
	title := fmt.Sprintf("%s   kubectl get latencyjobs, with the name of each job in front:", d.age(now))
	width, _ := d.screen.size()
	lines, err := d.viewer.frame(ctx, title, d.notes, width)
	if err != nil {
		return err
	}
	d.screen.show(lines)
	return nil
}

// age is the time since the jobs' start.
func (d *demo) age(now time.Time) string {
	seconds := int(now.Sub(d.start).Seconds())
	if seconds < 0 {
		return "0:00"
	}
	return fmt.Sprintf("%d:%02d", seconds/60, seconds%60)
}

// finish stops the operator and, if the demo was to have an end and reached it, sums up.
func (d *demo) finish(ctx context.Context) error {
	interrupted := ctx.Err() != nil
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*grace)
	defer cancel()
	if !interrupted {
		d.awaitCompletion(ctx)
	}
	d.screen.say("", "Stopping the operator, which ends its polls and sends what it holds.")
	stopped := time.Now()
	if err := d.operator.Stop(ctx); err != nil || interrupted {
		return err
	}
	outcomes, err := d.viewer.outcomes(ctx, d.jobs, stopped)
	if err != nil {
		return err
	}
	lines, problems := summary(outcomes)
	d.screen.say("")
	d.screen.say(lines...)
	if len(problems) > 0 {
		return because(problems)
	}
	d.screen.say("", "Every job that was to be measured has exactly one sample for each of its slots.")
	return nil
}

// awaitCompletion gives jobs that are over the moment that it takes to complete them. Whether that happened is for judge.
func (d *demo) awaitCompletion(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	now := time.Now()
	for _, j := range d.jobs {
		for !j.simulated && j.over.IsZero() && !j.grid.End().After(now) {
			var status string
			if err := d.db.QueryRow(ctx, `select status from jobs where id = $1`, j.id).Scan(&status); err != nil || status != "running" {
				break
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}
}

// close stops everything. The operator's log is kept if something went wrong.
func (d *demo) close(keepLog bool) {
	if d.db != nil {
		_ = d.db.Close(context.Background())
	}
	if keepLog {
		d.keepLog()
	}
	d.screen.say("Stopping the gateway, SpreeDB, PostgreSQL and the API server.")
	d.stack.Close()
	d.screen.say("Stopped; nothing is left running.")
}

func (d *demo) keepLog() {
	text, err := os.ReadFile(d.log.Name())
	if err != nil {
		return
	}
	kept, err := os.CreateTemp("", "latency-demo-operator-*.log")
	if err != nil {
		return
	}
	defer func() { _ = kept.Close() }()
	if _, err := kept.Write(text); err == nil {
		d.screen.say("", "The operator's log is kept in "+kept.Name()+".")
	}
}
