// Package scc shows the manifests to OpenShift's own admission of pods, the code that its API server runs. It is a module of
// its own, because that code is built for an older Kubernetes than the operator.
package scc

import (
	"context"
	"testing"

	. "github.com/onsi/gomega"
	securityv1 "github.com/openshift/api/security/v1"
	"github.com/openshift/apiserver-library-go/pkg/securitycontextconstraints/sccadmission"
	securityfake "github.com/openshift/client-go/security/clientset/versioned/fake"
	securityinformers "github.com/openshift/client-go/security/informers/externalversions"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/core"
	corev1defaults "k8s.io/kubernetes/pkg/apis/core/v1"
)

const (
	namespace = "latency-operator-system"
	account   = "system:serviceaccount:" + namespace + ":latency-operator"
	// uid is the first of the namespace's range.
	uid   = int64(1000740000)
	level = "s0:c27,c19"
)

func init() {
	if err := corev1defaults.AddToScheme(legacyscheme.Scheme); err != nil {
		panic(err)
	}
	if err := core.AddToScheme(legacyscheme.Scheme); err != nil {
		panic(err)
	}
}

// plugin is a part of the API server that admits pods.
type plugin interface {
	admission.MutationInterface
	admission.ValidationInterface
	sccadmission.WantsSecurityInformer
	SetExternalKubeInformerFactory(informers.SharedInformerFactory)
	SetAuthorizer(authorizer.Authorizer)
}

// openshift is what admits the operator's pods in a cluster with OpenShift's standard constraints, and a namespace as a
// project is made there. grants are the constraints that somebody lets a user use, beside restricted-v2, which everybody may.
func openshift(t *testing.T, grants map[string]string) plugin {
	t.Helper()
	g := NewWithT(t)
	constraints := securityfake.NewSimpleClientset()
	for _, constraint := range standardConstraints() {
		_, err := constraints.SecurityV1().SecurityContextConstraints().Create(t.Context(), constraint, metav1.CreateOptions{})
		g.Expect(err).NotTo(HaveOccurred())
	}
	security := securityinformers.NewSharedInformerFactory(constraints, 0)
	kubernetes := informers.NewSharedInformerFactory(fake.NewClientset(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace, Annotations: map[string]string{
		securityv1.UIDRangeAnnotation: "1000740000/10000", securityv1.SupplementalGroupsAnnotation: "1000740000/10000", securityv1.MCSAnnotation: level,
	}}}), 0)
	var admit plugin = sccadmission.NewConstraint()
	admit.SetSecurityInformers(security.Security().V1().SecurityContextConstraints())
	admit.SetExternalKubeInformerFactory(kubernetes)
	admit.SetAuthorizer(authorizer.AuthorizerFunc(func(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
		use := a.GetVerb() == "use" && a.GetResource() == "securitycontextconstraints"
		if use && (a.GetName() == "restricted-v2" || grants[a.GetUser().GetName()] == a.GetName()) {
			return authorizer.DecisionAllow, "", nil
		}
		return authorizer.DecisionNoOpinion, "", nil
	}))
	g.Expect(admit.ValidateInitialization()).To(Succeed())
	security.Start(t.Context().Done())
	kubernetes.Start(t.Context().Done())
	security.WaitForCacheSync(t.Context().Done())
	kubernetes.WaitForCacheSync(t.Context().Done())
	return admit
}

// admitted creates a pod, as the controller of a Deployment does, and gives what becomes of it.
func admitted(t *testing.T, admit plugin, pod *corev1.Pod) (*corev1.Pod, error) {
	t.Helper()
	g := NewWithT(t)
	pod = pod.DeepCopy()
	pod.Namespace, pod.Name = namespace, "latency-operator-0"
	legacyscheme.Scheme.Default(pod)
	var internal core.Pod
	g.Expect(legacyscheme.Scheme.Convert(pod, &internal, nil)).To(Succeed())
	controller := serviceaccount.UserInfo("kube-system", "replicaset-controller", "")
	attributes := admission.NewAttributesRecord(&internal, nil, core.Kind("Pod").WithVersion("v1"), namespace, pod.Name,
		core.Resource("pods").WithVersion("v1"), "", admission.Create, &metav1.CreateOptions{}, false, controller)
	if err := admit.Admit(t.Context(), attributes, nil); err != nil {
		return nil, err
	}
	if err := admit.Validate(t.Context(), attributes, nil); err != nil {
		return nil, err
	}
	out := &corev1.Pod{}
	g.Expect(legacyscheme.Scheme.Convert(&internal, out, nil)).To(Succeed())
	return out, nil
}

func TestOpenShiftAdmitsTheOperator(t *testing.T) {
	admit := openshift(t, nil)
	for name, pod := range map[string]*corev1.Pod{
		"openshift":                 podOf(t, "overlays/openshift"),
		"openshift-durable":         podOf(t, "overlays/openshift-durable"),
		"openshift, all components": podOf(t, "overlays/openshift", "replicas", "egress-proxy", "network-policy", "monitoring-openshift"),
		"durable, all components":   podOf(t, "overlays/openshift", "durable", "replicas", "egress-proxy", "network-policy", "monitoring-openshift"),
		"split install":             podOf(t, "namespaced", "openshift"),
		"the console":               podNamed(t, "sound-check-console", "overlays/openshift", "console-openshift"),
		"default":                   podOf(t, "default"), // which pins nothing: an administrator may prefer another constraint
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			out, err := admitted(t, admit, pod)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(out.Annotations).To(HaveKeyWithValue(securityv1.ValidatedSCCAnnotation, "restricted-v2"))
			// The namespace's numbers, because the pod names none.
			g.Expect(out.Spec.SecurityContext.FSGroup).To(HaveValue(Equal(uid)))
			g.Expect(out.Spec.SecurityContext.SELinuxOptions).To(HaveField("Level", level))
			container := out.Spec.Containers[0].SecurityContext
			g.Expect(container.RunAsUser).To(HaveValue(Equal(uid)))
			g.Expect(container.RunAsNonRoot).To(Or(BeNil(), HaveValue(BeTrue())))
			g.Expect(container.AllowPrivilegeEscalation).To(HaveValue(BeFalse()))
			g.Expect(container.Capabilities.Drop).To(ConsistOf(corev1.Capability("ALL")))
			g.Expect(container.Capabilities.Add).To(BeEmpty())
			g.Expect(container.ReadOnlyRootFilesystem).To(HaveValue(BeTrue()))
			g.Expect(out.Spec.SecurityContext.SeccompProfile.Type).To(Equal(corev1.SeccompProfileTypeRuntimeDefault))
			g.Expect(restricted(out)).To(BeEmpty(), "and it still is what PodSecurity restricted asks for")
		})
	}
}

func TestOpenShiftRefusesFixedNumbers(t *testing.T) {
	admit := openshift(t, nil)
	with := func(change func(*corev1.PodSpec)) *corev1.Pod {
		pod := podOf(t, "overlays/openshift")
		change(&pod.Spec)
		return pod
	}
	for name, tt := range map[string]struct {
		pod  *corev1.Pod
		says string
	}{
		"overlays/durable, for other clusters": {podOf(t, "overlays/durable"), `fsGroup: Invalid value: []int64{65532}`},
		"a fixed user": {with(func(s *corev1.PodSpec) { s.SecurityContext.RunAsUser = new(int64(65532)) }),
			`runAsUser: Invalid value: 65532: must be in the ranges: [1000740000, 1000749999]`},
		"root":       {with(func(s *corev1.PodSpec) { s.Containers[0].SecurityContext.RunAsUser = new(int64(0)) }), `runAsUser: Invalid value: 0`},
		"escalation": {with(func(s *corev1.PodSpec) { s.Containers[0].SecurityContext.AllowPrivilegeEscalation = new(true) }), `allowPrivilegeEscalation: Invalid value: true`},
		"a capability": {with(func(s *corev1.PodSpec) {
			s.Containers[0].SecurityContext.Capabilities.Add = []corev1.Capability{"NET_RAW"}
		}),
			`capabilities.add: Invalid value: "NET_RAW"`},
		"no seccomp": {with(func(s *corev1.PodSpec) {
			s.SecurityContext.SeccompProfile = &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeUnconfined}
		}), `seccomp`},
		"the host's files": {with(func(s *corev1.PodSpec) {
			s.Volumes = append(s.Volumes, corev1.Volume{Name: "host", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}})
		}), `hostPath volumes are not allowed`},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			_, err := admitted(t, admit, tt.pod)
			g.Expect(err).To(MatchError(ContainSubstring(tt.says)))
		})
	}
}

// TestTheStrictestIsPinned lets the account use a constraint of an administrator's own, which goes before restricted-v2, as they
// may have done for something else in the namespace.
func TestTheStrictestIsPinned(t *testing.T) {
	g := NewWithT(t)
	admit := openshift(t, map[string]string{account: "of-our-own"})
	out, err := admitted(t, admit, podOf(t, "overlays/openshift"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(out.Annotations).To(HaveKeyWithValue(securityv1.ValidatedSCCAnnotation, "restricted-v2"))
	g.Expect(out.Spec.Containers[0].SecurityContext.RunAsUser).To(HaveValue(Equal(uid)))

	out, err = admitted(t, admit, podOf(t, "default"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(out.Annotations).To(HaveKeyWithValue(securityv1.ValidatedSCCAnnotation, "of-our-own"), "that is what the pin is for")
	g.Expect(out.Spec.Containers[0].SecurityContext.RunAsUser).To(BeNil(), "and then it runs as the image says: that has to be a number")
}
