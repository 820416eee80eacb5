package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Report is all that was found.
type Report struct {
	// Version is the program's.
	Version string `json:"version"`
	// Healthy tells whether nothing failed. A warning is no failure.
	Healthy bool `json:"healthy"`
	// Findings are in the order of the checks.
	Findings []Finding `json:"findings"`
}

// Add adds a finding.
func (r *Report) Add(f Finding) {
	r.Findings = append(r.Findings, f)
}

// Conclude tells whether the operator's surroundings are healthy, which they are not if nobody looked.
func (r *Report) Conclude() bool {
	failed, _ := r.count(Failed)
	looked, _ := r.count(OK)
	r.Healthy = failed == 0 && looked > 0
	return r.Healthy
}

// count counts the findings of a status, and gives the name of the first.
func (r *Report) count(status Status) (n int, first string) {
	for i := range r.Findings {
		if r.Findings[i].Status != status {
			continue
		}
		if n++; n == 1 {
			first = r.Findings[i].Name
		}
	}
	return n, first
}

// PrintJSON writes the report as JSON.
func (r *Report) PrintJSON(to io.Writer) error {
	out := json.NewEncoder(to)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	return out.Encode(r)
}

// The columns of a finding: its status, its name and what was found, which are the longest of them and two spaces wide. Lines are wrapped,
// since this is read in a terminal, whose width is not known in a pod.
const (
	statusWidth = len(Skipped) + 2
	nameWidth   = len("spreedb-http") + 3
	textWidth   = 120 - statusWidth - nameWidth
)

// Printer writes findings for people, as they come.
type Printer struct {
	to io.Writer
	// skipped are the names of those that were, for the same reason, and are not written yet.
	skipped []string
	why     string
}

// NewPrinter gives a Printer.
func NewPrinter(to io.Writer) *Printer { return &Printer{to: to} }

// Print writes a finding, with what to do below it. Those that were skipped for one reason share a line.
func (p *Printer) Print(f Finding) error {
	if f.Status == Skipped && (len(p.skipped) == 0 || p.why == f.Found) {
		p.skipped, p.why = append(p.skipped, f.Name), f.Found
		return nil
	}
	if err := p.flush(); err != nil || f.Status == Skipped {
		p.skipped, p.why = append(p.skipped, f.Name), f.Found
		return err
	}
	status := string(f.Status)
	if f.Status == Failed {
		status = strings.ToUpper(status) // to be found among twenty lines
	}
	return p.write(status, f.Name, f.Found, f.Fix)
}

// flush writes what was skipped.
func (p *Printer) flush() error {
	if len(p.skipped) == 0 {
		return nil
	}
	names := strings.Join(p.skipped, ", ")
	p.skipped = nil
	return p.write(string(Skipped), "", names+": "+p.why, "")
}

func (p *Printer) write(status, name, found, fix string) error {
	var out strings.Builder
	for i, line := range wrap(found, textWidth) {
		if i > 0 {
			status, name = "", ""
		}
		fmt.Fprintf(&out, "%-*s%-*s%s\n", statusWidth, status, nameWidth, name, line)
	}
	mark := "→ "
	for _, line := range wrap(fix, textWidth-2) {
		fmt.Fprintf(&out, "%*s%s%s\n", statusWidth+nameWidth, "", mark, line)
		mark = "  "
	}
	_, err := io.WriteString(p.to, out.String())
	return err
}

// wrap breaks a text into lines between words. A word that is longer than a line has one of its own.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= width:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// End writes what it all comes to, in a line.
func (p *Printer) End(r *Report) error {
	if err := p.flush(); err != nil {
		return err
	}
	failed, first := r.count(Failed)
	warnings, _ := r.count(Warning)
	skipped, _ := r.count(Skipped)
	ok, _ := r.count(OK)
	var text string
	switch {
	case failed > 0:
		text = fmt.Sprintf("Something is wrong: %s; begin with %s.", plural(failed, "check has failed", "checks have failed"), first)
	case ok == 0:
		text = "Nothing was looked at."
	case warnings > 0:
		text = "Everything works."
	default:
		text = "All is well."
	}
	if warnings > 0 {
		text += " " + plural(warnings, "check has a warning", "checks have warnings") + "."
	}
	if skipped > 0 {
		text += " " + plural(skipped, "check was", "checks were") + " skipped."
	}
	_, err := fmt.Fprintf(p.to, "\n%s\n", text)
	return err
}

func plural(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}
