//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/verify"
)

// steadyJobs are polled every second throughout, so that a second in which nobody polled shows.
const steadyJobs = 5

// jobs are the rows that this test puts into the database, beside the demo's own.
type jobs struct {
	steady []string
	short  []shortJob
}

// shortJob lasts a minute.
type shortJob struct {
	id, what string
	ip       *string
	phase    v1alpha1.JobPhase
	// samples by status that it must have and, if none, must not have.
	has, hasNot []string
	// then is what the test does to it.
	then func(*suite, context.Context, string) error
}

func (j jobs) ids() []string {
	ids := slices.Clone(j.steady)
	for _, s := range j.short {
		ids = append(ids, s.id)
	}
	return ids
}

// shortJobs use addresses whose devices the simulator makes silent or broken; see scenes in cmd/simulator.
func shortJobs() []shortJob {
	address := func(ip string) *string { return &ip }
	return []shortJob{
		{what: "answers", ip: address("198.51.100.1"), phase: v1alpha1.PhaseCompleted, has: []string{"success"}, hasNot: []string{"missed", "system_error"}},
		{what: "never answers", ip: address("192.0.2.3"), phase: v1alpha1.PhaseCompleted, has: []string{"missed"}, hasNot: []string{"success", "system_error"}},
		{what: "SpreeDB fails", ip: address("192.0.2.8"), phase: v1alpha1.PhaseCompleted, has: []string{"system_error"}, hasNot: []string{"success", "missed"}},
		{what: "IPv6", ip: address("2001:db8::6"), phase: v1alpha1.PhaseCompleted, has: []string{"success"}, hasNot: []string{"missed", "system_error"}},
		{what: "has no address", phase: v1alpha1.PhaseFailed, hasNot: []string{"success", "missed", "system_error"}},
		{what: "cancelled in the app", ip: address("198.51.100.2"), phase: v1alpha1.PhaseCancelled, has: []string{"success"}, hasNot: []string{"missed", "system_error"},
			then: func(s *suite, ctx context.Context, id string) error {
				return s.exec(ctx, `update jobs set status = 'cancelled', completed_at = now() where id = $1`, id)
			}},
		{what: "suspended in the cluster", ip: address("198.51.100.3"), phase: v1alpha1.PhaseCompleted, has: []string{"success"}, hasNot: []string{"missed", "system_error"},
			then: func(s *suite, ctx context.Context, id string) error {
				job := &v1alpha1.LatencyJob{}
				job.Name, job.Namespace = id, s.namespace
				return s.client.Patch(ctx, job, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"suspend":true}}`)))
			}},
	}
}

// startJobs does what the app does.
func (s *suite) startJobs(t *testing.T) {
	ctx := t.Context()
	insert := func(ip *string, cadence, minutes int) string {
		id := uuid.NewString()
		if err := s.exec(ctx, `
			insert into jobs (id, account_number, target_ip, cadence_seconds, duration_minutes, monitoring_mode, started_at)
			values ($1, 'e2e', $2, $3, $4, 'real_polling', now() + interval '2 seconds')`, id, ip, cadence, minutes); err != nil {
			t.Fatal(err)
		}
		return id
	}
	for i := range steadyJobs {
		s.jobs.steady = append(s.jobs.steady, insert(new(fmt.Sprintf("198.51.100.%d", 100+i)), 1, 60))
	}
	s.jobs.short = shortJobs()
	for i := range s.jobs.short {
		s.jobs.short[i].id = insert(s.jobs.short[i].ip, 2, 1)
	}
	s.awaitSamples(t, s.jobs.steady, 5)
	for _, j := range s.jobs.short {
		if j.then == nil {
			continue
		}
		if err := j.then(s, ctx, j.id); err != nil {
			t.Errorf("%s: %s", j.what, err)
		}
	}
	t.Logf("%d jobs of an hour with a cadence of 1 s, %d jobs of a minute", len(s.jobs.steady), len(s.jobs.short))
}

// awaitSamples waits until each job has so many.
func (s *suite) awaitSamples(t *testing.T, ids []string, n int) {
	t.Helper()
	NewWithT(t).Eventually(func() (int, error) {
		return query[int](t.Context(), s, `select count(*) from unnest($1::uuid[]) job where (select count(*) from samples where job_id = job) >= $2`, ids, n)
	}).WithTimeout(patience).WithPolling(interval).Should(Equal(len(ids)), "jobs with %d samples", n)
}

// jobsEnd waits for the short jobs' end, and compares what is in the cluster and in the database.
func (s *suite) jobsEnd(t *testing.T) {
	g, ctx := NewWithT(t), t.Context()
	var ids []string
	for _, j := range s.jobs.short {
		ids = append(ids, j.id)
		var lj v1alpha1.LatencyJob
		g.Eventually(func() (v1alpha1.JobPhase, error) {
			err := s.client.Get(ctx, types.NamespacedName{Namespace: s.namespace, Name: j.id}, &lj)
			return lj.Status.Phase, err
		}).WithTimeout(2*time.Minute).WithPolling(interval).Should(Equal(j.phase), j.what)
		status, err := query[string](ctx, s, `select status from jobs where id = $1`, j.id)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(status).To(Equal(strings.ToLower(string(j.phase))), "%s: the row", j.what)
		counts, err := query[map[string]int](ctx, s, `select coalesce(jsonb_object_agg(status, n), '{}') from (select status, count(*) n from samples where job_id = $1 group by status) c`, j.id)
		g.Expect(err).NotTo(HaveOccurred())
		for _, status := range j.has {
			g.Expect(counts[status]).To(BeNumerically(">", 0), "%s: %s samples", j.what, status)
		}
		for _, status := range j.hasNot {
			g.Expect(counts).NotTo(HaveKey(status), j.what)
		}
	}
	s.logReport(t, s.awaitOutcomes(t, ids))
}

// ledger ends the steady jobs, some in the app and some by their duration, which is cut to the minute that runs, and
// settles the account of everything that happened.
func (s *suite) ledger(t *testing.T) {
	g, ctx := NewWithT(t), t.Context()
	g.Expect(s.exec(ctx, `update jobs set status = 'cancelled', completed_at = now() where id = $1`, s.jobs.steady[0])).To(Succeed())
	g.Expect(s.exec(ctx, `
		update jobs set duration_minutes = ceil((extract(epoch from now() - started_at) + 3) / 60) where id = any ($1) and status = 'running'`, s.jobs.steady)).To(Succeed())
	g.Eventually(func() (int, error) {
		return query[int](ctx, s, `select count(*) from jobs where id = any ($1) and status = 'completed'`, s.jobs.steady)
	}).WithTimeout(3*time.Minute).WithPolling(interval).Should(Equal(len(s.jobs.steady)-1), "jobs completed after their duration was cut")
	s.logReport(t, s.awaitOutcomes(t, s.jobs.ids()))
}

func (s *suite) logReport(t *testing.T, report *verify.Report) {
	t.Helper()
	var table strings.Builder
	if err := report.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", table.String())
}
