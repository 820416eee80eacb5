package main

import (
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"

	. "github.com/onsi/gomega"

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
	token(time.Hour)
	_, err := built() // before the job begins
	s.Expect(err).NotTo(HaveOccurred())
	id := s.start("10.0.0.1", 0)
	cancelled := s.start("10.0.0.2", 0)
	op := s.operate(map[string]string{"SUPABASE_SERVICE_ROLE_KEY": s.Gateway.PublishableKey(), "SUPABASE_ACCESS_TOKEN_FILE": file})
	s.Eventually(s.text(`select (count(distinct job_id) = 2)::text from samples`)).Should(Equal("true"))

	token(-time.Hour)
	s.Eventually(s.eventReasons).Should(ContainElement("KeyRefused"))
	polls := s.SpreeDB.Total().Polls
	s.Eventually(func() int { return s.SpreeDB.Total().Polls }).Should(BeNumerically(">", polls+3))
	s.sql(`update jobs set status = 'cancelled', completed_at = now() where id = $1`, cancelled)
	token(time.Hour)
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
	for _, r := range s.Gateway.Requests() {
		s.Expect(r.Status).To(Or(BeNumerically("<", 300), Equal(http.StatusUnauthorized)), "%s %s %v", r.Method, r.Path, r.Query)
	}
}
