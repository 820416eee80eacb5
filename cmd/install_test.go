package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/stack"
)

// kubectl runs in the repository.
func (s *system) kubectl(args ...string) {
	s.t.Helper()
	cmd := exec.Command(s.Kubectl, append([]string{"--kubeconfig", s.Kubeconfig}, args...)...)
	cmd.Dir = s.Root
	var errs bytes.Buffer
	cmd.Stderr = &errs
	s.Expect(cmd.Run()).To(Succeed(), "%s", &errs)
	s.Expect(errs.String()).To(BeEmpty(), "no warnings, of PodSecurity for one")
}

// token is one of a service account of the operator's namespace.
func (s *system) token(account string) string {
	s.t.Helper()
	request := &authenticationv1.TokenRequest{}
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: account}}
	s.Expect(s.Client.SubResource("token").Create(s.t.Context(), sa, request)).To(Succeed())
	return request.Status.Token
}

// as gives a kubeconfig of somebody who has only a token.
func (s *system) as(token string) string {
	s.t.Helper()
	config, err := clientcmd.LoadFromFile(s.Kubeconfig)
	s.Expect(err).NotTo(HaveOccurred())
	for name := range config.AuthInfos {
		config.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: token}
	}
	path := filepath.Join(s.Dir, "kubeconfig-of-the-operator")
	s.Expect(clientcmd.WriteToFile(*config, path)).To(Succeed())
	return path
}

func TestInstalledWithKustomizeItMayDoWhatItMustAndNothingElse(t *testing.T) {
	s := startSystem(t, stack.Options{})
	for _, overlay := range []string{"config/overlays/openshift", "config/default"} {
		s.kubectl("apply", "--server-side", "--force-conflicts", "-k", overlay)
		s.podIsAdmitted()
	}
	s.kubectl("apply", "--dry-run=server", "-k", "config/samples")
	port, err := stack.FreePort()
	s.Expect(err).NotTo(HaveOccurred())
	address := fmt.Sprintf("127.0.0.1:%d", port)
	id := s.start("10.0.0.1", 57)
	binary, err := built()
	s.Expect(err).NotTo(HaveOccurred())
	_, err = s.Operator(stack.OperatorOptions{
		Binary: binary, Log: s.log, Args: []string{"--metrics-bind-address=" + address},
		Env: map[string]string{"KUBECONFIG": s.as(s.token("latency-operator"))},
	})
	s.Expect(err).NotTo(HaveOccurred())
	s.Eventually(s.phases).Should(HaveKeyWithValue(id, v1alpha1.PhaseCompleted))
	s.Eventually(s.eventReasons).Should(ContainElement("Completed"))
	example, err := os.ReadFile(filepath.Join(s.Root, "config/samples/start-job.sql"))
	s.Expect(err).NotTo(HaveOccurred())
	s.sql(string(example))
	s.Eventually(s.phases).Should(ContainElement(v1alpha1.PhaseRunning))
	s.sql(`delete from jobs`)
	s.Expect(s.log.String()).NotTo(ContainSubstring("forbidden"))

	s.mayNot("get", "", "secrets")
	s.mayNot("list", "", "pods")
	s.mayNot("update", "latency.soundcheck.io", "latencyjobs")
	s.mayNot("create", "apps", "deployments")
	s.mayNot("patch", "coordination.k8s.io", "leases")
	s.mayNot("deletecollection", "coordination.k8s.io", "leases")

	s.metricsAreFor(address)
}

// podIsAdmitted creates the Deployment's pod, without keeping it: the namespace enforces PodSecurity restricted.
func (s *system) podIsAdmitted() {
	s.t.Helper()
	var deployment appsv1.Deployment
	s.Expect(s.Client.Get(s.t.Context(), client.ObjectKey{Namespace: s.Namespace, Name: "latency-operator"}, &deployment)).To(Succeed())
	template := deployment.Spec.Template
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: "try", Labels: template.Labels, Annotations: template.Annotations}, Spec: template.Spec}
	s.Expect(s.Client.Create(s.t.Context(), pod, client.DryRunAll)).To(Succeed())
	pod.Spec.Containers[0].SecurityContext.AllowPrivilegeEscalation = new(true)
	pod.ResourceVersion = ""
	s.Expect(s.Client.Create(s.t.Context(), pod, client.DryRunAll)).To(MatchError(ContainSubstring(`violates PodSecurity "restricted`)))
	grace := *deployment.Spec.Template.Spec.TerminationGracePeriodSeconds
	s.Expect(time.Duration(grace)*time.Second).To(BeNumerically(">", 50*time.Second), "the shutdown takes up to 6 s, 5 s, 30 s, 3 s and 3 s")
}

// mayNot asks the API server whether the operator's account is kept from something.
func (s *system) mayNot(verb, group, resource string) {
	s.t.Helper()
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:               "system:serviceaccount:" + s.Namespace + ":latency-operator",
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: s.Namespace, Verb: verb, Group: group, Resource: resource},
	}}
	s.Expect(s.Client.Create(s.t.Context(), review)).To(Succeed())
	s.Expect(review.Status.Allowed).To(BeFalse(), "%s %s", verb, resource)
}

// metricsAreFor checks that metrics are served to whoever may read them, and to nobody else.
func (s *system) metricsAreFor(address string) {
	s.t.Helper()
	insecure := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	get := func(token string) (int, string) {
		req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "https://"+address+"/metrics", nil)
		s.Expect(err).NotTo(HaveOccurred())
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		res, err := insecure.Do(req)
		s.Expect(err).NotTo(HaveOccurred())
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(res.Body)
		s.Expect(err).NotTo(HaveOccurred())
		return res.StatusCode, string(body)
	}
	s.Expect(s.Client.Create(s.t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: "prometheus"}})).To(Succeed())
	reader := s.token("prometheus")
	status, _ := get("")
	s.Expect(status).To(Equal(http.StatusUnauthorized))
	status, _ = get(reader)
	s.Expect(status).To(Equal(http.StatusForbidden))
	s.Expect(s.Client.Create(s.t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "prometheus"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "latency-operator-metrics-reader"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: s.Namespace, Name: "prometheus"}},
	})).To(Succeed())
	s.Eventually(func() int { status, _ := get(s.token("prometheus")); return status }).Should(Equal(http.StatusOK))
	_, body := get(s.token("prometheus"))
	s.Expect(body).To(And(
		ContainSubstring("soundcheck_samples_stored_total"),
		ContainSubstring(`soundcheck_supabase_key_info{kind="secret",role="service_role"} 1`),
		ContainSubstring("soundcheck_sync_last_success_timestamp_seconds"),
	))
	s.Expect(strings.Count(body, "00000000-")).To(BeZero(), "no job id in a label")
}

func TestTemplatesListEverySetting(t *testing.T) {
	g := NewWithT(t)
	root, err := stack.Root()
	g.Expect(err).NotTo(HaveOccurred())
	read := func(name string) string {
		out, err := os.ReadFile(filepath.Join(root, name))
		g.Expect(err).NotTo(HaveOccurred())
		return string(out)
	}
	example, settings, deployment := read(".env.example"), read("config/samples/settings.yaml"), read("config/manager/deployment.yaml")
	for _, name := range []string{
		"SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_SERVICE_ROLE_KEY_FILE", "SUPABASE_ACCESS_TOKEN", "SUPABASE_ACCESS_TOKEN_FILE", "SUPABASE_CA_FILE",
		"POLLER_BASE_URL", "POLLER_THROUGH_PROXY", "POLL_INTERVAL_MS", "POLL_TIMEOUT_MS", "SPOOL_DIR", "SPOOL_LIMIT_MIB", "POD_NAMESPACE",
	} {
		g.Expect(example).To(ContainSubstring(name+"="), ".env.example")
		g.Expect(settings+deployment).To(ContainSubstring(name), "the templates")
	}
}
