package render

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"

	"github.com/soundcheck-io/latency-operator/internal/report"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

// tile is one of the figures that are looked at first.
type tile struct{ Name, Figure, Note string }

// HTML writes a report as a page of its own: it needs nothing else, runs no script and follows light and dark.
func (s *Subject) HTML(to io.Writer) error {
	r := s.Report
	j := r.Job
	return page.Execute(to, map[string]any{
		"Title":      "Sound Check: " + orNone(j.Target),
		"Target":     orNone(j.Target),
		"Job":        j.ID,
		"Status":     s.Status,
		"Schedule":   s.schedule(),
		"AsOf":       instant(s.AsOf) + " UTC",
		"Verdict":    Title(r.Verdict()),
		"Mood":       mood(r.Verdict()),
		"Sign":       map[string]string{"good": "✓", "bad": "✕", "unsure": "?"}[mood(r.Verdict())],
		"Says":       s.Says(),
		"Path":       report.Path,
		"Tiles":      s.tiles(),
		"Rows":       s.rows(),
		"Chart":      newChart(s),
		"Percentile": PercentileNote,
	})
}

// mood is the color of a verdict.
func mood(v report.Verdict) string {
	switch v {
	case report.Healthy:
		return "good"
	case report.DeviceSilent, report.DeviceDropped, report.Lossy:
		return "bad"
	default:
		return "unsure"
	}
}

func (s *Subject) tiles() []tile {
	r := s.Report
	judged := r.Success + r.Missed
	rtt, tail, jitter := tile{"RTT median", "–", "no answers"}, tile{"RTT p95", "–", "no answers"}, tile{"Jitter", "–", "no pairs of answers"}
	if t := r.RTT; t != nil {
		rtt.Figure, rtt.Note = report.Millis(t.P50), report.Counted(t.Count, "answer")
		tail.Figure, tail.Note = report.Millis(t.P95), "longest "+report.Millis(t.Max)
	}
	if t := r.Jitter; t != nil {
		jitter.Figure, jitter.Note = report.Millis(t.Avg), "mean; largest "+report.Millis(t.Max)
	}
	return []tile{
		{"Loss", report.Percent(r.Missed, judged), fmt.Sprintf("%d of %d polls", r.Missed, judged)},
		{"Longest silence", longestSilence(s), report.Counted(r.Outages, "outage")},
		rtt, tail, jitter,
		{"Errors", report.Percent(r.SystemError, r.Samples()), fmt.Sprintf("%d of %d polls", r.SystemError, r.Samples())},
		{"Completeness", report.Percent(r.Samples(), r.Due(s.AsOf)), fmt.Sprintf("%d of %d slots", r.Samples(), r.Due(s.AsOf))},
	}
}
