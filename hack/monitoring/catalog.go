package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/soundcheck-io/latency-operator/controllers"
	"github.com/soundcheck-io/latency-operator/internal/metrics"
	"github.com/soundcheck-io/latency-operator/internal/outbox"
	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

// metric is one of the operator's metrics.
type metric struct {
	name, help, kind string
	// labels are the names of its labels, and values what each can be where the code lists that.
	labels []string
	values map[string][]string
	// buckets are the upper bounds of a histogram's, without +Inf.
	buckets []float64
}

// catalog gives every metric that the operator registers, sorted by name. Names, help, labels and buckets are those of a
// registry that the operator's own code has filled; the values of labels that depend on what happens are read from the
// constants in the code below root, the repository.
func catalog(root string) ([]metric, error) {
	operations, err := constants(filepath.Join(root, "internal/supabase"), "Op")
	if err != nil {
		return nil, err
	}
	kinds, err := constants(filepath.Join(root, "internal/supabase"), "Kind")
	if err != nil {
		return nil, err
	}
	phases, err := constants(filepath.Join(root, "api/v1alpha1"), "Phase")
	if err != nil {
		return nil, err
	}
	families, err := filled(operations, phases).Gather()
	if err != nil {
		return nil, err
	}
	all := make([]metric, 0, len(families))
	for _, family := range families {
		m := describe(family)
		if slices.Contains(m.labels, "kind") {
			m.values["kind"] = kinds
		}
		for _, anything := range []string{"code", "role", "version"} { // decided elsewhere
			delete(m.values, anything)
		}
		all = append(all, m)
	}
	return all, nil
}

// filled is a registry with everything that the operator registers, in which everything has happened once.
func filled(operations, phases []string) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	m := metrics.New(registry)
	m.Polled(sample.Success, 0, 0, time.Unix(0, 0))
	for _, operation := range operations {
		m.Requested(operation, 200, 0)
	}
	jobs := map[string]int{}
	for _, phase := range phases {
		jobs[phase] = 1
	}
	zero := func() int { return 0 }
	metrics.Collect(registry, metrics.Sources{
		Version: "v", Outbox: func() outbox.Status { return outbox.Status{} },
		Key:    func() (supabase.KeyInfo, bool) { return supabase.KeyInfo{Expires: time.Unix(1, 0)}, false },
		Phases: func() map[string]int { return jobs }, Troubles: (&controllers.Herald{}).Troubles, DueRate: func() float64 { return 0 },
		Missing: zero, InFlight: zero, Waiting: zero, Replicas: zero, Now: func() time.Time { return time.Unix(0, 0) },
	})
	return registry
}

func describe(family *dto.MetricFamily) metric {
	m := metric{name: family.GetName(), help: family.GetHelp(), kind: strings.ToLower(family.GetType().String()), values: map[string][]string{}}
	for _, series := range family.GetMetric() {
		for _, label := range series.GetLabel() {
			m.values[label.GetName()] = append(m.values[label.GetName()], label.GetValue())
		}
	}
	m.labels = slices.Sorted(maps.Keys(m.values))
	for name, values := range m.values {
		slices.Sort(values)
		m.values[name] = slices.Compact(values)
	}
	for _, bucket := range family.GetMetric()[0].GetHistogram().GetBucket() {
		m.buckets = append(m.buckets, bucket.GetUpperBound())
	}
	return m
}

// constants gives the values of a package's exported text constants whose names begin with a prefix and go on with a capital.
func constants(folder, prefix string) (values []string, err error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			return nil, err
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 {
				return true
			}
			rest, ok := strings.CutPrefix(spec.Names[0].Name, prefix)
			literal, isLiteral := spec.Values[0].(*ast.BasicLit)
			if ok && isLiteral && literal.Kind == token.STRING && ast.IsExported(rest) {
				value, _ := strconv.Unquote(literal.Value) // which the parser has accepted
				values = append(values, value)
			}
			return true
		})
	}
	if len(values) == 0 {
		return nil, fmt.Errorf("%s has no constants that begin with %s: %w", folder, prefix, fs.ErrNotExist)
	}
	return values, nil
}
