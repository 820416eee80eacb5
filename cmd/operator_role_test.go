package main

import (
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/soundcheck-io/latency-operator/internal/doctor"
	"github.com/soundcheck-io/latency-operator/internal/stack"
	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest"
)

// A job from its first to its last slot with the role of config/supabase/optional, whose token expires and is renewed meanwhile.
func TestAJobIsDoneWithTheOperatorsOwnRoleAndNothingIsLostWhenItsTokenExpires(t *testing.T) {
	s := startSystem(t, stack.Options{})
	s.Expect(supabasetest.MigrateOptional(t.Context(), s.DSN)).To(Succeed())
	s.Expect(s.Gateway.ReloadSchema(t.Context())).To(Succeed())
	file := s.Dir + "/token"
	token := func(expires time.Duration) {
		claims := map[string]any{"role": "latency_operator", "exp": time.Now().Add(expires).Unix()}
		s.Expect(os.WriteFile(file, []byte(s.Gateway.Token(claims)), 0o600)).To(Succeed())
	}
	token(90 * 24 * time.Hour)
	_, err := built() // before the job begins
	s.Expect(err).NotTo(HaveOccurred())
	id := s.start("10.0.0.1", 0)
	cancelled := s.start("10.0.0.2", 0)
	env := map[string]string{"SUPABASE_SERVICE_ROLE_KEY": s.Gateway.PublishableKey(), "SUPABASE_ACCESS_TOKEN_FILE": file}
	op := s.operate(env)
	s.Eventually(s.text(`select (count(distinct job_id) = 2)::text from samples`)).Should(Equal("true"))

	token(-time.Hour)
	s.Eventually(s.eventReasons).Should(ContainElement("KeyRefused"))
	polls := s.SpreeDB.Total().Polls
	s.Eventually(func() int { return s.SpreeDB.Total().Polls }).Should(BeNumerically(">", polls+3))
	s.sql(`update jobs set status = 'cancelled', completed_at = now() where id = $1`, cancelled)
	token(90 * 24 * time.Hour)
	s.Eventually(s.eventReasons).Should(ContainElement("Recovered"))

	s.Eventually(s.text(`select status || ' ' || monitor_state || (total_samples = (select count(*) from samples where job_id = jobs.id)) from jobs where id = $1`, id), "90s").
		Should(Equal("completed not_measuringtrue"))
	s.Eventually(s.text(`select status || ' ' || monitor_state || (total_samples = (select count(*) from samples where job_id = jobs.id)) from jobs where id = $1`, cancelled)).
		Should(Equal("cancelled not_measuringtrue"))
	s.Expect(s.text(`select count(*) + (select coalesce(sum(slots), 0) from sample_gaps g where g.job_id = $1::uuid) || '' from samples where job_id = $1::uuid`, id)()).
		To(Equal("60"), "each slot has an outcome")
	s.stop(op)
	s.Expect(s.text(`select count(*)::text from samples`)()).To(Equal(fmt.Sprint(s.SpreeDB.Total().Polls)), "every poll is a sample")
	s.Expect(s.text(flaws)()).To(Equal("none"))
	_, found := s.doctor(env)
	for _, name := range []string{"key", "schema", "permissions", "rows"} {
		s.Expect(found[name].Status).To(Equal(doctor.OK), "%s: %s", name, found[name].Found)
	}
	s.removeSamples(id, cancelled)
	for _, r := range s.Gateway.Requests() {
		s.Expect(r.Status).To(Or(BeNumerically("<", 300), Equal(http.StatusUnauthorized)), "%s %s %v", r.Method, r.Path, r.Query)
	}
}

// removeSamples lets forty days pass, after which the jobs' samples are no longer needed: the operator has closed their books, as
// soundcheck.jobs_to_empty knows by what it has written into the rows.
func (s *system) removeSamples(jobs ...string) {
	s.t.Helper()
	s.sql(`update samples set scheduled_at = scheduled_at - interval '40 days'`)
	s.sql(`select soundcheck.queue_job(id) from jobs`)
	s.sql(`select soundcheck.roll_up_samples()`)
	s.Expect(s.text(`select coalesce(string_agg(job_id::text, ' '), '') from soundcheck.jobs_to_empty('30 days')`)()).To(BeEmpty())
	s.sql(`update jobs set started_at = started_at - interval '40 days', completed_at = completed_at - interval '40 days', last_ping_at = last_ping_at - interval '40 days'`)
	s.sql(`select soundcheck.remove_old_samples('30 days')`)
	s.Expect(s.text(`select count(*)::text from samples`)()).To(Equal("0"))
	s.Expect(s.text(`select count(distinct job_id)::text from sample_rollups where job_id = any ($1)`, jobs)()).To(Equal(fmt.Sprint(len(jobs))))
}
