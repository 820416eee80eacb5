package controllers

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
)

func TestSlimChangesNothingThatIsRead(t *testing.T) {
	for name, labels := range map[string]map[string]string{
		"mirrored": {v1alpha1.MirroredLabel: v1alpha1.MirroredValue},
		"by hand":  nil,
		"labelled": {v1alpha1.MirroredLabel: v1alpha1.MirroredValue, "team": "north"},
	} {
		t.Run(name, func(t *testing.T) {
			job := &v1alpha1.LatencyJob{
				ObjectMeta: metav1.ObjectMeta{
					Name: jobID, Namespace: "ns", Labels: labels,
					ManagedFields: []metav1.ManagedFieldsEntry{{Manager: SyncOwner}},
				},
				Spec: *specOf(nil),
				Status: v1alpha1.LatencyJobStatus{
					Phase: v1alpha1.PhaseRunning, Message: "Measuring", Report: &v1alpha1.JobReport{Verdict: "Healthy", Message: "The device answered all of 60 polls."},
					Conditions: []metav1.Condition{{Type: "Ready", Status: metav1.ConditionTrue, Reason: "Measuring", Message: "Measuring"}},
				},
			}
			want := job.DeepCopy()
			want.ManagedFields = nil
			got, err := Slim(job)
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Error(diff, err)
			}
		})
	}
	if got, err := Slim("something else"); got != "something else" || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestMirroredLatencyJobsShareTheirLabels(t *testing.T) {
	labelled := func() *v1alpha1.LatencyJob {
		return &v1alpha1.LatencyJob{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{v1alpha1.MirroredLabel: v1alpha1.MirroredValue}}}
	}
	a, b := labelled(), labelled()
	for _, job := range []*v1alpha1.LatencyJob{a, b} {
		if _, err := Slim(job); err != nil {
			t.Fatal(err)
		}
	}
	delete(a.Labels, v1alpha1.MirroredLabel) // which nobody may do, and shows here that both have the same
	defer func() { a.Labels[v1alpha1.MirroredLabel] = v1alpha1.MirroredValue }()
	if len(b.Labels) != 0 {
		t.Error("each has labels of its own")
	}
}
