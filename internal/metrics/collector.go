package metrics

import (
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/soundcheck-io/latency-operator/internal/outbox"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

// Sources is what is read when Prometheus asks.
type Sources struct {
	// Version is the program's.
	Version string
	// Outbox is how the outbox stands.
	Outbox func() outbox.Status
	// OutboxLimit is how many bytes of disk it may take.
	OutboxLimit int64
	// Key describes the Supabase key, and whether Supabase refuses it.
	Key func() (info supabase.KeyInfo, refused bool)
	// Missing counts the columns that the database lacks.
	Missing func() int
	// Troubles tells of each trouble that hits every job at once whether there is it now, by the reason of its event.
	Troubles func() map[string]bool
	// Phases counts the jobs of this process by phase.
	Phases func() map[string]int
	// DueRate is how many slots of these came due in a second of the last minute.
	DueRate func() float64
	// InFlight counts the polls that run, and Waiting the jobs whose poll the limits leave no room for.
	InFlight, Waiting func() int
	// Replicas counts the processes that share the jobs.
	Replicas func() int
	// Now is the present.
	Now func() time.Time
}

// collector reads Sources at each scrape.
type collector struct {
	sources Sources
	descs   []*prometheus.Desc

	build, held, bytes, limit, age, key, expiry, missing, troubles *prometheus.Desc
	jobs, dueRate, inFlight, waiting, replicas                     *prometheus.Desc
}

// Collect registers what is read at each scrape.
func Collect(registry prometheus.Registerer, sources Sources) {
	c := &collector{sources: sources}
	describe := func(name, help string, labels ...string) *prometheus.Desc {
		desc := prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
		c.descs = append(c.descs, desc)
		return desc
	}
	c.build = describe("build_info", "Always 1; the label is the operator's version.", "version")

	c.held = describe("outbox_samples", "Samples, and gaps, that the database does not have yet.")
	c.bytes = describe("outbox_bytes", "Disk that samples take which the database does not have yet; it is given back some megabytes at a time.")
	c.limit = describe("outbox_limit_bytes", "Disk that samples which the database does not have yet may take at most; beyond it the oldest are given up for newer ones.")
	c.age = describe("outbox_oldest_sample_age_seconds", "Age of the oldest sample that the database does not have yet; 0 when there is none.")

	c.key = describe("supabase_key_info", "The Supabase key or token in use: 1, or 0 while it is refused or cannot work, so that nothing is stored. "+
		"The role is empty when the key does not tell.", "kind", "role")
	c.expiry = describe("supabase_key_expiry_timestamp_seconds", "When the Supabase key or token ends; absent when it does not say.")
	c.missing = describe("schema_missing_columns", "Columns and tables that the database lacks and the operator does without; apply the migrations.")
	c.troubles = describe("trouble", "1 while this replica has a trouble that hits all its jobs at once, else 0; the reasons are those of the events on the operator's pod.", "reason")

	c.jobs = describe("jobs", "LatencyJobs that this replica looks after, by phase. Each job is one replica's, so that the sum over the replicas is all of them.", "phase")
	c.dueRate = describe("slots_due_per_second", "Slots that came due in a second of the last minute, of the Running jobs that this replica looks after: what polls_total should have grown by.")
	c.inFlight = describe("polls_in_flight", "Polls that run.")
	c.waiting = describe("polls_waiting", "Jobs whose poll waits because of the limits that protect SpreeDB.")
	c.replicas = describe("replicas", "Replicas that share the jobs, as far as this one knows.")
	registry.MustRegister(c)
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range c.descs {
		ch <- desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v, labels...)
	}
	gauge(c.build, 1, c.sources.Version)
	box := c.sources.Outbox()
	gauge(c.held, float64(box.Held))
	gauge(c.bytes, float64(box.Bytes))
	gauge(c.limit, float64(c.sources.OutboxLimit))
	age := 0.0
	if !box.Oldest.IsZero() {
		age = max(0, c.sources.Now().Sub(box.Oldest).Seconds())
	}
	gauge(c.age, age)
	info, refused := c.sources.Key()
	gauge(c.key, bit(!refused), info.Kind, info.Role)
	if !info.Expires.IsZero() {
		gauge(c.expiry, seconds(info.Expires))
	}
	gauge(c.missing, float64(c.sources.Missing()))
	troubles := c.sources.Troubles()
	for _, reason := range slices.Sorted(maps.Keys(troubles)) {
		gauge(c.troubles, bit(troubles[reason]), reason)
	}
	for phase, n := range c.sources.Phases() {
		gauge(c.jobs, float64(n), phase)
	}
	gauge(c.dueRate, c.sources.DueRate())
	gauge(c.inFlight, float64(c.sources.InFlight()))
	gauge(c.waiting, float64(c.sources.Waiting()))
	gauge(c.replicas, float64(c.sources.Replicas()))
}

func bit(on bool) float64 {
	if on {
		return 1
	}
	return 0
}
