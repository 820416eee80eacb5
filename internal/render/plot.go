package render

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/guptarohit/asciigraph"

	"github.com/soundcheck-io/latency-operator/internal/report"
	"github.com/soundcheck-io/latency-operator/internal/series"
)

// PlotOptions say what a terminal can show.
type PlotOptions struct {
	// Width is how many columns it has.
	Width int
	// Height is how many lines the curve takes; 0 is 10.
	Height int
	// Colors tells whether it shows them.
	Colors bool
}

const (
	// margin is how many characters the labels at the left take: asciigraph's three and ours.
	margin = 12
	// overhang is how far the last label of the axis of time reaches beyond its end.
	overhang = 5
	// narrowest is the fewest columns that are worth a plot.
	narrowest = 10
)

// Room is how many columns a plot has on a terminal that is so many wide.
func Room(width int) int { return width - margin - overhang }

// Plot draws round-trip times over time, and below them which slots were missed, could not be measured, or were not. It is empty
// where there is nothing to draw, or no room.
func Plot(columns []series.Column, opts PlotOptions) string {
	room := Room(opts.Width)
	if len(columns) == 0 || room < narrowest {
		return ""
	}
	columns = fold(columns, room)
	var out strings.Builder
	logarithmic := spiked(columns)
	curve := curve(columns, opts, logarithmic)
	if curve != "" {
		out.WriteString(curve + "\n")
	}
	for _, lane := range lanes {
		if marks, total := lane.marks(columns); total > 0 {
			paint, plain := "", ""
			if opts.Colors {
				paint, plain = lane.color.String(), asciigraph.Default.String()
			}
			fmt.Fprintf(&out, "%*s %s%s%s\n", margin-1, lane.name, paint, marks, plain)
		}
	}
	if curve == "" {
		out.WriteString(marked(columns, opts.Width))
	} else {
		out.WriteString(caption(columns, opts.Width, logarithmic))
	}
	return out.String()
}

// lane is a line of marks below the curve.
type lane struct {
	name  string
	mark  rune
	color asciigraph.AnsiColor
	count func(*series.Column) int64
}

var lanes = []lane{
	{"missed", 'x', asciigraph.Red, func(c *series.Column) int64 { return c.Missed }},
	{"error", 'e', asciigraph.Yellow, func(c *series.Column) int64 { return c.SystemError }},
	{"no poll", '.', asciigraph.Gray, func(c *series.Column) int64 { return c.Unmeasured }},
}

func (l lane) marks(columns []series.Column) (marks string, total int64) {
	var out strings.Builder
	for i := range columns {
		n := l.count(&columns[i])
		total += n
		if n > 0 {
			out.WriteRune(l.mark)
		} else {
			out.WriteRune(' ')
		}
	}
	return strings.TrimRight(out.String(), " "), total
}

// fold makes at most so many columns of them.
func fold(columns []series.Column, most int) []series.Column {
	by := (len(columns) + most - 1) / most
	if by <= 1 {
		return columns
	}
	var out []series.Column
	for i := 0; i < len(columns); i += by {
		out = append(out, series.Join(columns[i:min(i+by, len(columns))]))
	}
	return out
}

// curve draws the largest round-trip time of each column.
func curve(columns []series.Column, opts PlotOptions, logarithmic bool) string {
	onAxis, fromAxis := func(ms float64) float64 { return ms }, func(v float64) float64 { return v }
	if logarithmic {
		onAxis, fromAxis = math.Log10, func(v float64) float64 { return math.Pow(10, v) }
	}
	// The library draws the way from one point to the next, so the last one needs one after it.
	values := make([]float64, len(columns)+1)
	low, high := math.Inf(1), math.Inf(-1)
	for i := range values {
		values[i] = math.NaN()
		if i < len(columns) && columns[i].RTTs > 0 && (columns[i].Max > 0 || !logarithmic) {
			values[i] = onAxis(columns[i].Max)
			low, high = min(low, values[i]), max(high, values[i])
		}
	}
	if high < low {
		return ""
	}
	if !logarithmic {
		// Without room above and below, a path that hardly varies would fill the plot with noise.
		room := max(0, max(1, high/10)-(high-low)) / 2
		low, high = max(0, low-room), high+room
	}
	height := opts.Height
	if height <= 0 {
		height = 10
	}
	first, last := columns[0].From, columns[len(columns)-1].To
	options := []asciigraph.Option{
		asciigraph.Height(height), asciigraph.LowerBound(low), asciigraph.UpperBound(high),
		asciigraph.YAxisValueFormatter(func(v float64) string { return fmt.Sprintf("%6s ms", axisMillis(fromAxis(v))) }),
		asciigraph.XAxisRange(float64(first.Unix()), float64(last.Unix())),
		asciigraph.XAxisTickCount(max(2, min(6, len(columns)/14))),
		asciigraph.XAxisValueFormatter(func(unix float64) string { return clockLabel(time.Unix(int64(unix), 0).UTC(), last.Sub(first)) }),
	}
	if opts.Colors {
		options = append(options, asciigraph.SeriesColors(asciigraph.DodgerBlue))
	}
	return asciigraph.Plot(values, options...)
}

// spiked tells whether the longest round-trip time would press the usual ones to the bottom, as on the page.
func spiked(columns []series.Column) bool {
	var longest []float64
	for i := range columns {
		if columns[i].RTTs > 0 && columns[i].Max > 0 {
			longest = append(longest, columns[i].Max)
		}
	}
	slices.Sort(longest)
	return len(longest) > 0 && longest[len(longest)-1] > logFrom*longest[len(longest)/2]
}

// axisMillis has at most six characters, for any round-trip time that can be measured.
func axisMillis(ms float64) string {
	switch {
	case ms < 100:
		return fmt.Sprintf("%.1f", ms)
	case ms < 1e6:
		return fmt.Sprintf("%.0f", ms)
	default:
		return fmt.Sprintf("%.0e", ms)
	}
}

// clockLabel writes an instant on an axis of so long a time.
func clockLabel(t time.Time, axis time.Duration) string {
	switch {
	case axis <= 5*time.Minute:
		return t.Format("15:04:05")
	case axis <= 20*time.Hour:
		return t.Format("15:04")
	default:
		return t.Format("2 Jan 15h")
	}
}

// caption says what is seen, as far as there is room.
func caption(columns []series.Column, width int, logarithmic bool) string {
	each := report.Duration(columns[0].To.Sub(columns[0].From))
	text := "RTT of each poll, every " + each + "; UTC"
	if maxSlots(columns) > 1 {
		text = "longest RTT per " + each + "; UTC"
	}
	if longer := text + "; logarithmic"; logarithmic && margin+len(longer) <= width {
		text = longer
	}
	return strings.Repeat(" ", max(0, min(margin, width-len(text)))) + text
}

// marked says what the marks are about where there is no curve with an axis of time, as far as there is room.
func marked(columns []series.Column, width int) string {
	first, last := columns[0].From, columns[len(columns)-1].To
	text := clockLabel(first, last.Sub(first)) + " to " + clockLabel(last, last.Sub(first))
	for _, more := range []string{" UTC", "; a mark for " + report.Duration(columns[0].To.Sub(first))} {
		if len(text)+len(more) > width {
			break
		}
		text += more
	}
	return strings.Repeat(" ", max(0, min(margin, width-len(text)))) + text
}

func maxSlots(columns []series.Column) (most int64) {
	for i := range columns {
		most = max(most, columns[i].Slots())
	}
	return most
}
