package render

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/report"
	"github.com/soundcheck-io/latency-operator/internal/series"
)

// The chart's places, in the units of its viewBox.
const (
	chartWidth  = 960.0
	plotLeft    = 76.0
	plotRight   = 932.0
	plotTop     = 12.0
	plotBottom  = 272.0
	laneTop     = 284.0
	laneHeight  = 14.0
	laneStep    = 20.0
	lanesBottom = laneTop + 2*laneStep + laneHeight
	chartHeight = 368.0
	// thinnest is how wide a mark is at least, so that one lost packet in days is seen.
	thinnest = 1.5
)

// chart is what the page draws.
type chart struct {
	// The places of its parts, in the units of its viewBox.
	Width, Height, Left, Right, Top, LanesBottom, Labels float64
	// PlotWidth is that of the curve and of the lanes, Tall the height of both together.
	PlotWidth, Tall float64
	// Band is the area between the smallest and the largest round-trip times, Line goes through the means: paths of SVG.
	Band, Line string
	// Averaged tells that a column stands for several slots.
	Averaged bool
	// Column is the time that one stands for.
	Column string
	Log    bool
	Y, X   []tick
	Lanes  []chartLane
	Hovers []hover
	// Label says in a sentence what is seen, for who does not see it.
	Label string
}

type tick struct {
	At    float64
	Label string
}

type chartLane struct {
	Name, Class string
	Top, Height float64
	Middle      float64
	Marks       []mark
}

// mark is something that happened; Opacity grows with its share of the column.
type mark struct {
	X, Width float64
	Opacity  string
}

// hover is what is told about a column.
type hover struct {
	X, Width float64
	Text     string
}

// newChart lays the columns out; nil where there are none.
func newChart(s *Subject) *chart {
	columns := s.Series.Columns()
	if len(columns) == 0 {
		return nil
	}
	from, to := columns[0].From, columns[len(columns)-1].To
	x := func(t time.Time) float64 {
		return plotLeft + (plotRight-plotLeft)*float64(t.Sub(from))/float64(to.Sub(from))
	}
	c := &chart{
		Width: chartWidth, Height: chartHeight, Left: plotLeft, Right: plotRight, Top: plotTop, LanesBottom: lanesBottom,
		Labels: lanesBottom + 22, PlotWidth: plotRight - plotLeft, Tall: lanesBottom - plotTop,
		Averaged: s.Series.Slots() > 1, Column: report.Duration(s.Series.Width()), X: timeTicks(from, to, x),
		Label: fmt.Sprintf("Round-trip times from %s. %s", stretch(from, to), s.Says()),
	}
	c.curve(s.Report, columns, x)
	for i, class := range []string{"missed", "error", "unmeasured"} {
		c.Lanes = append(c.Lanes, newLane(i, class, columns, x))
	}
	for i := range columns {
		col := &columns[i]
		if col.Slots() > 0 {
			c.Hovers = append(c.Hovers, hover{X: cut(x(col.From)), Width: cut(x(col.To) - x(col.From)), Text: tell(col, c.Averaged)})
		}
	}
	return c
}

// curve draws round-trip times on an axis that shows the longest of them and yet the usual ones.
func (c *chart) curve(r *report.Report, columns []series.Column, x func(time.Time) float64) {
	if r.RTT == nil {
		return
	}
	scale := newScale(r.RTT)
	c.Log, c.Y = scale.log, scale.ticks()
	middle := func(col *series.Column) float64 { return (x(col.From) + x(col.To)) / 2 }
	var line, band strings.Builder
	for i := 0; i < len(columns); {
		if columns[i].RTTs == 0 {
			i++
			continue
		}
		end := i
		for end < len(columns) && columns[end].RTTs > 0 {
			end++
		}
		run := columns[i:end]
		for j := range run {
			avg, _ := run[j].Avg()
			fmt.Fprintf(&line, "%c%.1f %.1f", "ML"[min(j, 1)], middle(&run[j]), scale.y(avg))
		}
		if len(run) == 1 {
			line.WriteString("h0") // with round ends, a dot
		}
		if c.Averaged {
			for j := range run {
				fmt.Fprintf(&band, "%c%.1f %.1fH%.1f", "ML"[min(j, 1)], x(run[j].From), scale.y(run[j].Max), x(run[j].To))
			}
			for _, col := range slices.Backward(run) {
				fmt.Fprintf(&band, "L%.1f %.1fH%.1f", x(col.To), scale.y(col.Min)+thinnest, x(col.From))
			}
			band.WriteString("Z")
		}
		i = end
	}
	c.Line, c.Band = line.String(), band.String()
}

func newLane(i int, class string, columns []series.Column, x func(time.Time) float64) chartLane {
	names := map[string]string{"missed": "missed", "error": "failed", "unmeasured": "not polled"}
	l := chartLane{Name: names[class], Class: class, Top: laneTop + laneStep*float64(i), Height: laneHeight}
	l.Middle = l.Top + l.Height/2
	for j := range columns {
		col := &columns[j]
		n := lanes[i].count(col)
		if n == 0 {
			continue
		}
		left, right := x(col.From), x(col.To)
		share := float64(n) / float64(col.Slots())
		opacity := fmt.Sprintf("%.2f", 0.5+0.5*share)
		if last := len(l.Marks) - 1; last >= 0 && l.Marks[last].Opacity == opacity && math.Abs(l.Marks[last].X+l.Marks[last].Width-left) < 0.2 {
			l.Marks[last].Width = cut(right - l.Marks[last].X)
			continue
		}
		l.Marks = append(l.Marks, mark{X: cut(left), Width: cut(max(thinnest, right-left)), Opacity: opacity})
	}
	return l
}

// tell says what a column holds.
func tell(c *series.Column, averaged bool) string {
	var parts []string
	if c.RTTs > 0 {
		avg, _ := c.Avg()
		if averaged {
			parts = append(parts, fmt.Sprintf("RTT %s to %s, mean %s", report.Millis(c.Min), report.Millis(c.Max), report.Millis(avg)))
		} else {
			parts = append(parts, "RTT "+report.Millis(avg))
		}
	}
	for _, n := range []struct {
		n    int64
		what string
	}{{c.Missed, "missed"}, {c.SystemError, "failed"}, {c.Unmeasured, "not polled: " + report.Reason(c.Reason)}} {
		if n.n > 0 {
			parts = append(parts, fmt.Sprintf("%d of %d %s", n.n, c.Slots(), n.what))
		}
	}
	when := instant(c.From)
	if averaged {
		when = stretch(c.From, c.To)
	}
	return when + ": " + strings.Join(parts, "; ")
}

// cut keeps a tenth of a unit.
func cut(v float64) float64 { return math.Round(v*10) / 10 }

// scale is the axis of round-trip times.
type scale struct {
	low, high float64
	log       bool
}

// logFrom is how many times the 95th percentile the longest round-trip time is from which on the axis is logarithmic: else the usual
// ones would be a line at its bottom. In a terminal it is the median of the columns.
const logFrom = 6

func newScale(r *report.Spread) scale {
	if r.Max > logFrom*r.P95 && r.Min > 0 {
		return scale{low: roundDown(r.Min), high: roundUp(r.Max), log: true}
	}
	return scale{low: 0, high: max(1, r.Max*1.08)}
}

// roundSteps are the figures that ticks have, times a power of ten.
var roundSteps = []float64{1, 2, 5, 10}

// roundUp is the smallest round figure that is not below v.
func roundUp(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, step := range roundSteps {
		if step*power >= v {
			return step * power
		}
	}
	return 10 * power
}

// roundDown is the largest round figure that is not above v.
func roundDown(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, step := range slices.Backward(roundSteps) {
		if step*power <= v {
			return step * power
		}
	}
	return power
}

func (s scale) y(v float64) float64 {
	share := (v - s.low) / (s.high - s.low)
	if s.log {
		share = math.Log(max(v, s.low)/s.low) / math.Log(s.high/s.low)
	}
	return plotBottom - (plotBottom-plotTop)*min(1, max(0, share))
}

func (s scale) ticks() (out []tick) {
	if s.log {
		for power := math.Pow(10, math.Floor(math.Log10(s.low))); power <= s.high; power *= 10 {
			for _, step := range []float64{1, 2, 5} {
				if v := step * power; v >= s.low*0.999 && v <= s.high*1.001 {
					out = append(out, tick{cut(s.y(v)), axisLabel(v)})
				}
			}
		}
		return out
	}
	step := roundUp((s.high - s.low) / 5)
	for i := 0; float64(i)*step <= s.high; i++ {
		v := float64(i) * step
		out = append(out, tick{cut(s.y(v)), axisLabel(v)})
	}
	return out
}

func axisLabel(ms float64) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.3f", ms), "0"), ".") + " ms"
}

// timeSteps are what ticks may be apart.
var timeSteps = []time.Duration{
	time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute,
	15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, day, 2 * day, 7 * day,
	14 * day, 28 * day, 56 * day, 364 * day,
}

const day = 24 * time.Hour

// timeTicks are at round instants, eight at most.
func timeTicks(from, to time.Time, x func(time.Time) float64) (out []tick) {
	step := timeSteps[len(timeSteps)-1]
	for _, s := range timeSteps {
		if to.Sub(from)/s < 8 {
			step = s
			break
		}
	}
	at := from.UTC().Truncate(step)
	if at.Before(from) {
		at = at.Add(step)
	}
	before := time.Time{}
	for ; !at.After(to); at = at.Add(step) {
		layout := "15:04"
		switch newDay := at.Format(time.DateOnly) != before.Format(time.DateOnly); {
		case step >= day:
			layout = "2 Jan"
		case step < time.Minute:
			layout = "15:04:05"
		case newDay:
			layout = "2 Jan 15:04"
		}
		out = append(out, tick{cut(x(at)), at.Format(layout)})
		before = at
	}
	return out
}
