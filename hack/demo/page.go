package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"time"

	"github.com/cli/browser"

	"github.com/soundcheck-io/latency-operator/internal/build"
	"github.com/soundcheck-io/latency-operator/internal/page"
	"github.com/soundcheck-io/latency-operator/internal/stack"
	"github.com/soundcheck-io/latency-operator/web"
)

// viewerID is the user that the page of the demo acts for.
const viewerID = "d0000000-0000-4000-8000-000000000001"

// openPage serves the page of Sound Check, as cmd/console does, for one user whom everybody on this machine is. It returns where; nothing
// where the page was not built.
func openPage(ctx context.Context, s *stack.Stack, address string) (url string, err error) {
	files, err := web.Files()
	if errors.Is(err, web.ErrNotBuilt) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	handler, err := page.New(files, page.Config{
		SupabaseURL: s.Gateway.URL(), PublishableKey: s.Gateway.PublishableKey(), SignIn: page.SignInToken, Version: build.Version(version),
		AccessToken: s.Gateway.Token(map[string]any{"role": "authenticated", "sub": viewerID, "exp": time.Now().AddDate(0, 0, 7).Unix()}),
	})
	if err != nil {
		return "", err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return "", fmt.Errorf("serve the page: %w", err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }() // it ends with the demo
	return "http://" + listener.Addr().String(), nil
}

// show opens a page in the viewer's browser, where there is one. It is printed anyway.
func showPage(url string) {
	if runtime.GOOS == "linux" && os.Getenv("DISPLAY") == "" && os.Getenv("WAYLAND_DISPLAY") == "" {
		return
	}
	browser.Stdout, browser.Stderr = io.Discard, io.Discard
	_ = browser.OpenURL(url)
}
