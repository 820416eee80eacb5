package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/controllers"
	"github.com/soundcheck-io/latency-operator/internal/doctor"
	"github.com/soundcheck-io/latency-operator/internal/stack"
)

// doctor runs the command with what surrounds the operator, and gives its exit code and what it found.
func (s *system) doctor(env map[string]string) (code int, found map[string]doctor.Finding) {
	s.t.Helper()
	binary, err := built()
	s.Expect(err).NotTo(HaveOccurred())
	out := &buffer{}
	o, err := s.Operator(stack.OperatorOptions{Binary: binary, Args: []string{"doctor", "--output=json"}, Env: env, Log: out})
	s.Expect(err).NotTo(HaveOccurred())
	<-o.Done()
	var report doctor.Report
	s.Expect(json.Unmarshal([]byte(out.String()), &report)).To(Succeed(), "%s", out)
	s.Expect(out.String()).NotTo(ContainSubstring(s.Gateway.SecretKey()))
	s.Expect(report.Healthy).To(Equal(o.ExitCode() == 0))
	s.Expect(report.Version).To(Equal("v0.0.0-test"))
	found = map[string]doctor.Finding{}
	for _, f := range report.Findings {
		found[f.Name] = f
	}
	return o.ExitCode(), found
}

func TestTheDoctorComesToARunningOperator(t *testing.T) {
	s := startSystem(t, stack.Options{})
	s.kubectl("apply", "--server-side", "--force-conflicts", "-k", "config/default")
	id := s.start("10.0.0.1", 0)
	op := s.operate(nil)
	s.Eventually(s.text(`select (count(*) >= 2)::text from samples`)).Should(Equal("true"))
	s.Eventually(s.text(`select count(*)::text from pollers`)).Should(Equal("1"))

	code, found := s.doctor(map[string]string{"KUBECONFIG": s.as(s.token("latency-operator"))})
	for name, f := range found {
		s.Expect(f.Status).To(Equal(doctor.OK), "%s: %s", name, f.Found)
	}
	s.Expect(code).To(BeZero())
	s.Expect(found).To(HaveLen(20))
	s.Expect(found["spreedb-http"].Found).To(HavePrefix("measured 10.0.0.1: "))
	s.Expect(found["leases"].Found).To(HaveSuffix(" measures all jobs"))
	s.Expect(found["crd"].Found).To(HaveSuffix("there are 1"))

	s.Expect(s.Client.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: "nobody"}})).To(Succeed())
	code, found = s.doctor(map[string]string{"KUBECONFIG": s.as(s.token("nobody")), "SUPABASE_SERVICE_ROLE_KEY": "sb_secret_x", "SPOOL_DIR": "/dev/null"})
	s.Expect(code).To(Equal(1))
	s.Expect(found["rbac"].Found).To(And(ContainSubstring("it may not get latencyjobs.latency.soundcheck.io, "), ContainSubstring("patch latencyjobs.latency.soundcheck.io/status"), ContainSubstring("create tokenreviews.authentication.k8s.io")))
	s.Expect(found["key"].Status).To(Equal(doctor.Failed))
	s.Expect(found["schema"].Status).To(Equal(doctor.Skipped))
	s.Expect(found["spool"].Status).To(Equal(doctor.Failed))
	s.Expect(found["supabase-http"].Status).To(Equal(doctor.OK), "what does not depend on it is looked at")

	code, found = s.doctor(map[string]string{"POLL_INTERVAL_MS": "5s"})
	s.Expect(code).To(Equal(1))
	s.Expect(found["settings"].Found).To(ContainSubstring(`POLL_INTERVAL_MS="5s"`))
	s.Expect(found["kubernetes"].Status).To(Equal(doctor.Skipped))
	_, found = s.doctor(map[string]string{"SUPABASE_SERVICE_ROLE_KEY": ""})
	s.Expect(found["settings"].Found).To(ContainSubstring("SUPABASE_SERVICE_ROLE_KEY is not set"))
	s.Expect(found["rbac"].Status).To(Equal(doctor.OK))

	api, err := s.LinkToAPIServer()
	s.Expect(err).NotTo(HaveOccurred())
	kubeconfig, err := s.KubeconfigThrough(api)
	s.Expect(err).NotTo(HaveOccurred())
	api.Close()
	_, found = s.doctor(map[string]string{"KUBECONFIG": kubeconfig})
	s.Expect(found["kubernetes"].Status).To(Equal(doctor.Failed))
	s.Expect(found["kubernetes"].Found).To(ContainSubstring("connection refused"))

	s.stop(op)
	s.Expect(s.text(flaws)()).To(Equal("none"))
	s.Expect(s.text(`select (count(*) = max(sequence_number) - min(sequence_number) + 1)::text from samples where job_id = $1`, id)()).To(Equal("true"), "no slot was missed meanwhile")
	s.kubectl("delete", "crd", "latencyjobs.latency.soundcheck.io")
	_, found = s.doctor(nil)
	s.Expect(found["crd"].Fix).To(ContainSubstring("kubectl apply -k config/crd"))
	s.Expect(found["leases"].Found).To(Equal("nobody mirrors jobs; no replica measures"))
	s.Expect(found["leases"].Status).To(Equal(doctor.Failed))
}

func TestWhatItMeansThatRightsAreLacking(t *testing.T) {
	v := &clusterVisit{cluster: &cluster{namespace: "staging"}}
	for _, tc := range []struct {
		lacking []string
		status  doctor.Status
		fix     string
	}{
		{nil, doctor.OK, ""},
		{
			[]string{"create tokenreviews.authentication.k8s.io", "create subjectaccessreviews.authorization.k8s.io"}, doctor.Warning,
			"kubectl create clusterrolebinding latency-operator-metrics-auth-staging --clusterrole=latency-operator-metrics-auth --serviceaccount=staging:latency-operator. If it could before, config/default or config/cluster was since applied for another namespace",
		},
		{[]string{"create tokenreviews.authentication.k8s.io", "list latencyjobs.latency.soundcheck.io"}, doctor.Failed, "kubectl apply -k the overlay"},
	} {
		if f := v.judge(tc.lacking, 20); f.Status != tc.status || !strings.Contains(f.Fix, tc.fix) {
			t.Errorf("%v: %+v", tc.lacking, f)
		}
	}
}

func TestTheDoctorFindsDevicesBehindJobsThatHaveEnded(t *testing.T) {
	g := NewWithT(t)
	scheme, err := newScheme()
	g.Expect(err).NotTo(HaveOccurred())
	// An API server that gives two jobs a page: the client for tests gives all at once.
	pages := map[string][]v1alpha1.LatencyJobSpec{
		"":  {{TargetIP: "10.0.0.1", State: v1alpha1.StateCompleted}, {TargetIP: "10.0.0.2", State: v1alpha1.StateCancelled}},
		"2": {{State: v1alpha1.StateRunning}, {TargetIP: "10.0.0.3", State: v1alpha1.StateRunning}},
		"3": {{TargetIP: "10.0.0.3", State: v1alpha1.StateRunning}, {TargetIP: "10.0.0.4", State: v1alpha1.StateRunning}},
	}
	next := map[string]string{"": "2", "2": "3"}
	list := func(_ context.Context, _ client.WithWatch, into client.ObjectList, opts ...client.ListOption) error {
		o := (&client.ListOptions{}).ApplyOptions(opts)
		for _, spec := range pages[o.Continue] {
			into.(*v1alpha1.LatencyJobList).Items = append(into.(*v1alpha1.LatencyJobList).Items, v1alpha1.LatencyJob{Spec: spec})
		}
		into.SetContinue(next[o.Continue])
		return nil
	}
	v := &clusterVisit{cluster: &cluster{namespace: "x"}, client: fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(interceptor.Funcs{List: list}).Build()}
	g.Expect(v.targets(t.Context())).To(Equal([]netip.Addr{netip.MustParseAddr("10.0.0.3"), netip.MustParseAddr("10.0.0.4")}))
}

func TestTheDoctorAsksForWhatTheRolesGive(t *testing.T) {
	given := map[string]bool{}
	err := filepath.WalkDir("../config/rbac", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".yaml" {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 1024); ; {
			var role rbacv1.ClusterRole // a Role reads the same
			switch err := documents.Decode(&role); {
			case errors.Is(err, io.EOF):
				return nil
			case err != nil:
				return err
			}
			if (role.Kind == "Role" || role.Kind == "ClusterRole") && slices.Contains([]string{"latency-operator", "latency-operator-manager", "latency-operator-metrics-auth"}, role.Name) {
				for _, rule := range role.Rules {
					for _, group := range rule.APIGroups {
						for _, resource := range rule.Resources {
							for _, verb := range rule.Verbs {
								given[fmt.Sprint(verb, " ", resource, " of ", group)] = true
							}
						}
					}
				}
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	asked := map[string]bool{}
	for _, n := range needs {
		resource := n.resource
		if n.subresource != "" {
			resource += "/" + n.subresource
		}
		for _, verb := range n.verbs {
			asked[fmt.Sprint(verb, " ", resource, " of ", n.group)] = true
		}
	}
	if !maps.Equal(given, asked) {
		t.Errorf("the roles give %v,\nand asked for is %v", slices.Sorted(maps.Keys(given)), slices.Sorted(maps.Keys(asked)))
	}
}

func TestWhatLeasesComeTo(t *testing.T) {
	now := time.Now()
	lease := func(name, holder string, age time.Duration, member bool) *coordinationv1.Lease {
		l := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: coordinationv1.LeaseSpec{
			HolderIdentity: &holder, LeaseDurationSeconds: new(int32(12)), RenewTime: new(metav1.NewMicroTime(now.Add(-age))),
		}}
		if member {
			l.Labels = map[string]string{controllers.MemberLabel: controllers.MemberValue}
		}
		return l
	}
	leaving := lease("latency-operator-c", "c", time.Second, true)
	leaving.Annotations = map[string]string{controllers.LeavesAtAnnotation: now.Add(-time.Second).Format(time.RFC3339Nano)}
	for name, tc := range map[string]struct {
		leases []*coordinationv1.Lease
		status doctor.Status
		want   string
	}{
		"none":        {nil, doctor.Failed, "nobody mirrors jobs; no replica measures"},
		"one":         {[]*coordinationv1.Lease{lease("latency-operator", "a", time.Second, false), lease("latency-operator-a", "a", time.Second, true)}, doctor.OK, "a mirrors jobs; a measures all jobs"},
		"two":         {[]*coordinationv1.Lease{lease("latency-operator", "a", 0, false), lease("latency-operator-a", "a", 0, true), lease("latency-operator-b", "b", 0, true)}, doctor.OK, "a mirrors jobs; the jobs are shared among a, b"},
		"another's":   {[]*coordinationv1.Lease{lease("latency-operator", "a", 0, false), lease("latency-operator-a", "a", 0, true), lease("something", "x", 0, false)}, doctor.OK, "a mirrors jobs; a measures all jobs"},
		"one is dead": {[]*coordinationv1.Lease{lease("latency-operator", "b", 0, false), lease("latency-operator-a", "a", 20*time.Second, true), lease("latency-operator-b", "b", 0, true)}, doctor.Warning, "b mirrors jobs; b measures all jobs; a is silent for 20s"},
		"one leaves":  {[]*coordinationv1.Lease{lease("latency-operator", "b", 0, false), leaving, lease("latency-operator-b", "b", 0, true)}, doctor.Warning, "b mirrors jobs; b measures all jobs; c has left and delivers what it still has"},
		"mirror dead": {[]*coordinationv1.Lease{lease("latency-operator", "a", time.Minute, false), lease("latency-operator-b", "b", 0, true)}, doctor.Warning, "nobody mirrors jobs since a went silent 1m0s ago; b measures all jobs"},
		"released":    {[]*coordinationv1.Lease{lease("latency-operator", "", time.Second, false), lease("latency-operator-b", "b", 0, true)}, doctor.Warning, "nobody mirrors jobs; b measures all jobs"},
	} {
		var all coordinationv1.LeaseList
		for _, l := range tc.leases {
			all.Items = append(all.Items, *l)
		}
		if f := presence(&all, now); f.Status != tc.status || f.Found != tc.want || strings.Contains(f.Fix, "%") {
			t.Errorf("%s: %+v", name, f)
		}
	}
}
