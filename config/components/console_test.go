package components

import (
	"slices"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const consoleName = "sound-check-console"

// consoles are the console with the operator, alone and among all else.
func consoles() map[string]kustomization {
	out := map[string]kustomization{}
	for _, b := range bases() {
		component := "console"
		if slices.Contains(b.components, "monitoring-openshift") {
			component = "console-openshift"
		}
		out[b.name] = b.with([]string{component})
		out[b.name+", with all else"] = b.with(append(slices.Clone(b.components), component))
		out[b.name+", with all else behind"] = b.with(append([]string{component}, b.components...))
	}
	return out
}

func TestTheConsoleStandsBesideTheOperator(t *testing.T) {
	c := theCluster(NewWithT(t))
	c.makeNamespace(NewWithT(t), t, "console")
	for name, k := range consoles() {
		g := NewWithT(t)
		var own []unstructured.Unstructured
		var version string
		for _, o := range k.build(g, t) {
			if o.GetName() == "latency-operator" && o.GetKind() == "ServiceAccount" {
				version = o.GetLabels()["app.kubernetes.io/version"]
			}
			if o.GetName() == consoleName {
				own = append(own, o)
			}
		}
		want := []string{"Deployment", "Service", "ServiceAccount", "NetworkPolicy", "PodDisruptionBudget"}
		openshift := slices.Contains(k.components, "console-openshift")
		if openshift {
			want = append(want, "Route")
		}
		var kinds []string
		for _, o := range own {
			kinds = append(kinds, o.GetKind())
			g.Expect(o.GetNamespace()).To(Equal("latency-operator-system"), "%s: %s", name, o.GetKind())
			g.Expect(o.GetLabels()).To(And(HaveKeyWithValue("app.kubernetes.io/name", consoleName), HaveKeyWithValue("app.kubernetes.io/version", version)), "%s: %s", name, o.GetKind())
		}
		g.Expect(kinds).To(ConsistOf(want), name)

		var deployment appsv1.Deployment
		find(g, own, "Deployment", consoleName, &deployment)
		pod := &corev1.Pod{ObjectMeta: deployment.Spec.Template.ObjectMeta, Spec: deployment.Spec.Template.Spec}
		g.Expect(pod.Spec.Containers[0].Image).To(Equal("ghcr.io/soundcheck-io/latency-operator-console:"+version), name)
		g.Expect(pod.Spec.AutomountServiceAccountToken).To(HaveValue(BeFalse()))
		g.Expect(pod.Spec.SecurityContext.RunAsUser).To(BeNil())
		g.Expect(pod.Annotations["openshift.io/required-scc"] == "restricted-v2").To(Equal(openshift), name)
		g.Expect(pod.Spec.Containers[0].Lifecycle.PreStop.Sleep.Seconds).To(And(BeNumerically(">", 0), BeNumerically("<", *pod.Spec.TerminationGracePeriodSeconds-5)),
			"the pod answers until nobody is sent to it, and then has time to end answers under way")
		g.Expect(references(pod.Spec)).To(HaveEach("ConfigMap/"+consoleName), "no Secret is near it")

		pods := labels.Set(pod.Labels)
		var service corev1.Service
		find(g, own, "Service", consoleName, &service)
		var policy networkingv1.NetworkPolicy
		find(g, own, "NetworkPolicy", consoleName, &policy)
		var budget policyv1.PodDisruptionBudget
		find(g, own, "PodDisruptionBudget", consoleName, &budget)
		g.Expect(labels.SelectorFromSet(service.Spec.Selector).Matches(pods)).To(BeTrue())
		g.Expect(service.Spec.Ports[0].TargetPort.StrVal).To(Equal(pod.Spec.Containers[0].Ports[0].Name))
		for _, selector := range []*metav1.LabelSelector{&policy.Spec.PodSelector, budget.Spec.Selector, deployment.Spec.Selector} {
			s, err := metav1.LabelSelectorAsSelector(selector)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(s.Matches(pods)).To(BeTrue())
			g.Expect(s.Matches(labels.Set{"app.kubernetes.io/name": "latency-operator", "app.kubernetes.io/component": "manager"})).To(BeFalse(), "the operator's pods are not its own")
		}
		g.Expect(policy.Spec.PolicyTypes).To(ConsistOf(networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress))
		g.Expect(policy.Spec.Egress).To(BeEmpty(), "it asks nobody")
		g.Expect(policy.Spec.Ingress[0].Ports[0].Port.IntVal).To(Equal(pod.Spec.Containers[0].Ports[0].ContainerPort))

		pod.Namespace, pod.GenerateName, pod.Spec.ServiceAccountName = "console", "try-", ""
		g.Expect(c.client.Create(t.Context(), pod, client.DryRunAll)).To(Succeed(), name)
	}
	NewWithT(t).Expect(c.warnings.text).To(BeEmpty())
}

func TestTheConsoleIsWhereTheOperatorIs(t *testing.T) {
	g := NewWithT(t)
	for _, component := range []string{"console", "console-openshift"} {
		k := kustomization{resources: []string{"namespaced"}, components: []string{component}, namespace: "sound-check"}
		for _, o := range k.build(g, t) {
			g.Expect(o.GetNamespace()).To(Equal("sound-check"), o.GetKind()+"/"+o.GetName())
		}
	}
}
