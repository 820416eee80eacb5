package main

import (
	"encoding/json"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

const (
	dashboardTitle = "Latency operator"
	// namespaces lists the installations. The console understands it only with the space.
	namespaces = "label_values(soundcheck_build_info, namespace)"
)

// grafana writes the dashboard for Grafana, as its own library does.
func grafana(sections []section) (string, error) {
	source := common.DataSourceRef{Type: new("prometheus"), Uid: new("${datasource}")}
	board := dashboard.NewDashboardBuilder(dashboardTitle) //nolint:staticcheck // deprecated for dashboardv2, which only the newest Grafana reads
	board.Uid("latency-operator").
		Description("Are the jobs of Sound Check measured, and do their samples reach the database? Generated from hack/monitoring of latency-operator.").
		Tags([]string{"latency-operator", "sound-check"}).
		Readonly().
		Tooltip(dashboard.DashboardCursorSyncCrosshair).
		Time("now-3h", "now").
		Refresh("30s").
		WithVariable(dashboard.NewDatasourceVariableBuilder("datasource").Label("Data source").Type("prometheus")).
		WithVariable(dashboard.NewQueryVariableBuilder("namespace").Label("Namespace").
			Datasource(source).
			Query(dashboard.StringOrMap{String: new(namespaces)}).
			Refresh(dashboard.VariableRefreshOnTimeRangeChanged).
			Sort(dashboard.VariableSortAlphabeticalAsc)).
		Link(dashboard.NewDashboardLinkBuilder("Metrics").Type(dashboard.DashboardLinkTypeLink).TargetBlank(true).
			Url("https://github.com/soundcheck-io/latency-operator/blob/main/docs/metrics.md")).
		Link(dashboard.NewDashboardLinkBuilder("Runbooks").Type(dashboard.DashboardLinkTypeLink).TargetBlank(true).
			Url("https://github.com/soundcheck-io/latency-operator/blob/main/docs/runbooks/README.md"))
	id := uint32(0)
	for _, s := range sections {
		id++
		board.WithRow(dashboard.NewRowBuilder(s.title).Id(id))
		for _, p := range s.panels {
			id++
			if p.stat {
				board.WithPanel(number(p, id, source))
			} else {
				board.WithPanel(graph(p, id, source))
			}
		}
	}
	built, err := board.Build()
	if err != nil {
		return "", err
	}
	return pretty(built)
}

// pretty writes JSON that people can read: with < and > as they are.
func pretty(what any) (string, error) {
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(what)
	return text.String(), err
}

// The grid is 24 wide.
const (
	numberWidth, numberHeight = 6, 4
	graphWidth, graphHeight   = 12, 8
)

func number(p panel, id uint32, source common.DataSourceRef) cog.Builder[dashboard.Panel] {
	steps := []dashboard.Threshold{}
	for i, s := range p.steps {
		t := dashboard.Threshold{Color: s.colour, Value: new(s.from)}
		if i == 0 {
			t.Value = nil // from minus infinity
		}
		steps = append(steps, t)
	}
	b := stat.NewPanelBuilder().
		Id(id).Title(p.title).Description(p.question).Datasource(source).
		Span(numberWidth).Height(numberHeight).
		Unit(p.unit).Orientation(common.VizOrientationAuto).
		ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"})).
		GraphMode(common.BigValueGraphModeNone).
		ColorMode(common.BigValueColorModeValue)
	if p.none != "" {
		b.NoValue(p.none)
	}
	if len(steps) > 0 {
		b.Thresholds(dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(steps))
	} else {
		b.ColorMode(common.BigValueColorModeNone)
	}
	if len(p.words) > 0 {
		words := map[string]dashboard.ValueMappingResult{}
		for value, word := range p.words {
			words[value] = dashboard.ValueMappingResult{Text: new(word)}
		}
		b.Mappings([]dashboard.ValueMapping{{ValueMap: &dashboard.ValueMap{Type: dashboard.MappingTypeValueToText, Options: words}}})
	}
	// Now, not over the time that is shown: a number that is no longer there must not be shown as if it were.
	return b.WithTarget(prometheus.NewDataqueryBuilder().Expr(p.queries[0].expr).LegendFormat(p.queries[0].legend).RefId("A").Instant())
}

func graph(p panel, id uint32, source common.DataSourceRef) cog.Builder[dashboard.Panel] {
	b := timeseries.NewPanelBuilder().
		Id(id).Title(p.title).Description(p.question).Datasource(source).
		Span(graphWidth).Height(graphHeight).
		Unit(p.unit).
		LineWidth(1).FillOpacity(10).ShowPoints(common.VisibilityModeNever).
		AxisSoftMin(0).
		Legend(common.NewVizLegendOptionsBuilder().ShowLegend(true).DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom)).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti).Sort(common.SortOrderDescending))
	if p.stacked {
		b.FillOpacity(40).Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal).Group("A"))
	}
	for i, q := range p.queries {
		b.WithTarget(prometheus.NewDataqueryBuilder().Expr(q.expr).LegendFormat(q.legend).RefId(string(rune('A' + i))).Range())
	}
	return b
}
