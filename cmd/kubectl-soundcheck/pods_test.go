package main

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestThePodThatCanAnswerIsChosen(t *testing.T) {
	pod := func(name string, ready corev1.ConditionStatus, status corev1.ContainerStatus) corev1.Pod {
		status.Name = managerContainer
		return corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.PodStatus{
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}, ContainerStatuses: []corev1.ContainerStatus{status},
		}}
	}
	runs := corev1.ContainerStatus{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
	crashes := corev1.ContainerStatus{
		State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
		LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1}},
	}
	good, starting, crashing := pod("good", corev1.ConditionTrue, runs), pod("starting", corev1.ConditionFalse, runs), pod("crashing", corev1.ConditionFalse, crashes)
	leaving := pod("leaving", corev1.ConditionTrue, runs)
	leaving.DeletionTimestamp = &metav1.Time{}
	pending := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "pending"}, Status: corev1.PodStatus{Phase: corev1.PodPending}}
	ended := pod("ended", corev1.ConditionFalse, corev1.ContainerStatus{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 3}}})
	for name, c := range map[string]struct {
		pods  []corev1.Pod
		ready bool
		want  string
	}{
		"the ready one":             {[]corev1.Pod{crashing, starting, good}, false, "good"},
		"not the one that leaves":   {[]corev1.Pod{leaving, good}, true, "good"},
		"one that runs":             {[]corev1.Pod{crashing, starting}, false, "starting"},
		"one that runs will not do": {[]corev1.Pod{starting}, true, "the operator is not ready: pod starting, which is not ready yet. Look at kubectl -n ns describe pod starting"},
		"one that crashes":          {[]corev1.Pod{crashing}, false, "which waits: CrashLoopBackOff. Look at kubectl -n ns logs crashing --previous"},
		"one without a node":        {[]corev1.Pod{pending}, false, "pod pending, which is pending. Look at kubectl -n ns describe pod pending"},
		"one that ended":            {[]corev1.Pod{ended}, false, "which ended with exit code 3"},
		"none":                      {nil, false, "no operator runs in the namespace ns: name the right one with -n"},
		"only one that is going":    {[]corev1.Pod{leaving}, false, "no operator runs in the namespace ns"},
	} {
		got, err := choose(c.pods, "ns", c.ready)
		if err == nil && got.Name != c.want || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}
}
