package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/endpoint"
	"github.com/soundcheck-io/latency-operator/internal/pgtest"
	"github.com/soundcheck-io/latency-operator/internal/stack"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest"
)

// cluster under test; nil where there are no programs for it.
var testCluster *envtest.Environment

func TestMain(m *testing.M) { os.Exit(runSuite(m)) }

func runSuite(m *testing.M) int {
	defer pgtest.StopShared()
	klog.SetLogger(logr.Discard())
	ctrl.SetLogger(logr.Discard())
	assets, err := stack.Assets(context.Background(), os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "no API server:", err)
		return m.Run()
	}
	env := &envtest.Environment{CRDDirectoryPaths: []string{"../../config/crd/bases"}, ErrorIfCRDPathMissing: true, BinaryAssetsDirectory: assets}
	if _, err := env.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "no API server:", err)
		return m.Run()
	}
	defer func() { _ = env.Stop() }()
	testCluster = env
	return m.Run()
}

// world is a namespace with an operator in it: a pod whose port leads to the operator's own handler of samples, before a database.
type world struct {
	*WithT
	t         *testing.T
	namespace string
	clients   kubernetes.Interface
	api       client.Client
	database  *supabasetest.Server
	kubelet   *kubelet
	samples   *httptest.Server
	// jobs began at begun, with a slot every cadence seconds.
	begun   time.Time
	cadence int
}

const idA, idB, idC = "0b9c3f0e-5a54-4c6e-9d0c-2a4f6f1f7a11", "0b9c3f0e-9999-4c6e-9d0c-000000000002", "5b0c6f0e-0000-4000-8000-000000000003"

// emptyWorld has jobs of an hour at 10 s, which began two hours ago.
func emptyWorld(t *testing.T) *world {
	return &world{WithT: NewWithT(t), t: t, begun: time.Now().UTC().Truncate(time.Second).Add(-2 * time.Hour), cadence: 10}
}

// due is when a slot was due.
func (w *world) due(slot int) time.Time {
	return w.begun.Add(time.Duration(slot*w.cadence) * time.Second)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := emptyWorld(t)
	w.kubelet = startKubelet(t)
	if testCluster == nil {
		t.Fatal("there is no API server: see the first line of this package's output")
	}
	w.clients = kubernetes.NewForConfigOrDie(testCluster.Config)
	var err error
	w.api, err = client.New(testCluster.Config, client.Options{Scheme: scheme})
	w.Expect(err).NotTo(HaveOccurred())
	ns, err := w.clients.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "cli-"}}, metav1.CreateOptions{})
	w.Expect(err).NotTo(HaveOccurred())
	w.namespace = ns.Name
	w.operator("latency-operator-0", "")
	return w
}

// withDatabase serves samples from a database.
func (w *world) withDatabase() *world {
	w.t.Helper()
	w.database = supabasetest.New(w.t)
	clk := clock.RealClock{}
	credentials, err := supabase.NewCredentials(supabase.Source{Value: w.database.SecretKey()}, supabase.Source{}, clk)
	w.Expect(err).NotTo(HaveOccurred())
	rest, err := supabase.New(supabase.Options{URL: w.database.URL(), Credentials: credentials, UserAgent: "test", Observer: &reference{clock: clk}, Clock: clk})
	w.Expect(err).NotTo(HaveOccurred())
	mux := http.NewServeMux()
	mux.Handle(endpoint.Pattern, endpoint.New(rest, w.admit, clk, logr.Discard()))
	w.serve(mux)
	return w
}

// serve has the operator's port lead to a handler.
func (w *world) serve(handler http.Handler) {
	if w.samples != nil {
		w.samples.Close()
	}
	w.samples = httptest.NewTLSServer(handler)
	w.t.Cleanup(w.samples.Close)
	w.kubelet.setListener(strings.TrimPrefix(w.samples.URL, "https://"))
}

// admit asks the API server, as the operator does.
func (w *world) admit(r *http.Request, id string) *endpoint.Refusal {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	who, err := w.clients.AuthenticationV1().TokenReviews().Create(r.Context(), &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
	if err != nil || !who.Status.Authenticated {
		return &endpoint.Refusal{Status: http.StatusUnauthorized, Sentence: "Say who you are."}
	}
	may, err := w.clients.AuthorizationV1().SubjectAccessReviews().Create(r.Context(), &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: who.Status.User.Username, Groups: who.Status.User.Groups,
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: w.namespace, Verb: "get", Group: v1alpha1.GroupVersion.Group, Resource: "latencyjobs", Subresource: "samples", Name: id,
		},
	}}, metav1.CreateOptions{})
	if err != nil || !may.Status.Allowed {
		return &endpoint.Refusal{Status: http.StatusForbidden, Sentence: who.Status.User.Username + " may not read samples."}
	}
	return nil
}

// What a user of the CLI needs, piece by piece.
var (
	mayList    = rbacv1.PolicyRule{APIGroups: []string{"latency.soundcheck.io"}, Resources: []string{"latencyjobs"}, Verbs: []string{"get", "list", "watch"}}
	mayRead    = rbacv1.PolicyRule{APIGroups: []string{"latency.soundcheck.io"}, Resources: []string{"latencyjobs/samples"}, Verbs: []string{"get"}}
	maySee     = rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get", "list"}}
	mayForward = rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods/portforward"}, Verbs: []string{"create"}}
	mayExec    = rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods/exec"}, Verbs: []string{"create"}}
	mayRequest = rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"}, ResourceNames: []string{readerAccount}, Verbs: []string{"create"}}
)

// account makes a service account with rights.
func (w *world) account(name string, rules ...rbacv1.PolicyRule) {
	w.t.Helper()
	meta := metav1.ObjectMeta{Namespace: w.namespace, Name: name}
	_, err := w.clients.CoreV1().ServiceAccounts(w.namespace).Create(w.t.Context(), &corev1.ServiceAccount{ObjectMeta: meta}, metav1.CreateOptions{})
	w.Expect(err).NotTo(HaveOccurred())
	w.grant(name, rbacv1.Subject{Kind: "ServiceAccount", Namespace: w.namespace, Name: name}, rules...)
}

func (w *world) grant(name string, to rbacv1.Subject, rules ...rbacv1.PolicyRule) {
	w.t.Helper()
	meta := metav1.ObjectMeta{Namespace: w.namespace, Name: name}
	_, err := w.clients.RbacV1().Roles(w.namespace).Create(w.t.Context(), &rbacv1.Role{ObjectMeta: meta, Rules: rules}, metav1.CreateOptions{})
	w.Expect(err).NotTo(HaveOccurred())
	_, err = w.clients.RbacV1().RoleBindings(w.namespace).Create(w.t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name}, Subjects: []rbacv1.Subject{to},
	}, metav1.CreateOptions{})
	w.Expect(err).NotTo(HaveOccurred())
}

// asAccount are the flags of somebody with a token.
func (w *world) asAccount(name string, rules ...rbacv1.PolicyRule) []string {
	w.t.Helper()
	w.account(name, rules...)
	answer, err := w.clients.CoreV1().ServiceAccounts(w.namespace).CreateToken(w.t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	w.Expect(err).NotTo(HaveOccurred())
	ca := filepath.Join(w.t.TempDir(), "ca.crt")
	w.Expect(os.WriteFile(ca, testCluster.Config.CAData, 0o600)).To(Succeed())
	return []string{"--kubeconfig=" + os.DevNull, "--server=https://" + strings.TrimPrefix(testCluster.Config.Host, "https://"),
		"--certificate-authority=" + ca, "--token=" + answer.Status.Token, "--namespace=" + w.namespace}
}

// asCertificate are the flags of somebody with a client certificate and no token.
func (w *world) asCertificate(name string, rules ...rbacv1.PolicyRule) []string {
	w.t.Helper()
	w.grant(name, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: "User", Name: name + w.namespace}, rules...)
	user, err := testCluster.AddUser(envtest.User{Name: name + w.namespace}, nil)
	w.Expect(err).NotTo(HaveOccurred())
	kubeconfig, err := user.KubeConfig()
	w.Expect(err).NotTo(HaveOccurred())
	path := filepath.Join(w.t.TempDir(), "kubeconfig")
	w.Expect(os.WriteFile(path, kubeconfig, 0o600)).To(Succeed())
	return []string{"--kubeconfig=" + path, "--namespace=" + w.namespace}
}

// everything are the flags of somebody who may do all that the CLI can do.
func (w *world) everything() []string {
	w.t.Helper()
	w.account(readerAccount, mayRead)
	return w.asAccount("everything", mayList, maySee, mayForward, mayRequest, mayExec)
}

// result is what a command did.
type result struct {
	code     int
	out, err string
}

// do runs a command.
func (w *world) do(flags []string, args ...string) result {
	w.t.Helper()
	return do(w.t.Context(), append(args, flags...)...)
}

func do(ctx context.Context, args ...string) result {
	var out, errOut bytes.Buffer
	code := run(ctx, args, genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &errOut})
	return result{code: code, out: out.String(), err: errOut.String()}
}

// job makes a job in the database, and its LatencyJob with a status.
func (w *world) job(id, target, rowStatus string, status v1alpha1.LatencyJobStatus) {
	w.t.Helper()
	job := &v1alpha1.LatencyJob{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: id},
		Spec: v1alpha1.LatencyJobSpec{
			JobID: id, TargetIP: target, CadenceSeconds: int32(w.cadence), DurationMinutes: 60, StartedAt: metav1.NewMicroTime(w.begun),
			State: v1alpha1.JobState(strings.ToUpper(rowStatus[:1]) + rowStatus[1:]),
		},
	}
	w.Expect(w.api.Create(w.t.Context(), job)).To(Succeed())
	job.Status = status
	w.Expect(w.api.Status().Update(w.t.Context(), job)).To(Succeed())
	if w.database != nil {
		w.row(id, target, rowStatus)
	}
}

func (w *world) row(id, target, rowStatus string) {
	w.t.Helper()
	w.sql(`insert into jobs (id, account_number, notification_email, target_ip, cadence_seconds, duration_minutes, monitoring_mode, status, started_at, completed_at)
		values ($1, 'A-1', 'a@b.c', $2, $5, 60, 'real_polling', $3, $4::timestamptz, case when $3 = 'running' then null else $4::timestamptz + interval '1 h' end)`, id, target, rowStatus, w.begun, w.cadence)
}

func (w *world) sql(sql string, args ...any) {
	w.t.Helper()
	w.Expect(w.database.Exec(w.t.Context(), sql, args...)).To(Succeed())
}

// measured fills slots of a job with samples, every n-th of them missed; n of 0 misses none.
func (w *world) measured(id string, from, to, missEvery int) {
	w.t.Helper()
	w.sql(`insert into samples (job_id, sequence_number, scheduled_at, recorded_at, status, rtt_ms)
		select $1::uuid, i, at, at, case when missed then 'missed' else 'success' end, case when not missed then 20 + i % 7 end
		from generate_series($3::int, $4::int) i, lateral (select $2::timestamptz + i * $6::int * interval '1 s' as at,
			$5::int > 0 and i % greatest($5::int, 1) = 0 as missed) of`, id, w.begun, from, to, missEvery, w.cadence)
}

func (w *world) gap(from, to int, reason string) {
	w.t.Helper()
	w.sql(`insert into sample_gaps (job_id, from_at, to_at, slots, reason) values ($1, $2, $3, $4, $5)`, idA, w.due(from), w.due(to), to-from+1, reason)
}
