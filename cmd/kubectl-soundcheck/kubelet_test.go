package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"
)

// kubelet does what a kubelet does for a pod whose container is this process: it forwards its ports to one listener and runs programs
// in it, so that the API server's part is the real one.
type kubelet struct {
	*httptest.Server
	// listener is what a forwarded port leads to; empty is nobody.
	mu       sync.Mutex
	listener string
	// run is what programs do.
	run func(command []string, out, err io.Writer) (exitCode int)
}

func startKubelet(t *testing.T) *kubelet {
	t.Helper()
	k := &kubelet{}
	mux := http.NewServeMux()
	mux.HandleFunc("/portForward/{namespace}/{pod}", func(w http.ResponseWriter, r *http.Request) {
		opts, err := portforward.NewV4Options(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		portforward.ServePortForward(w, r, k, r.PathValue("pod"), "", opts, time.Minute, time.Minute, portforward.SupportedProtocols)
	})
	mux.HandleFunc("/exec/{namespace}/{pod}/{container}", func(w http.ResponseWriter, r *http.Request) {
		opts, err := remotecommand.NewOptions(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		remotecommand.ServeExec(w, r, k, r.PathValue("pod"), "", r.PathValue("container"), r.URL.Query()["command"], opts, time.Minute, time.Minute, remotecommand.SupportedStreamingProtocols)
	})
	k.Server = httptest.NewTLSServer(mux)
	t.Cleanup(k.Close)
	return k
}

func (k *kubelet) setListener(address string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.listener = address
}

// PortForward implements portforward.PortForwarder.
func (k *kubelet) PortForward(ctx context.Context, _, _ string, port int32, stream io.ReadWriteCloser) error {
	k.mu.Lock()
	listener := k.listener
	k.mu.Unlock()
	if listener == "" {
		return fmt.Errorf("dial tcp4 127.0.0.1:%d: connect: connection refused", port)
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", listener)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	go func() { _, _ = io.Copy(conn, stream) }()
	_, err = io.Copy(stream, conn)
	return err
}

// ExecInContainer implements remotecommand.Executor.
func (k *kubelet) ExecInContainer(_ context.Context, _, _, container string, command []string, _ io.Reader, out, errOut io.WriteCloser, _ bool, _ <-chan remotecommand.TerminalSize, _ time.Duration) error {
	if container != managerContainer {
		return fmt.Errorf("there is no container %q", container)
	}
	if code := k.run(command, out, errOut); code != 0 {
		return utilexec.CodeExitError{Err: fmt.Errorf("exit code %d", code), Code: code}
	}
	return nil
}

// node makes the API server know the kubelet.
func (w *world) node() string {
	w.t.Helper()
	host, port, _ := strings.Cut(strings.TrimPrefix(w.kubelet.URL, "https://"), ":")
	number, err := strconv.ParseInt(port, 10, 32)
	w.Expect(err).NotTo(HaveOccurred())
	node, err := w.clients.CoreV1().Nodes().Create(w.t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{GenerateName: "node-"}}, metav1.CreateOptions{})
	w.Expect(err).NotTo(HaveOccurred())
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: host}}
	node.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(number)
	_, err = w.clients.CoreV1().Nodes().UpdateStatus(w.t.Context(), node, metav1.UpdateOptions{})
	w.Expect(err).NotTo(HaveOccurred())
	return node.Name
}

// operator makes a pod of the operator, ready or waiting for the reason given.
func (w *world) operator(name, waitsFor string) {
	w.t.Helper()
	pods := w.clients.CoreV1().Pods(w.namespace)
	pod, err := pods.Create(w.t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app.kubernetes.io/name": "latency-operator", "app.kubernetes.io/component": "manager"}},
		Spec: corev1.PodSpec{NodeName: w.node(), Containers: []corev1.Container{{
			Name: "manager", Image: "ghcr.io/soundcheck-io/latency-operator:v9", Ports: []corev1.ContainerPort{{Name: "metrics", ContainerPort: 8443}},
		}}},
	}, metav1.CreateOptions{})
	w.Expect(err).NotTo(HaveOccurred())
	state, ready := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}, corev1.ConditionTrue
	if waitsFor != "" {
		state, ready = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: waitsFor}}, corev1.ConditionFalse
	}
	pod.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}},
		ContainerStatuses: []corev1.ContainerStatus{{Name: "manager", State: state}},
	}
	_, err = pods.UpdateStatus(w.t.Context(), pod, metav1.UpdateOptions{})
	w.Expect(err).NotTo(HaveOccurred())
}

func (w *world) removeOperators() {
	w.t.Helper()
	list, err := w.clients.CoreV1().Pods(w.namespace).List(w.t.Context(), metav1.ListOptions{})
	w.Expect(err).NotTo(HaveOccurred())
	for _, pod := range list.Items {
		w.Expect(w.clients.CoreV1().Pods(w.namespace).Delete(w.t.Context(), pod.Name, metav1.DeleteOptions{
			GracePeriodSeconds: new(int64), Preconditions: &metav1.Preconditions{UID: new(pod.UID)},
		})).To(Succeed())
	}
}
