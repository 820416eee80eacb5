package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/soundcheck-io/latency-operator/internal/render"
)

// defaultWidth is how wide a terminal is taken to be that does not say, and widest is as much of one as a report takes.
const defaultWidth, widest = 80, 120

func (c *cli) newReport() *cobra.Command {
	output := ""
	cmd := &cobra.Command{
		Use:   "report JOB",
		Short: "Report on a job: verdict, figures, and a plot",
		Long: `Report on a job: a plain verdict, loss, errors and completeness with the counts behind them, round-trip times with percentiles,
jitter, outages and gaps, and a plot over time.

Missed polls are loss: the device did not answer. Polls that failed say nothing about the device, and slots that nobody polled are
neither; both are shown beside the loss. All times are UTC. It measures the path from the poller to the modem's management address, not
the customer's own traffic.

As html it is a page of its own, to keep or to hand on: it loads nothing and runs no script.`,
		Example: examples(`
			# The newest job of a modem
			%[1]s report 10.1.2.3

			# As a page
			%[1]s report 0b9c3f0e -o html > report.html

			# Its loss, for a script
			%[1]s report 0b9c3f0e -o json | jq .loss

			# Without a cluster: straight from Supabase, as a user of Sound Check
			%[1]s report 10.1.2.3 --supabase-url https://abcdefgh.supabase.co`),
		Args:              exactly(1, "one JOB"),
		ValidArgsFunction: c.completeJobs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := oneOf(output, "text", "json", "html"); err != nil {
				return err
			}
			if output == "html" && isTerminal(c.streams.Out) {
				return errors.New("a page is of no use in a terminal: write it to a file, with > report.html")
			}
			from, err := c.source()
			if err != nil {
				return err
			}
			defer from.close()
			subject, err := c.subject(cmd.Context(), from, args[0])
			if err != nil {
				return err
			}
			switch output {
			case "json":
				return subject.JSON(c.streams.Out)
			case "html":
				return subject.HTML(c.streams.Out)
			default:
				return subject.Text(c.streams.Out, min(widest, widthOf(c.streams.Out)), showsColors(c.streams.Out))
			}
		},
	}
	outputFlag(cmd, &output, "text", "json", "html")
	c.supabaseFlag(cmd)
	return cmd
}

func (c *cli) newCompare() *cobra.Command {
	output := ""
	cmd := &cobra.Command{
		Use:   "compare BEFORE AFTER",
		Short: "Compare two jobs, such as before and after a repair",
		Long: `Compare two jobs, such as before and after a repair, and say whether it got better.

A difference counts only if it is large enough to matter and chance does not explain it; jobs in which too little was measured are not
compared. What speaks against the comparison is named: other targets, other cadences, polls that failed, slots that nobody polled.`,
		Example: examples(`
			# Did the repair help?
			%[1]s compare 0b9c3f0e 5b0c6f0e

			# For a script: Better, Worse, Same, Mixed or Unknown
			%[1]s compare 0b9c3f0e 5b0c6f0e -o json | jq -r .overall`),
		Args:              exactly(2, "two JOBs, the earlier one first"),
		ValidArgsFunction: c.completeJobs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := oneOf(output, "text", "json"); err != nil {
				return err
			}
			from, err := c.source()
			if err != nil {
				return err
			}
			defer from.close()
			var subjects [2]*render.Subject
			for i, job := range args {
				if subjects[i], err = c.subject(cmd.Context(), from, job); err != nil {
					return fmt.Errorf("%s: %w", job, err)
				}
			}
			if output == "json" {
				return render.ComparisonJSON(c.streams.Out, subjects[0], subjects[1])
			}
			return render.Comparison(c.streams.Out, subjects[0], subjects[1])
		},
	}
	outputFlag(cmd, &output, "text", "json")
	c.supabaseFlag(cmd)
	return cmd
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// showsColors follows the convention of NO_COLOR.
func showsColors(w io.Writer) bool {
	return isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

func widthOf(w io.Writer) int {
	width, _ := sizeOf(w)
	return width
}

// sizeOf is the size of a terminal, or a usual one.
func sizeOf(w io.Writer) (width, height int) {
	if f, ok := w.(*os.File); ok {
		if width, height, err := term.GetSize(int(f.Fd())); err == nil && width > 0 && height > 0 {
			return width, height
		}
	}
	return defaultWidth, 24
}
