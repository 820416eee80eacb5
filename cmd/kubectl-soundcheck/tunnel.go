package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	streamhttp "k8s.io/streaming/pkg/httpstream"
)

// tunnel leads to a port of one of the operator's pods, through the API server.
type tunnel struct {
	base   string
	client *http.Client
	close  func()
	// said is what went wrong in it.
	said *lockedBuffer
}

// lockedBuffer is written to by the tunnel while we read.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// String gives what was written, in one line.
func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(strings.Fields(b.text.String()), " ")
}

// open makes a tunnel. It ends with close or with ctx.
func (o *operator) open(ctx context.Context, namespaceHint func(error) error) (*tunnel, error) {
	dialer, err := o.dialer()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	said, ready, ended := &lockedBuffer{}, make(chan struct{}), make(chan error, 1)
	forwarder, err := portforward.NewOnAddressesForStreamingWithContext(ctx, dialer, []string{"127.0.0.1"},
		[]string{fmt.Sprintf("0:%d", o.port())}, ready, io.Discard, said)
	if err != nil {
		cancel()
		return nil, err
	}
	go func() { ended <- forwarder.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-ended:
		cancel()
		if err == nil {
			err = ctx.Err()
		}
		return nil, namespaceHint(err)
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		cancel()
		return nil, err
	}
	// The API server, whose certificate was checked, leads to this pod and no other, and to a port on its own loopback. What the
	// operator says about itself with a certificate of its own making adds nothing to that.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}}
	return &tunnel{
		base: fmt.Sprintf("https://127.0.0.1:%d", ports[0].Local), client: &http.Client{Transport: transport}, said: said,
		close: func() { transport.CloseIdleConnections(); cancel(); <-ended },
	}, nil
}

// dialer is kubectl's: WebSockets, and SPDY where something between does not let them through.
func (o *operator) dialer() (streamhttp.Dialer, error) {
	transport, upgrader, err := spdy.RoundTripperFor(o.config)
	if err != nil {
		return nil, err
	}
	where := o.subresource("portforward").URL()
	websockets, err := portforward.NewSPDYOverWebsocketDialerForStreaming(where, o.config)
	if err != nil {
		return nil, err
	}
	fallback := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, where)
	return portforward.NewFallbackDialerForStreaming(websockets, fallback, upgradeFailed), nil
}

func upgradeFailed(err error) bool {
	return streamhttp.IsUpgradeFailure(err) || streamhttp.IsHTTPSProxyError(err)
}

// broken says why a request through the tunnel has no answer.
func (t *tunnel) broken(err error, pod string) error {
	if said := t.said.String(); strings.Contains(said, "connection refused") {
		return fmt.Errorf("%w in pod %s: it needs --metrics-bind-address=:%d, with TLS", errNotReachable, pod, defaultPort)
	} else if said != "" {
		return fmt.Errorf("%w: pod %s: %s", errNotReachable, pod, said)
	}
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: pod %s hung up: try again", errNotReachable, pod)
	}
	return fmt.Errorf("%w: pod %s: %w", errNotReachable, pod, err)
}
