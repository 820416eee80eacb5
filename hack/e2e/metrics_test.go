//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	metricsPort    = 8443
	metricsService = "latency-operator-metrics"
	metricsReader  = "latency-operator-metrics-reader"
	scraperAccount = "e2e-prometheus"
)

// metrics asks the endpoint as nobody, as somebody without the right, and as Prometheus.
func (s *suite) metrics(t *testing.T) {
	g, ctx := NewWithT(t), t.Context()
	_, stranger := s.account(t, "e2e-metrics-stranger")
	prometheus := s.scraper(t)
	pod := s.onePod(t, operatorSelector).Name
	for who, tc := range map[string]struct {
		token string
		want  []int
	}{
		"nobody": {"", []int{http.StatusUnauthorized}},
		// Where the API server says of a token that it is none, controller-runtime takes that for an error of its own.
		"an invented token":          {"abc", []int{http.StatusUnauthorized, http.StatusInternalServerError}},
		"an account without a right": {stranger, []int{http.StatusForbidden}},
	} {
		status, body, err := s.readMetrics(ctx, pod, tc.token)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(tc.want).To(ContainElement(status), "%s: %s", who, body)
		g.Expect(body).NotTo(ContainSubstring("soundcheck_"), who)
	}
	// The binding is seconds old: whoever decides may not have seen it.
	var families map[string]*dto.MetricFamily
	g.Eventually(func() (err error) {
		families, err = s.scrape(ctx, pod, prometheus)
		return err
	}).WithTimeout(patience).WithPolling(interval).Should(Succeed())

	g.Expect(total(families, "soundcheck_polls_total", "status", "success")).To(BeNumerically(">", 0))
	g.Expect(total(families, "soundcheck_samples_stored_total", "", "")).To(BeNumerically(">", 0))
	g.Expect(total(families, "soundcheck_jobs", "phase", "Running")).To(BeNumerically(">=", len(s.jobs.steady)))
	g.Expect(total(families, "soundcheck_outbox_dropped_samples_total", "", "")).To(BeZero())
	g.Expect(families).To(HaveKey("go_goroutines"))
	ours := 0
	for name, family := range families {
		if strings.HasPrefix(name, "soundcheck_") {
			ours++
			for _, m := range family.GetMetric() {
				for _, l := range m.GetLabel() {
					g.Expect(s.jobs.ids()).NotTo(ContainElement(l.GetValue()), "%s has a job's id in label %s", name, l.GetName())
				}
			}
		}
	}
	t.Logf("%d families of metrics, %d of them soundcheck_*", len(families), ours)

	// The Service leads there too. The API server, which stands between, passes no token on.
	err := s.kube.CoreV1().RESTClient().Get().Namespace(s.namespace).Resource("services").Name("https:" + metricsService + ":https").SubResource("proxy").
		Suffix("metrics").Do(ctx).Error()
	g.Expect(apierrors.IsUnauthorized(err)).To(BeTrue(), "through the Service: %v", err)
}

// scraper returns the token of an account that may read the metrics, made as an administrator does for Prometheus.
func (s *suite) scraper(t *testing.T) string {
	t.Helper()
	if s.scraperToken != "" {
		return s.scraperToken
	}
	_, s.scraperToken = s.account(t, scraperAccount)
	if err := s.client.Create(t.Context(), s.scraperBinding()); err != nil {
		t.Fatal(err)
	}
	return s.scraperToken
}

// scraperBinding is this test's only object outside the namespace.
func (s *suite) scraperBinding() *rbacv1.ClusterRoleBinding {
	return &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "latency-operator-" + scraperAccount},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: metricsReader},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: scraperAccount, Namespace: s.namespace}},
	}
}

// readMetrics asks a pod, as whoever has the token; without one as nobody.
func (s *suite) readMetrics(ctx context.Context, pod, token string) (status int, body string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://localhost/metrics", nil)
	if err != nil {
		return 0, "", err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := s.clientOf(pod, metricsPort).Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

func (s *suite) scrape(ctx context.Context, pod, token string) (map[string]*dto.MetricFamily, error) {
	status, body, err := s.readMetrics(ctx, pod, token)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("status %d: %s", status, body)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(strings.NewReader(body))
}

// total adds up a counter or gauge over the series that have the label's value, or over all.
func total(families map[string]*dto.MetricFamily, name, label, value string) float64 {
	sum := 0.0
	for _, m := range families[name].GetMetric() {
		match := label == ""
		for _, l := range m.GetLabel() {
			match = match || l.GetName() == label && l.GetValue() == value
		}
		if match {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}
