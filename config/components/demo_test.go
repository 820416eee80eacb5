package components

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// TestTheDemoCombinesWithEverything adds it to all other components, in both orders, and compares the policy with what the
// operator asks there.
func TestTheDemoCombinesWithEverything(t *testing.T) {
	g := NewWithT(t)
	all := []string{"durable", "replicas", "egress-proxy", "network-policy", "monitoring"}
	for _, components := range [][]string{append([]string{"demo"}, all...), append(all, "demo")} {
		objects := kustomization{resources: []string{"default"}, components: components}.build(g, t)
		fitsTogether(g, objects)
		var policy networkingv1.NetworkPolicy
		find(g, objects, "NetworkPolicy", "latency-operator", &policy)
		var service corev1.Service
		find(g, objects, "Service", "latency-operator-demo", &service)
		for _, port := range service.Spec.Ports {
			g.Expect(letsThrough(policy, service.Spec.Selector, int(port.Port))).To(BeTrue(), "port %d, %v", port.Port, components)
			g.Expect(port.TargetPort.StrVal).To(Equal(port.Name), "whose number is that of the service: a policy sees the pod's")
		}
		g.Expect(letsThrough(policy, labels.Set{"app.kubernetes.io/name": "another"}, 8000)).To(BeFalse(), "at the demo only")
	}
}

// letsThrough tells whether a rule allows a port at all addresses, or at pods of the namespace with these labels.
func letsThrough(policy networkingv1.NetworkPolicy, pod labels.Set, port int) bool {
	for _, rule := range policy.Spec.Egress {
		allowed := len(rule.To) == 0
		for _, to := range rule.To {
			allowed = allowed || to.NamespaceSelector == nil && to.PodSelector != nil && labels.SelectorFromSet(to.PodSelector.MatchLabels).Matches(pod)
		}
		for _, p := range rule.Ports {
			if allowed && p.Port.IntValue() == port {
				return true
			}
		}
	}
	return false
}
