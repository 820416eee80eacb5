package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/soundcheck-io/latency-operator/internal/outcomes"
	"github.com/soundcheck-io/latency-operator/internal/stack"
)

// insecure takes the certificate that the operator makes for itself.
var insecure = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}

// ask asks an operator for something beside its metrics, as whoever has the token.
func (s *system) ask(url, token string) (status int, body io.Reader) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, url, nil)
	s.Expect(err).NotTo(HaveOccurred())
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := insecure.Do(req)
	s.Expect(err).NotTo(HaveOccurred())
	s.t.Cleanup(func() { _ = res.Body.Close() })
	return res.StatusCode, res.Body
}

// refused gives the status and the sentence of an answer.
func (s *system) refused(url, token string) (status int, sentence string) {
	s.t.Helper()
	status, body := s.ask(url, token)
	text, err := io.ReadAll(io.LimitReader(body, 1<<10))
	s.Expect(err).NotTo(HaveOccurred())
	return status, string(text)
}

// letRead lets a new account read the samples of one job.
func (s *system) letRead(account, id string) {
	s.t.Helper()
	meta := metav1.ObjectMeta{Namespace: s.Namespace, Name: account}
	s.Expect(s.Client.Create(s.t.Context(), &corev1.ServiceAccount{ObjectMeta: meta})).To(Succeed())
	s.Expect(s.Client.Create(s.t.Context(), &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"latency.soundcheck.io"}, Resources: []string{"latencyjobs/samples"}, ResourceNames: []string{id}, Verbs: []string{"get"}},
	}})).To(Succeed())
	s.Expect(s.Client.Create(s.t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: account},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: s.Namespace, Name: account}},
	})).To(Succeed())
}

// freeAddress is one that nobody listens on.
func (s *system) freeAddress() string {
	s.t.Helper()
	port, err := stack.FreePort()
	s.Expect(err).NotTo(HaveOccurred())
	return fmt.Sprintf("127.0.0.1:%d", port)
}

func TestSamplesAreForWhoeverMayReadThem(t *testing.T) {
	s := startSystem(t, stack.Options{})
	s.kubectl("apply", "--server-side", "--force-conflicts", "-k", "config/default")
	api, err := s.LinkToAPIServer()
	s.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(api.Close)
	s.Kubeconfig, err = s.KubeconfigThrough(api)
	s.Expect(err).NotTo(HaveOccurred())
	id, other := s.start("10.0.0.1", 3), s.start("10.0.0.2", 0)
	s.letRead("reader", id)
	address := s.freeAddress()
	binary, err := built()
	s.Expect(err).NotTo(HaveOccurred())
	_, err = s.Operator(stack.OperatorOptions{
		Binary: binary, Log: s.log, Args: []string{"--metrics-bind-address=" + address},
		Env: map[string]string{"KUBECONFIG": s.as(s.token("latency-operator"))},
	})
	s.Expect(err).NotTo(HaveOccurred())
	s.Eventually(s.text(`select (count(*) >= 3)::text from samples where job_id = $1`, id)).Should(Equal("true"))
	s.Eventually(s.text(`select (count(*) >= 1)::text from sample_gaps where job_id = $1`, id)).Should(Equal("true"))
	samples, token := "https://"+address+"/jobs/"+id+"/samples", s.token("reader")

	job, lines := s.outcomes(samples, token)
	s.Expect(job.TargetIP).To(Equal("10.0.0.1"))
	s.Expect(lines[0].Gap.Reason).To(Equal("OperatorDown"), "the slots before it was started come first")
	last := lines[len(lines)-1].Sample
	s.Expect(last.ScheduledAt.Sub(job.StartedAt)%time.Second).To(BeZero(), "it lies on the grid")
	_, rest := s.outcomes(samples+"?since="+url.QueryEscape(lines[1].Sample.ScheduledAt.Format(time.RFC3339Nano)), token)
	s.Expect(rest[0]).To(Equal(lines[2]))

	for name, tc := range map[string]struct {
		url, token string
		status     int
		says       string
	}{
		"nobody":           {samples, "", 401, "send a token"},
		"a bad token":      {samples, "x", 401, "send a token"},
		"of another job":   {"https://" + address + "/jobs/" + other + "/samples", token, 403, "system:serviceaccount:" + s.Namespace + ":reader may not read samples"},
		"the metrics":      {"https://" + address + "/metrics", token, 403, "denied"},
		"the operator":     {samples, s.token("latency-operator"), 403, "latency-operator-latencyjob-viewer"},
		"something else":   {"https://" + address + "/jobs", token, 404, ""},
		"an unknown since": {samples + "?since=x", token, 400, "since"},
	} {
		status, sentence := s.refused(tc.url, tc.token)
		s.Expect(status).To(Equal(tc.status), "%s: %s", name, sentence)
		s.Expect(sentence).To(ContainSubstring(tc.says), name)
	}

	s.Eventually(func() int { status, _ := s.refused(samples, token); return status }).WithPolling(time.Millisecond).
		Should(Equal(http.StatusTooManyRequests), "who floods the operator with requests does not flood the API server in its name")
	s.Eventually(func() int { status, _ := s.refused(samples, token); return status }).Should(Equal(http.StatusOK), "it passes")

	unknown := s.token("reader") // which nobody has asked about yet
	api.Cut()
	var sentence string
	s.Eventually(func() (status int) { status, sentence = s.refused(samples, unknown); return status }).Should(Equal(http.StatusServiceUnavailable))
	s.Expect(sentence).To(ContainSubstring("cannot ask the API server"))
	s.Eventually(func() int { status, _ := s.refused(samples, token); return status }).Should(Equal(http.StatusOK), "which is known for a minute")
}

// outcomes reads a whole answer.
func (s *system) outcomes(url, token string) (job outcomes.Job, lines []outcomes.Line) {
	s.t.Helper()
	status, body := s.ask(url, token)
	s.Expect(status).To(Equal(http.StatusOK))
	for r := outcomes.NewReader(body); ; {
		line, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return job, lines
		case err != nil:
			s.Expect(err).NotTo(HaveOccurred())
		case line.Job != nil:
			job = *line.Job
		default:
			lines = append(lines, line)
		}
	}
}

func TestWithoutTLSSamplesAreNotServed(t *testing.T) {
	s := startSystem(t, stack.Options{})
	id := s.start("10.0.0.1", 0)
	address := s.freeAddress()
	binary, err := built()
	s.Expect(err).NotTo(HaveOccurred())
	_, err = s.Operator(stack.OperatorOptions{Binary: binary, Log: s.log, Args: []string{"--metrics-bind-address=" + address, "--no-metrics-secure"}})
	s.Expect(err).NotTo(HaveOccurred())
	s.Eventually(s.text(`select (count(*) >= 1)::text from samples`)).Should(Equal("true"))
	s.Eventually(func() int { status, _ := s.refused("http://"+address+"/metrics", ""); return status }).Should(Equal(http.StatusOK))
	status, _ := s.refused("http://"+address+"/jobs/"+id+"/samples", "")
	s.Expect(status).To(Equal(http.StatusNotFound))
}
