package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// screen shows the same few lines over and over: in place on a terminal, one block after another elsewhere.
type screen struct {
	out *os.File
	tty bool
	// drawn is what stands above the cursor.
	drawn []string
}

func newScreen(out *os.File) *screen {
	return &screen{out: out, tty: term.IsTerminal(int(out.Fd()))}
}

// every is how often to show.
func (s *screen) every() time.Duration {
	if s.tty {
		return time.Second
	}
	return 10 * time.Second
}

// size is 0, 0 where there is no limit.
func (s *screen) size() (width, height int) {
	if !s.tty {
		return 0, 0
	}
	width, height, err := term.GetSize(int(s.out.Fd()))
	if err != nil {
		return 80, 24
	}
	return width, height
}

// say prints lines that stay.
func (s *screen) say(lines ...string) {
	s.drawn = nil
	fmt.Fprintln(s.out, strings.Join(lines, "\n"))
}

// show replaces what it showed before.
func (s *screen) show(lines []string) {
	if !s.tty {
		s.say(append([]string{""}, lines...)...)
		return
	}
	width, height := s.size()
	lines = fit(lines, width, height)
	fmt.Fprint(s.out, redraw(s.drawn, lines))
	s.drawn = lines
}

// redraw is the sequence that turns old, right above the cursor, into new. Lines that stay are not written again, so that
// what somebody selects with the mouse stays selected.
func redraw(before, after []string) string {
	var out strings.Builder
	if len(before) > 0 {
		fmt.Fprintf(&out, "\x1b[%dA", len(before))
	}
	for i, line := range after {
		if i >= len(before) || before[i] != line {
			out.WriteString("\r\x1b[2K" + line)
		}
		out.WriteString("\r\n")
	}
	if len(after) < len(before) {
		out.WriteString("\x1b[J")
	}
	return out.String()
}

// fit cuts lines to a terminal: what wraps or scrolls cannot be drawn over.
func fit(lines []string, width, height int) []string {
	if spare := height - 1; spare > 0 && len(lines) > spare {
		lines = lines[:spare]
	}
	cut := make([]string, len(lines))
	for i, line := range lines {
		runes := []rune(line)
		if width > 1 && len(runes) > width-1 {
			line = string(runes[:width-2]) + "…"
		}
		cut[i] = line
	}
	return cut
}
