// Command chaos plays everything that goes wrong around the operator, one fault after another or two at once, and then
// compares what SpreeDB answered with what is in the database: nothing lost, nothing twice, every slot with one outcome.
//
// The operator is the real binary, with a real API server and a real PostgreSQL; faults happen on the network between them,
// in the database, on the disk and to the process. `make chaos` plays each once; `make chaos-long` plays them at random for
// hours. A fault that could not be played, or that nobody felt, is never counted as passed.
//
// To add one, add an entry to faults.go.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/alecthomas/kong"

	"github.com/soundcheck-io/latency-operator/internal/stack"
)

type options struct {
	List     bool          `help:"List the faults and end."`
	Only     []string      `help:"Play only this fault, or several at once, such as api-refused+sigkill; may be repeated, and they are played in the order given." placeholder:"NAME"`
	Duration time.Duration `help:"Play faults at random, sometimes two at once, for this long. Default: each once, in order." placeholder:"DURATION"`
	Outage   time.Duration `help:"Begin with an outage of Supabase of this length under full load, and see how much memory and disk it takes." placeholder:"DURATION"`
	Seed     uint64        `help:"Seed of everything random. Default: another one each time." placeholder:"NUMBER"`
	JSON     bool          `name:"json" help:"Print the result as JSON."`
	Jobs     int           `default:"36" help:"How many jobs run at a time."`
	Load     int           `default:"500" help:"How many samples a second there are in the outage."`
	Binary   string        `help:"The operator to play with. Default: compile it." placeholder:"FILE"`
	Log      string        `help:"Keep the operator's log here." placeholder:"FILE"`

	// The test has half of the jobs begin so long before the operator, so that these can end within seconds, and holds faults
	// for a share of their time.
	backdate time.Duration
	share    float64
}

// Validate is called by kong.
func (o *options) Validate() error {
	_, err := o.chosen()
	switch {
	case err != nil:
		return err
	case o.Jobs < 12 || o.Jobs > 5000:
		return errors.New("--jobs must be from 12 to 5000")
	case o.Load < 1 || o.Load > 5000:
		return errors.New("--load must be from 1 to 5000")
	case o.Duration < 0 || o.Outage < 0:
		return errors.New("--duration and --outage must not be negative")
	}
	return nil
}

// chosen are the faults to play, those to be played at once together.
func (o *options) chosen() (programme [][]fault, err error) {
	all := faults()
	if len(o.Only) == 0 {
		for _, f := range all {
			programme = append(programme, []fault{f})
		}
		return programme, nil
	}
	for _, names := range o.Only {
		var together []fault
		for name := range strings.SplitSeq(names, "+") {
			i := slices.IndexFunc(all, func(f fault) bool { return f.name == name })
			if i < 0 {
				return nil, fmt.Errorf("there is no fault %q: --list shows what there is", name)
			}
			together = append(together, all[i])
		}
		programme = append(programme, together)
	}
	return programme, nil
}

func main() {
	var opts options
	kong.Parse(&opts, kong.Name("chaos"), kong.Description("Plays faults around the operator and proves that no sample was lost or doubled. Exits with 1 if a promise was broken, and with 2 if it could not find out."))
	if opts.List {
		for _, f := range faults() {
			fmt.Printf("%-22s %s\n", f.name, f.does)
		}
		return
	}
	opts.share = 1
	if opts.Seed == 0 {
		opts.Seed = uint64(time.Now().UnixNano() % 1_000_000)
	}
	ctx, stop := stack.Command()
	result, err := run(ctx, opts, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(2)
	}
	if err := result.print(os.Stdout, opts.JSON); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(2)
	}
	if !result.Kept {
		os.Exit(1)
	}
}

// run plays and gives the verdict. An error means that there is none.
func run(ctx context.Context, opts options, progress io.Writer) (*result, error) {
	log, err := openLog(opts.Log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	r, err := newRig(ctx, opts, log, progress)
	if err != nil {
		return nil, err
	}
	defer r.close()
	c := &conductor{rig: r, progress: progress}
	if err := c.play(ctx); err != nil {
		return nil, fmt.Errorf("%w (the end of the operator's log: %s)", err, log.tail())
	}
	evidence, err := r.collect(ctx)
	if err != nil {
		return nil, err
	}
	return c.verdict(evidence), nil
}

// logFile is the operator's log: a file if somebody wants it, and its last lines in any case.
type logFile struct {
	file *os.File

	mu   sync.Mutex
	last []byte
}

func openLog(path string) (*logFile, error) {
	if path == "" {
		return &logFile{}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("make a file for the operator's log: %w", err)
	}
	return &logFile{file: f}, nil
}

// Write is io.Writer's. Several operators may call it at once, whose lines may mix.
func (l *logFile) Write(b []byte) (int, error) {
	const keep = 4 << 10
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = append(l.last, b...)
	if len(l.last) > 2*keep {
		l.last = slices.Clone(l.last[len(l.last)-keep:])
	}
	if l.file != nil {
		return l.file.Write(b)
	}
	return len(b), nil
}

func (l *logFile) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(l.last)), "\n")
	return strings.Join(lines[max(0, len(lines)-3):], " | ")
}

// Close is io.Closer's.
func (l *logFile) Close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}
