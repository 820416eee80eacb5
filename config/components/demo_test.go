package components

import (
	"testing"

	. "github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
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
