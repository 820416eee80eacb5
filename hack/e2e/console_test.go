//go:build e2e

package e2e

import (
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	consoleName     = "sound-check-console"
	consoleSelector = "app.kubernetes.io/name=" + consoleName
	consoleKey      = "sb_publishable_e2e"
)

// console adds the page. Its pod waits for its settings, says so, and then serves the whole page under a policy that names the
// Supabase project and nothing else.
func (s *suite) console(t *testing.T) {
	g, ctx := NewWithT(t), t.Context()
	s.apply(t, "demo", "replicas", "console")
	g.Eventually(func() (string, error) { return s.waitsFor(ctx, consoleSelector) }).WithTimeout(patience).WithPolling(interval).
		Should(ContainSubstring(`configmap "` + consoleName + `" not found`))

	project := "http://latency-operator-demo." + s.namespace + ".svc:8000"
	g.Expect(s.client.Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: consoleName, Namespace: s.namespace},
		Data:       map[string]string{"SUPABASE_URL": project, "SUPABASE_PUBLISHABLE_KEY": consoleKey},
	})).To(Succeed())
	pod := s.onePod(t, consoleSelector)
	g.Expect(pod.Spec.ServiceAccountName).To(Equal(consoleName))
	for _, v := range pod.Spec.Volumes {
		g.Expect(v.Projected).To(BeNil(), "the page's pod has a token for the API server")
	}

	// The Service leads there. What stands between rewrites pages, so these are read without it.
	g.Eventually(func() (string, error) {
		health, err := s.kube.CoreV1().RESTClient().Get().Namespace(s.namespace).Resource("services").Name(consoleName + ":http").SubResource("proxy").
			Suffix("healthz").DoRaw(ctx)
		return string(health), err
	}).WithTimeout(patience).WithPolling(interval).Should(Equal("ok\n"))
	page := s.clientOf(pod.Name, int(pod.Spec.Containers[0].Ports[0].ContainerPort))
	index, header := get(t, page, "/jobs")
	g.Expect(header.Get("Content-Security-Policy")).To(ContainSubstring("connect-src 'self' " + project + " " + strings.Replace(project, "http", "ws", 1)))
	scripts := regexp.MustCompile(`<script[^>]* src="(/assets/[^"]+)"`).FindStringSubmatch(index)
	g.Expect(scripts).NotTo(BeNil(), index)
	script, _ := get(t, page, scripts[1])
	g.Expect(len(script)).To(BeNumerically(">", 100<<10), "the page's script")
	config, _ := get(t, page, "/config.json")
	g.Expect(config).To(And(ContainSubstring(project), ContainSubstring(consoleKey)))
	t.Logf("the page: %s", config)
}

// waitsFor is why the one container of the pod does not start.
func (s *suite) waitsFor(ctx context.Context, selector string) (string, error) {
	pods, err := s.pods(ctx, selector)
	if err != nil || len(pods) != 1 {
		return "", err
	}
	for _, c := range pods[0].Status.ContainerStatuses {
		if c.State.Waiting != nil {
			return c.State.Waiting.Message, nil
		}
	}
	return "", nil
}

// get reads a path that has to be there.
func get(t *testing.T, c *http.Client, path string) (string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v\n%s", path, resp.Status, err, body)
	}
	return string(body), resp.Header
}
