package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
)

const (
	// operatorPods selects the operator's pods, as config/manager labels them.
	operatorPods = "app.kubernetes.io/name=latency-operator,app.kubernetes.io/component=manager"
	// managerContainer is the one that the operator runs in.
	managerContainer = "manager"
	// metricsPort is the name of the port that serves samples beside the metrics, and defaultPort its number where it has no name.
	metricsPort = "metrics"
	defaultPort = 8443
)

// operator is a pod of the operator and the way to it.
type operator struct {
	pod    *corev1.Pod
	config *rest.Config
	core   *corev1client.CoreV1Client
}

// operatorPod finds a pod of the operator: one that is ready, or else, if that will do, one that runs at least.
func (c *cluster) operatorPod(ctx context.Context, mustBeReady bool) (*operator, error) {
	namespace, err := c.namespace()
	if err != nil {
		return nil, err
	}
	config, err := c.config()
	if err != nil {
		return nil, err
	}
	core, err := corev1client.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	pods, err := core.Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: operatorPods})
	if err != nil {
		return nil, c.explain(err, "list pods", namespace)
	}
	pod, err := choose(pods.Items, namespace, mustBeReady)
	if err != nil {
		return nil, passing{err} // so it is while one pod takes the place of another
	}
	return &operator{pod: pod, config: config, core: core}, nil
}

// choose takes the best of the pods.
func choose(pods []corev1.Pod, namespace string, mustBeReady bool) (*corev1.Pod, error) {
	pods = slices.DeleteFunc(pods, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil })
	if i := slices.IndexFunc(pods, func(p corev1.Pod) bool { return ready(&p) }); i >= 0 {
		return &pods[i], nil
	}
	if i := slices.IndexFunc(pods, func(p corev1.Pod) bool { return running(&p) }); i >= 0 && !mustBeReady {
		return &pods[i], nil
	}
	if len(pods) == 0 {
		return nil, fmt.Errorf("no operator runs in the namespace %s: name the right one with -n; if it is, look at kubectl -n %s get deployments", namespace, namespace)
	}
	look := "describe pod " + pods[0].Name
	if ended(&pods[0]) { // its last words are a sentence about what it lacks
		look = "logs " + pods[0].Name + " --previous"
	}
	return nil, fmt.Errorf("the operator is not ready: pod %s, %s. Look at kubectl -n %s %s", pods[0].Name, trouble(&pods[0]), namespace, look)
}

// ended tells whether the operator has run, ended and been started again.
func ended(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool {
		return s.Name == managerContainer && s.LastTerminationState.Terminated != nil
	})
}

func ready(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// running tells whether the operator's container runs, so that something can be run in it.
func running(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool {
		return s.Name == managerContainer && s.State.Running != nil
	})
}

// trouble says what a pod that is not ready waits for.
func trouble(p *corev1.Pod) string {
	for _, s := range p.Status.ContainerStatuses {
		switch {
		case s.State.Waiting != nil && s.State.Waiting.Reason != "":
			return "which waits: " + s.State.Waiting.Reason
		case s.State.Terminated != nil:
			return fmt.Sprintf("which ended with exit code %d", s.State.Terminated.ExitCode)
		}
	}
	if p.Status.Phase == corev1.PodPending {
		return "which is pending"
	}
	return "which is not ready yet"
}

// port is where the operator serves samples.
func (o *operator) port() int32 {
	for _, c := range o.pod.Spec.Containers {
		for _, p := range c.Ports {
			if c.Name == managerContainer && p.Name == metricsPort {
				return p.ContainerPort
			}
		}
	}
	return defaultPort
}

// image is what the operator was started from.
func (o *operator) image() string {
	for _, c := range o.pod.Spec.Containers {
		if c.Name == managerContainer {
			return c.Image
		}
	}
	return ""
}

// subresource is a request about the pod itself, such as exec.
func (o *operator) subresource(name string) *rest.Request {
	return o.core.RESTClient().Post().Namespace(o.pod.Namespace).Resource("pods").Name(o.pod.Name).SubResource(name)
}

// execRequest asks for a program in the operator's container.
func (o *operator) execRequest(command ...string) *rest.Request {
	return o.subresource("exec").VersionedParams(&corev1.PodExecOptions{
		Container: managerContainer, Command: command, Stdout: true, Stderr: true,
	}, clientgoscheme.ParameterCodec)
}

// errNotReachable says that a pod does not serve samples where it should.
var errNotReachable = errors.New("the operator does not serve samples")
