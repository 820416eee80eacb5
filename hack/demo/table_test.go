package main

import (
	"encoding/json"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func table(t *testing.T, body string) *metav1.Table {
	t.Helper()
	var table metav1.Table
	if err := json.Unmarshal([]byte(body), &table); err != nil {
		t.Fatal(err)
	}
	return &table
}

const twoJobs = `{
	"columnDefinitions": [
		{"name": "Name", "type": "string", "format": "name"}, {"name": "Target", "type": "string"},
		{"name": "Samples", "type": "integer"}, {"name": "Message", "type": "string", "priority": 1}],
	"rows": [{"cells": ["1a-b", "10.0.0.1", 12, "Measuring"]}, {"cells": ["2a-b", null, 0, "Waiting"]}]}`

func TestKubectlTable(t *testing.T) {
	names := map[string]string{"1a-b": "good", "2a-b": "later"}
	for name, tc := range map[string]struct {
		body  string
		width int
		want  []string
	}{
		"as kubectl": {twoJobs, 0, []string{
			"JOB     NAME   TARGET     SAMPLES",
			"good    1a-b   10.0.0.1   12",
			"later   2a-b              0",
		}},
		"where it just fits": {twoJobs, 33, []string{
			"JOB     NAME   TARGET     SAMPLES",
			"good    1a-b   10.0.0.1   12",
			"later   2a-b              0",
		}},
		"where it does not fit": {twoJobs, 32, []string{
			"JOB     TARGET     SAMPLES",
			"good    10.0.0.1   12",
			"later              0",
		}},
		"nothing": {`{}`, 0, []string{"No resources found"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := kubectlTable(table(t, tc.body), names, tc.width); strings.Join(got, "\n") != strings.Join(tc.want, "\n") {
				t.Errorf("got\n%s", strings.Join(got, "\n"))
			}
		})
	}
}

func TestFit(t *testing.T) {
	for name, tc := range map[string]struct {
		width, height int
		want          string
	}{
		"all":          {10, 10, "abcdef|ghi|ü"},
		"no limit":     {0, 0, "abcdef|ghi|ü"},
		"narrow":       {6, 10, "abcd…|ghi|ü"},
		"low":          {10, 3, "abcdef|ghi"},
		"exactly":      {7, 4, "abcdef|ghi|ü"},
		"next to none": {2, 2, "…"},
	} {
		if got := strings.Join(fit([]string{"abcdef", "ghi", "ü"}, tc.width, tc.height), "|"); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}

func TestRedrawWritesOnlyWhatChanged(t *testing.T) {
	for name, tc := range map[string]struct {
		before, after []string
		want          string
	}{
		"first":  {nil, []string{"a", "b"}, "\r\x1b[2Ka\r\n\r\x1b[2Kb\r\n"},
		"same":   {[]string{"a", "b"}, []string{"a", "b"}, "\x1b[2A\r\n\r\n"},
		"change": {[]string{"a", "b"}, []string{"a", "c"}, "\x1b[2A\r\n\r\x1b[2Kc\r\n"},
		"grow":   {[]string{"a"}, []string{"a", "b"}, "\x1b[1A\r\n\r\x1b[2Kb\r\n"},
		"shrink": {[]string{"a", "b"}, []string{"a"}, "\x1b[2A\r\n\x1b[J"},
	} {
		if got := redraw(tc.before, tc.after); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

func TestQuote(t *testing.T) {
	for given, want := range map[string]string{
		"/tmp/a-b_c.d":   "/tmp/a-b_c.d",
		"/my files/x":    "'/my files/x'",
		"http://h/?a&b":  "'http://h/?a&b'",
		"/it's/here too": `'/it'\''s/here too'`,
	} {
		if got := quote(given); got != want {
			t.Errorf("%s: %s, want %s", given, got, want)
		}
	}
}
