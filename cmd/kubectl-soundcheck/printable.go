package main

import (
	"context"
	"strings"
	"time"
	"unicode"

	"github.com/soundcheck-io/latency-operator/internal/outcomes"
	"github.com/soundcheck-io/latency-operator/internal/sample"
)

// printable makes one line of a text that may hold anything. Who may write into the database must not be able to write to terminals.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsPrint(r):
			return r
		case unicode.IsSpace(r):
			return ' '
		default:
			return unicode.ReplacementChar
		}
	}, strings.TrimSpace(text))
}

// printableSource makes what the lines of a source say printable.
type printableSource struct{ source }

func (s printableSource) read(ctx context.Context, id string, since time.Time, do func(outcomes.Line) error) error {
	return s.source.read(ctx, id, since, func(line outcomes.Line) error {
		if job := line.Job; job != nil {
			job.ID, job.TargetIP, job.Status = printable(job.ID), printable(job.TargetIP), printable(job.Status)
		}
		if line.Sample != nil {
			line.Sample.Status = sample.Status(printable(string(line.Sample.Status)))
		}
		if line.Gap != nil {
			line.Gap.Reason = printable(line.Gap.Reason)
		}
		return do(line)
	})
}
