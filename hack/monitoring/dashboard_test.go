package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// filledIn is a query as a dashboard sends it.
func filledIn(query string) string {
	return strings.NewReplacer("$__rate_interval", "5m", "$namespace", "latency-operator-system").Replace(query)
}

func TestDashboardAsksForMetricsThatExist(t *testing.T) {
	all := known(t)
	for _, s := range content() {
		for _, p := range s.panels {
			if len(p.queries) == 0 || p.stat && len(p.queries) != 1 {
				t.Errorf("%s has %d queries", p.title, len(p.queries))
			}
			if !strings.HasSuffix(p.question, "?") && !strings.HasSuffix(p.question, ".") {
				t.Errorf("%s answers no question: %q", p.title, p.question)
			}
			for _, q := range p.queries {
				checkQuery(t, all, p.title, q.expr)
				for _, selected := range selector.FindAllStringSubmatch(q.expr, -1) {
					if !strings.Contains(selected[2], `namespace="$namespace"`) {
						t.Errorf("%s mixes the installations: %s", p.title, selected[0])
					}
				}
				if len(selector.FindAllString(q.expr, -1)) != len(metricsOf(strings.ReplaceAll(q.expr, "and on (namespace, pod, instance) soundcheck_build_info", ""))) {
					t.Errorf("%s asks for a metric without the namespace: %s", p.title, q.expr)
				}
			}
		}
	}
}

// promtool parses what is in rules: so the queries become some.
func TestRulesOfPromQLAreKeptByDashboardAndRunbooks(t *testing.T) {
	type recording struct {
		Record string `json:"record"`
		Expr   string `json:"expr"`
	}
	var rules []recording
	for _, s := range content() {
		for _, p := range s.panels {
			for _, q := range p.queries {
				rules = append(rules, recording{"a", filledIn(q.expr)})
			}
		}
	}
	for _, text := range runbooks(t) {
		for _, query := range inPromQL.FindAllStringSubmatch(text, -1) {
			rules = append(rules, recording{"a", query[1]})
		}
	}
	raw, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "panels", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "panels.yaml"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, dir, "check", "rules", "--lint=none", "panels.yaml")
}

// The console shows less than Grafana: what is not in its format it leaves out without a word.
func TestConsoleDashboardIsInTheFormatThatTheConsoleReads(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(root, "config/components/console-dashboard/latency-operator.json"))
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		SchemaVersion int `json:"schemaVersion"`
		Panels        any `json:"panels"`
		Rows          []struct {
			Panels []struct {
				ID      int    `json:"id"`
				Type    string `json:"type"`
				Span    int    `json:"span"`
				Options struct {
					FieldOptions struct {
						Thresholds []consoleThreshold `json:"thresholds"`
					} `json:"fieldOptions"`
				} `json:"options"`
				Targets []struct {
					Expr string `json:"expr"`
				} `json:"targets"`
			} `json:"panels"`
		} `json:"rows"`
	}
	if err := json.Unmarshal(raw, &board); err != nil {
		t.Fatal(err)
	}
	if board.SchemaVersion != 14 || board.Panels != nil || len(board.Rows) != len(content()) {
		t.Errorf("schemaVersion %d with %d rows", board.SchemaVersion, len(board.Rows))
	}
	var ids []int
	for r, row := range board.Rows {
		for p, got := range row.Panels {
			ids = append(ids, got.ID)
			want := content()[r].panels[p]
			if !slices.Contains([]string{"graph", "singlestat"}, got.Type) || 12%got.Span != 0 || len(got.Targets) != len(want.queries) {
				t.Errorf("%s is a %s of width %d with %d queries", want.title, got.Type, got.Span, len(got.Targets))
			}
			for _, step := range want.steps {
				if colour := consoleColour(got.Options.FieldOptions.Thresholds, step.from); colour != step.colour {
					t.Errorf("%s has the colour %q at %v, want %s", want.title, colour, step.from, step.colour)
				}
			}
		}
	}
	slices.Sort(ids)
	if len(slices.Compact(slices.Clone(ids))) != len(ids) {
		t.Errorf("ids are not unique: %v", ids)
	}
}

// consoleColour is which colour the console gives to a number: that of the last threshold below it.
func consoleColour(thresholds []consoleThreshold, value float64) (colour string) {
	for _, t := range thresholds {
		if t.Value < value {
			colour = t.Color
		}
	}
	return colour
}
