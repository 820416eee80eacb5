//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"testing"

	. "github.com/onsi/gomega"
)

// splitInstall installs config/cluster as an administrator of the cluster, and the operator itself as somebody who is
// one of the namespace and nothing more. The demo gets a user without a name this time.
func (s *suite) splitInstall(t *testing.T) {
	if s.overlay != "config/default" {
		t.Skipf("config/cluster and config/namespaced are the two halves of config/default, and %s is installed", s.overlay)
	}
	g := NewWithT(t)
	found, err := s.traces(t.Context())
	g.Expect(err).NotTo(HaveOccurred())
	if len(found) > 0 {
		t.Skipf("something is left: %v", found)
	}
	cluster, err := s.kustomize("cluster", "config/cluster", nil)
	g.Expect(err).NotTo(HaveOccurred())
	namespaced, err := s.kustomize("namespaced", "config/namespaced", []string{"demo"}, fmt.Sprintf(
		`{target: {kind: Deployment, name: latency-operator-demo}, patch: '[{"op": "add", "path": "/spec/template/spec/securityContext/runAsUser", "value": %d}]'}`, anyUser))
	g.Expect(err).NotTo(HaveOccurred())

	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), uninstallPatience)
		defer cancel()
		if _, _, err := s.kubectlRun(ctx, "delete", "--ignore-not-found", "-k", cluster); err != nil {
			t.Error(err)
		}
		found, err := s.traces(ctx)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(found).To(BeEmpty(), "left behind")
	})
	s.kubectlApply(t, cluster)
	installer, _ := s.account(t, "e2e-installer", "admin")
	for _, a := range []access{
		{"create", "apiextensions.k8s.io", "customresourcedefinitions", "", ""},
		{"create", "rbac.authorization.k8s.io", "clusterroles", "", ""},
		{"list", group, "latencyjobs", "", ""},
	} {
		g.Expect(s.may(t, installer, a)).To(BeFalse(), "an administrator of the namespace may %s", a)
	}
	// The role is put together by a controller, some time after the installation.
	bind := access{"bind", "rbac.authorization.k8s.io", "clusterroles", "", s.namespace}
	g.Eventually(func() bool { return s.mayNamed(t, installer, bind, "latency-operator-manager") }).WithTimeout(patience).WithPolling(interval).Should(BeTrue())
	_, _, err = s.kubectlRun(t.Context(), "apply", "-k", cluster, "--as="+installer, "--dry-run=server")
	g.Expect(err).To(MatchError(ContainSubstring("forbidden")))

	s.kubectlApply(t, namespaced, "--as="+installer)
	s.onePod(t, operatorSelector)
	s.onePod(t, demoSelector)
	s.showsLife(t)
	if _, _, err := s.kubectlRun(t.Context(), "delete", "-k", namespaced, "--as="+installer); err != nil {
		t.Error(err)
	}
	pods, err := s.pods(t.Context(), operatorSelector)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(pods).To(BeEmpty())
}
