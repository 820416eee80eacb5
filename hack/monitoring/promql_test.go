package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// borrowedNames are the metrics that rules and dashboards may use besides the operator's own: what Prometheus adds to each
// target, and what the libraries register. Metrics of the cluster, such as kube_*, are not there for user workloads on OpenShift.
var borrowedNames = append([]string{"up"}, namesOf(borrowed)...)

func namesOf(list []struct{ name, meaning string }) (names []string) {
	for _, m := range list {
		names = append(names, m.name)
	}
	return names
}

// targetLabels are those that Prometheus gives every series of a target.
var targetLabels = []string{"namespace", "pod", "instance", "job", "le"}

var (
	selector = regexp.MustCompile(`([a-z_][a-z0-9_]*)\s*\{([^}]*)\}`)
	matcher  = regexp.MustCompile(`([a-z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)"`)
	labelSet = regexp.MustCompile(`\b(?:by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)`)
	noise    = regexp.MustCompile(`"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\boffset\s+\w+`)
	word     = regexp.MustCompile(`[a-zA-Z_][a-zA-Z0-9_]*\s*\(?`)
	keywords = []string{"and", "or", "unless", "by", "on", "bool"}
)

// metricsOf gives the names of the metrics in a query, as they are written.
func metricsOf(query string) (names []string) {
	rest := labelSet.ReplaceAllString(noise.ReplaceAllString(query, " "), " ")
	for _, found := range word.FindAllString(rest, -1) {
		if name := strings.TrimSpace(found); !strings.HasSuffix(name, "(") && !slices.Contains(keywords, name) {
			names = append(names, name)
		}
	}
	return names
}

// checkQuery holds a query to the metrics that exist, with the labels and values that they have.
func checkQuery(t *testing.T, all map[string]metric, where, query string) {
	t.Helper()
	used := metricsOf(query)
	if len(used) == 0 {
		t.Errorf("%s uses no metric: %s", where, query)
	}
	known := slices.Clone(targetLabels)
	for _, name := range used {
		m, ok := lookup(all, name)
		if !ok && !slices.Contains(borrowedNames, name) {
			t.Errorf("%s uses %s, which does not exist", where, name)
		}
		known = append(known, m.labels...)
	}
	for _, found := range selector.FindAllStringSubmatch(query, -1) {
		m, own := lookup(all, found[1])
		for _, match := range matcher.FindAllStringSubmatch(found[2], -1) {
			label, values := match[1], strings.Split(match[3], "|")
			switch {
			case strings.HasPrefix(match[3], "$"), slices.Contains(targetLabels, label):
			case own && !slices.Contains(m.labels, label):
				t.Errorf("%s asks %s for the label %s, which it does not have", where, found[1], label)
			case own && len(m.values[label]) > 0 && slices.ContainsFunc(values, func(v string) bool { return !slices.Contains(m.values[label], v) }):
				t.Errorf("%s asks %s for %s %q; it is one of %v", where, found[1], label, match[3], m.values[label])
			}
		}
	}
	for _, found := range labelSet.FindAllStringSubmatch(query, -1) {
		for _, label := range strings.FieldsFunc(found[1], func(r rune) bool { return r == ',' || r == ' ' }) {
			if !slices.Contains(known, label) && !slices.Contains(borrowedLabels, label) {
				t.Errorf("%s groups by %s, which none of %v has", where, label, used)
			}
		}
	}
}

// borrowedLabels are those of the libraries' metrics that dashboards use.
var borrowedLabels = []string{"controller", "code"}

// lookup finds a metric, also by the names of the series that a histogram has.
func lookup(all map[string]metric, name string) (metric, bool) {
	if m, ok := all[name]; ok {
		return m, m.kind != "histogram"
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if base, ok := strings.CutSuffix(name, suffix); ok {
			m, ok := all[base]
			return m, ok && m.kind == "histogram"
		}
	}
	return metric{}, false
}

func known(t *testing.T) map[string]metric {
	t.Helper()
	list, err := catalog(root)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]metric{}
	for _, m := range list {
		all[m.name] = m
	}
	return all
}

func TestMetricsAreFoundInQueries(t *testing.T) {
	for query, want := range map[string][]string{
		`absent(soundcheck_build_info)`: {"soundcheck_build_info"},
		`sum by (namespace, reason) (increase(a_total{reason!~"x|y"}[1h])) / on (namespace) group_left () b_total >= 10`: {"a_total", "b_total"},
		`(x unless x offset 1h) or rate(y[5m]) > bool 0.5`:                                                               {"x", "x", "y"},
		`time() - max(kube_pod_info)`: {"kube_pod_info"},
	} {
		if got := metricsOf(query); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", query, got, want)
		}
	}
}
