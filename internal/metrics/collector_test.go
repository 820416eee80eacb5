package metrics

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/soundcheck-io/latency-operator/internal/outbox"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

// gathered gives the values of a scrape by name and the values of the labels.
func gathered(t *testing.T, s Sources) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	Collect(registry, s)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			for _, label := range m.GetLabel() {
				name += " " + label.GetValue()
			}
			values[name] = m.GetGauge().GetValue()
		}
	}
	return values
}

func TestAScrapeTellsHowThingsStand(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	number := func(n int) func() int { return func() int { return n } }
	s := Sources{
		Version: "v1", OutboxLimit: 512 << 20, Now: func() time.Time { return now },
		Outbox: func() outbox.Status { return outbox.Status{Held: 7, Bytes: 420, Oldest: now.Add(-time.Minute)} },
		Key: func() (supabase.KeyInfo, bool) {
			return supabase.KeyInfo{Kind: "jwt", Role: "latency_operator", Expires: now.Add(time.Hour)}, true
		},
		Missing: number(2), InFlight: number(3), Waiting: number(4), Replicas: number(5), DueRate: func() float64 { return 0.6 },
		Troubles: func() map[string]bool { return map[string]bool{"KeyRefused": true, "SpoolUnavailable": false} },
		Phases:   func() map[string]int { return map[string]int{"Running": 6, "Waiting": 1} },
	}
	want := map[string]float64{
		"soundcheck_build_info v1":  1,
		"soundcheck_outbox_samples": 7, "soundcheck_outbox_bytes": 420, "soundcheck_outbox_limit_bytes": 512 << 20, "soundcheck_outbox_oldest_sample_age_seconds": 60,
		"soundcheck_supabase_key_info jwt latency_operator": 0, "soundcheck_supabase_key_expiry_timestamp_seconds": 1_800_003_600,
		"soundcheck_schema_missing_columns": 2, "soundcheck_trouble KeyRefused": 1, "soundcheck_trouble SpoolUnavailable": 0,
		"soundcheck_polls_in_flight": 3, "soundcheck_polls_waiting": 4, "soundcheck_replicas": 5, "soundcheck_slots_due_per_second": 0.6,
		"soundcheck_jobs Running": 6, "soundcheck_jobs Waiting": 1,
	}
	if diff := cmp.Diff(want, gathered(t, s)); diff != "" {
		t.Error(diff)
	}
}

// An empty outbox has no age, a sample from the future none below zero, and a key that does not end no end.
func TestWhatIsNotThereIsZeroOrAbsent(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	zero := func() int { return 0 }
	s := Sources{
		Now: func() time.Time { return now }, Outbox: func() outbox.Status { return outbox.Status{} },
		Key:     func() (supabase.KeyInfo, bool) { return supabase.KeyInfo{Kind: "secret", Role: "service_role"}, false },
		Missing: zero, InFlight: zero, Waiting: zero, Replicas: zero, DueRate: func() float64 { return 0 },
		Troubles: func() map[string]bool { return nil }, Phases: func() map[string]int { return nil },
	}
	for name, oldest := range map[string]time.Time{"none": {}, "from the future": now.Add(time.Second)} {
		s.Outbox = func() outbox.Status { return outbox.Status{Oldest: oldest} }
		got := gathered(t, s)
		if age, ok := got["soundcheck_outbox_oldest_sample_age_seconds"]; !ok || age != 0 {
			t.Errorf("%s: the age is %v", name, age)
		}
		if _, ok := got["soundcheck_supabase_key_expiry_timestamp_seconds"]; ok || got["soundcheck_supabase_key_info secret service_role"] != 1 {
			t.Errorf("a key without an end that works: %v", got)
		}
	}
}
