package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/go-logr/logr"
	"github.com/moby/spdystream"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/klog/v2"
	streamhttp "k8s.io/streaming/pkg/httpstream"
)

// tunnel leads to a port of one of the operator's pods, through the API server.
type tunnel struct {
	base   string
	client *http.Client
	close  func()
	// said is what went wrong in it.
	said *heard
}

// heard keeps the errors that client-go logs about a tunnel, which is all that it does with them. It is a logr.LogSink.
type heard struct {
	mu     sync.Mutex
	newest string
}

// Init implements logr.LogSink.
func (*heard) Init(logr.RuntimeInfo) {}

// Enabled implements logr.LogSink.
func (*heard) Enabled(int) bool { return false }

// Info implements logr.LogSink.
func (*heard) Info(int, string, ...any) {}

// Error implements logr.LogSink.
func (h *heard) Error(err error, _ string, _ ...any) {
	if err == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	// That a stream was reset is what follows from the reason, which may have come before.
	if text := strings.Join(strings.Fields(err.Error()), " "); h.newest == "" || text != spdystream.ErrReset.Error() {
		h.newest = text
	}
}

// WithValues implements logr.LogSink.
func (h *heard) WithValues(...any) logr.LogSink { return h }

// WithName implements logr.LogSink.
func (h *heard) WithName(string) logr.LogSink { return h }

func (h *heard) error() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.newest
}

// open makes a tunnel. It ends with close or with ctx.
func (o *operator) open(ctx context.Context, explain func(error) error) (*tunnel, error) {
	dialer, err := o.dialer()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	said, ready, ended := &heard{}, make(chan struct{}), make(chan struct{})
	var failed error // is set when ended is closed
	forwarder, err := portforward.NewOnAddressesForStreamingWithContext(klog.NewContext(ctx, logr.New(said)), dialer, []string{"127.0.0.1"},
		[]string{fmt.Sprintf("0:%d", o.port())}, ready, io.Discard, io.Discard)
	if err != nil {
		cancel()
		return nil, err
	}
	go func() {
		defer close(ended)
		failed = forwarder.ForwardPorts()
	}()
	select {
	case <-ready:
	case <-ended:
		if failed == nil {
			failed = ctx.Err()
		}
		cancel()
		return nil, explain(failed)
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
		close: func() {
			transport.CloseIdleConnections()
			cancel()
			<-ended
		},
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
	said := t.said.error()
	switch {
	case strings.Contains(said, "connection refused"):
		return fmt.Errorf("%w in pod %s: it needs --metrics-bind-address=:%d, with TLS", errNotReachable, pod, defaultPort)
	case said == spdystream.ErrReset.Error(), said == "" && errors.Is(err, io.EOF):
		return fmt.Errorf("%w: pod %s hung up: try again", errNotReachable, pod)
	case said != "":
		return fmt.Errorf("%w: pod %s: %s", errNotReachable, pod, said)
	default:
		return fmt.Errorf("%w: pod %s: %w", errNotReachable, pod, err)
	}
}
