package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// reporter shows what happens, and keeps what was measured.
type reporter struct {
	out, progress io.Writer
	report        *report
}

func (r *reporter) say(format string, args ...any) {
	_, _ = fmt.Fprintf(r.progress, format+"\n", args...)
}

// add shows a result, and writes all so far as JSON, so that nothing is lost if a later load cannot be measured.
func (r *reporter) add(res result, opts *options) error {
	r.report.Results = append(r.report.Results, res)
	if err := res.print(r.out); err != nil {
		return err
	}
	if opts.JSON != "" {
		return r.report.writeJSON(opts.JSON)
	}
	return nil
}

// finish shows all results together.
func (r *reporter) finish(opts *options) error {
	if len(r.report.Results) == 0 {
		return nil
	}
	var errs []error
	if len(r.report.Results) > 1 || opts.Postgres {
		errs = append(errs, r.report.print(r.out))
	}
	if opts.Plot != "" {
		errs = append(errs, r.report.plot(opts.Plot))
	}
	return errors.Join(errs...)
}

// spoilt tells whether a target was not met, or there are problems, with targets or without.
func (r *report) spoilt() bool {
	return slices.ContainsFunc(r.Results, func(res result) bool { return len(res.Problems) > 0 || missed(res.Targets) != "" })
}

// lastWords is what the programs logged last.
func lastWords(path string) string {
	text, err := os.ReadFile(path)
	if err != nil || len(text) == 0 {
		return ""
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return fmt.Sprintf(" (the end of the log: %s)", strings.Join(all[max(0, len(all)-3):], " | "))
}
