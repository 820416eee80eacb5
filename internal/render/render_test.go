package render_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/soundcheck-io/latency-operator/internal/render"
	"github.com/soundcheck-io/latency-operator/internal/report"
	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/series"
)

var (
	update = flag.Bool("update", false, "write what is shown to testdata")
	pages  = flag.String("pages", "", "folder to write the pages of all jobs to, to look at them")
)

var start = time.Date(2026, time.November, 24, 8, 0, 0, 0, time.UTC)

const cadence = 10 * time.Second

// script makes a job: what becomes of each slot, with an outcome as in the tests of package report.
type script struct {
	status   string
	duration time.Duration
	slots    int
	at       func(slot int) (outcome rune, rtt float64)
	gaps     []report.Gap
	// begins is how long after it was read the job begins.
	begins time.Duration
}

func due(slot int) time.Time { return start.Add(time.Duration(slot) * cadence) }

func gap(from, to int, reason string) report.Gap {
	return report.Gap{From: due(from), To: due(to), Slots: int64(to - from + 1), Reason: reason}
}

func (s script) subject() *render.Subject {
	job := report.Job{
		ID: "0b9c3f0e-5a54-4c6e-9d0c-2a4f6f1f7a11", Target: "10.1.2.3", Cadence: cadence, Duration: s.duration, StartedAt: start,
	}
	if s.status != "running" {
		job.EndedAt = start.Add(s.duration)
	}
	asOf := start.Add(s.duration + time.Hour)
	if s.begins > 0 {
		asOf = start.Add(-s.begins)
	}
	b, over := report.NewBuilder(job), series.New(start, cadence, render.Columns)
	last := 0.0
	for slot := range s.slots {
		outcome, rtt := s.at(slot)
		sm := report.Sample{ScheduledAt: due(slot), Status: map[rune]sample.Status{'s': sample.Success, 'm': sample.Missed, 'e': sample.SystemError}[outcome]}
		if outcome == 's' {
			sm.RTT = &rtt
			if last > 0 {
				sm.Jitter = new(math.Abs(rtt - last))
			}
			last = rtt
		}
		if outcome != '-' {
			b.Sample(sm)
			over.Sample(sm.ScheduledAt, sm.Status, sm.RTT)
		}
	}
	for _, g := range s.gaps {
		b.Gap(g)
		over.Gap(g.From, g.To, g.Slots, g.Reason)
	}
	return &render.Subject{Report: b.Report(), Series: over, Status: s.status, AsOf: asOf}
}

func jobs() map[string]script {
	usual := func(slot int) float64 {
		return math.Round(1000*(18+rand.New(rand.NewPCG(1, uint64(slot))).ExpFloat64()*2)) / 1000
	}
	return map[string]script{
		"empty": {status: "running", duration: time.Hour},
		"clean": {status: "completed", duration: time.Hour, slots: 360, at: func(slot int) (rune, float64) { return 's', usual(slot) }},
		"troubled": {status: "completed", duration: time.Hour, slots: 360, at: func(slot int) (rune, float64) {
			switch {
			case slot >= 120 && slot < 150, slot == 20, slot == 300:
				return 'm', 0
			case slot >= 200 && slot < 212:
				return 'e', 0
			case slot >= 250 && slot < 275, slot == 330:
				return '-', 0
			}
			return 's', usual(slot)
		}, gaps: []report.Gap{gap(250, 274, "OperatorDown"), gap(330, 330, "Busy")}},
		"ahead": {status: "running", duration: 26 * time.Hour, begins: 27 * time.Hour},
		"gap": {status: "completed", duration: time.Hour, slots: 360, at: func(int) (rune, float64) { return '-', 0 },
			gaps: []report.Gap{gap(0, 359, "OperatorDown")}},
		"silent": {status: "running", duration: time.Hour, slots: 60, at: func(int) (rune, float64) { return 'm', 0 }},
		"days": {status: "completed", duration: 5 * 24 * time.Hour, slots: 43_200, at: func(slot int) (rune, float64) {
			hour := float64(slot%8640) / 360
			switch {
			case slot >= 20_000 && slot < 20_400 || slot == 5_000 || slot == 40_000:
				return 'm', 0
			case slot >= 30_000 && slot < 30_030:
				return 'e', 0
			case slot >= 34_000 && slot < 34_700:
				return '-', 0
			case slot == 12_345:
				return 's', 870
			}
			return 's', usual(slot) + 6*max(0, math.Sin((hour-12)/12*math.Pi))
		}, gaps: []report.Gap{gap(34_000, 34_699, "OperatorDown")}},
	}
}

// golden compares with a file, or writes it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s; if that is right: go test ./internal/render -update\n%s", path, diff)
	}
}

func TestReportsReadAsTheyShould(t *testing.T) {
	for name, job := range jobs() {
		var text bytes.Buffer
		if err := job.subject().Text(&text, 100, false); err != nil {
			t.Fatal(err)
		}
		golden(t, name+".txt", text.Bytes())
		for i, line := range strings.Split(text.String(), "\n") {
			if strings.HasSuffix(line, " ") || strings.Contains(line, "\x1b") {
				t.Errorf("%s: line %d: %q", name, i+1, line)
			}
		}
	}
	var page, document bytes.Buffer
	s := jobs()["silent"].subject()
	if err := errors.Join(s.HTML(&page), s.JSON(&document)); err != nil {
		t.Fatal(err)
	}
	golden(t, "silent.html", page.Bytes())
	golden(t, "silent.json", document.Bytes())
}

var elsewhere = regexp.MustCompile(`(?i)<script|<link|<img|<iframe|@import|url\(|https?://|\son[a-z]+=|src=`)

func TestAPageNeedsNothingElse(t *testing.T) {
	for name, job := range jobs() {
		var page bytes.Buffer
		if err := job.subject().HTML(&page); err != nil {
			t.Fatal(err)
		}
		if *pages != "" {
			if err := os.WriteFile(filepath.Join(*pages, name+".html"), page.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if found := elsewhere.FindString(page.String()); found != "" {
			t.Errorf("%s: the page holds %q", name, found)
		}
		if strings.Contains(page.String(), "NaN") || strings.Contains(page.String(), "Inf") || strings.Contains(page.String(), "ZgotmplZ") {
			t.Errorf("%s: the page shows a number that is none", name)
		}
		if page.Len() > 600_000 {
			t.Errorf("%s: the page has %d bytes", name, page.Len())
		}
		_, svg, _ := strings.Cut(page.String(), "<svg")
		svg, _, drawn := strings.Cut(svg, "</svg>")
		if drawn != (job.at != nil) {
			t.Errorf("%s: is there a chart? %t", name, drawn)
		}
		if drawn {
			for d := xml.NewDecoder(strings.NewReader("<svg" + svg + "</svg>")); ; {
				if _, err := d.Token(); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
		}
	}
}

// The one spike and the one lost packet in five days are seen at any size.
func TestWhatHappenedOnceInDaysIsSeen(t *testing.T) {
	s := jobs()["days"].subject()
	var page bytes.Buffer
	if err := s.HTML(&page); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"to 870 ms", "1 of 64 missed", "the axis of RTT is logarithmic", "1000 ms"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, m := range regexp.MustCompile(`class="(?:missed|error|unmeasured)" x="[\d.]+" y="[\d.]+" width="([\d.]+)" height="14" fill-opacity="([\d.]+)"`).FindAllStringSubmatch(page.String(), -1) {
		var width, opacity float64
		if _, err := fmt.Sscan(m[1], &width); err != nil || width < 1 {
			t.Errorf("a mark is %s wide", m[1])
		}
		if _, err := fmt.Sscan(m[2], &opacity); err != nil || opacity < 0.5 {
			t.Errorf("a mark is %s opaque", m[2])
		}
	}
	for _, width := range []int{30, 40, 80, 200} {
		plot := render.Plot(s.Series.Columns(), render.PlotOptions{Width: width})
		for line := range strings.SplitSeq(plot, "\n") {
			if n := len([]rune(line)); n > width {
				t.Errorf("a line is %d wide, where %d fit: %s", n, width, line)
			}
		}
		_, marks, _ := strings.Cut(plot, "missed ")
		marks, _, _ = strings.Cut(marks, "\n")
		if !strings.Contains(plot, "870 ms") || strings.Count(strings.Join(strings.Fields(marks), " "), " ") < 1 {
			t.Errorf("at %d columns:\n%s", width, plot)
		}
	}
	for _, width := range []int{27, 28, 60} {
		silent := script{slots: 43_200, at: func(int) (rune, float64) { return 'm', 0 }}.subject()
		for line := range strings.SplitSeq(render.Plot(silent.Series.Columns(), render.PlotOptions{Width: width}), "\n") {
			if n := len([]rune(line)); n > width {
				t.Errorf("a line is %d wide, where %d fit: %s", n, width, line)
			}
		}
	}
	if plot := render.Plot(s.Series.Columns(), render.PlotOptions{Width: 20}); plot != "" {
		t.Errorf("without room: %s", plot)
	}
}

func TestWhatAJobSaysCannotBecomePartOfThePage(t *testing.T) {
	s := script{status: `<script>alert(1)</script>`, duration: time.Hour, slots: 1, at: func(int) (rune, float64) { return 's', 1 },
		gaps: []report.Gap{{From: due(1), To: due(1), Slots: 1, Reason: `"><img src=x onerror=alert(1)>`}}}.subject()
	s.Report.Job.Target = `</title><script>`
	var page bytes.Buffer
	if err := s.HTML(&page); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(page.String(), "<script>") || strings.Contains(page.String(), "<img") {
		t.Error("it did")
	}
}

func TestComparisonsReadAsTheyShould(t *testing.T) {
	before, after := jobs()["troubled"].subject(), jobs()["clean"].subject()
	after.Report.Job.ID, after.Report.Job.StartedAt = "5b0c6f0e-0000-4000-8000-000000000001", start.Add(24*time.Hour)
	var text, document bytes.Buffer
	if err := errors.Join(render.Comparison(&text, before, after), render.ComparisonJSON(&document, before, after)); err != nil {
		t.Fatal(err)
	}
	golden(t, "comparison.txt", text.Bytes())
	var got render.ComparisonDocument
	if err := json.Unmarshal(document.Bytes(), &got); err != nil || got.Overall != report.Better || got.Before.Samples.Missed != 32 || *got.After.Loss != 0 {
		t.Errorf("%v: %s", err, document.String())
	}
}
