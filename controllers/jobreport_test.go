package controllers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	applyv1alpha1 "github.com/soundcheck-io/latency-operator/api/applyconfiguration/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/ledger"
	"github.com/soundcheck-io/latency-operator/internal/sample"
)

// samplesOf gives samples of a job with a slot every ten seconds, whose slots had these outcomes: s success, m missed, e system_error,
// and for each other sign none.
func samplesOf(outcomes string) (samples []sample.Sample) {
	grid := gridOf(specOf(nil))
	for i, outcome := range outcomes {
		s := sample.Sample{ScheduledAt: grid.Due(int64(i))}
		switch outcome {
		case 's':
			s.Status, s.RTT, s.Jitter = sample.Success, new(20+float64(i%10)), new(1.5)
		case 'm':
			s.Status = sample.Missed
		case 'e':
			s.Status = sample.SystemError
		default:
			continue
		}
		samples = append(samples, s)
	}
	return samples
}

// found is what was found of such a job.
func found(samples []sample.Sample) *findings {
	var expected ledger.Totals
	for i := range samples {
		switch samples[i].Status {
		case sample.Success:
			expected.Success++
		case sample.Missed:
			expected.Missed++
		}
	}
	f := newFindings(specOf(nil), start.Add(time.Minute), &expected)
	for i := range samples {
		f.add(&samples[i])
	}
	return f
}

func TestTheReportOfAJob(t *testing.T) {
	missing := []ledger.Gap{{Stretch: ledger.Stretch{From: start.Add(43 * 10 * time.Second), Every: 10 * time.Second, Slots: 2}, Reason: ledger.Busy}}
	f := found(samplesOf(strings.Repeat("s", 30) + "mmmem" + "ssmsmssm--sssss"))
	f.add(&sample.Sample{Status: sample.Success, RTT: new(5000.0)}) // somebody else's, of no slot
	want := &v1alpha1.JobReport{
		Verdict: "DeviceDropped",
		Message: "The device was silent once, for 50s from 2026-11-23 10:05:00 UTC on. It missed 7 of 47 polls (14.89%). " +
			"Measuring failed in 1 of 48 polls (2.08%); that says nothing about the device. " +
			"Nobody measured in 2 of 50 slots (4.00%), because the poll before was still running.",
		Completeness: "96.00%", Loss: "14.89%", Errors: "2.08%",
		Samples:    v1alpha1.SampleCounts{Total: 48, Success: 40, Missed: 7, SystemError: 1},
		Unmeasured: 2,
		RTT:        &v1alpha1.RTTDistribution{Min: "20.000ms", Avg: "24.750ms", P50: "25.000ms", P95: "29.000ms", P99: "29.000ms", Max: "29.000ms"},
		Jitter:     "1.500ms",
		Outages:    1, LongestOutage: &v1alpha1.Outage{From: metav1.MicroTime{Time: start.Add(300 * time.Second)}, Duration: "50s", Missed: 4},
	}
	if diff := cmp.Diff(want, f.report(missing)); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsAbsentInAReport(t *testing.T) {
	silent := found(samplesOf("mm")).report(nil)
	if silent.RTT != nil || silent.Jitter != "" || silent.LongestOutage != nil || silent.Loss != "100.00%" || silent.Completeness != "100.00%" {
		t.Errorf("two misses are neither an outage nor a round-trip time: %+v", silent)
	}
	if failed := found(samplesOf("ee")).report(nil); failed.Loss != "" || failed.Errors != "100.00%" {
		t.Errorf("what was not measured is no loss: %+v", failed)
	}
	if r := found(samplesOf("--")).report([]ledger.Gap{{Stretch: ledger.Stretch{Slots: 2}, Reason: ledger.NoTarget}}); r != nil {
		t.Errorf("a job without samples has a report: %+v", r)
	}
	f := newFindings(specOf(nil), start, &ledger.Totals{})
	s := sample.Sample{ScheduledAt: start, Status: sample.Success, RTT: new(20.0)}
	for range maxReported {
		f.add(&s)
	}
	whole := *f
	if r := whole.report(nil); r == nil || r.Samples.Total != maxReported {
		t.Errorf("a job of as many samples as a report may have gets %+v", r)
	}
	if f.add(&s); f.builder != nil || f.report(nil) != nil {
		t.Error("one sample more, and they are still held")
	}
}

func TestLargeJobsTakeTurnsAndHoldUpNoSmallOne(t *testing.T) {
	var turns turns
	first, ok := turns.take(manySamples + 1)
	if !ok {
		t.Fatal("the first large job has no turn")
	}
	if _, ok := turns.take(maxReported); ok {
		t.Error("two large jobs at a time")
	}
	for range 2 {
		if _, ok := turns.take(manySamples); !ok {
			t.Error("a small job waits for a large one")
		}
	}
	first()
	if _, ok := turns.take(maxReported); !ok {
		t.Error("nobody has the turn, and it is not given")
	}
}

// computed is what the database makes of the samples and gaps of a job, in the words of reported.
const computed = `with s as (select * from samples where job_id = $1)
	select format('%s samples, %s unmeasured, %s%% complete, rtt %sms %sms %sms %sms %sms %sms, jitter %sms', count(*), gaps, round(100.0 * count(*) / (count(*) + gaps), 2),
		round(min(rtt_ms), 3), round(avg(rtt_ms), 3), round(percentile_disc(0.5) within group (order by rtt_ms), 3), round(percentile_disc(0.95) within group (order by rtt_ms), 3),
		round(percentile_disc(0.99) within group (order by rtt_ms), 3), round(max(rtt_ms), 3), round(avg(jitter_ms), 3))
	from s, (select coalesce(sum(slots), 0) gaps from sample_gaps where job_id = $1) g group by gaps`

// reported is what status.report says.
func (w *world) reported(id string) string {
	w.t.Helper()
	job, err := w.job(id)()
	w.Expect(err).NotTo(HaveOccurred())
	r := job.Status.Report
	if r == nil || r.RTT == nil {
		return "nothing"
	}
	return fmt.Sprintf("%d samples, %d unmeasured, %s complete, rtt %s %s %s %s %s %s, jitter %s",
		r.Samples.Total, r.Unmeasured, r.Completeness, r.RTT.Min, r.RTT.Avg, r.RTT.P50, r.RTT.P95, r.RTT.P99, r.RTT.Max, r.Jitter)
}

// The report is what the database has, whoever measured it: here a process that crashed, and one that came too late.
func TestAJobThatIsOverHasItsReportAndKeepsIt(t *testing.T) {
	w := newWorld(t)
	id := w.insertJob("10.0.0.1", 50*time.Second)
	op := w.operate()
	w.soon(func() int { return w.spreedb.Total().Polls }).Should(BeNumerically(">=", 3))
	op.crash()
	w.pass(2)
	op = w.operate()
	w.Expect(w.reported(id)).To(Equal("nothing"), "while it runs")
	w.soon(w.complete(id)).Should(Equal("Completed"))
	w.Expect(w.reported(id)).To(Equal(w.text(computed, id)))
	w.soon(func() bool {
		job, _ := w.job(id)()
		return job.Spec.State == v1alpha1.StateCompleted && job.Status.ObservedGeneration == job.Generation
	}).Should(BeTrue(), "the sync has brought the row's end")
	job, _ := w.job(id)()
	w.Expect(job.Status.Message).To(Equal("Ran to its end. " + job.Status.Report.Message))

	op.stop()
	w.database.ResetRequests()
	again := w.operate()
	w.soon(func() bool { return again.board.lookup(id) != nil }).Should(BeTrue())
	w.pass(1)
	for _, r := range w.database.Requests() {
		w.Expect(r.Method == http.MethodGet && r.Path == "/rest/v1/samples" && r.Query.Has("job_id")).To(BeFalse(), "another process does not compute it again: %s", r.Query)
	}
	after, _ := w.job(id)()
	w.Expect(after.Status.Report).To(Equal(job.Status.Report))

	w.sql(`update jobs set status = 'running', started_at = now(), completed_at = null where id = $1`, id)
	w.soon(w.phase(id)).Should(Equal(v1alpha1.PhaseRunning))
	w.Expect(w.reported(id)).To(Equal("nothing"), "once it runs again")
}

// Where the database has no place for slots without a sample, nobody can say how complete a job is.
func TestWithoutGapsThereIsNoReport(t *testing.T) {
	w := newWorld(t)
	id := w.insertJob("10.0.0.1", 57*time.Second)
	w.operate(func(p *Parts) { p.KeepsGaps = func() bool { return false } })
	w.soon(w.complete(id)).Should(Equal("Completed"))
	job, _ := w.job(id)()
	w.Expect(job.Status.Report).To(BeNil())
	w.Expect(job.Status.Samples.Total).To(BeNumerically(">", 0))
	w.Expect(job.Status.Message).To(Equal("Ran to its end"))
}

// Whoever updates the operator and not the CRD loses the reports, and nothing else.
func TestACRDFromBeforeReportsCostsNothingButThese(t *testing.T) {
	w := newWorld(t)
	var tried atomic.Int32
	w.intercept = &interceptor.Funcs{
		SubResourceApply: func(ctx context.Context, c client.Client, sub string, obj runtime.ApplyConfiguration, opts ...client.SubResourceApplyOption) error {
			if job, ok := obj.(*applyv1alpha1.LatencyJobApplyConfiguration); ok && job.Status.Report != nil {
				tried.Add(1)
				return apierrors.NewInternalError(errors.New("failed to create typed patch object (latency.soundcheck.io/v1alpha1, Kind=LatencyJob): .status.report: field not declared in schema"))
			}
			return c.SubResource(sub).Apply(ctx, obj, opts...)
		},
	}
	w.operate()
	for range 2 {
		id := w.insertJob("10.0.0.1", 57*time.Second)
		w.soon(w.complete(id)).Should(Equal("Completed"))
		w.Expect(w.reported(id)).To(Equal("nothing"))
	}
	w.Expect(tried.Load()).To(BeEquivalentTo(1), "what was refused is not tried again at once")
}

// What reports cost beside the closing that they are made in: 50,000 jobs of an hour with a slot every ten seconds end 14 in a second.
func BenchmarkReport(b *testing.B) {
	for _, c := range []struct {
		n  int
		of string
	}{{360, "ssssssssms"}, {3600, "ssssssssms"}, {60_480, "ssssssssms"}, {maxReported, "ssssssssms"}, {maxReported, "s"}, {maxReported, "m"}, {maxReported, "sms"}} {
		samples := samplesOf(strings.Repeat(c.of, c.n/len(c.of)))
		b.Run(fmt.Sprintf("%d/%s", c.n, c.of), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				found(samples).report(nil)
			}
		})
	}
}
