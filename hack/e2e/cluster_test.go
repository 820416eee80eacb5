//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// rawSelector is a selector as kubectl takes it.
func rawSelector(text string) client.ListOption {
	selector, err := labels.Parse(text)
	if err != nil {
		panic(err)
	}
	return client.MatchingLabelsSelector{Selector: selector}
}

// dial connects to a port of the pod. Each connection has a forwarder of its own, because one that ends badly takes the
// forwarder with it.
func (s *suite) dial(ctx context.Context, pod string, port int) (net.Conn, error) {
	transport, upgrader, err := spdy.RoundTripperFor(s.config)
	if err != nil {
		return nil, err
	}
	url := s.kube.CoreV1().RESTClient().Post().Resource("pods").Namespace(s.namespace).Name(pod).SubResource("portforward").URL()
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, url)
	stop, started, failed := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	forwarder, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, []string{fmt.Sprintf("0:%d", port)}, stop, started, io.Discard, io.Discard)
	if err != nil {
		return nil, err
	}
	go func() { failed <- forwarder.ForwardPorts() }()
	select {
	case <-started:
	case err := <-failed:
		return nil, fmt.Errorf("forward a port to %s: %w", pod, err)
	case <-ctx.Done():
		close(stop)
		return nil, ctx.Err()
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		close(stop)
		return nil, err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", ports[0].Local))
	if err != nil {
		close(stop)
		return nil, err
	}
	return &forwarded{Conn: conn, stop: sync.OnceFunc(func() { close(stop) })}, nil
}

// clientOf asks a port of the pod, whatever host a request names. It does not look at a certificate, which the operator has signed itself.
func (s *suite) clientOf(pod string, port int) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext:     func(ctx context.Context, _, _ string) (net.Conn, error) { return s.dial(ctx, pod, port) },
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true,
	}}
}

// forwarded is a connection that ends its forwarder.
type forwarded struct {
	net.Conn
	stop func()
}

// Close implements net.Conn.
func (f *forwarded) Close() error {
	defer f.stop()
	return f.Conn.Close()
}

// account makes a service account with the roles and returns its name as a user, and a token.
func (s *suite) account(t *testing.T, name string, clusterRoles ...string) (user, token string) {
	t.Helper()
	ctx := t.Context()
	made := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.namespace}}
	if err := s.client.Create(ctx, made); err != nil {
		t.Fatal(err)
	}
	for _, role := range clusterRoles {
		binding := &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name + "-" + role, Namespace: s.namespace},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: name, Namespace: s.namespace}},
		}
		if err := s.client.Create(ctx, binding); err != nil {
			t.Fatal(err)
		}
	}
	request, err := s.kube.CoreV1().ServiceAccounts(s.namespace).CreateToken(ctx, name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s.userName(name), request.Status.Token
}

// userName is what RBAC calls a service account of the namespace.
func (s *suite) userName(account string) string {
	return fmt.Sprintf("system:serviceaccount:%s:%s", s.namespace, account)
}

// as is a client that acts as somebody else.
func (s *suite) as(t *testing.T, user string) client.Client {
	t.Helper()
	config := rest.CopyConfig(s.config)
	config.Impersonate = rest.ImpersonationConfig{
		UserName: user,
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + s.namespace, "system:authenticated"},
	}
	c, err := client.New(config, client.Options{Scheme: s.scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
