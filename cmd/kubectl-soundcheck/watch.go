package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/soundcheck-io/latency-operator/internal/outcomes"
)

const (
	// A picture is drawn once a slot, and not more often than every soonestLook, because each asks Supabase some things, nor less often than
	// every latestLook, because somebody looks at it.
	soonestLook, latestLook = 2 * time.Second, 15 * time.Second
	// fewestSlots is how much is shown at least, and plainSlots how much without a terminal.
	fewestSlots, plainSlots = 30, 60
)

// watcher is the command watch.
type watcher struct {
	*cli
	from   source
	id     string
	plain  bool
	window time.Duration
	screen screen
}

func (c *cli) newWatch() *cobra.Command {
	w := &watcher{cli: c}
	cmd := &cobra.Command{
		Use:   "watch JOB",
		Short: "Watch a job: a live plot of its round-trip times",
		Long: `Watch a job: a live plot of its round-trip times, with what was missed, failed or not polled marked below.

It ends when the job is over, or with Ctrl-C. Where the output is no terminal, or with --plain, each outcome is a line.
Samples that do not say when they were due, because the operator did not write them, are in the report alone.`,
		Example: examples(`
			# The newest job of a modem
			%[1]s watch 10.1.2.3

			# The last two hours of it
			%[1]s watch 10.1.2.3 --window 2h

			# A line for each outcome
			%[1]s watch 0b9c3f0e --plain | tee outcomes.txt`),
		Args:              exactly(1, "one JOB"),
		ValidArgsFunction: c.completeJobs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if w.window < 0 {
				return errors.New("--window must be more than zero, such as 2h")
			}
			if w.from, err = c.source(); err != nil {
				return err
			}
			defer w.from.close()
			if w.id, err = w.from.find(cmd.Context(), args[0]); err != nil {
				return err
			}
			if w.plain || !isTerminal(c.streams.Out) || !movesCursor() {
				w.screen = &lines{out: c.streams.Out, errOut: c.streams.ErrOut}
			} else {
				w.screen = newPicture(c)
			}
			return w.run(cmd.Context())
		},
	}
	cmd.Flags().DurationVar(&w.window, "window", 0, "How much of the time before now is shown, such as 2h. Default: a column for each slot.")
	cmd.Flags().BoolVar(&w.plain, "plain", false, "Write a line for each outcome, as it is done where the output is no terminal.")
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("window", cobra.NoFileCompletions))
	c.supabaseFlag(cmd)
	return cmd
}

// screen is where what was seen is shown.
type screen interface {
	// slots is how many slots there is room for.
	slots() int
	// since is from when on outcomes are wanted, whatever the window; zero where the window is all that is wanted.
	since() time.Time
	// show shows a view.
	show(v *view) error
	// trouble says that a look did not succeed, and that there will be another.
	trouble(err error)
	// end leaves things as they should be afterwards.
	end()
}

// view is what was seen at a look: a window of the job.
type view struct {
	job     outcomes.Job
	now     time.Time
	from    time.Time
	samples []outcomes.Sample
	gaps    []outcomes.Gap
}

// over tells whether nothing more will come.
func (v *view) over() bool { return v.job.Status != statusRunning }

// cadence is the time between two slots.
func (v *view) cadence() time.Duration { return time.Duration(v.job.CadenceSeconds) * time.Second }

// ends is when the job is over, or was.
func (v *view) ends() time.Time {
	end := v.job.StartedAt.Add(time.Duration(v.job.DurationMinutes) * time.Minute)
	if over := endOf(&v.job); !over.IsZero() && over.Before(end) {
		return over
	}
	return end
}

// quiet is for how long no sample has come of a job that should have some; 0 if all is as it should be.
func (v *view) quiet() time.Duration {
	newest := v.job.StartedAt
	if len(v.samples) > 0 {
		newest = v.samples[len(v.samples)-1].ScheduledAt
	}
	// A poll may take as long as its slot, and then it has to be stored.
	if late := min(v.now.Sub(newest), v.now.Sub(v.from)); !v.over() && v.now.Before(v.ends()) && late > 3*v.cadence()+30*time.Second {
		return late.Truncate(time.Second)
	}
	return 0
}

// run looks until the job is over or ctx ends, which is no error.
func (w *watcher) run(ctx context.Context) error {
	defer w.screen.end()
	pause := soonestLook
	for {
		v, err := w.look(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errPassing):
			w.screen.trouble(err)
		case err != nil:
			return err
		default:
			pause = min(latestLook, max(soonestLook, v.cadence()))
			if err := w.screen.show(v); err != nil || v.over() {
				return err
			}
		}
		select {
		case <-w.clock.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}

// look reads what is in the window now.
func (w *watcher) look(ctx context.Context) (*view, error) {
	head := &view{}
	// The window depends on the cadence, which the job says, and on the time, which the answer says.
	if err := w.from.read(ctx, w.id, w.from.now(), head.add); err != nil {
		return nil, err
	}
	now := w.from.now()
	if head.cadence() <= 0 {
		return nil, fmt.Errorf("the row of job %s cannot be used: it says every %d s", w.id, head.job.CadenceSeconds)
	}
	window := w.window
	if window == 0 {
		window = time.Duration(w.screen.slots()-1) * head.cadence() // a slot at each end
	}
	end := now
	if ends := head.ends(); ends.Before(end) {
		end = ends
	}
	v := &view{now: now, from: end.Add(-window)}
	if since := w.screen.since(); !since.IsZero() && since.Before(v.from) {
		v.from = since
	}
	if v.from.Before(head.job.StartedAt) {
		v.from = head.job.StartedAt
	}
	return v, w.from.read(ctx, w.id, v.from.Add(-time.Microsecond), v.add)
}

func (v *view) add(line outcomes.Line) error {
	switch {
	case line.Job != nil:
		v.job = *line.Job
	case line.Sample != nil && !line.Sample.ScheduledAt.IsZero():
		v.samples = append(v.samples, *line.Sample)
	case line.Gap != nil:
		v.gaps = append(v.gaps, *line.Gap)
	}
	return nil
}
