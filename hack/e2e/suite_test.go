//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
)

const (
	// patience is for what should take seconds, on a machine that has other things to do too.
	patience = 90 * time.Second
	interval = 250 * time.Millisecond

	operatorSelector = "app.kubernetes.io/name=latency-operator,app.kubernetes.io/component=manager"
	demoSelector     = "app.kubernetes.io/name=latency-operator-demo"
)

// suite is one installation in one cluster.
type suite struct {
	settings
	config *rest.Config
	kube   kubernetes.Interface
	client client.Client
	scheme *runtime.Scheme

	jobs jobs

	scraperToken string
	// failed tells whether any part failed.
	failed func() bool
}

// TestInstallation is one story: each part stands on the one before.
func TestInstallation(t *testing.T) {
	s := &suite{settings: readSettings(t), failed: t.Failed}
	s.connect(t)
	s.refuseIfInstalled(t)
	t.Cleanup(func() {
		if s.keep && t.Failed() {
			t.Logf("E2E_KEEP: the installation stays. Remove it with %s delete -k %s", s.kubectl, filepath.Join(s.dir, overlay))
			return
		}
		s.remove(t)
	})
	for _, step := range []struct {
		name string
		run  func(*testing.T)
		// vital parts have to succeed, or nothing after them can.
		vital bool
	}{
		{"Images", s.buildAndLoad, true},
		{"Install", s.install, true},
		{"LifeWithinAMinute", s.showsLife, true},
		{"JobsStart", s.startJobs, true},
		{"OperatorsRights", s.operatorsRights, false},
		{"PeoplesRights", s.peoplesRights, false},
		{"Metrics", s.metrics, false},
		{"RollingUpdate", s.rollingUpdate, false},
		{"Crash", s.crash, false},
		{"PodDeletedByForce", s.podDeletedByForce, false},
		{"Eviction", s.eviction, false},
		{"JobsEnd", s.jobsEnd, false},
		{"Plugin", s.plugin, false},
		{"Alerts", s.alerts, false},
		{"Replicas", s.replicas, false},
		{"Ledger", s.ledger, false},
		{"Console", s.console, false},
		{"Uninstall", s.uninstall, false},
		{"SplitInstall", s.splitInstall, false},
	} {
		if t.Run(step.name, step.run) {
			continue
		}
		s.explain(t)
		if step.vital {
			t.Fatalf("%s has to succeed for the rest", step.name)
		}
	}
}

func (s *suite) connect(t *testing.T) {
	t.Helper()
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(clientcmd.NewDefaultClientConfigLoadingRules(), nil).ClientConfig()
	if err != nil {
		t.Fatalf("no cluster: set KUBECONFIG: %s", err)
	}
	ctrl.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard()) // what port-forwarding says of pods that go away
	config.QPS, config.WarningHandler = -1, rest.NoWarnings{}
	s.config, s.scheme = config, runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(s.scheme); err != nil {
			t.Fatal(err)
		}
	}
	if s.kube, err = kubernetes.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	if s.client, err = client.New(config, client.Options{Scheme: s.scheme}); err != nil {
		t.Fatal(err)
	}
	version, err := s.kube.Discovery().ServerVersion()
	if err != nil {
		t.Fatalf("the cluster %s does not answer: %s", config.Host, err)
	}
	t.Logf("Kubernetes %s at %s", version.GitVersion, config.Host)
}

// buildAndLoad provides the images.
func (s *suite) buildAndLoad(t *testing.T) {
	for target, image := range map[string]string{"manager": s.image, "demo": s.demo, "console": s.page} {
		env := []string{"IMAGE=" + image, "TARGET=" + target, "ARCHIVE=" + s.dir + "/" + target + ".tar"}
		for _, command := range []string{s.build, s.load} {
			began := time.Now()
			if err := s.shell(t.Context(), command, env...); err != nil {
				t.Fatal(err)
			}
			t.Logf("%s: %s (%.0f s)", image, command, time.Since(began).Seconds())
		}
	}
}

// pods are the operator's that are not on their way out.
func (s *suite) pods(ctx context.Context, selector string) ([]corev1.Pod, error) {
	var list corev1.PodList
	if err := s.client.List(ctx, &list, client.InNamespace(s.namespace), rawSelector(selector)); err != nil {
		return nil, err
	}
	var living []corev1.Pod
	for _, p := range list.Items {
		if p.DeletionTimestamp == nil && p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
			living = append(living, p)
		}
	}
	return living, nil
}

// onePod waits until the selector finds exactly one pod, and that is ready.
func (s *suite) onePod(t *testing.T, selector string) corev1.Pod {
	t.Helper()
	return s.readyPods(t, selector, 1)[0]
}

func (s *suite) readyPods(t *testing.T, selector string, n int) []corev1.Pod {
	t.Helper()
	var found []corev1.Pod
	NewWithT(t).Eventually(func() (string, error) {
		var err error
		found, err = s.pods(t.Context(), selector)
		return describe(found, n), err
	}).WithTimeout(patience).WithPolling(interval).Should(BeEmpty())
	return found
}

// describe is empty when there are n pods and all are ready.
func describe(pods []corev1.Pod, n int) string {
	var out []string
	if len(pods) != n {
		out = append(out, fmt.Sprintf("%d pods, want %d", len(pods), n))
	}
	for _, p := range pods {
		if !ready(p) {
			out = append(out, fmt.Sprintf("%s is not ready", p.Name))
		}
	}
	return strings.Join(out, "; ")
}

func ready(p corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
