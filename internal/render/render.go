// Package render shows reports: as text, as JSON and as a page, and plots in a terminal. It draws what package report concluded, and
// concludes nothing itself.
package render

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/report"
	"github.com/soundcheck-io/latency-operator/internal/series"
)

// Subject is what is shown.
type Subject struct {
	Report *report.Report
	// Series is the same over time.
	Series *series.Series
	// Status is what the job's row says: running, completed, cancelled or failed.
	Status string
	// AsOf is when this was read.
	AsOf time.Time
}

// Columns is a good number of columns for a Series that is to be shown: about a pixel each.
const Columns = 800

// Title is a verdict in words.
func Title(v report.Verdict) string {
	switch v {
	case report.NothingMeasured:
		return "Nothing measured"
	case report.TooLittleData:
		return "Too little data"
	case report.MeasuringFailed:
		return "Measuring failed"
	case report.DeviceSilent:
		return "Device silent"
	case report.DeviceDropped:
		return "Device dropped out"
	case report.Lossy:
		return "Loses packets"
	case report.Healthy:
		return "Healthy"
	default:
		return string(v)
	}
}

// Says is the verdict in sentences, with what is about the moment of reading.
func (s *Subject) Says() string {
	said := s.Report.Says()
	if begins := s.Report.Job.StartedAt; s.AsOf.Before(begins) {
		said += " The first slot is due at " + instant(begins) + " UTC."
	}
	if open := s.Report.Open(s.AsOf); open > 0 {
		said += fmt.Sprintf(" What became of %s is not in the database", report.Counted(open, "slot"))
		if s.Status == "running" {
			said += " yet"
		}
		said += "."
	}
	return said
}

// instant writes an instant for people, to the second, without its zone, which is UTC.
func instant(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }

// stretch writes from when to when, and the day once where it is the same.
func stretch(from, to time.Time) string {
	from, to = from.UTC(), to.UTC()
	if from.Equal(to) {
		return instant(from) + " UTC"
	}
	if from.Format(time.DateOnly) == to.Format(time.DateOnly) {
		return instant(from) + " to " + to.Format("15:04:05") + " UTC"
	}
	return instant(from) + " to " + instant(to) + " UTC"
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// row is a line of the figures.
type row struct{ Name, Figure, Note string }

// rows are all figures of a report, each share with the counts behind it.
func (s *Subject) rows() []row {
	r := s.Report
	judged, due := r.Success+r.Missed, r.Due(s.AsOf)
	rows := []row{
		{"Loss", report.Percent(r.Missed, judged), fmt.Sprintf("%d of %d polls were missed; those that failed do not count", r.Missed, judged)},
		{"Errors", report.Percent(r.SystemError, r.Samples()), fmt.Sprintf("%d of %d polls could not be made or understood", r.SystemError, r.Samples())},
		{"Completeness", report.Percent(r.Samples(), due), fmt.Sprintf("%d of %d slots that were due have a sample", r.Samples(), due)},
	}
	if t := r.RTT; t != nil {
		rows = append(rows,
			row{"RTT median", report.Millis(t.P50), fmt.Sprintf("of %d answers; mean %s", t.Count, report.Millis(t.Avg))},
			row{"RTT min–max", report.Millis(t.Min) + " – " + report.Millis(t.Max), ""},
			row{"RTT p90", report.Millis(t.P90), "nine of ten answers came within this"},
			row{"RTT p95", report.Millis(t.P95), ""},
			row{"RTT p99", report.Millis(t.P99), ""},
		)
	}
	if j := r.Jitter; j != nil {
		rows = append(rows, row{"Jitter mean", report.Millis(j.Avg), fmt.Sprintf("between %d pairs of successive answers; largest %s", j.Count, report.Millis(j.Max))})
	}
	rows = append(rows, s.interruptions()...)
	if open := r.Open(s.AsOf); open > 0 {
		rows = append(rows, row{"Open slots", fmt.Sprint(open), "due, and neither a sample nor a reason is in the database"})
	}
	return rows
}

// interruptions are the rows about outages and gaps.
func (s *Subject) interruptions() (rows []row) {
	r := s.Report
	rows = append(rows, row{"Outages", fmt.Sprint(r.Outages), fmt.Sprintf("times that at least %d polls in a row were missed", report.OutageAfter)})
	if o := r.Outage; o != nil {
		rows = append(rows, row{"Longest silence", report.Duration(o.Lasted), fmt.Sprintf("%s, %s missed", stretch(o.From, o.To), report.Counted(o.Missed, "poll"))})
	}
	for _, u := range r.Reasons() {
		rows = append(rows, row{"Not measured", report.Counted(u.Slots, "slot"), report.Reason(u.Name) + " (" + u.Name + ")"})
	}
	if g := r.Gap; g != nil {
		rows = append(rows, row{"Longest gap", report.Counted(g.Slots, "slot"), fmt.Sprintf("%s, %s", stretch(g.From, g.To), report.Reason(g.Reason))})
	}
	return rows
}

// PercentileNote says how percentiles are meant.
const PercentileNote = "Percentiles are by nearest rank: the smallest round-trip time that at least that share of all do not exceed."

// Text writes a report for a terminal that is so many columns wide, with colors if it can show them.
func (s *Subject) Text(to io.Writer, width int, colors bool) error {
	job := s.Report.Job
	head := [][]string{{"Job", job.ID + " (" + s.Status + ")"}, {"Target", orNone(job.Target)}, {"Schedule", s.schedule()}}
	if s.Report.Samples() > 0 {
		head = append(head, []string{"Measured", stretch(s.Report.First, s.Report.Last)})
	}
	if err := table(to, append(head, []string{"Read", instant(s.AsOf) + " UTC"})); err != nil {
		return err
	}
	fmt.Fprintf(to, "\n%s. %s\n%s\n\n", Title(s.Report.Verdict()), s.Says(), report.Path)
	var figures [][]string
	for _, r := range s.rows() {
		figures = append(figures, []string{r.Name, r.Figure, r.Note})
	}
	if err := table(to, figures); err != nil {
		return err
	}
	if plot := Plot(s.Series.Columns(), PlotOptions{Width: width, Colors: colors}); plot != "" {
		fmt.Fprintf(to, "\n%s\n", plot)
	}
	if s.Report.RTT != nil {
		fmt.Fprintln(to, PercentileNote)
	}
	return nil
}

func (s *Subject) schedule() string {
	j := s.Report.Job
	return fmt.Sprintf("every %s for %s from %s UTC", report.Duration(j.Cadence), report.Duration(j.Duration), instant(j.StartedAt))
}

// table writes rows in aligned columns, without spaces at the end of lines.
func table(to io.Writer, rows [][]string) error {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintln(w, strings.Join(r, "\t")+"\t")
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(text.String()) {
		if _, err := fmt.Fprintln(to, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// Comparison writes a comparison for a terminal.
func Comparison(to io.Writer, before, after *Subject) error {
	c := report.Compare(before.Report, after.Report)
	if _, err := fmt.Fprintf(to, "%s\n", c.Says()); err != nil {
		return err
	}
	for _, caution := range c.Cautions() {
		fmt.Fprintf(to, "Mind: %s\n", caution)
	}
	fmt.Fprintf(to, "%s\n\n", report.Path)
	return table(to, append([][]string{{"", "BEFORE", "AFTER", "CHANGE"}}, comparisonRows(c, before, after)...))
}

func comparisonRows(c *report.Comparison, before, after *Subject) [][]string {
	row := func(name string, figure func(*Subject) string, change string) []string {
		return []string{name, figure(before), figure(after), change}
	}
	share := func(part, whole func(*report.Report) int64) func(*Subject) string {
		return func(s *Subject) string {
			p, w := part(s.Report), whole(s.Report)
			return fmt.Sprintf("%s (%d of %d)", report.Percent(p, w), p, w)
		}
	}
	millis := func(of func(*report.Report) *report.Spread, value func(*report.Spread) float64) func(*Subject) string {
		return func(s *Subject) string {
			if spread := of(s.Report); spread != nil {
				return report.Millis(value(spread))
			}
			return "–"
		}
	}
	rtt := func(r *report.Report) *report.Spread { return r.RTT }
	jitter := func(r *report.Report) *report.Spread { return r.Jitter }
	return [][]string{
		row("Job", func(s *Subject) string { return s.Report.Job.ID }, ""),
		row("Target", func(s *Subject) string { return orNone(s.Report.Job.Target) }, ""),
		row("Started", func(s *Subject) string { return instant(s.Report.Job.StartedAt) + " UTC" }, ""),
		row("Verdict", func(s *Subject) string { return Title(s.Report.Verdict()) }, Word(c.Overall())),
		row("Loss", share(func(r *report.Report) int64 { return r.Missed }, func(r *report.Report) int64 { return r.Success + r.Missed }), Word(c.Loss)),
		row("Outages", func(s *Subject) string { return fmt.Sprint(s.Report.Outages) }, ""),
		row("Longest silence", longestSilence, ""),
		row("RTT median", millis(rtt, func(s *report.Spread) float64 { return s.P50 }), Word(c.RTT)),
		row("RTT p95", millis(rtt, func(s *report.Spread) float64 { return s.P95 }), ""),
		row("RTT max", millis(rtt, func(s *report.Spread) float64 { return s.Max }), ""),
		row("Jitter mean", millis(jitter, func(s *report.Spread) float64 { return s.Avg }), Word(c.Jitter)),
		row("Errors", share(func(r *report.Report) int64 { return r.SystemError }, (*report.Report).Samples), ""),
		row("Completeness", completeness, ""),
	}
}

func longestSilence(s *Subject) string {
	if o := s.Report.Outage; o != nil {
		return report.Duration(o.Lasted)
	}
	return "none"
}

func completeness(s *Subject) string {
	n, due := s.Report.Samples(), s.Report.Due(s.AsOf)
	return fmt.Sprintf("%s (%d of %d)", report.Percent(n, due), n, due)
}

// Word is a change in a word or two.
func Word(c report.Change) string {
	switch c {
	case report.Same:
		return "no difference"
	case report.Unknown:
		return "not comparable"
	default:
		return strings.ToLower(string(c))
	}
}
