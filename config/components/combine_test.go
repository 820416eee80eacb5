package components

import (
	"slices"
	"strings"
	"sync"
	"testing"

	. "github.com/onsi/gomega"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/sets"
)

// A base is what components are added to, and those that can be.
type base struct {
	name       string
	of         kustomization
	components []string
	// part tells that it is a part of another base, with which all combinations are tried: for this one, some will do.
	part bool
}

func bases() []base {
	kubernetes := []string{"durable", "replicas", "egress-proxy", "network-policy", "monitoring"}
	dashboard := slices.Concat(kubernetes, []string{"grafana-dashboard"})
	openshift := []string{"durable", "replicas", "egress-proxy", "network-policy", "monitoring-openshift"}
	return []base{
		{name: "default", of: kustomization{resources: []string{"default"}}, components: kubernetes},
		{name: "namespaced", of: kustomization{resources: []string{"namespaced"}}, components: dashboard, part: true},
		{name: "openshift", of: kustomization{resources: []string{"overlays/openshift"}}, components: openshift},
		{name: "openshift-namespaced", of: kustomization{resources: []string{"namespaced"}, components: []string{"openshift"}}, components: openshift, part: true},
	}
}

// combinations are all subsets of the components.
func (b base) combinations() [][]string {
	if b.part {
		return [][]string{nil, b.components}
	}
	out := [][]string{nil}
	for _, component := range b.components {
		for _, others := range slices.Clone(out) {
			out = append(out, append(slices.Clone(others), component))
		}
	}
	return out
}

// with adds components to the base.
func (b base) with(components []string) kustomization {
	k := b.of
	k.components = slices.Concat(k.components, components)
	return k
}

var (
	builds  = map[string][]unstructured.Unstructured{}
	buildMu sync.Mutex
)

// built gives what kustomize makes of a base and components. It is made once, and nobody's to change.
func (b base) built(g Gomega, t *testing.T, components []string) []unstructured.Unstructured {
	t.Helper()
	key := strings.Join(append([]string{b.name}, components...), " ")
	buildMu.Lock()
	objects, done := builds[key]
	buildMu.Unlock()
	if !done {
		objects = b.with(components).build(g, t)
		buildMu.Lock()
		builds[key] = objects
		buildMu.Unlock()
	}
	return objects
}

// adds is what a component brings beside patches.
var adds = map[string][]string{
	"durable":              {"StatefulSet/latency-operator"},
	"replicas":             {"PodDisruptionBudget/latency-operator"},
	"egress-proxy":         {"ConfigMap/latency-operator-trusted-ca"},
	"network-policy":       {"NetworkPolicy/latency-operator"},
	"grafana-dashboard":    {"ConfigMap/latency-operator-dashboard"},
	"monitoring":           {"ServiceMonitor/latency-operator", "Secret/latency-operator-metrics-reader-token"},
	"monitoring-openshift": {"ServiceMonitor/latency-operator", "Secret/latency-operator-metrics-reader-token", "ConfigMap/latency-operator-service-ca"},
}

// made is what pods need and somebody else makes: the one who installs, OpenShift, the claims of a StatefulSet.
var made = sets.New("Secret/latency-operator-supabase", "ConfigMap/latency-operator-settings", "Secret/latency-operator-proxy",
	"Secret/latency-operator-metrics-certificate")

func TestComponentsCombine(t *testing.T) {
	for _, b := range bases() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			plain := b.built(g, t, nil)
			for _, components := range b.combinations() {
				objects := b.built(g, t, components)
				expected := sets.New(names(plain)...)
				for _, component := range components {
					expected.Insert(adds[component]...)
				}
				if slices.Contains(components, "durable") {
					expected.Delete("Deployment/latency-operator")
				}
				if slices.ContainsFunc(components, func(c string) bool { return strings.HasPrefix(c, "monitoring") }) {
					expected.Insert(rules(objects)...)
				}
				g.Expect(names(objects)).To(ConsistOf(expected.UnsortedList()), "%v: each once, and nothing else", components)
				fitsTogether(g, objects)
				if len(components) == 2 || len(components) == len(b.components) {
					reversed := b.with(components)
					slices.Reverse(reversed.components)
					sameWhateverTheOrder(g, objects, reversed.build(g, t))
				}
			}
		})
	}
}

// rules are the PrometheusRules.
func rules(objects []unstructured.Unstructured) []string {
	return slices.DeleteFunc(names(objects), func(name string) bool { return !strings.HasPrefix(name, "PrometheusRule/") })
}

// fitsTogether checks what one object says of another.
func fitsTogether(g Gomega, objects []unstructured.Unstructured) {
	present := sets.New(names(objects)...)
	for _, o := range objects {
		id := o.GetKind() + "/" + o.GetName()
		for _, label := range []string{"name", "part-of", "component", "version"} {
			g.Expect(o.GetLabels()).To(HaveKey("app.kubernetes.io/"+label), id)
		}
		switch o.GetKind() {
		case "Namespace", "CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding":
		default:
			g.Expect(o.GetNamespace()).To(Equal("latency-operator-system"), id)
		}
		switch o.GetKind() {
		case "RoleBinding", "ClusterRoleBinding":
			subjects, _, err := unstructured.NestedSlice(o.Object, "subjects")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(subjects).To(ConsistOf(And(HaveKeyWithValue("kind", "ServiceAccount"), HaveKeyWithValue("namespace", "latency-operator-system"))), id)
			account, _ := subjects[0].(map[string]any)["name"].(string)
			g.Expect(present).To(HaveKey("ServiceAccount/"+account), id)
		}
	}
	template := podTemplate(g, objects)
	g.Expect(present).To(HaveKey("ServiceAccount/" + template.Spec.ServiceAccountName))
	for _, used := range references(template.Spec) {
		g.Expect(present.Union(made)).To(HaveKey(used))
	}
	g.Expect(template.Spec.Containers[0].Image).To(HaveSuffix(":"+objects[0].GetLabels()["app.kubernetes.io/version"]), "the label tells the image's version")
	selects(g, objects, labels.Set(template.Labels))
	g.Expect(template.Spec.Containers[0].Args).To(ContainElements("--metrics-bind-address=:8443", "--health-probe-bind-address=:8081"))
	g.Expect(sets.New(template.Spec.Containers[0].Args...)).To(HaveLen(len(template.Spec.Containers[0].Args)), "no argument twice")
}

// references are the Secrets and ConfigMaps that a pod names.
func references(pod corev1.PodSpec) (out []string) {
	for _, volume := range pod.Volumes {
		if volume.Secret != nil {
			out = append(out, "Secret/"+volume.Secret.SecretName)
		}
		if volume.ConfigMap != nil {
			out = append(out, "ConfigMap/"+volume.ConfigMap.Name)
		}
	}
	for _, from := range pod.Containers[0].EnvFrom {
		out = append(out, "ConfigMap/"+from.ConfigMapRef.Name)
	}
	for _, variable := range pod.Containers[0].Env {
		if from := variable.ValueFrom; from != nil && from.ConfigMapKeyRef != nil {
			out = append(out, "ConfigMap/"+from.ConfigMapKeyRef.Name)
		} else if from != nil && from.SecretKeyRef != nil {
			out = append(out, "Secret/"+from.SecretKeyRef.Name)
		}
	}
	return out
}

// selects checks that what selects pods selects the operator's, and a ServiceMonitor its Service.
func selects(g Gomega, objects []unstructured.Unstructured, pod labels.Set) {
	matches := func(selector *metav1.LabelSelector, of labels.Set) {
		s, err := metav1.LabelSelectorAsSelector(selector)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(s.Empty()).To(BeFalse())
		g.Expect(s.Matches(of)).To(BeTrue())
	}
	var service corev1.Service
	find(g, objects, "Service", "latency-operator-metrics", &service)
	g.Expect(labels.SelectorFromSet(service.Spec.Selector).Matches(pod)).To(BeTrue())
	for _, o := range objects {
		switch o.GetKind() {
		case "PodDisruptionBudget":
			var budget policyv1.PodDisruptionBudget
			find(g, objects, o.GetKind(), o.GetName(), &budget)
			matches(budget.Spec.Selector, pod)
			g.Expect(budget.Spec.MaxUnavailable.IntValue()).To(Equal(1), "a drain is never held up")
			g.Expect(budget.Spec.UnhealthyPodEvictionPolicy).To(HaveValue(Equal(policyv1.AlwaysAllow)))
		case "NetworkPolicy":
			var policy networkingv1.NetworkPolicy
			find(g, objects, o.GetKind(), o.GetName(), &policy)
			matches(&policy.Spec.PodSelector, pod)
			g.Expect(policy.Spec.PolicyTypes).To(ConsistOf(networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress))
		case "ServiceMonitor":
			var monitor monitoringv1.ServiceMonitor
			find(g, objects, o.GetKind(), o.GetName(), &monitor)
			matches(&monitor.Spec.Selector, service.Labels)
			g.Expect(monitor.Spec.Endpoints).To(HaveLen(1))
			g.Expect(monitor.Spec.Endpoints[0].Port).To(Equal(service.Spec.Ports[0].Name))
		}
	}
}

// sameWhateverTheOrder compares two builds but for what no one cares about: the order of volumes and variables.
func sameWhateverTheOrder(g Gomega, a, b []unstructured.Unstructured) {
	first, second := podTemplate(g, a), podTemplate(g, b)
	for _, template := range []*corev1.PodTemplateSpec{&first, &second} {
		spec := &template.Spec
		slices.SortFunc(spec.Volumes, func(x, y corev1.Volume) int { return strings.Compare(x.Name, y.Name) })
		container := &spec.Containers[0]
		slices.SortFunc(container.VolumeMounts, func(x, y corev1.VolumeMount) int { return strings.Compare(x.Name, y.Name) })
		slices.SortFunc(container.Env, func(x, y corev1.EnvVar) int { return strings.Compare(x.Name, y.Name) })
	}
	g.Expect(second).To(Equal(first))
	g.Expect(others(b)).To(ConsistOf(others(a)))
}

// others are all but what runs the pods.
func others(objects []unstructured.Unstructured) []unstructured.Unstructured {
	return slices.DeleteFunc(slices.Clone(objects), func(o unstructured.Unstructured) bool { return o.GroupVersionKind().Group == appsv1.GroupName })
}
