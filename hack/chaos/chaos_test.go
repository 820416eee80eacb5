package main

import (
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
)

// TestChaos is the short run: what matters most, with a seed that stays the same.
func TestChaos(t *testing.T) {
	ctrl.SetLogger(logr.Discard())
	opts := options{Seed: 1, Jobs: 18, backdate: time.Minute, share: 0.3, Only: []string{
		"sigkill-in-outage", "answer-lost", "api-refused+supabase-5xx-html", "replica-drain", "edit+suspend+cancel",
	}}
	result, err := run(t.Context(), opts, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	if err := result.print(&table, false); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + table.String())
	if !result.Kept {
		t.Fail()
	}
}
