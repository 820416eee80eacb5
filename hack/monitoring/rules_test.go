package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// ruleFile is the part of a PrometheusRule that Prometheus reads, and with it promtool.
type ruleFile struct {
	Groups []struct {
		Name  string `json:"name"`
		Rules []rule `json:"rules"`
	} `json:"groups"`
}

type rule struct {
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	For         string            `json:"for,omitempty"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// load takes the rules out of the PrometheusRule.
func load(t *testing.T) ruleFile {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, "config/components/monitoring/prometheusrule.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var object struct {
		Kind string   `json:"kind"`
		Spec ruleFile `json:"spec"`
		// what kubectl reads and Prometheus does not
		APIVersion string `json:"apiVersion"`
		Metadata   any    `json:"metadata"`
	}
	if err := yaml.UnmarshalStrict(raw, &object); err != nil {
		t.Fatal(err)
	}
	if object.Kind != "PrometheusRule" || len(object.Spec.Groups) == 0 {
		t.Fatalf("a %s with %d groups", object.Kind, len(object.Spec.Groups))
	}
	return object.Spec
}

func (f ruleFile) rules() (all []rule) {
	for _, group := range f.Groups {
		all = append(all, group.Rules...)
	}
	return all
}

func (f ruleFile) alerts() (names []string) {
	for _, r := range f.rules() {
		names = append(names, r.Alert)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// put writes the rules, with the annotations of the given names, to where promtool looks for them.
func (f ruleFile) put(t *testing.T, dir string, annotations ...string) {
	t.Helper()
	for g := range f.Groups {
		for r := range f.Groups[g].Rules {
			kept := map[string]string{}
			for _, name := range annotations {
				kept[name] = f.Groups[g].Rules[r].Annotations[name]
			}
			f.Groups[g].Rules[r].Annotations = kept
		}
	}
	raw, err := yaml.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "rules.yaml"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// promtool runs it in a folder.
func promtool(t *testing.T, dir string, args ...string) {
	t.Helper()
	provide := exec.CommandContext(t.Context(), filepath.Join(root, "hack/promtool.sh"))
	var errs bytes.Buffer
	provide.Stderr = &errs
	path, err := provide.Output()
	if err != nil {
		t.Fatalf("promtool cannot be had: %v\n%s", err, &errs)
	}
	cmd := exec.CommandContext(t.Context(), strings.TrimSpace(string(path)), args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args[:2], " "), err, out)
	}
}

func copyTo(t *testing.T, dir string, files ...string) {
	t.Helper()
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRulesAreValid(t *testing.T) {
	dir := t.TempDir()
	load(t).put(t, dir, "summary", "description", "runbook_url")
	promtool(t, dir, "check", "rules", "rules.yaml")
}

// played is what of a promtool test says which alerts it is about.
type played struct {
	Tests []struct {
		Name  string `json:"name"`
		Cases []struct {
			Alert string `json:"alertname"`
			Want  []any  `json:"exp_alerts"`
		} `json:"alert_rule_test"`
	} `json:"tests"`
}

// Each alert is played in a file of its name: when it fires, and what must not make it fire.
func TestRulesFireWhenTheyShouldAndOnlyThen(t *testing.T) {
	dir := t.TempDir()
	rules := load(t)
	files, err := filepath.Glob("testdata/rules/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		names = append(names, filepath.Base(file))
		var content played
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(raw, &content); err != nil {
			t.Fatal(err)
		}
		fires, quiet := false, false
		for _, test := range content.Tests {
			loud := false
			for _, c := range test.Cases {
				if c.Alert+".yaml" != filepath.Base(file) {
					t.Errorf("%s is about %s", file, c.Alert)
				}
				loud = loud || len(c.Want) > 0
			}
			fires, quiet = fires || loud, quiet || !loud
		}
		if !fires || !quiet {
			t.Errorf("%s lacks a test in which it fires, or one in which it does not", file)
		}
	}
	var want []string
	for _, alert := range rules.alerts() {
		want = append(want, alert+".yaml")
	}
	if !slices.Equal(names, want) {
		t.Errorf("played are %v, want %v", names, want)
	}
	copyTo(t, dir, files...)
	rules.put(t, dir)
	promtool(t, dir, append([]string{"test", "rules"}, names...)...)
}

// What is filled into the texts reads as it should.
func TestRulesTellWhatHappened(t *testing.T) {
	dir := t.TempDir()
	load(t).put(t, dir, "summary", "description")
	copyTo(t, dir, "testdata/texts.yaml")
	promtool(t, dir, "test", "rules", "texts.yaml")
}

func TestRulesAskForMetricsThatExist(t *testing.T) {
	all := known(t)
	for _, r := range load(t).rules() {
		checkQuery(t, all, r.Alert, r.Expr)
	}
}

var aggregation = regexp.MustCompile(`\b(?:sum|min|max|avg|count|group)\b *(.{0,13})`)

func TestRulesSayWhatTheyMeanAndWhatToDo(t *testing.T) {
	const base = "https://github.com/soundcheck-io/latency-operator/blob/main/docs/runbooks/"
	for _, r := range load(t).rules() {
		if severity := r.Labels["severity"]; severity != "critical" && severity != "warning" {
			t.Errorf("%s has the severity %q", r.Alert, severity)
		}
		if len(r.Labels) != 1 {
			t.Errorf("%s has labels besides the severity: %v", r.Alert, r.Labels)
		}
		if url := r.Annotations["runbook_url"]; url != fmt.Sprintf("%s%s.md", base, r.Alert) {
			t.Errorf("%s has the runbook %s", r.Alert, url)
		}
		if summary := r.Annotations["summary"]; !strings.HasSuffix(summary, ".") || len(summary) > 120 {
			t.Errorf("the summary of %s is no short sentence: %q", r.Alert, summary)
		}
		if description := r.Annotations["description"]; !strings.HasSuffix(description, ".") || !strings.Contains(strings.ToLower(description), "technicians") {
			t.Errorf("the description of %s does not say what it means for technicians: %q", r.Alert, description)
		}
		for _, found := range aggregation.FindAllStringSubmatch(r.Expr, -1) {
			if !strings.HasPrefix(found[1], "by (namespace") {
				t.Errorf("%s drops the namespace, by which alerts find their readers", r.Alert)
			}
		}
	}
}
