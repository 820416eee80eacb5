// Package metrics is what the operator tells Prometheus. Every name, its labels and its meaning are here.
package metrics

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/soundcheck-io/latency-operator/internal/ledger"
	"github.com/soundcheck-io/latency-operator/internal/outbox"
	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

const namespace = "soundcheck"

// Metrics is told what happens and counts it. It is safe for concurrent use.
type Metrics struct {
	polls        map[sample.Status]prometheus.Counter
	pollDuration prometheus.Histogram
	lateness     prometheus.Histogram
	unmeasured   [ledger.Reasons]prometheus.Counter
	lastPoll     prometheus.Gauge
	statusWrites prometheus.Counter

	stored   prometheus.Counter
	known    prometheus.Counter
	rejected prometheus.Counter
	dropped  *prometheus.CounterVec

	requests        *prometheus.CounterVec
	requestDuration *prometheus.HistogramVec
	skew            prometheus.Gauge

	lastSync    prometheus.Gauge
	invalidRows prometheus.Gauge
}

// New registers the metrics.
func New(registry prometheus.Registerer) *Metrics {
	polls := counterVec("polls_total", "Polls that yielded a sample, by its status.", "status")
	unmeasured := counterVec("slots_unmeasured_total", "Slots in which nobody asked, by reason.", "reason")
	m := &Metrics{
		polls: map[sample.Status]prometheus.Counter{},
		pollDuration: histogram("poll_duration_seconds", "How long SpreeDB took to answer a poll.",
			[]float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}),
		lateness: histogram("slot_lateness_seconds", "How long after its due time a slot was polled.",
			[]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}),
		lastPoll:     gauge("last_poll_timestamp_seconds", "When the newest poll that yielded a sample ended."),
		statusWrites: counter("status_writes_total", "Statuses of LatencyJobs written to the API server."),

		stored:   counter("samples_stored_total", "Samples that the database accepted."),
		known:    counter("samples_known_total", "Samples that the database had already: sent again, or measured by another replica too."),
		rejected: counter("samples_rejected_total", "Samples that the database will never accept; they are logged and set aside."),
		dropped:  counterVec("outbox_dropped_samples_total", "Samples given up before the database had them, by reason.", "reason"),

		requests: counterVec("supabase_requests_total", "Requests to Supabase, by operation and status of the answer (0: none came).", "operation", "code"),
		requestDuration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "supabase_request_duration_seconds", Help: "How long Supabase took to answer, by operation.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15},
		}, []string{"operation"}),
		skew: gauge("clock_skew_seconds", "How far this machine's clock is ahead of Supabase's, to about a second."),

		lastSync:    gauge("sync_last_success_timestamp_seconds", "When the jobs table was last compared with the LatencyJobs; 0 in a process that does not mirror."),
		invalidRows: gauge("sync_invalid_rows", "Running rows that cannot be measured as they stand."),
	}
	for _, status := range []sample.Status{sample.Success, sample.Missed, sample.SystemError} {
		m.polls[status] = polls.WithLabelValues(string(status))
	}
	for reason := range ledger.Reasons {
		m.unmeasured[reason] = unmeasured.WithLabelValues(reason.String())
	}
	for _, reason := range []string{outbox.DropFull, outbox.DropJobGone, outbox.DropShutdown, outbox.DropUnreadable} {
		m.dropped.WithLabelValues(reason)
	}
	registry.MustRegister(polls, unmeasured, m.pollDuration, m.lateness, m.lastPoll, m.statusWrites,
		m.stored, m.known, m.rejected, m.dropped, m.requests, m.requestDuration, m.skew, m.lastSync, m.invalidRows)
	return m
}

// Polled counts a poll that yielded a sample.
func (m *Metrics) Polled(status sample.Status, lateness, took time.Duration, at time.Time) {
	m.polls[status].Inc()
	m.lateness.Observe(lateness.Seconds())
	m.pollDuration.Observe(took.Seconds())
	m.lastPoll.Set(seconds(at))
}

// Unmeasured counts slots in which nobody asked.
func (m *Metrics) Unmeasured(why ledger.Reason, slots int64) { m.unmeasured[why].Add(float64(slots)) }

// StatusWritten counts a status written to the API server.
func (m *Metrics) StatusWritten() { m.statusWrites.Inc() }

// Synced notes a sync that went through.
func (m *Metrics) Synced(at time.Time, invalid int) {
	m.lastSync.Set(seconds(at))
	m.invalidRows.Set(float64(invalid))
}

// Stored counts samples that the database accepted.
func (m *Metrics) Stored(n int) { m.stored.Add(float64(n)) }

// Known counts those of them that it had already.
func (m *Metrics) Known(n int) { m.known.Add(float64(n)) }

// Rejected counts samples that it never will.
func (m *Metrics) Rejected(n int) { m.rejected.Add(float64(n)) }

// Dropped counts samples that were given up.
func (m *Metrics) Dropped(reason string, n int) { m.dropped.WithLabelValues(reason).Add(float64(n)) }

// Requested counts a request to Supabase.
func (m *Metrics) Requested(op string, status int, took time.Duration) {
	m.requests.WithLabelValues(op, strconv.Itoa(status)).Inc()
	m.requestDuration.WithLabelValues(op).Observe(took.Seconds())
}

// ClockSkew notes how far our clock is ahead of Supabase's.
func (m *Metrics) ClockSkew(ahead time.Duration) { m.skew.Set(ahead.Seconds()) }

// Sources is what is read when Prometheus asks.
type Sources struct {
	// Version is the program's.
	Version string
	// OutboxLimit is how much disk the outbox takes at most, in bytes.
	OutboxLimit int64
	// Outbox is how the outbox stands.
	Outbox func() outbox.Status
	// Key describes the Supabase key, and whether Supabase refuses it.
	Key func() (info supabase.KeyInfo, refused bool)
	// Missing counts the columns that the database lacks.
	Missing func() int
	// Phases counts the jobs of this process by phase.
	Phases func() map[string]int
	// InFlight counts the polls that run, and Waiting the jobs whose poll the limits leave no room for.
	InFlight, Waiting func() int
	// Replicas counts the processes that share the jobs.
	Replicas func() int
	// Now is the present.
	Now func() time.Time
}

// collector reads Sources at each scrape.
type collector struct {
	sources                                      Sources
	held, bytes, age, key, expiry, jobs, missing *prometheus.Desc
	inFlight, waiting, replicas, build, limit    *prometheus.Desc
}

// Collect registers what is read at each scrape.
func Collect(registry prometheus.Registerer, sources Sources) {
	describe := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
	}
	registry.MustRegister(&collector{
		sources: sources,
		held:    describe("outbox_samples", "Samples measured that the database does not have yet."),
		bytes:   describe("outbox_bytes", "Disk that they take; it is given back some megabytes at a time."),
		limit:   describe("outbox_limit_bytes", "Disk that they may take; the oldest are given up for newer ones."),
		age:     describe("outbox_oldest_sample_age_seconds", "Age of the oldest of them; 0 without one."),
		key:     describe("supabase_key_info", "The Supabase key in use: 1, or 0 while it is refused or cannot work.", "kind", "role"),
		expiry:  describe("supabase_key_expiry_timestamp_seconds", "When the Supabase key or token ends; absent when it does not say."),
		missing: describe("schema_missing_columns", "Columns that the database lacks and the operator does without."),
		jobs:    describe("jobs", "LatencyJobs that this process knows, by phase.", "phase"),

		build:    describe("build_info", "The program's version; always 1.", "version"),
		inFlight: describe("polls_in_flight", "Polls that run."),
		waiting:  describe("polls_waiting", "Jobs whose poll waits because of the limits that protect SpreeDB."),
		replicas: describe("replicas", "Processes that share the jobs, as far as this one knows."),
	})
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{c.held, c.bytes, c.age, c.key, c.expiry, c.jobs, c.missing, c.inFlight, c.waiting, c.replicas, c.build, c.limit} {
		ch <- desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v, labels...)
	}
	box := c.sources.Outbox()
	gauge(c.held, float64(box.Held))
	gauge(c.bytes, float64(box.Bytes))
	gauge(c.limit, float64(c.sources.OutboxLimit))
	gauge(c.build, 1, c.sources.Version)
	age := 0.0
	if !box.Oldest.IsZero() {
		age = max(0, c.sources.Now().Sub(box.Oldest).Seconds())
	}
	gauge(c.age, age)
	info, refused := c.sources.Key()
	works := 1.0
	if refused {
		works = 0
	}
	gauge(c.key, works, info.Kind, info.Role)
	if !info.Expires.IsZero() {
		gauge(c.expiry, seconds(info.Expires))
	}
	gauge(c.inFlight, float64(c.sources.InFlight()))
	gauge(c.waiting, float64(c.sources.Waiting()))
	gauge(c.replicas, float64(c.sources.Replicas()))
	gauge(c.missing, float64(c.sources.Missing()))
	for phase, n := range c.sources.Phases() {
		gauge(c.jobs, float64(n), phase)
	}
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
}

func counterVec(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

func gauge(name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help})
}

func histogram(name, help string, buckets []float64) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets})
}
