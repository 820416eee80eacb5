package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// chapters are what whoever is woken asks, in this order.
var chapters = []string{
	"## What it means", "## Who is affected", "## How to see it", "## Causes, the likeliest first", "## What is lost, and what is not", "## When to escalate",
}

var (
	linkTarget = regexp.MustCompile(`\]\(([^)#]+)(#[^)]*)?\)`)
	ownMetric  = regexp.MustCompile(`\bsoundcheck_[a-z_]+`)
	// inPromQL is a query in the text, which uses one of our metrics and is more than its name.
	inPromQL = regexp.MustCompile("`([^`\n]*soundcheck_[^`\n]*[({ ][^`\n]*|[^`\n]+[({ ]soundcheck_[^`\n]*)`")
)

// runbooks gives the text of every runbook by the name of its alert.
func runbooks(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "docs/runbooks/*.md"))
	if err != nil {
		t.Fatal(err)
	}
	pages := map[string]string{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		pages[strings.TrimSuffix(filepath.Base(file), ".md")] = string(raw)
	}
	return pages
}

func TestRulesAndRunbooksAreOfTheSameAlerts(t *testing.T) {
	pages := runbooks(t)
	index := pages["README"]
	delete(pages, "README")
	alerts := load(t).alerts()
	for name := range pages {
		if !slices.Contains(alerts, name) {
			t.Errorf("there is no alert %s", name)
		}
	}
	for _, r := range load(t).rules() {
		text, ok := pages[r.Alert]
		if !ok {
			t.Errorf("%s has no runbook", r.Alert)
			continue
		}
		severity := r.Labels["severity"]
		if !strings.Contains(text, strings.ToUpper(severity[:1])+severity[1:]) {
			t.Errorf("the runbook of %s does not say that it is %s", r.Alert, severity)
		}
		row := regexp.MustCompile(`(?m)^\| \[` + r.Alert + `\]\(` + r.Alert + `\.md\) \| ([a-z, ]+) \|`).FindStringSubmatch(index)
		if row == nil || !strings.Contains(row[1], severity) {
			t.Errorf("the index has no row of %s that says %s", r.Alert, severity)
		}
	}
}

func TestRunbooksAnswerWhatIsAsked(t *testing.T) {
	for name, text := range runbooks(t) {
		if name == "README" {
			continue
		}
		if !strings.HasPrefix(text, "# "+name+"\n") {
			t.Errorf("%s has another title", name)
		}
		var found []string
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "## ") {
				found = append(found, strings.TrimSpace(line))
			}
		}
		if !slices.Equal(found, chapters) {
			t.Errorf("%s has the chapters %q", name, found)
		}
		if !strings.Contains(text, "kubectl soundcheck doctor") {
			t.Errorf("%s does not mention doctor", name)
		}
	}
}

func TestRunbooksAskForMetricsThatExist(t *testing.T) {
	all := known(t)
	for name, text := range runbooks(t) {
		for _, used := range ownMetric.FindAllString(text, -1) {
			if _, exists := all[used]; !exists && all[strings.TrimSuffix(used, "_bucket")].kind != "histogram" {
				t.Errorf("%s mentions %s, which does not exist", name, used)
			}
		}
		for _, query := range inPromQL.FindAllStringSubmatch(text, -1) {
			checkQuery(t, all, name, query[1])
		}
	}
}

func TestLinksOfRunbooksLeadSomewhere(t *testing.T) {
	for name, text := range runbooks(t) {
		for _, link := range linkTarget.FindAllStringSubmatch(text, -1) {
			if strings.HasPrefix(link[1], "http") {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, "docs/runbooks", link[1])); err != nil {
				t.Errorf("%s links to %s: %v", name, link[1], err)
			}
		}
	}
}

// What kubectl leaves out without a word is what somebody looks for at night: of the logs of several pods it shows 10 lines each, and
// events of the operator have no lastTimestamp, so that sorting by it puts them first, above all older ones.
func TestCommandsOfRunbooksShowWhatIsLookedFor(t *testing.T) {
	for name, text := range runbooks(t) {
		for line := range strings.Lines(text) {
			if strings.Contains(line, " logs -l") && !strings.Contains(line, "--tail=") {
				t.Errorf("%s reads 10 lines of a log: %s", name, line)
			}
			if strings.Contains(line, "events") && strings.Contains(line, "lastTimestamp") {
				t.Errorf("%s hides the newest events: %s", name, line)
			}
			if _, command, ok := strings.Cut(line, "kubectl "); ok && !strings.HasPrefix(command, "-n latency-operator-system ") && !strings.HasPrefix(command, "soundcheck ") &&
				!strings.HasPrefix(command, "debug node/") && !strings.HasPrefix(command, "cordon ") && !strings.HasPrefix(command, "apply -k ") && name != "README" {
				t.Errorf("%s does not say in which namespace: %s", name, line)
			}
		}
	}
}
