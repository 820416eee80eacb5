//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/yaml"

	"github.com/soundcheck-io/latency-operator/internal/child"
)

const (
	rulesFile    = "config/components/monitoring/prometheusrule.yaml"
	absenceAlert = "LatencyOperatorAbsent"
	// pace is how often Prometheus scrapes, evaluates and looks for pods; an alert is due that long after its cause.
	pace = time.Second
)

// alerts runs a Prometheus on this machine beside the cluster, with the alert rules of the monitoring component, and takes the
// operator away.
func (s *suite) alerts(t *testing.T) {
	program, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("there is no program prometheus on the PATH (Debian: apt-get install prometheus)")
	}
	p := &prometheus{t: t, relay: s.relay(t)}
	p.start(program, s.impatientRules(t))

	g, ctx := NewWithT(t), t.Context()
	workload := s.workload(t)
	scale := func(replicas int) {
		_, _, err := s.kubectlRun(ctx, "-n", s.namespace, "scale", workload, fmt.Sprintf("--replicas=%d", replicas))
		g.Expect(err).NotTo(HaveOccurred())
	}
	g.Eventually(p.reporting).WithTimeout(patience).WithPolling(pace).Should(Equal(1), "replicas that report to Prometheus")
	// Whatever would fire now has had the time to.
	g.Eventually(p.evaluated).WithTimeout(patience).WithPolling(pace).Should(BeTemporally(">", time.Now().Add(3*pace)))
	g.Expect(p.firing()).NotTo(ContainElement(absenceAlert), "while the operator is there")

	began := time.Now()
	scale(0)
	g.Eventually(p.firing).WithTimeout(patience).WithPolling(pace).Should(ContainElement(absenceAlert))
	t.Logf("%s fires %.0f s after the operator was scaled to 0, with every `for` cut to %s", absenceAlert, time.Since(began).Seconds(), pace)
	scale(1)
	g.Eventually(p.firing).WithTimeout(patience).WithPolling(pace).ShouldNot(ContainElement(absenceAlert))
	t.Logf("it is over once there is a replica again")
	s.awaitOutcomes(t, s.jobs.steady)
}

// impatientRules writes the rules as Prometheus reads them, without the Kubernetes resource around them, and for the namespace of
// the test as kustomize would. Every alert is due at once: that each waits as long as it should is tested with promtool.
func (s *suite) impatientRules(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(s.root, rulesFile))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("there is no %s", rulesFile)
	}
	if err != nil {
		t.Fatal(err)
	}
	var resource struct {
		Spec struct {
			Groups []map[string]any `json:"groups"`
		} `json:"spec"`
	}
	raw = bytes.ReplaceAll(raw, []byte(`namespace="latency-operator-system"`), fmt.Appendf(nil, "namespace=%q", s.namespace))
	if err := yaml.Unmarshal(raw, &resource); err != nil {
		t.Fatal(err)
	}
	for _, group := range resource.Spec.Groups {
		delete(group, "interval")
		rules, _ := group["rules"].([]any)
		for _, r := range rules {
			if rule, ok := r.(map[string]any); ok && rule["alert"] != nil {
				rule["for"] = pace.String()
				delete(rule, "keep_firing_for")
			}
		}
	}
	return writeYAML(t, map[string]any{"groups": resource.Spec.Groups})
}

func writeYAML(t *testing.T, value any) string {
	t.Helper()
	out, err := yaml.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "file.yaml")
	if err := os.WriteFile(path, out, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// relay stands between a Prometheus outside the cluster and the pods. It tells which pods there are, as the API server
// tells a Prometheus inside, and passes on what they say to whoever may read metrics.
func (s *suite) relay(t *testing.T) string {
	t.Helper()
	token := s.scraper(t)
	mux := http.NewServeMux()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	here := listener.Addr().String()
	mux.HandleFunc("GET /targets", func(w http.ResponseWriter, r *http.Request) {
		pods, err := s.pods(r.Context(), operatorSelector)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		targets := []any{}
		for _, p := range pods {
			targets = append(targets, map[string]any{"targets": []string{here}, "labels": map[string]string{
				"__metrics_path__": "/pods/" + p.Name, "job": metricsService, "namespace": s.namespace, "pod": p.Name, "instance": p.Name,
				"service": metricsService, "endpoint": "https", "container": "manager",
			}})
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(targets) // a Prometheus that went away asks again
	})
	mux.HandleFunc("GET /pods/{name}", func(w http.ResponseWriter, r *http.Request) {
		status, body, err := s.readMetrics(r.Context(), r.PathValue("name"), token)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body)) // likewise
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }() // it ends with Close
	t.Cleanup(func() { _ = server.Close() })
	return here
}

// prometheus is one on this machine.
type prometheus struct {
	t          *testing.T
	relay, url string
}

// start returns at once; the program ends with the test.
func (p *prometheus) start(program, rules string) {
	p.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close() // for Prometheus to take
	config := writeYAML(p.t, map[string]any{
		"global":     map[string]any{"scrape_interval": pace.String(), "scrape_timeout": pace.String(), "evaluation_interval": pace.String()},
		"rule_files": []string{rules},
		"scrape_configs": []any{map[string]any{
			"job_name":        metricsService,
			"http_sd_configs": []any{map[string]any{"url": "http://" + p.relay + "/targets", "refresh_interval": pace.String()}},
		}},
	})
	var log strings.Builder
	cmd := exec.CommandContext(context.WithoutCancel(p.t.Context()), program, "--config.file="+config, "--storage.tsdb.path="+p.t.TempDir(),
		"--web.listen-address="+address, "--log.level=warn")
	cmd.Stdout, cmd.Stderr = &log, &log
	process, err := child.Start(cmd, syscall.SIGKILL)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		process.Stop(5*time.Second, os.Interrupt)
		if p.t.Failed() {
			p.t.Logf("Prometheus says:\n%s", log.String())
		}
	})
	p.url = "http://" + address
}

// ask calls Prometheus's API and decodes what is below "data".
func (p *prometheus) ask(path string, data any) error {
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.url+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	answer := struct {
		Data any `json:"data"`
	}{data}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s: status %d: %w", path, resp.StatusCode, err)
	}
	return nil
}

// firing are the names of the alerts that fire.
func (p *prometheus) firing() ([]string, error) {
	var data struct {
		Alerts []struct {
			Labels map[string]string `json:"labels"`
			State  string            `json:"state"`
		} `json:"alerts"`
	}
	if err := p.ask("/api/v1/alerts", &data); err != nil {
		return nil, err
	}
	var names []string
	for _, a := range data.Alerts {
		if a.State == "firing" {
			names = append(names, a.Labels["alertname"])
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// reporting is how many replicas' metrics have arrived.
func (p *prometheus) reporting() (int, error) {
	var data struct {
		Result []any `json:"result"`
	}
	err := p.ask("/api/v1/query?query=up%20%3D%3D%201", &data)
	return len(data.Result), err
}

// evaluated is the instant since which every rule has been evaluated.
func (p *prometheus) evaluated() (time.Time, error) {
	var data struct {
		Groups []struct {
			LastEvaluation time.Time `json:"lastEvaluation"`
		} `json:"groups"`
	}
	if err := p.ask("/api/v1/rules?type=alert", &data); err != nil {
		return time.Time{}, err
	}
	if len(data.Groups) == 0 {
		return time.Time{}, errors.New("Prometheus has no rules")
	}
	oldest := data.Groups[0].LastEvaluation
	for _, g := range data.Groups {
		if g.LastEvaluation.Before(oldest) {
			oldest = g.LastEvaluation
		}
	}
	return oldest, nil
}
