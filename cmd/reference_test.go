package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/soundcheck-io/latency-operator/internal/metrics"
	"github.com/soundcheck-io/latency-operator/internal/outbox"
	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

func reference(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../docs/reference.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

func TestReferenceHasEverySetting(t *testing.T) {
	page := reference(t)
	parser, err := kong.New(&options{}, kong.Vars{"version": "v"})
	if err != nil {
		t.Fatal(err)
	}
	known := []string{"SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_ACCESS_TOKEN", "SPOOL_DIR", "POD_NAME", "POD_UID", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"}
	for _, flag := range parser.Model.Flags {
		if flag.Name == "help" {
			continue
		}
		row := regexp.MustCompile("(?m)^.*`--" + flag.Name + "`.*$").FindString(page)
		known = append(append(known, "--"+flag.Name), flag.Envs...)
		for _, part := range append([]string{flag.Default}, flag.Envs...) {
			if part != "" && !strings.Contains(row, "`"+part+"`") {
				t.Errorf("the row of --%s lacks %q: %q", flag.Name, part, row)
			}
		}
		if row == "" {
			t.Errorf("--%s is missing", flag.Name)
		}
	}
	for _, m := range regexp.MustCompile("`(--[a-z-]+|[A-Z]+_[A-Z_]+)`").FindAllStringSubmatch(page, -1) {
		if !slices.Contains(known, m[1]) {
			t.Errorf("%s does not exist", m[1])
		}
	}
}

func TestReferenceHasEveryMetric(t *testing.T) {
	page := reference(t)
	registry := prometheus.NewRegistry()
	m := metrics.New(registry)
	m.Polled(sample.Success, 0, 0, time.Now())
	m.Requested("x", 200, 0)
	metrics.Collect(registry, metrics.Sources{
		Version: "v1", OutboxLimit: 1,
		Outbox:   func() outbox.Status { return outbox.Status{} },
		Key:      func() (supabase.KeyInfo, bool) { return supabase.KeyInfo{Expires: time.Now()}, false },
		Phases:   func() map[string]int { return map[string]int{"Running": 1} },
		Missing:  func() int { return 0 },
		InFlight: func() int { return 0 }, Waiting: func() int { return 0 }, Replicas: func() int { return 1 },
		Now: time.Now,
	})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var served []string
	for _, family := range families {
		var labels []string
		for _, label := range family.GetMetric()[0].GetLabel() {
			labels = append(labels, label.GetName())
		}
		name := family.GetName()
		if len(labels) > 0 {
			slices.Sort(labels)
			name += "{" + strings.Join(labels, ",") + "}"
		}
		served = append(served, name)
	}
	var written []string
	for _, found := range regexp.MustCompile("(?m)^\\| `(soundcheck_[a-z_]+)(?:\\{([a-z,]+)\\})?`").FindAllStringSubmatch(page, -1) {
		name := found[1]
		if found[2] != "" {
			labels := strings.Split(found[2], ",")
			slices.Sort(labels)
			name += "{" + strings.Join(labels, ",") + "}"
		}
		written = append(written, name)
	}
	for _, name := range served {
		if !slices.Contains(written, name) {
			t.Errorf("%s is missing", name)
		}
	}
	for _, name := range written {
		if !slices.Contains(served, name) {
			t.Errorf("%s does not exist", name)
		}
	}
}

func TestReferenceHasEveryConditionAndEvent(t *testing.T) {
	page := reference(t)
	for file, prefixes := range map[string][]string{
		"../api/v1alpha1/conditions.go": {"Condition", "Reason"},
		"../controllers/events.go":      {"Event"},
		"../controllers/herald.go":      {"Event"},
	} {
		names := constants(t, file, prefixes)
		if len(names) == 0 {
			t.Errorf("%s has no constants any more", file)
		}
		for _, name := range names {
			if !strings.Contains(page, "`"+name+"`") {
				t.Errorf("%s of %s is missing", name, file)
			}
		}
	}
}

// constants lists the values of a file's text constants whose names begin with one of the prefixes.
func constants(t *testing.T, file string, prefixes []string) (values []string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(spec.Names[0].Name, p) }) {
			return true
		}
		if literal, ok := spec.Values[0].(*ast.BasicLit); ok && literal.Kind == token.STRING {
			value, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			values = append(values, value)
		}
		return true
	})
	return values
}
