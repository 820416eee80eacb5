// Command monitoring generates what is made of the operator's metrics: docs/metrics.md, and the dashboards for Grafana and for
// the console of OpenShift. `make dashboards` runs it. The tests beside it hold rules, runbooks and dashboards to the metrics
// that exist, and play the rules in promtool.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if err := write("."); err != nil {
		fmt.Fprintln(os.Stderr, "monitoring:", err)
		os.Exit(1)
	}
}

// write puts the generated files into the repository.
func write(root string) error {
	files, err := generate(root)
	if err != nil {
		return err
	}
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// generate gives the content of every generated file by its place below root, the repository.
func generate(root string) (map[string]string, error) {
	all, err := catalog(root)
	if err != nil {
		return nil, err
	}
	metricsPage, err := page(all)
	if err != nil {
		return nil, err
	}
	forGrafana, err := grafana(content())
	if err != nil {
		return nil, err
	}
	forConsole, err := console(content())
	if err != nil {
		return nil, err
	}
	return map[string]string{
		"docs/metrics.md": metricsPage,
		"config/components/grafana-dashboard/latency-operator.json": forGrafana,
		"config/components/console-dashboard/latency-operator.json": forConsole,
	}, nil
}
