//go:build e2e

package e2e

import (
	"context"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// replicas adds the component of that name, and drains a node: its pods are evicted one after the other.
func (s *suite) replicas(t *testing.T) {
	g, ctx := NewWithT(t), t.Context()
	s.apply(t, "demo", "replicas")
	g.Expect(s.rolledOut(ctx, s.workload(t))).To(Succeed())
	pods := s.readyPods(t, operatorSelector, 2)
	g.Eventually(func() (int, error) {
		return query[int](ctx, s, `select count(*) from pollers where jobs > 0 and last_seen_at > now() - interval '15 seconds' and id = any ($1)`, names(pods))
	}).WithTimeout(patience).WithPolling(interval).Should(Equal(2), "replicas that have jobs")

	gaps := s.disrupt(t, 2, func(ctx context.Context) error {
		if err := s.evict(ctx, pods[0].Name); err != nil {
			return err
		}
		err := s.evict(ctx, pods[1].Name)
		g.Expect(apierrors.IsTooManyRequests(err)).To(BeTrue(), "the second of two replicas was evicted while the first was on its way: %v", err)
		t.Logf("the second eviction at once: %s", err)
		return nil
	}, pods[0])
	s.costs(t, "the eviction of one of two replicas", gaps, 0)

	second := pods[1]
	g.Eventually(func() error { return s.evict(ctx, second.Name) }).WithTimeout(patience).WithPolling(interval).Should(Succeed(), "evict the other one")
	s.readyPods(t, operatorSelector, 2)
}

func names(pods []corev1.Pod) []string {
	var out []string
	for _, p := range pods {
		out = append(out, p.Name)
	}
	return out
}
