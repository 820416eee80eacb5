//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
)

const (
	group           = "latency.soundcheck.io"
	operatorAccount = "latency-operator"
)

// operatorMay is all that the operator may do in its namespace, beyond what every service account may: verb group/resource.
var operatorMay = []string{
	"create latency.soundcheck.io/latencyjobs", "delete latency.soundcheck.io/latencyjobs", "get latency.soundcheck.io/latencyjobs",
	"list latency.soundcheck.io/latencyjobs", "patch latency.soundcheck.io/latencyjobs", "watch latency.soundcheck.io/latencyjobs",
	"patch latency.soundcheck.io/latencyjobs/status",
	"create coordination.k8s.io/leases", "delete coordination.k8s.io/leases", "get coordination.k8s.io/leases",
	"list coordination.k8s.io/leases", "update coordination.k8s.io/leases", "watch coordination.k8s.io/leases",
	"create events.k8s.io/events", "patch events.k8s.io/events", "create /events", "patch /events",
	// For the whole cluster.
	"create authentication.k8s.io/tokenreviews", "create authorization.k8s.io/subjectaccessreviews",
}

// access is a question to the API server.
type access struct {
	verb, group, resource, subresource, namespace string
}

func (a access) String() string {
	where := "in " + a.namespace
	if a.namespace == "" {
		where = "everywhere"
	}
	return strings.Trim(fmt.Sprintf("%s %s/%s/%s", a.verb, a.group, a.resource, a.subresource), "/") + " " + where
}

// operatorsRights asks the API server what the operator may do, and tries it.
func (s *suite) operatorsRights(t *testing.T) {
	operator := s.userName(operatorAccount)
	s.hasNoFurtherRights(t)
	here, elsewhere := s.namespace, "kube-system"
	for _, a := range []access{
		{"get", "", "secrets", "", here},
		{"list", "", "secrets", "", here},
		{"watch", "", "secrets", "", ""},
		{"get", "", "configmaps", "", here},
		{"get", "", "pods", "", here},
		{"create", "", "pods", "", here},
		{"create", "", "pods", "exec", here},
		{"create", "", "pods", "eviction", here},
		{"create", "", "serviceaccounts", "token", here},
		{"patch", "apps", "deployments", "", here},
		{"update", group, "latencyjobs", "", here},
		{"deletecollection", group, "latencyjobs", "", here},
		{"get", group, "latencyjobs", "", elsewhere},
		{"create", group, "latencyjobs", "", elsewhere},
		{"list", group, "latencyjobs", "", ""},
		{"update", "coordination.k8s.io", "leases", "", elsewhere},
		{"create", "", "events", "", elsewhere},
		{"list", "", "namespaces", "", ""},
		{"list", "", "nodes", "", ""},
		{"bind", "rbac.authorization.k8s.io", "clusterroles", "", ""},
		{"escalate", "rbac.authorization.k8s.io", "roles", "", here},
		{"impersonate", "", "users", "", ""},
		{"patch", "apiextensions.k8s.io", "customresourcedefinitions", "", ""},
	} {
		if s.may(t, operator, a) {
			t.Errorf("the operator may %s", a)
		}
	}

	acting := s.as(t, operator)
	g, ctx := NewWithT(t), t.Context()
	g.Expect(acting.List(ctx, &v1alpha1.LatencyJobList{}, client.InNamespace(here))).To(Succeed())
	refused := map[string]error{
		"list secrets":               acting.List(ctx, &corev1.SecretList{}, client.InNamespace(here)),
		"read its own key":           acting.Get(ctx, types.NamespacedName{Namespace: here, Name: "latency-operator-supabase"}, &corev1.Secret{}),
		"list LatencyJobs elsewhere": acting.List(ctx, &v1alpha1.LatencyJobList{}, client.InNamespace(elsewhere)),
		"list all LatencyJobs":       acting.List(ctx, &v1alpha1.LatencyJobList{}),
		"change its own Deployment": acting.Patch(ctx, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "latency-operator", Namespace: here}},
			client.RawPatch(types.MergePatchType, []byte(`{"spec":{"replicas":5}}`)), client.DryRunAll),
		"start a pod": acting.Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: here}}, client.DryRunAll),
	}
	for what, err := range refused {
		g.Expect(apierrors.IsForbidden(err)).To(BeTrue(), "the operator tried to %s: %v", what, err)
	}
	t.Logf("the operator may, in %s:\n%s", here, strings.Join(slices.Sorted(slices.Values(operatorMay)), "\n"))
}

// hasNoFurtherRights compares the operator's rights with the list.
func (s *suite) hasNoFurtherRights(t *testing.T) {
	t.Helper()
	nobody, _ := s.account(t, "e2e-nobody")
	usual := s.rules(t, nobody)
	var got []string
	for _, rule := range s.rules(t, s.userName(operatorAccount)) {
		if !slices.Contains(usual, rule) {
			got = append(got, rule)
		}
	}
	want := slices.Sorted(slices.Values(operatorMay))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the operator's rights are not those of the list (-list +cluster):\n%s", diff)
	}
}

// rules are what a user may do in the namespace, a sorted line for each verb and resource, or path.
func (s *suite) rules(t *testing.T, user string) []string {
	t.Helper()
	config := rest.CopyConfig(s.config)
	config.Impersonate.UserName = user
	config.Impersonate.Groups = []string{"system:serviceaccounts", "system:serviceaccounts:" + s.namespace, "system:authenticated"}
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	review, err := kube.AuthorizationV1().SelfSubjectRulesReviews().Create(t.Context(),
		&authorizationv1.SelfSubjectRulesReview{Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: s.namespace}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, rule := range review.Status.ResourceRules {
		for _, g := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s/%s %s", verb, g, resource, strings.Join(rule.ResourceNames, ","))))
				}
			}
		}
	}
	for _, rule := range review.Status.NonResourceRules {
		for _, path := range rule.NonResourceURLs {
			for _, verb := range rule.Verbs {
				lines = append(lines, verb+" "+path)
			}
		}
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}

// may asks a SubjectAccessReview.
func (s *suite) may(t *testing.T, user string, a access) bool {
	t.Helper()
	return s.mayNamed(t, user, a, "")
}

// mayNamed is may, for one object.
func (s *suite) mayNamed(t *testing.T, user string, a access, name string) bool {
	t.Helper()
	review, err := s.kube.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User: user, Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + s.namespace, "system:authenticated"},
			ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: a.verb, Group: a.group, Resource: a.resource, Subresource: a.subresource, Namespace: a.namespace, Name: name},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return review.Status.Allowed
}

// peoplesRights are those of whoever may view or edit the namespace.
func (s *suite) peoplesRights(t *testing.T) {
	viewer, _ := s.account(t, "e2e-viewer", "view")
	editor, _ := s.account(t, "e2e-editor", "edit")
	stranger, _ := s.account(t, "e2e-stranger")
	job := func(verb, subresource string) access {
		return access{verb, group, "latencyjobs", subresource, s.namespace}
	}
	// The roles are put together by a controller, some time after the installation.
	NewWithT(t).Eventually(func() bool { return s.may(t, viewer, job("list", "")) && s.may(t, editor, job("patch", "")) }).
		WithTimeout(patience).WithPolling(interval).Should(BeTrue(), "view and edit know LatencyJobs")
	for _, tc := range []struct {
		who, user string
		a         access
		want      bool
	}{
		{"a viewer", viewer, job("get", ""), true},
		{"a viewer", viewer, job("watch", ""), true},
		{"a viewer", viewer, job("patch", ""), false},
		{"a viewer", viewer, job("delete", ""), false},
		{"an editor", editor, job("get", ""), true},
		{"an editor", editor, job("patch", ""), true},
		{"an editor", editor, job("delete", ""), true},
		{"an editor", editor, job("create", ""), false},
		{"an editor", editor, job("patch", "status"), false},
		{"a stranger", stranger, job("get", ""), false},
	} {
		if got := s.may(t, tc.user, tc.a); got != tc.want {
			t.Errorf("%s may %s: %v, want %v", tc.who, tc.a, got, tc.want)
		}
	}

	g, ctx := NewWithT(t), t.Context()
	id := s.jobs.steady[0]
	suspend := func(user string) error {
		lj := &v1alpha1.LatencyJob{ObjectMeta: metav1.ObjectMeta{Name: id, Namespace: s.namespace}}
		return s.as(t, user).Patch(ctx, lj, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"suspend":true}}`)), client.DryRunAll)
	}
	g.Expect(s.as(t, viewer).Get(ctx, types.NamespacedName{Namespace: s.namespace, Name: id}, &v1alpha1.LatencyJob{})).To(Succeed())
	g.Expect(suspend(editor)).To(Succeed())
	for _, user := range []string{viewer, stranger} {
		g.Expect(apierrors.IsForbidden(suspend(user))).To(BeTrue(), user)
	}
	s.takesNoForeignJobs(t)
}

// takesNoForeignJobs shows that a LatencyJob by hand has nothing measured, whoever makes it.
func (s *suite) takesNoForeignJobs(t *testing.T) {
	t.Helper()
	g, ctx := NewWithT(t), t.Context()
	const id = "0b9c3f0e-5a54-4c6e-9d0c-2a4f6f1f7a11"
	if _, _, err := s.kubectlRun(ctx, "-n", s.namespace, "apply", "-k", "config/samples"); err != nil {
		t.Fatal(err)
	}
	lj := &v1alpha1.LatencyJob{}
	g.Eventually(func() (string, error) {
		err := s.client.Get(ctx, types.NamespacedName{Namespace: s.namespace, Name: id}, lj)
		for _, c := range lj.Status.Conditions {
			if c.Type == v1alpha1.ConditionStalled && c.Status == metav1.ConditionTrue {
				return c.Reason, err
			}
		}
		return "", err
	}).WithTimeout(patience).WithPolling(interval).Should(Equal(v1alpha1.ReasonNotMirrored))
	g.Expect(lj.Status.Last).To(BeNil())
	g.Expect(s.client.Delete(ctx, lj)).To(Succeed())
}
