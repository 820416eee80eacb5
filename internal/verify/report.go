package verify

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is what was found out about all jobs that were looked at.
type Report struct {
	// At is the time up to which slots were due.
	At   time.Time `json:"at"`
	Jobs []Job     `json:"jobs"`
}

// Flawed is how many jobs broke a promise.
func (r *Report) Flawed() int {
	n := 0
	for i := range r.Jobs {
		if len(r.Jobs[i].Flaws) > 0 {
			n++
		}
	}
	return n
}

// Verdict is one line.
func (r *Report) Verdict() string {
	if len(r.Jobs) == 0 {
		return "Nothing was checked: no such job is to be seen."
	}
	var due, samples, gaps, edited int64
	for i := range r.Jobs {
		j := &r.Jobs[i]
		due += j.Due
		samples += j.Samples
		gaps += j.Unmeasured()
		if j.Edited {
			edited++
		}
	}
	figures := fmt.Sprintf("%s: %s due, %s, %s unmeasured for a reason", several(int64(len(r.Jobs)), "job"), several(due, "slot"), several(samples, "sample"), several(gaps, "slot"))
	if edited > 0 {
		figures += fmt.Sprintf("; %s edited and checked in part", several(edited, "job"))
	}
	if flawed := r.Flawed(); flawed > 0 {
		return fmt.Sprintf("BROKEN for %s. %s.", several(int64(flawed), "job"), figures)
	}
	return "Kept: every slot has exactly one outcome. " + figures + "."
}

// Unmeasured counts the slots of the job that lie in gaps.
func (j *Job) Unmeasured() int64 {
	var n int64
	for _, slots := range j.Gaps {
		n += slots
	}
	return n
}

// WriteTable writes a line for each job, then what is wrong with each, then the verdict.
func (r *Report) WriteTable(to io.Writer) error {
	w := tabwriter.NewWriter(to, 0, 0, 3, ' ', 0)
	_, _ = fmt.Fprintln(w, "JOB\tSTATUS\tDUE\tSAMPLES\tGAPS\tNO OUTCOME\tTWO OUTCOMES\tSAME NUMBER\tVERDICT") // Flush tells
	for i := range r.Jobs {
		j := &r.Jobs[i]
		_, _ = fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\t%d\t%d\t%d\t%s\n", j.ID, j.Status, j.Due, j.Samples, Reasons(j.Gaps),
			j.WithoutOutcome, j.TwoOutcomes, j.SameNumber, j.verdict())
	}
	if err := w.Flush(); err != nil {
		return err
	}
	var notes strings.Builder
	for i := range r.Jobs {
		j := &r.Jobs[i]
		for _, flaw := range j.Flaws {
			fmt.Fprintf(&notes, "%s: %s\n", j.ID, flaw)
		}
		for _, warning := range j.Warnings {
			fmt.Fprintf(&notes, "%s: warning: %s\n", j.ID, warning)
		}
	}
	_, err := fmt.Fprintf(to, "\n%s%s\n", notes.String(), r.Verdict())
	return err
}

func (j *Job) verdict() string {
	switch {
	case len(j.Flaws) > 0:
		return "BROKEN"
	case j.Edited:
		return "ok, edited"
	case len(j.Warnings) > 0:
		return "ok, warning"
	}
	return "ok"
}

// Reasons writes counts by reason, such as "Busy 2, OperatorDown 1"; "-" without any.
func Reasons(counts map[string]int64) string {
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", reason, counts[reason]))
	}
	if len(parts) == 0 {
		return "-"
	}
	return strings.Join(parts, ", ")
}
