package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// curve is one line of a plot.
type curve struct {
	name  string
	color color.Color
	dash  bool
	of    func(res result) float64
}

var (
	blue   = color.RGBA{R: 0x1f, G: 0x5f, B: 0xbf, A: 0xff}
	orange = color.RGBA{R: 0xd9, G: 0x6b, B: 0x0b, A: 0xff}
	grey   = color.RGBA{R: 0x70, G: 0x70, B: 0x70, A: 0xff}
	faint  = color.RGBA{R: 0xdd, G: 0xdd, B: 0xdd, A: 0xff}
)

// plot draws cost and lateness over the number of jobs, side by side, of the loads without anything special.
func (r *report) plot(path string) error {
	plain := slices.DeleteFunc(slices.Clone(r.Results), func(res result) bool { return !res.Load.plain() })
	if len(plain) == 0 {
		return nil // the measuring was cut short
	}
	slices.SortFunc(plain, func(a, b result) int { return cmp.Compare(a.Load.Jobs, b.Load.Jobs) })
	cost, err := panel(plain, "CPU per poll, µs", 1, []curve{
		{"operator", blue, false, func(res result) float64 { return res.Operator.CPUPerPollMicros }},
		{"floor", grey, true, func(res result) float64 {
			if res.Floor == nil {
				return 0
			}
			return res.Floor.CPUPerPollMicros
		}},
	})
	if err != nil {
		return err
	}
	const legend = 4 // three names above the curves take about so much of the axis
	late, err := panel(plain, "lateness, ms", legend, []curve{
		{"max", grey, true, func(res result) float64 { return res.Operator.LatenessMillis.Max }},
		{"p99", orange, false, func(res result) float64 { return res.Operator.LatenessMillis.P99 }},
		{"p50", blue, false, func(res result) float64 { return res.Operator.LatenessMillis.P50 }},
	})
	if err != nil {
		return err
	}
	late.Legend.Top = true // cost falls, and leaves room below
	return drawSVG(path, cost, late)
}

// panel draws curves with both axes logarithmic, and leaves room above them: the axis ends at so many times the largest value, or
// at the next round one. A value of 0 is left out.
func panel(results []result, title string, room float64, curves []curve) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = title
	p.Title.Padding = vg.Points(10)
	p.Title.TextStyle.Font.Size, p.Title.TextStyle.Font.Variant = vg.Points(13), "Sans"
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Scale = plot.LogScale{}
		axis.Tick.Label.Font.Size, axis.Tick.Label.Font.Variant = vg.Points(10), "Sans"
		axis.Label.TextStyle.Font.Size, axis.Label.TextStyle.Font.Variant = vg.Points(11), "Sans"
		axis.Padding = vg.Points(6)
	}
	p.X.Label.Text = "jobs"
	p.Legend.Left = true // a wider font than this machine has then runs into nothing
	p.Legend.TextStyle.Font.Size, p.Legend.TextStyle.Font.Variant = vg.Points(11), "Sans"
	p.Legend.Padding = vg.Points(3)
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = faint, faint
	p.Add(grid)
	var ticks []plot.Tick
	for _, res := range results {
		ticks = append(ticks, plot.Tick{Value: float64(res.Load.Jobs), Label: grouped(res.Load.Jobs)})
	}
	p.X.Tick.Marker = plot.ConstantTicks(ticks)
	for _, c := range curves {
		if err := c.add(p, results); err != nil {
			return nil, fmt.Errorf("draw %s: %w", c.name, err)
		}
	}
	p.Y.Min, p.Y.Max = bounds(p.Y.Min, p.Y.Max*room)
	p.Y.Tick.Marker = plot.ConstantTicks(roundTicks(p.Y.Min, p.Y.Max))
	return p, nil
}

func (c curve) add(p *plot.Plot, results []result) error {
	var points plotter.XYs
	for _, res := range results {
		if y := c.of(res); y > 0 {
			points = append(points, plotter.XY{X: float64(res.Load.Jobs), Y: y})
		}
	}
	if len(points) == 0 {
		return nil
	}
	line, dots, err := plotter.NewLinePoints(points)
	if err != nil {
		return err
	}
	line.Color, line.Width = c.color, vg.Points(2)
	if c.dash {
		line.Dashes = []vg.Length{vg.Points(5), vg.Points(4)}
	}
	dots.Color, dots.Shape, dots.Radius = c.color, draw.CircleGlyph{}, vg.Points(3)
	p.Add(line, dots)
	p.Legend.Add(c.name, line, dots)
	return nil
}

// steps are what ticks lie at, times a power of ten.
var steps = []float64{1, 2, 5}

// roundTicks are round numbers from low to high.
func roundTicks(low, high float64) (ticks []plot.Tick) {
	for power := 1e-3; power <= high; power *= 10 {
		for _, step := range steps {
			if v := step * power; v >= low*0.999 && v <= high*1.001 {
				ticks = append(ticks, plot.Tick{Value: v, Label: tickLabel(v)})
			}
		}
	}
	return ticks
}

func tickLabel(v float64) string {
	if v >= 1 {
		return grouped(int64(math.Round(v)))
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// bounds widen a range to round numbers, so that no curve lies on the edge.
func bounds(low, high float64) (float64, float64) {
	all := roundTicks(1e-3, high*10)
	below, above := all[0].Value, all[len(all)-1].Value
	for _, t := range all {
		if t.Value <= low*0.9 {
			below = t.Value
		}
	}
	for _, t := range slices.Backward(all) {
		if t.Value >= high*1.1 {
			above = t.Value
		}
	}
	return below, above
}

// The plot's size.
const width, height = 820, 340

// drawSVG puts plots side by side into a file.
func drawSVG(path string, plots ...*plot.Plot) error {
	canvas := vgsvg.New(vg.Points(width), vg.Points(height))
	drawOn(canvas, plots)
	var svg bytes.Buffer
	if _, err := canvas.WriteTo(&svg); err != nil {
		return fmt.Errorf("draw the plot: %w", err)
	}
	// Few have this font; the others have the same widths.
	named := bytes.ReplaceAll(svg.Bytes(), []byte("font-family:Liberation Sans;"), []byte("font-family:'Liberation Sans',Arial,Helvetica,sans-serif;"))
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, named, 0o644)); err != nil {
		return fmt.Errorf("write the plot: %w", err)
	}
	return nil
}

func drawOn(canvas vg.CanvasSizer, plots []*plot.Plot) {
	all := draw.New(canvas)
	all.SetColor(color.White)
	all.Fill(all.Path())
	tiles := draw.Tiles{Rows: 1, Cols: len(plots), PadX: vg.Points(30), PadTop: vg.Points(12), PadBottom: vg.Points(10), PadLeft: vg.Points(12), PadRight: vg.Points(20)}
	for i, c := range plot.Align([][]*plot.Plot{plots}, tiles, all)[0] {
		plots[i].Draw(c)
	}
}
