//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/soundcheck-io/latency-operator/internal/verify"
)

// unmeasuredLimit is how many of a steady job's slots, which is to say seconds, the only pod's way out and its
// successor's way in may cost.
const unmeasuredLimit = 20

// anyUser is one such as OpenShift assigns: without a name, and the image knows nothing of it.
const anyUser = 1000680000

// rollingUpdate changes the pod template, as a new image does. Where the platform has assigned no user, the new pods get one.
func (s *suite) rollingUpdate(t *testing.T) {
	before := s.onePod(t, operatorSelector)
	pod := map[string]any{"metadata": map[string]any{"annotations": map[string]any{"kubectl.kubernetes.io/restartedAt": time.Now().Format(time.RFC3339)}}}
	if before.Spec.Containers[0].SecurityContext.RunAsUser == nil {
		pod["spec"] = map[string]any{"securityContext": map[string]any{"runAsUser": anyUser, "fsGroup": anyUser}}
	}
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"template": pod}})
	if err != nil {
		t.Fatal(err)
	}
	gaps := s.disrupt(t, 1, func(ctx context.Context) error {
		if _, _, err := s.kubectlRun(ctx, "-n", s.namespace, "patch", s.workload(t), "-p", string(patch)); err != nil {
			return err
		}
		return s.rolledOut(ctx, s.workload(t))
	}, before)
	limit := 0
	if strings.HasPrefix(s.workload(t), "statefulset") {
		limit = unmeasuredLimit // the pod goes before its successor comes
	}
	s.costs(t, "a rolling update", gaps, limit)
}

// rolledOut waits until there are only pods of the newest template.
func (s *suite) rolledOut(ctx context.Context, workload string) error {
	_, _, err := s.kubectlRun(ctx, "-n", s.namespace, "rollout", "status", workload, "--timeout=2m")
	return err
}

// podDeletedByForce is `kubectl delete pod --force`: the pod has a second or two to end.
func (s *suite) podDeletedByForce(t *testing.T) {
	before := s.onePod(t, operatorSelector)
	gaps := s.disrupt(t, 1, func(ctx context.Context) error {
		return s.client.Delete(ctx, &before, client.GracePeriodSeconds(0))
	}, before)
	s.costs(t, "a pod deleted by force", gaps, unmeasuredLimit)
}

// crash ends the operator's process from one instant to the next, as a lack of memory would. Its image has no shell, so a
// container of the demo's image is added to the pod that shares its processes. From in there process 1 cannot be sent
// SIGKILL; on SIGABRT a Go program dies at once too.
func (s *suite) crash(t *testing.T) {
	pod := s.onePod(t, operatorSelector)
	pod.Spec.EphemeralContainers = append(pod.Spec.EphemeralContainers, corev1.EphemeralContainer{
		TargetContainerName: "manager",
		EphemeralContainerCommon: corev1.EphemeralContainerCommon{
			Name: "killer", Image: s.demo, Command: []string{"bash", "-c", "kill -ABRT 1"},
			SecurityContext: &corev1.SecurityContext{
				AllowPrivilegeEscalation: new(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			},
		},
	})
	restarts := func(p corev1.Pod) int32 { return p.Status.ContainerStatuses[0].RestartCount }
	gaps := s.disrupt(t, 1, func(ctx context.Context) error {
		_, err := s.kube.CoreV1().Pods(s.namespace).UpdateEphemeralContainers(ctx, pod.Name, &pod, metav1.UpdateOptions{})
		if err != nil {
			return err
		}
		NewWithT(t).Eventually(func() int32 { return restarts(s.anyPod(t, operatorSelector)) }).
			WithTimeout(patience).WithPolling(interval).Should(Equal(restarts(pod)+1), "restarts of the container")
		return nil
	})
	s.costs(t, "a crash", gaps, unmeasuredLimit)
}

// eviction is what a drained node does.
func (s *suite) eviction(t *testing.T) {
	before := s.onePod(t, operatorSelector)
	gaps := s.disrupt(t, 1, func(ctx context.Context) error { return s.evict(ctx, before.Name) }, before)
	s.costs(t, "an eviction of the only pod", gaps, unmeasuredLimit)
}

func (s *suite) evict(ctx context.Context, pod string) error {
	return s.kube.PolicyV1().Evictions(s.namespace).Evict(ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pod, Namespace: s.namespace}})
}

// disrupt does something that ends the pods, waits until n are ready, all steady jobs are measured again and the account of
// the time meanwhile is settled, and returns the slots that nobody measured, by reason, of the job that lost most.
func (s *suite) disrupt(t *testing.T, n int, do func(context.Context) error, ending ...corev1.Pod) map[string]int64 {
	t.Helper()
	g, ctx := NewWithT(t), t.Context()
	report := s.awaitOutcomes(t, s.jobs.steady)
	before := map[string]map[string]int64{}
	for _, j := range report.Jobs {
		before[j.ID] = j.Gaps
	}
	began := time.Now()
	g.Expect(do(ctx)).To(Succeed())
	for _, pod := range ending {
		g.Eventually(func() (types.UID, error) {
			var p corev1.Pod
			err := s.client.Get(ctx, types.NamespacedName{Namespace: s.namespace, Name: pod.Name}, &p)
			return p.UID, client.IgnoreNotFound(err)
		}).WithTimeout(patience).WithPolling(interval).ShouldNot(Equal(pod.UID), "%s goes", pod.Name)
	}
	s.readyPods(t, operatorSelector, n)
	took := time.Since(began)
	back := time.Now()
	g.Eventually(func() (int, error) {
		return query[int](ctx, s, `select count(*) from unnest($1::uuid[]) job where exists (select from samples where job_id = job and scheduled_at > $2)`, s.jobs.steady, back)
	}).WithTimeout(patience).WithPolling(interval).Should(Equal(len(s.jobs.steady)), "jobs that are measured again")
	report = s.awaitOutcomes(t, s.jobs.steady)
	t.Logf("ready again after %.1f s", took.Seconds())
	return worst(report, before)
}

// worst is what the job lost that lost most, beyond what it had lost before.
func worst(report *verify.Report, before map[string]map[string]int64) map[string]int64 {
	worst, most := map[string]int64{}, int64(-1)
	for _, j := range report.Jobs {
		lost, sum := map[string]int64{}, int64(0)
		for reason, n := range j.Gaps {
			if n -= before[j.ID][reason]; n != 0 {
				lost[reason] = n
				sum += n
			}
		}
		if sum > most {
			worst, most = lost, sum
		}
	}
	return worst
}

// costs compares what was lost with what may be.
func (s *suite) costs(t *testing.T, what string, gaps map[string]int64, limit int) {
	t.Helper()
	sum := int64(0)
	for _, n := range gaps {
		sum += n
	}
	t.Logf("%s left at most %d slots of a job unmeasured, each of a second: %s. Every slot has one outcome.", what, sum, verify.Reasons(gaps))
	if sum > int64(limit) {
		t.Errorf("%s may leave %d slots of a job unmeasured at most", what, limit)
	}
}

// workload is what the operator runs as, as kubectl wants it.
func (s *suite) workload(t *testing.T) string {
	t.Helper()
	pod := s.anyPod(t, operatorSelector)
	for _, owner := range pod.OwnerReferences {
		if owner.Kind == "StatefulSet" {
			return "statefulset/" + owner.Name
		}
	}
	return "deployment/latency-operator"
}

func (s *suite) anyPod(t *testing.T, selector string) corev1.Pod {
	t.Helper()
	var found []corev1.Pod
	NewWithT(t).Eventually(func() (int, error) {
		var err error
		found, err = s.pods(t.Context(), selector)
		return len(found), err
	}).WithTimeout(patience).WithPolling(interval).Should(BeNumerically(">", 0))
	return found[0]
}
