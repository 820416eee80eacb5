//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
)

// overlay is the folder of the kustomization that is installed.
const overlay = "overlay"

// uninstallPatience is long: the operator may take 30 s of its 60 to deliver what it has to a Supabase that is being removed too.
const uninstallPatience = 2 * time.Minute

// refuseIfInstalled keeps hands off a cluster in which somebody has the operator already: its CRD and its ClusterRoles
// belong to all namespaces.
func (s *suite) refuseIfInstalled(t *testing.T) {
	t.Helper()
	found, err := s.traces(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(found) > 0 {
		t.Fatalf("this cluster has the operator already, or remains of it, which this test would overwrite and remove. Take another cluster. Found:\n%s",
			strings.Join(found, "\n"))
	}
}

// install applies the overlay as a person would, and waits until all pods are ready.
func (s *suite) install(t *testing.T) {
	began := time.Now()
	s.apply(t, "demo")
	operator, demo := s.onePod(t, operatorSelector), s.onePod(t, demoSelector)
	t.Logf("%s and %s are ready after %.1f s", operator.Name, demo.Name, time.Since(began).Seconds())
	s.refusesPrivilegedPods(t)
}

// apply installs the overlay with components.
func (s *suite) apply(t *testing.T, components ...string) {
	t.Helper()
	dir, err := s.kustomize(overlay, s.overlay, components)
	if err != nil {
		t.Fatal(err)
	}
	s.kubectlApply(t, dir)
}

// kubectlApply installs a kustomization as a person would.
func (s *suite) kubectlApply(t *testing.T, dir string, flags ...string) {
	t.Helper()
	out, warnings, err := s.kubectlRun(t.Context(), append([]string{"apply", "-k", dir}, flags...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("kubectl apply -k %s %s\n%s", dir, strings.Join(flags, " "), out)
	if warnings != "" {
		t.Errorf("kubectl warns: %s", warnings)
	}
}

// refusesPrivilegedPods shows that the pods that run were admitted by a namespace that refuses others.
func (s *suite) refusesPrivilegedPods(t *testing.T) {
	t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "privileged", Namespace: s.namespace},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: s.image, SecurityContext: &corev1.SecurityContext{Privileged: new(true)}}}},
	}
	err := s.client.Create(t.Context(), pod, client.DryRunAll)
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "restricted") {
		t.Errorf("the namespace does not enforce the restricted PodSecurity standard: a privileged pod got %v", err)
	}
}

// showsLife is what a person sees who has just installed the demo.
func (s *suite) showsLife(t *testing.T) {
	began := time.Now()
	NewWithT(t).Eventually(func(g Gomega) {
		var list v1alpha1.LatencyJobList
		g.Expect(s.client.List(t.Context(), &list, client.InNamespace(s.namespace))).To(Succeed())
		measured := 0
		for _, j := range list.Items {
			if j.Status.Last != nil {
				measured++
			}
		}
		g.Expect(measured).To(BeNumerically(">=", 5), "LatencyJobs with a sample")
	}).WithTimeout(time.Minute).WithPolling(interval).Should(Succeed())
	out, _, err := s.kubectlRun(t.Context(), "-n", s.namespace, "get", "latencyjobs")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("after %.1f s:\n%s", time.Since(began).Seconds(), out)
}

// uninstall takes everything away as a person would, and looks for what is left.
func (s *suite) uninstall(t *testing.T) {
	if s.keep && s.failed() {
		t.Skip("E2E_KEEP is set, and something failed")
	}
	began := time.Now()
	s.remove(t)
	t.Logf("removed in %.0f s", time.Since(began).Seconds())
	NewWithT(t).Eventually(func() ([]string, error) { return s.traces(t.Context()) }).
		WithTimeout(patience).WithPolling(time.Second).Should(BeEmpty(), "left behind")
}

// remove may be called again.
func (s *suite) remove(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), uninstallPatience)
	defer cancel()
	if _, _, err := s.kubectlRun(ctx, "delete", "--ignore-not-found", "-k", filepath.Join(s.dir, overlay)); err != nil {
		t.Error(err)
	}
	if err := s.client.Delete(ctx, s.scraperBinding()); client.IgnoreNotFound(err) != nil {
		t.Error(err)
	}
}

// explain prints what somebody would look at who has to find out why a part failed.
func (s *suite) explain(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	for _, args := range [][]string{
		{"get", "all,leases,latencyjobs", "-o", "wide"},
		{"get", "events", "--sort-by=.lastTimestamp"},
		{"logs", "-l", operatorSelector, "--tail=50", "--prefix"},
		{"logs", "-l", demoSelector, "--tail=20", "--prefix"},
	} {
		out, _, err := s.kubectlRun(ctx, append([]string{"-n", s.namespace}, args...)...)
		if err != nil {
			out = err.Error()
		}
		t.Logf("kubectl %s\n%s", strings.Join(args, " "), out)
	}
}

// traces lists whatever in the whole cluster is the operator's: what has its labels, what is called after it, its API
// group, and its namespace.
func (s *suite) traces(ctx context.Context) ([]string, error) {
	client, err := metadata.NewForConfig(s.config)
	if err != nil {
		return nil, err
	}
	lists, err := s.kube.Discovery().ServerPreferredResources()
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) {
		return nil, fmt.Errorf("ask what kinds of resources there are: %w", err)
	}
	var found []string
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, err
		}
		for _, kind := range list.APIResources {
			if !slices.Contains(kind.Verbs, "list") || gv.Group == "events.k8s.io" || kind.Name == "events" {
				continue
			}
			objects, err := client.Resource(gv.WithResource(kind.Name)).List(ctx, metav1.ListOptions{})
			if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("list %s: %w", kind.Name, err)
			}
			for i := range objects.Items {
				if o := &objects.Items[i]; s.isOurs(gv.Group, o) {
					found = append(found, strings.Trim(fmt.Sprintf("%s %s/%s", kind.Name, o.Namespace, o.Name), "/"))
				}
			}
		}
	}
	return found, nil
}

func (s *suite) isOurs(group string, o *metav1.PartialObjectMetadata) bool {
	return group == v1alpha1.GroupVersion.Group || strings.HasSuffix(o.Name, "."+v1alpha1.GroupVersion.Group) ||
		o.Labels["app.kubernetes.io/part-of"] == "sound-check" || strings.HasPrefix(o.Labels["app.kubernetes.io/name"], "latency-operator") ||
		strings.HasPrefix(o.Name, "latency-operator") || o.Namespace == s.namespace
}
