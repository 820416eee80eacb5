package components

import (
	"testing"

	. "github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
)

// TestTheDemoLeavesOtherInstallationsAlone installs it beside another, with which it shares no object: so that neither
// applying nor deleting it changes one of theirs.
func TestTheDemoLeavesOtherInstallationsAlone(t *testing.T) {
	g := NewWithT(t)
	id := func(o unstructured.Unstructured) string {
		return o.GetKind() + "/" + o.GetNamespace() + "/" + o.GetName()
	}
	theirs := map[string]bool{}
	for _, folder := range []string{"default", "overlays/openshift"} {
		for _, o := range (kustomization{resources: []string{folder}}).build(g, t) {
			theirs[id(o)] = true
		}
	}
	for _, o := range (kustomization{resources: []string{"overlays/demo"}}).build(g, t) {
		g.Expect(theirs).NotTo(HaveKey(id(o)))
		switch o.GetKind() {
		case "Namespace":
			g.Expect(o.GetName()).To(Equal("latency-operator-demo"))
		case "ClusterRoleBinding":
			g.Expect(o.GetName()).To(HaveSuffix("-demo"))
		default:
			g.Expect(o.GetNamespace()).To(Equal("latency-operator-demo"), id(o))
		}
	}

	c := theCluster(g)
	c.as(g, t, "admin", "apply", "--server-side", "--force-conflicts", "-k", "../default")
	c.as(g, t, "admin", "apply", "--server-side", "-k", "../overlays/demo")
	for _, namespace := range []string{"latency-operator-demo", "latency-operator-system"} {
		operator := account(namespace, "latency-operator")
		reviews := authorizationv1.ResourceAttributes{Verb: "create", Group: "authentication.k8s.io", Resource: "tokenreviews"}
		g.Expect(c.may(g, t, operator, reviews)).To(BeTrue(), operator)
		for _, of := range []string{"latency-operator-demo", "latency-operator-system"} {
			jobs := authorizationv1.ResourceAttributes{Verb: "create", Group: "latency.soundcheck.io", Resource: "latencyjobs", Namespace: of}
			g.Expect(c.may(g, t, operator, jobs)).To(Equal(of == namespace), "%s in %s", operator, of)
		}
	}
}

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
