// Package metrics is what the operator tells Prometheus. Every name, its labels and its meaning are here.
package metrics

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/soundcheck-io/latency-operator/internal/ledger"
	"github.com/soundcheck-io/latency-operator/internal/outbox"
	"github.com/soundcheck-io/latency-operator/internal/sample"
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
	polls := counterVec("polls_total", "Polls that yielded a sample, by its status: success; missed, the device did not answer, which counts as packet loss; "+
		"system_error, SpreeDB was asked and could not measure, which does not.", "status")
	unmeasured := counterVec("slots_unmeasured_total", "Slots that turned out to have no sample, by reason: OperatorDown, no operator polled the job; "+
		"Busy, the poll before was still running; Overload, the limits that protect SpreeDB were reached; Suspended, a person paused the job; NoTarget, there was no address to ask for. "+
		"Lost stays 0 here: samples that were measured and given up are counted as dropped or rejected.", "reason")
	m := &Metrics{
		polls: map[sample.Status]prometheus.Counter{},
		pollDuration: histogram("poll_duration_seconds", "How long SpreeDB took to answer a poll, or until the poll was given up.",
			[]float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}),
		lateness: histogram("slot_lateness_seconds", "How long after its due time a slot was polled.",
			[]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}),
		lastPoll:     gauge("last_poll_timestamp_seconds", "When the newest poll that yielded a sample ended; 0 before the first one of this process."),
		statusWrites: counter("status_writes_total", "Statuses of LatencyJobs written to the API server."),

		stored: counter("samples_stored_total", "Samples that the database accepted."),
		known:  counter("samples_known_total", "Those of the accepted samples that the database had already: they were sent again, or another replica measured them too."),
		rejected: counter("samples_rejected_total",
			"Samples, and gaps, that the database will never accept; they are logged and set aside, and their slots become gaps with the reason Lost."),
		dropped: counterVec("outbox_dropped_samples_total", "Samples given up before the database had them, by reason: full, the disk or memory for them, or the time that they may wait, was used up; "+
			"job_gone, their row in jobs was deleted; shutdown, the process ended while they were only in memory; unreadable, they could not be read back from the disk.", "reason"),

		requests: counterVec("supabase_requests_total", "Requests to Supabase, by operation and by the HTTP status of the answer; code 0 says that none came.", "operation", "code"),
		requestDuration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "supabase_request_duration_seconds", Help: "How long Supabase took to answer, or until the request was given up, by operation.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15},
		}, []string{"operation"}),
		skew: gauge("clock_skew_seconds", "How far this machine's clock is ahead of Supabase's, to about a second; negative when it is behind."),

		lastSync: gauge("sync_last_success_timestamp_seconds",
			"When the jobs table was last read and brought into the LatencyJobs; 0 in a replica that has not done that, since one of them does it for all."),
		invalidRows: gauge("sync_invalid_rows", "Running rows of the jobs table that cannot be measured as they stand, as this replica last saw them; why is in their monitor_message."),
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
