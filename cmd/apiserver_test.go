package main

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/soundcheck-io/latency-operator/internal/stack"
)

func TestLosingTheAPIServerStopsNoMeasurement(t *testing.T) {
	s := startSystem(t, stack.Options{})
	api, err := s.LinkToAPIServer()
	s.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(api.Close)
	kubeconfig, err := s.KubeconfigThrough(api)
	s.Expect(err).NotTo(HaveOccurred())
	id := s.start("10.0.0.1", 0)
	op := s.operate(map[string]string{"KUBECONFIG": kubeconfig})
	s.Eventually(s.text(`select (count(*) >= 2)::text from samples`)).Should(Equal("true"))

	api.Cut()
	// Past the end of the Lease, so that leadership is lost.
	s.Eventually(s.log.String).Should(ContainSubstring("This process does not mirror jobs; it goes on measuring"))
	s.Expect(api.Mend()).To(Succeed())
	s.Eventually(func() int {
		return strings.Count(s.log.String(), "This process mirrors the jobs now")
	}).Should(Equal(2))
	next := s.start("10.0.0.2", 0)
	s.Eventually(s.text(`select (count(*) > 0)::text from samples where job_id = $1`, next)).Should(Equal("true"))
	s.Expect(s.text(`select (count(*) = max(sequence_number) - min(sequence_number) + 1)::text from samples where job_id = $1`, id)()).To(Equal("true"), "no slot was missed")
	s.Expect(op.ExitCode()).To(Equal(-1), "and it runs")
}
