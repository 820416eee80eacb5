package main

import (
	"maps"
	"slices"
)

// The console of OpenShift reads the format that Grafana had before version 5: rows at the top, schemaVersion 14, and of the
// panels graph, singlestat, gauge, table and grafana-piechart-panel. What it takes from them is in legacy-dashboard.tsx and
// single-stat.tsx of github.com/openshift/monitoring-plugin; nothing else is written here. No library writes it any more.
type (
	consoleBoard struct {
		Title         string        `json:"title"`
		UID           string        `json:"uid"`
		Tags          []string      `json:"tags"`
		SchemaVersion int           `json:"schemaVersion"`
		Style         string        `json:"style"`
		Editable      bool          `json:"editable"`
		Timezone      string        `json:"timezone"`
		Refresh       string        `json:"refresh"`
		Time          consoleTime   `json:"time"`
		Templating    consoleVars   `json:"templating"`
		Annotations   consoleListOf `json:"annotations"`
		Rows          []consoleRow  `json:"rows"`
	}
	consoleTime struct {
		From string `json:"from"`
		To   string `json:"to"`
	}
	consoleListOf struct {
		List []string `json:"list"`
	}
	consoleVars struct {
		List []consoleVar `json:"list"`
	}
	consoleVar struct {
		Name       string   `json:"name"`
		Label      string   `json:"label"`
		Type       string   `json:"type"`
		Query      string   `json:"query"`
		Hide       int      `json:"hide"`
		Refresh    int      `json:"refresh"`
		Sort       int      `json:"sort"`
		IncludeAll bool     `json:"includeAll"`
		Multi      bool     `json:"multi"`
		Options    []string `json:"options"`
	}
	consoleRow struct {
		Title     string         `json:"title"`
		ShowTitle bool           `json:"showTitle"`
		Collapse  bool           `json:"collapse"`
		Panels    []consolePanel `json:"panels"`
	}
	consolePanel struct {
		ID      int             `json:"id"`
		Title   string          `json:"title"`
		Type    string          `json:"type"`
		Span    int             `json:"span"`
		Targets []consoleTarget `json:"targets"`

		// of a graph
		Stack  bool           `json:"stack,omitempty"`
		Legend *consoleLegend `json:"legend,omitempty"`
		YAxes  []consoleAxis  `json:"yaxes,omitempty"`

		// of a number
		Format    string          `json:"format,omitempty"`
		Decimals  *int            `json:"decimals,omitempty"`
		Options   *consoleOptions `json:"options,omitempty"`
		ValueMaps []consoleWord   `json:"valueMaps,omitempty"`
	}
	consoleTarget struct {
		Expr         string `json:"expr"`
		LegendFormat string `json:"legendFormat"`
		RefID        string `json:"refId"`
	}
	consoleLegend struct {
		Show bool `json:"show"`
	}
	consoleAxis struct {
		Format string `json:"format"`
	}
	consoleOptions struct {
		FieldOptions consoleFields `json:"fieldOptions"`
	}
	consoleFields struct {
		Thresholds []consoleThreshold `json:"thresholds"`
	}
	consoleThreshold struct {
		Color string  `json:"color"`
		Value float64 `json:"value"`
	}
	consoleWord struct {
		Op    string `json:"op"`
		Text  string `json:"text"`
		Value string `json:"value"`
	}
)

// console writes the dashboard for the console of OpenShift.
func console(sections []section) (string, error) {
	board := consoleBoard{
		Title: dashboardTitle, UID: "latency-operator", Tags: []string{"latency-operator", "sound-check"}, SchemaVersion: 14, Style: "dark", Timezone: "browser", Refresh: "30s",
		Time:        consoleTime{"now-3h", "now"},
		Annotations: consoleListOf{[]string{}},
		Templating: consoleVars{[]consoleVar{{
			Name: "namespace", Label: "Namespace", Type: "query", Query: namespaces, Refresh: 2, Sort: 1, Options: []string{},
		}}},
	}
	id := 0
	for _, s := range sections {
		row := consoleRow{Title: s.title, ShowTitle: true}
		for _, p := range s.panels {
			id++
			row.Panels = append(row.Panels, consolePanelOf(p, id))
		}
		board.Rows = append(board.Rows, row)
	}
	return pretty(board)
}

// A number has the colour of the last threshold that it is above in the console, and not of one that it has reached. So that a step
// begins with its value, its threshold is a little below; and the first step is everything below the second.
const (
	lowest    = -1e9
	justBelow = 1e-6
)

func consolePanelOf(p panel, id int) consolePanel {
	c := consolePanel{ID: id, Title: p.title, Type: "graph", Span: 6, Stack: p.stacked, Legend: &consoleLegend{true}, YAxes: []consoleAxis{{p.unit}, {p.unit}}}
	if p.stat {
		c = consolePanel{ID: id, Title: p.title, Type: "singlestat", Span: 3, Format: p.unit, Decimals: new(0)}
		if p.unit == asShare {
			c.Decimals = new(1)
		}
		if len(p.steps) > 0 {
			c.Options = &consoleOptions{}
		}
		for i, s := range p.steps {
			from := s.from - justBelow
			if i == 0 {
				from = lowest
			}
			c.Options.FieldOptions.Thresholds = append(c.Options.FieldOptions.Thresholds, consoleThreshold{s.colour, from})
		}
		for _, value := range slices.Sorted(maps.Keys(p.words)) {
			c.ValueMaps = append(c.ValueMaps, consoleWord{"=", p.words[value], value})
		}
		if p.none != "" {
			c.ValueMaps = append(c.ValueMaps, consoleWord{"=", p.none, "null"})
		}
	}
	for i, q := range p.queries {
		c.Targets = append(c.Targets, consoleTarget{q.expr, q.legend, string(rune('A' + i))})
	}
	return c
}
