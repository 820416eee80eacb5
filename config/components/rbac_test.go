package components

import (
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestWhoMayReadSamples asks the API server what each account and role may do.
func TestWhoMayReadSamples(t *testing.T) {
	g := NewWithT(t)
	c := theCluster(g)
	const namespace = "soundcheck-rbac"
	c.as(g, t, "admin", "apply", "--server-side", "--force-conflicts", "-k", kustomization{namespace: namespace, resources: []string{"default"}}.write(g, t))
	for user, kind := range map[string]string{"viewer": "ClusterRole/latency-operator-latencyjob-viewer", "technician": "Role/latency-operator-cli-user"} {
		ref, name, _ := strings.Cut(kind, "/")
		g.Expect(c.client.Create(t.Context(), &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: user},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: ref, Name: name},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: user}},
		})).To(Succeed())
	}
	reader, operator, metrics := account(namespace, "latency-operator-reader"), account(namespace, "latency-operator"), account(namespace, "latency-operator-metrics-reader")
	jobs := authorizationv1.ResourceAttributes{Group: "latency.soundcheck.io", Resource: "latencyjobs"}
	samples := authorizationv1.ResourceAttributes{Group: "latency.soundcheck.io", Resource: "latencyjobs", Subresource: "samples", Name: "0b9c3f0e-5a54-4c6e-9d0c-2a4f6f1f7a11"}
	pods, forward := authorizationv1.ResourceAttributes{Resource: "pods"}, authorizationv1.ResourceAttributes{Resource: "pods", Subresource: "portforward", Name: "p"}
	exec := authorizationv1.ResourceAttributes{Resource: "pods", Subresource: "exec", Name: "p"}
	readersToken := authorizationv1.ResourceAttributes{Resource: "serviceaccounts", Subresource: "token", Name: "latency-operator-reader"}
	operatorsToken := authorizationv1.ResourceAttributes{Resource: "serviceaccounts", Subresource: "token", Name: "latency-operator"}
	secrets := authorizationv1.ResourceAttributes{Resource: "secrets"}
	rights := []struct {
		user, verb string
		what       authorizationv1.ResourceAttributes
		may        bool
	}{
		{"viewer", "list", jobs, true},
		{"viewer", "get", samples, true},
		{"viewer", "patch", jobs, false},
		{"viewer", "list", pods, false},

		{"technician", "list", jobs, true},
		{"technician", "watch", jobs, true},
		{"technician", "get", samples, true},
		{"technician", "list", pods, true},
		{"technician", "create", forward, true},
		{"technician", "get", forward, true},
		{"technician", "create", readersToken, true},
		{"technician", "create", operatorsToken, false},
		{"technician", "create", exec, false},
		{"technician", "patch", jobs, false},
		{"technician", "get", secrets, false},

		{reader, "get", samples, true},
		{reader, "list", jobs, false},
		{reader, "list", pods, false},

		{operator, "get", samples, false},
		{operator, "create", readersToken, false},
		{operator, "get", secrets, false},

		{metrics, "get", samples, false},
		{metrics, "list", jobs, false},
		{"nobody", "get", samples, false},
	}
	for _, tt := range rights {
		if what := tt.what; tt.may {
			what.Namespace, what.Verb = namespace, tt.verb
			c.allows(g, t, tt.user, what, "%s: %s %s/%s %s", tt.user, tt.verb, what.Resource, what.Subresource, what.Name)
		}
	}
	for _, tt := range rights { // now that all that was granted counts
		what := tt.what
		what.Namespace, what.Verb = namespace, tt.verb
		g.Expect(c.may(g, t, tt.user, what)).To(Equal(tt.may), "%s: %s %s/%s %s", tt.user, tt.verb, what.Resource, what.Subresource, what.Name)
		what.Namespace = "default"
		g.Expect(c.may(g, t, tt.user, what)).To(BeFalse(), "not in other namespaces")
	}
	for user, may := range map[string]bool{metrics: true, reader: false, operator: false, "technician": false} {
		g.Eventually(func(g Gomega) bool {
			review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
				User: user, NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: "/metrics", Verb: "get"},
			}}
			g.Expect(c.client.Create(t.Context(), review)).To(Succeed())
			return review.Status.Allowed
		}).WithTimeout(10*time.Second).Should(Equal(may), "%s reads the metrics", user)
	}
}
