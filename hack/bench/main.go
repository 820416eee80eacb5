// Command bench measures what the operator costs and how well it keeps its schedule, from outside: what SpreeDB saw, what the
// kernel, the API server and the database counted. It is the real binary beside a real API server. Right after it, under the same
// load, comes a program that does the least that any could (hack/bench/floor), because absolute times say more about the machine
// than about the program.
//
// `make bench` measures the loads that the project has promised something about.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"time"

	"github.com/alecthomas/kong"

	"github.com/soundcheck-io/latency-operator/internal/stack"
)

type options struct {
	Jobs     []flagged     `default:"100,1000,5000,20000,50000" help:"The loads, one after another: how many jobs, and if need be how many more that hang, and how they started, such as 5000+500 or 3000@second. Default: ${default}." placeholder:"N[+N][@PHASES]"`
	Hanging  int           `help:"How many more jobs hang, where the load does not say." placeholder:"N"`
	Phases   string        `default:"spread" enum:"spread,second,equal" help:"How the starts of the jobs lie, where the load does not say: ${enum}."`
	Replicas []int         `default:"1" help:"Measure each load with so many replicas of the operator; a list. Default: ${default}." placeholder:"N"`
	Cadence  time.Duration `default:"10s" help:"How often each job is polled, in whole seconds."`
	Dead     float64       `default:"0.01" help:"The share of the jobs, from 0 to 1, whose devices SpreeDB says do not answer."`
	Settle   time.Duration `default:"30s" help:"How long the operator runs, after every job was polled, before it is measured."`
	Window   time.Duration `default:"60s" help:"How long it is measured."`
	Postgres bool          `help:"Put PostgreSQL behind Supabase's API, in place of tables in memory that are fast enough not to matter."`
	Restart  bool          `help:"Restart the operator after it was measured, and see how it comes back."`
	Floor    bool          `default:"true" negatable:"" help:"Measure the least that a program has to do as well, for comparison."`
	Binary   string        `help:"The operator to measure. Default: compile it." placeholder:"FILE"`
	Profile  string        `help:"Keep CPU and heap profiles of the operator here. What they cost is part of the figures." placeholder:"DIR"`
	JSON     string        `name:"json" help:"Write the figures here, as JSON." placeholder:"FILE"`
	Plot     string        `help:"Draw cost and lateness over the number of jobs here, as SVG." placeholder:"FILE"`
	Log      string        `help:"Keep the programs' log here." placeholder:"FILE"`
	Targets  bool          `help:"Compare with what is promised, and exit with 1 if that is not met."`
	Seed     uint64        `default:"1" help:"Seed of everything random."`

	// env adds to the operator's environment, for the test.
	env map[string]string
}

// Validate is called by kong.
func (o *options) Validate() error {
	switch {
	case o.Cadence < time.Second || o.Cadence%time.Second != 0:
		return errors.New("--cadence must be in whole seconds, such as 10s")
	case o.Window < time.Second:
		return errors.New("--window must be at least 1s")
	case o.Dead < 0 || o.Dead > 1:
		return errors.New("--dead must be from 0 to 1")
	case o.Hanging < 0 || o.Settle < 0:
		return errors.New("--hanging and --settle must not be negative")
	}
	for _, n := range o.Replicas {
		if n < 1 {
			return errors.New("--replicas must be at least 1")
		}
	}
	if plain := slices.DeleteFunc(o.loads(), func(l load) bool { return !l.plain() }); o.Plot != "" && len(plain) < 2 {
		return errors.New("--plot needs at least two loads with phases spread, one replica, and nothing that hangs")
	}
	return nil
}

func main() {
	var opts options
	kong.Parse(&opts, kong.Name("bench"), kong.Description("Measures the operator under load. Exits with 1 if a target was missed or figures are not to be believed, and with 2 if it could not measure."))
	debug.SetGCPercent(400) // SpreeDB and the tables are in this process, and must not be what is measured
	ctx, stop := stack.Command()
	report, err := run(ctx, &opts, os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "Stopped before everything was measured; nothing is left running.")
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
	os.Exit(exitCode(report, err))
}

// exitCode is 2 if not everything could be measured, and 1 if what was measured is not as promised or not to be believed.
func exitCode(r *report, err error) int {
	switch {
	case err != nil:
		return 2
	case r.spoilt():
		return 1
	}
	return 0
}

// run measures one load after another and shows each as it comes. What was measured before an error is kept.
func run(ctx context.Context, opts *options, out, progress io.Writer) (*report, error) {
	r := &reporter{out: out, progress: progress, report: newReport(opts)}
	dir, err := os.MkdirTemp("", "latency-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a temporary directory: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	programs, err := compile(ctx, dir, opts, r)
	if err != nil {
		return nil, err
	}
	if opts.Profile != "" {
		if err := os.MkdirAll(opts.Profile, 0o755); err != nil {
			return nil, fmt.Errorf("make the folder for profiles: %w", err)
		}
		if !programs.profiles {
			r.say("This operator has no --pprof-bind-address, so there will be no profiles.")
		}
	}
	for _, l := range opts.loads() {
		res, err := bench(ctx, l, programs, opts, r)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", l, err), r.finish(opts))
		}
		if opts.Targets {
			res.Targets = checks(res, opts.Cadence)
		}
		if err := r.add(res, opts); err != nil {
			return nil, err
		}
	}
	return r.report, r.finish(opts)
}
