package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/outcomes"
	"github.com/soundcheck-io/latency-operator/internal/render"
	"github.com/soundcheck-io/latency-operator/internal/report"
	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/series"
)

// lines is a screen that writes each outcome once, in a line of its own.
type lines struct {
	out, errOut io.Writer
	samples     map[time.Time]bool
	gaps        map[time.Time]int64
	// newest is when the newest of the samples was due.
	newest time.Time
	said   string
}

func (*lines) slots() int { return plainSlots }
func (*lines) end()       {}

// since implements screen: after an outage, what came during it is written as well.
func (l *lines) since() time.Time { return l.newest }

// show implements screen. A gap that has grown is written again.
func (l *lines) show(v *view) error {
	if l.samples == nil {
		l.samples, l.gaps = map[time.Time]bool{}, map[time.Time]int64{}
	}
	l.said = ""
	gaps := v.gaps
	for i := range v.samples {
		s := &v.samples[i]
		for len(gaps) > 0 && gaps[0].FromAt.Before(s.ScheduledAt) {
			if err := l.gap(&gaps[0]); err != nil {
				return err
			}
			gaps = gaps[1:]
		}
		if l.samples[s.ScheduledAt] {
			continue
		}
		l.samples[s.ScheduledAt] = true
		if s.ScheduledAt.After(l.newest) {
			l.newest = s.ScheduledAt
		}
		text := stamp(s.ScheduledAt) + " " + string(s.Status)
		if s.RTT != nil {
			text += " " + report.Millis(*s.RTT)
		}
		if _, err := fmt.Fprintln(l.out, text); err != nil {
			return err
		}
	}
	for i := range gaps {
		if err := l.gap(&gaps[i]); err != nil {
			return err
		}
	}
	l.forget(v.from)
	if v.over() {
		_, err := fmt.Fprintln(l.errOut, ending(v))
		return err
	}
	return nil
}

func (l *lines) gap(g *outcomes.Gap) error {
	if l.gaps[g.FromAt] == g.Slots {
		return nil
	}
	l.gaps[g.FromAt] = g.Slots
	_, err := fmt.Fprintf(l.out, "%s not polled, %d slots to %s: %s\n", stamp(g.FromAt), g.Slots, stamp(g.ToAt), report.Reason(g.Reason))
	return err
}

// forget drops what the window no longer holds.
func (l *lines) forget(before time.Time) {
	for at := range l.samples {
		if at.Before(before) {
			delete(l.samples, at)
		}
	}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// trouble implements screen. What is wrong for a while is said once.
func (l *lines) trouble(err error) {
	if text := printable(err.Error()); text != l.said {
		l.said = text
		fmt.Fprintf(l.errOut, "Trying again: %s\n", text)
	}
}

func ending(v *view) string {
	return fmt.Sprintf("The job is %s. For all of it: %s report %s", v.job.Status, program, v.job.ID)
}

// What terminals are told.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[?7l" // another screen, without a cursor, where what does not fit is cut off
	leaveScreen = "\x1b[?7h\x1b[?25h\x1b[?1049l"
	toTheTop    = "\x1b[H"
	clearLine   = "\x1b[K"
	clearBelow  = "\x1b[J"
	bold, plain = "\x1b[1m", "\x1b[0m"
)

// movesCursor tells whether the terminal can be drawn on.
func movesCursor() bool { return os.Getenv("TERM") != "dumb" }

// picture is a screen of its own on a terminal. The last picture stays when it is left.
type picture struct {
	*cli
	colors  bool
	entered bool
	last    *view
	wrong   error
}

func newPicture(c *cli) *picture { return &picture{cli: c, colors: showsColors(c.streams.Out)} }

func (p *picture) slots() int { return max(fewestSlots, render.Room(widthOf(p.streams.Out))) }

// since implements screen.
func (*picture) since() time.Time { return time.Time{} }

// show implements screen.
func (p *picture) show(v *view) error {
	p.last, p.wrong = v, nil
	return p.draw()
}

// trouble implements screen: it is shown below what was last seen.
func (p *picture) trouble(err error) {
	p.wrong = err
	_ = p.draw() // the next look finds out, if the terminal is gone
}

func (p *picture) draw() error {
	if !p.entered {
		p.entered = true
		fmt.Fprint(p.streams.Out, enterScreen)
	}
	width, height := sizeOf(p.streams.Out)
	text := p.text(width, height)
	all := strings.Split(text, "\n")
	all = all[:min(len(all), height)]
	_, err := fmt.Fprint(p.streams.Out, toTheTop+strings.Join(all, clearLine+"\r\n")+clearLine+clearBelow)
	return err
}

// end implements screen.
func (p *picture) end() {
	if !p.entered {
		return
	}
	fmt.Fprint(p.streams.Out, leaveScreen)
	if p.last != nil {
		fmt.Fprintln(p.streams.Out, p.text(sizeOf(p.streams.Out)))
	}
}

// text is the picture.
func (p *picture) text(width, height int) string {
	if p.last == nil {
		return "Trying again: " + printable(fmt.Sprint(p.wrong))
	}
	v := p.last
	var out strings.Builder
	target := v.job.TargetIP
	if target == "" {
		target = "no target"
	}
	strong, normal := "", ""
	if p.colors {
		strong, normal = bold, plain
	}
	fmt.Fprintf(&out, "%s%s%s  every %s, %s  %s\n", strong, target, normal, report.Duration(v.cadence()), v.progress(), v.job.ID)
	r, columns := v.figures(max(fewestSlots, render.Room(width)))
	fmt.Fprintf(&out, "%s\n\n", v.state(r))
	const around = 17 // lines above and below the curve
	if plot := render.Plot(columns, render.PlotOptions{Width: width, Height: min(16, max(4, height-around)), Colors: p.colors}); plot != "" {
		out.WriteString(plot + "\n\n")
	}
	for _, line := range summary(v, r) {
		out.WriteString(line + "\n")
	}
	switch {
	case v.over():
		out.WriteString(ending(v))
	case p.wrong != nil:
		fmt.Fprintf(&out, "As of %s UTC; trying again: %s", v.now.UTC().Format(time.TimeOnly), printable(p.wrong.Error()))
	default:
		fmt.Fprintf(&out, "As of %s UTC; Ctrl-C ends", v.now.UTC().Format(time.TimeOnly))
	}
	return out.String()
}

// progress says how far the job is.
func (v *view) progress() string {
	whole := report.Duration(time.Duration(v.job.DurationMinutes) * time.Minute)
	switch {
	case v.over():
		return v.job.Status
	case v.now.Before(v.job.StartedAt):
		return "begins in " + report.Duration(v.job.StartedAt.Sub(v.now))
	case v.now.Before(v.ends()):
		return report.Duration(v.now.Sub(v.job.StartedAt).Truncate(v.cadence())) + " of " + whole
	default:
		return "at its end"
	}
}

// state is what is to be said of the device now; r is the report of the window.
func (v *view) state(r *report.Report) string {
	if late := v.quiet(); late > 0 {
		return fmt.Sprintf("No sample has come for %s: %s.", report.Duration(late), v.whyQuiet())
	}
	if run := r.Ongoing; run != nil && run.Missed >= report.OutageAfter {
		since, atLeast := v.moment(run.From)+" UTC", ""
		if v.mayHaveBegunBefore(run) {
			since, atLeast = since+" or longer", "at least "
		}
		return fmt.Sprintf("The device has been silent since %s: %s%d polls in a row.", since, atLeast, run.Missed)
	}
	if len(v.samples) == 0 {
		return "No sample has come yet."
	}
	newest := &v.samples[len(v.samples)-1]
	text := fmt.Sprintf("The newest poll, of %s UTC: %s", v.moment(newest.ScheduledAt), newest.Status)
	if newest.RTT != nil {
		text += ", " + report.Millis(*newest.RTT)
	}
	return text
}

// whyQuiet is why no sample has come since the newest one.
func (v *view) whyQuiet() string {
	slots, reason := int64(0), ""
	for i := range v.gaps {
		if g := &v.gaps[i]; len(v.samples) == 0 || g.FromAt.After(v.samples[len(v.samples)-1].ScheduledAt) {
			slots, reason = slots+g.Slots, g.Reason
		}
	}
	if slots == 0 {
		return "nobody measures, or samples are on their way"
	}
	return fmt.Sprintf("%s passed without a poll, because %s", report.Counted(slots, "slot"), report.Reason(reason))
}

// mayHaveBegunBefore tells whether a run of missed samples may have begun before the window: nothing in the window says that it did
// not.
func (v *view) mayHaveBegunBefore(run *report.Outage) bool {
	return v.from.After(v.job.StartedAt) &&
		!slices.ContainsFunc(v.samples, func(s outcomes.Sample) bool {
			return s.Status == sample.Success && s.ScheduledAt.Before(run.From)
		}) &&
		!slices.ContainsFunc(v.gaps, func(g outcomes.Gap) bool { return g.FromAt.Before(run.From) })
}

// moment writes an instant, with its day where that is not the one of the look.
func (v *view) moment(t time.Time) string {
	layout := time.TimeOnly
	if t, now := t.UTC(), v.now.UTC(); t.YearDay() != now.YearDay() || t.Year() != now.Year() {
		layout = time.DateTime
	}
	return t.UTC().Format(layout)
}

// figures sums the window up, in at most so many columns.
func (v *view) figures(columns int) (*report.Report, []series.Column) {
	b := report.NewBuilder(reportJob(&v.job))
	// The start of the window lies on the grid, so that a column is a slot.
	start := v.job.StartedAt
	if before := v.from.Sub(start); before > 0 {
		start = start.Add((before + v.cadence() - 1).Truncate(v.cadence()))
	}
	over := series.New(start, v.cadence(), columns+columns%2)
	for i := range v.samples {
		s := &v.samples[i]
		b.Sample(report.Sample{ScheduledAt: s.ScheduledAt, Status: s.Status, RTT: s.RTT, Jitter: s.Jitter})
		over.Sample(s.ScheduledAt, s.Status, s.RTT)
	}
	for i := range v.gaps {
		g := inWindow(v.gaps[i], start)
		b.Gap(report.Gap{From: g.FromAt, To: g.ToAt, Slots: g.Slots, Reason: g.Reason})
		over.Gap(g.FromAt, g.ToAt, g.Slots, g.Reason)
	}
	return b.Report(), over.Columns()
}

// inWindow is what of a gap lies behind the start of a window.
func inWindow(g outcomes.Gap, start time.Time) outcomes.Gap {
	whole := g.ToAt.Sub(g.FromAt)
	if g.Slots < 2 || whole <= 0 || !g.FromAt.Before(start) {
		return g
	}
	step := whole / time.Duration(g.Slots-1)
	before := int64((start.Sub(g.FromAt) + step - 1) / step)
	g.FromAt, g.Slots = g.FromAt.Add(time.Duration(before)*step), g.Slots-before
	return g
}

// summary are the lines below the plot.
func summary(v *view, r *report.Report) (out []string) {
	what := report.Duration(max(0, min(v.now.Sub(v.from), v.ends().Sub(v.from))).Truncate(time.Second))
	out = append(out, fmt.Sprintf("In these %s the device missed %s.", what, report.Of(r.Missed, r.Success+r.Missed, "polls")),
		fmt.Sprintf("Failed: %s. Not polled: %s.", report.Of(r.SystemError, r.Samples(), "polls"), report.Of(r.UnmeasuredSlots(), r.Slots(), "slots")))
	if t := r.RTT; t != nil {
		text := fmt.Sprintf("RTT median %s, p95 %s, max %s", report.Millis(t.P50), report.Millis(t.P95), report.Millis(t.Max))
		if j := r.Jitter; j != nil {
			text += fmt.Sprintf("; jitter mean %s, max %s", report.Millis(j.Avg), report.Millis(j.Max))
		}
		out = append(out, text)
	}
	return out
}
