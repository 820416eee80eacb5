package components

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/soundcheck-io/latency-operator/internal/stack"
)

// cluster is an API server with the definitions of prometheus-operator, and its administrator.
type cluster struct {
	client     client.Client
	warnings   *warnings
	kubectl    string
	kubeconfig string
}

// warnings are those that the API server gave to client.
type warnings struct {
	mu   sync.Mutex
	text []string
}

// HandleWarningHeader implements rest.WarningHandler.
func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, text)
}

var (
	stops         []func() error
	sharedCluster = sync.OnceValues(startCluster)
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	code := m.Run()
	for _, stop := range stops {
		_ = stop()
	}
	os.Exit(code)
}

// theCluster is started by whoever needs it first.
func theCluster(g Gomega) *cluster {
	c, err := sharedCluster()
	g.Expect(err).NotTo(HaveOccurred())
	return c
}

func startCluster() (*cluster, error) {
	assets, err := stack.Assets(context.Background(), os.Stderr)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "components-")
	if err != nil {
		return nil, err
	}
	stops = append(stops, func() error { return os.RemoveAll(dir) })
	// prometheus-operator publishes its definitions as Go types.
	generate := exec.Command("go", "tool", "-modfile=../../hack/tools/go.mod", "controller-gen", "crd",
		"paths=github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1", "output:crd:artifacts:config="+dir)
	if out, err := generate.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("generate the definitions of prometheus-operator: %w: %s", err, out)
	}
	env := &envtest.Environment{BinaryAssetsDirectory: assets, ErrorIfCRDPathMissing: true, CRDDirectoryPaths: []string{
		filepath.Join(dir, "monitoring.coreos.com_servicemonitors.yaml"), filepath.Join(dir, "monitoring.coreos.com_prometheusrules.yaml"),
	}}
	config, err := env.Start()
	if err != nil {
		return nil, err
	}
	stops = append(stops, env.Stop)
	c := &cluster{kubectl: filepath.Join(assets, "kubectl"), kubeconfig: filepath.Join(dir, "kubeconfig"), warnings: &warnings{}}
	admin, err := env.AddUser(envtest.User{Name: "admin", Groups: []string{"system:masters"}}, config)
	if err != nil {
		return nil, err
	}
	kubeconfig, err := admin.KubeConfig()
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(c.kubeconfig, kubeconfig, 0o600); err != nil {
		return nil, err
	}
	counting := rest.CopyConfig(admin.Config())
	counting.WarningHandler, counting.QPS = c.warnings, -1
	c.client, err = client.New(counting, client.Options{})
	return c, err
}

// as runs kubectl for somebody, who must not be told off by a warning.
func (c *cluster) as(g Gomega, t *testing.T, user string, args ...string) {
	t.Helper()
	errs, err := c.try(t, user, args...)
	g.Expect(err).NotTo(HaveOccurred(), errs)
	g.Expect(errs).To(BeEmpty(), "no warnings, of PodSecurity for one")
}

// try runs kubectl for somebody and gives what it complained about.
func (c *cluster) try(t *testing.T, user string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), c.kubectl, append([]string{"--kubeconfig", c.kubeconfig, "--as", user, "--as-group", "system:authenticated"}, args...)...)
	if user == "admin" {
		cmd = exec.CommandContext(t.Context(), c.kubectl, append([]string{"--kubeconfig", c.kubeconfig}, args...)...)
	}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	err := cmd.Run()
	return errs.String(), err
}

// may asks whether a user may do something.
func (c *cluster) may(g Gomega, t *testing.T, user string, resource authorizationv1.ResourceAttributes) bool {
	t.Helper()
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user, Groups: []string{"system:authenticated"}, ResourceAttributes: &resource,
	}}
	g.Expect(c.client.Create(t.Context(), review)).To(Succeed())
	return review.Status.Allowed
}

// allows expects that a user may do something. The API server decides by what it has seen of roles and bindings, which may be a little
// behind what it has stored.
func (c *cluster) allows(g Gomega, t *testing.T, user string, resource authorizationv1.ResourceAttributes, message ...any) {
	t.Helper()
	g.Eventually(func(g Gomega) bool { return c.may(g, t, user, resource) }).WithTimeout(10*time.Second).Should(BeTrue(), message...)
}

// account is the name of a service account as a user.
func account(namespace, name string) string {
	return "system:serviceaccount:" + namespace + ":" + name
}

// makeNamespace makes one that enforces PodSecurity restricted.
func (c *cluster) makeNamespace(g Gomega, t *testing.T, name string) {
	t.Helper()
	g.Expect(c.client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
		"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted",
	}}})).To(Succeed())
}
