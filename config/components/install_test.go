package components

import (
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const aggregate = "rbac.authorization.k8s.io/aggregate-to-"

func TestPodsOfAllCombinationsAreAdmittedAsRestricted(t *testing.T) {
	g := NewWithT(t)
	c := theCluster(g)
	c.makeNamespace(g, t, "restricted")
	for _, b := range bases() {
		for _, components := range b.combinations() {
			template := podTemplate(g, b.built(g, t, components))
			pod := &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
			pod.Namespace, pod.GenerateName = "restricted", "try-"
			g.Expect(c.client.Create(t.Context(), pod, client.DryRunAll)).To(Succeed(), "%s %v", b.name, components)
			g.Expect(pod.Spec.AutomountServiceAccountToken).To(HaveValue(BeTrue()))
		}
	}
	g.Expect(c.warnings.text).To(BeEmpty())

	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "restricted", Name: "try"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
	g.Expect(c.client.Create(t.Context(), pod, client.DryRunAll)).To(MatchError(ContainSubstring(`violates PodSecurity "restricted`)), "so it is enforced")
}

// TestSplitInstall has the cluster's part applied by its administrator, and the rest by somebody who has the role admin in the
// namespace, and what is aggregated to it.
func TestSplitInstall(t *testing.T) {
	g := NewWithT(t)
	c := theCluster(g)
	cluster := kustomization{resources: []string{"cluster"}}
	c.as(g, t, "admin", "apply", "--server-side", "-k", cluster.write(g, t))
	for i := range bases() { // each is applied over the one before, as somebody does who changes their mind
		b := bases()[i]
		if !strings.HasSuffix(b.name, "namespaced") {
			continue
		}
		everything := b.with(b.components).write(g, t)
		if b.name == "namespaced" {
			errs, err := c.try(t, "carol", "apply", "--server-side", "-k", everything)
			g.Expect(err).To(HaveOccurred(), "who has no rights at all is refused")
			g.Expect(errs).To(ContainSubstring("forbidden"))

			bindAdmin(g, t, c, "bob", nil)
			bindMonitoring(g, t, c, "bob")
			errs, err = c.try(t, "bob", "apply", "--server-side", "-k", everything)
			g.Expect(err).To(HaveOccurred(), "nobody may give the operator rights that they do not have, without what config/cluster aggregates")
			g.Expect(errs).To(ContainSubstring("attempting to grant RBAC permissions not currently held"))

			bindAdmin(g, t, c, "alice", aggregated(g, t, cluster.build(g, t)))
			bindMonitoring(g, t, c, "alice")
		}
		c.as(g, t, "alice", "apply", "--server-side", "--force-conflicts", "-k", everything)
		c.as(g, t, "alice", "diff", "--server-side", "--force-conflicts", "-k", everything)
	}
	errs, err := c.try(t, "alice", "apply", "--server-side", "-k", cluster.write(g, t))
	g.Expect(err).To(HaveOccurred())
	g.Expect(errs).To(And(ContainSubstring("clusterroles"), ContainSubstring("customresourcedefinitions")), "the split is where it has to be")
	c.as(g, t, "alice", "delete", "--wait=false", "-k", bases()[1].with(bases()[1].components).write(g, t))
}

// TestEveryOverlayIsApplied applies all that is ready to be, one over the other.
func TestEveryOverlayIsApplied(t *testing.T) {
	g := NewWithT(t)
	c := theCluster(g)
	folders, err := filepath.Glob("../overlays/*")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(len(folders)).To(BeNumerically(">=", 3))
	for _, folder := range append([]string{"../default", "../cluster", "../namespaced"}, folders...) {
		c.as(g, t, "admin", "apply", "--server-side", "--force-conflicts", "-k", folder)
	}
}

// TestDefaultIsBothParts compares config/default with config/cluster and config/namespaced.
func TestDefaultIsBothParts(t *testing.T) {
	g := NewWithT(t)
	whole := kustomization{resources: []string{"default"}}.build(g, t)
	cluster, namespaced := kustomization{resources: []string{"cluster"}}.build(g, t), kustomization{resources: []string{"namespaced"}}.build(g, t)
	g.Expect(sets.New(names(cluster)...).Union(sets.New(names(namespaced)...)).UnsortedList()).To(ConsistOf(names(whole)))
	for _, part := range [][]unstructured.Unstructured{cluster, namespaced} {
		for _, o := range part {
			g.Expect(whole).To(ContainElement(o))
		}
	}
	for _, o := range namespaced {
		g.Expect(o.GetKind()).NotTo(HavePrefix("Cluster"))
	}
	g.Expect(names(whole)).NotTo(ContainElement("Secret/latency-operator-supabase"), "the key is nobody's to overwrite")
}

// aggregated are the roles of a build that Kubernetes adds to admin, edit and view of every namespace. Here nothing does it,
// because that takes a controller.
func aggregated(g Gomega, t *testing.T, objects []unstructured.Unstructured) (out []string) {
	t.Helper()
	for _, o := range objects {
		for label := range o.GetLabels() {
			if strings.HasPrefix(label, aggregate) {
				g.Expect(o.GetKind()).To(Equal("ClusterRole"))
				out = append(out, o.GetName())
				break
			}
		}
	}
	return out
}

// bindAdmin gives somebody what the role admin is made of, and more.
func bindAdmin(g Gomega, t *testing.T, c *cluster, user string, more []string) {
	t.Helper()
	for _, role := range append([]string{"system:aggregate-to-admin", "system:aggregate-to-edit", "system:aggregate-to-view"}, more...) {
		bind(g, t, c, user, role)
	}
}

// bindMonitoring gives somebody what OpenShift calls monitoring-edit.
func bindMonitoring(g Gomega, t *testing.T, c *cluster, user string) {
	t.Helper()
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "monitoring-edit"}, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{"monitoring.coreos.com"}, Resources: []string{"servicemonitors", "prometheusrules"}, Verbs: []string{"*"},
	}}}
	if err := c.client.Create(t.Context(), role); !apierrors.IsAlreadyExists(err) {
		g.Expect(err).NotTo(HaveOccurred())
	}
	bind(g, t, c, user, "monitoring-edit")
}

func bind(g Gomega, t *testing.T, c *cluster, user, role string) {
	t.Helper()
	g.Expect(c.client.Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: "latency-operator-system", GenerateName: "test-"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: user}},
	})).To(Succeed())
}

// TestAnotherNamespace installs all of it in a namespace of another name.
func TestAnotherNamespace(t *testing.T) {
	g := NewWithT(t)
	c := theCluster(g)
	for _, b := range bases() {
		t.Run(b.name, func(t *testing.T) {
			g := NewWithT(t)
			k := b.of
			k.namespace = "sound-check"
			above := kustomization{resources: []string{k.write(g, t)}, components: b.components}
			objects := above.build(g, t)
			for _, o := range objects {
				text, err := o.MarshalJSON()
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(string(text)).NotTo(ContainSubstring("latency-operator-system"), "%s %s", o.GetKind(), o.GetName())
			}
			if strings.Contains(b.name, "namespaced") {
				return
			}
			c.as(g, t, "admin", "apply", "--server-side", "--force-conflicts", "-k", above.write(g, t))
			reviews := authorizationv1.ResourceAttributes{Verb: "create", Group: "authentication.k8s.io", Resource: "tokenreviews"}
			c.allows(g, t, account("sound-check", "latency-operator"), reviews, "the binding of the cluster is for this namespace's account")
			jobs := authorizationv1.ResourceAttributes{Verb: "create", Group: "latency.soundcheck.io", Resource: "latencyjobs", Namespace: "sound-check"}
			c.allows(g, t, account("sound-check", "latency-operator"), jobs)
			jobs.Namespace = "default"
			g.Expect(c.may(g, t, account("sound-check", "latency-operator"), jobs)).To(BeFalse(), "and nowhere else")

			// In one kustomization, it is all the same but for the name in the certificate and in the alert for absence.
			single := b.with(b.components)
			single.namespace = k.namespace
			atOnce := single.build(g, t)
			g.Expect(names(atOnce)).To(ConsistOf(names(objects)))
			for _, o := range atOnce {
				if o.GetKind() != "ServiceMonitor" && o.GetKind() != "PrometheusRule" {
					g.Expect(objects).To(ContainElement(o))
				}
			}
		})
	}
}

// TestSecondInstallation shares the cluster's part with the first, and needs two bindings of its own.
func TestSecondInstallation(t *testing.T) {
	g := NewWithT(t)
	c := theCluster(g)
	c.as(g, t, "admin", "apply", "--server-side", "--force-conflicts", "-k", "../default")
	c.makeNamespace(g, t, "staging")
	c.as(g, t, "admin", "apply", "--server-side", "-k", kustomization{namespace: "staging", resources: []string{"namespaced"}}.write(g, t))
	reviews := authorizationv1.ResourceAttributes{Verb: "create", Group: "authentication.k8s.io", Resource: "tokenreviews"}
	g.Expect(c.may(g, t, account("staging", "latency-operator"), reviews)).To(BeFalse())
	c.as(g, t, "admin", "create", "clusterrolebinding", "latency-operator-metrics-auth-staging", "--clusterrole=latency-operator-metrics-auth", "--serviceaccount=staging:latency-operator")
	c.allows(g, t, account("staging", "latency-operator"), reviews)
	c.allows(g, t, account("latency-operator-system", "latency-operator"), reviews, "the first keeps its own")
	jobs := authorizationv1.ResourceAttributes{Verb: "create", Group: "latency.soundcheck.io", Resource: "latencyjobs", Namespace: "latency-operator-system"}
	g.Expect(c.may(g, t, account("staging", "latency-operator"), jobs)).To(BeFalse(), "and neither may touch the other's jobs")
}

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
		c.allows(g, t, operator, reviews, operator)
		for _, of := range []string{"latency-operator-demo", "latency-operator-system"} {
			jobs := authorizationv1.ResourceAttributes{Verb: "create", Group: "latency.soundcheck.io", Resource: "latencyjobs", Namespace: of}
			if of == namespace {
				c.allows(g, t, operator, jobs, "%s in %s", operator, of)
				continue
			}
			g.Expect(c.may(g, t, operator, jobs)).To(BeFalse(), "%s in %s", operator, of)
		}
	}
}
