package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/soundcheck-io/latency-operator/internal/verify"
)

// shownProblems is how many problems the table is followed by.
const shownProblems = 40

// print writes the result for people, or as JSON.
func (r *result) print(to io.Writer, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(to)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	}
	w := tabwriter.NewWriter(to, 0, 0, 3, ' ', 0)
	_, _ = fmt.Fprintln(w, "FAULT\tINJECTED\tPOLLS\tSAMPLES\tLOST\tDUPLICATE\tNO OUTCOME\tPOLLED TWICE\tGAPS") // Flush tells
	for _, l := range r.Lines {
		if l.Played == 0 {
			_, _ = fmt.Fprintf(w, "%s\t%s\n", l.Fault, l.Skipped)
			continue
		}
		l.row(w, l.Fault)
	}
	r.Total.row(w, "total")
	if err := w.Flush(); err != nil {
		return err
	}
	t := r.Total
	_, _ = fmt.Fprintf(to, "\n%d jobs in %s, seed %d. ", r.Jobs, r.Took, r.Seed)
	_, _ = fmt.Fprintf(to, "%d polls were answered in the instant of a kill and may or may not be samples; %d samples were destroyed by the faults themselves and are told as gaps. What was polled twice has one sample.\n",
		t.Undecided, t.Destroyed)
	for _, problem := range r.Problems[:min(len(r.Problems), shownProblems)] {
		_, _ = fmt.Fprintf(to, "BROKEN: %s\n", problem)
	}
	if more := len(r.Problems) - shownProblems; more > 0 {
		_, _ = fmt.Fprintf(to, "BROKEN: and %d problems more\n", more)
	}
	verdict := "Kept: nothing lost, nothing twice, every slot has one outcome, and every gap has its fault."
	if !r.Kept {
		verdict = "BROKEN, see above."
	}
	_, err := fmt.Fprintln(to, verdict)
	return err
}

func (f *figures) row(w io.Writer, name string) {
	_, _ = fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\n", name, f.Injected, f.Polls, f.Samples, f.Lost, f.Duplicate, f.NoOutcome, f.Repeated, verify.Reasons(f.Gaps))
}
