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
	"strings"
	"time"

	"github.com/cli/browser"

	migrations "github.com/soundcheck-io/latency-operator/config/supabase"
	"github.com/soundcheck-io/latency-operator/internal/build"
	"github.com/soundcheck-io/latency-operator/internal/page"
	"github.com/soundcheck-io/latency-operator/internal/stack"
	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest/auth"
	"github.com/soundcheck-io/latency-operator/web"
)

// technician is the one user of the demo's project. The page acts for them, or has them sign in.
func technician() auth.User {
	return auth.User{ID: "d0000000-0000-4000-8000-000000000001", Email: "ann@example.com", Password: "sound-check"}
}

// openPage serves the page of Sound Check, as cmd/console does, for one user whom everybody on this machine is, or who has to sign in. It
// returns where; nothing where the page was not built.
func openPage(ctx context.Context, s *stack.Stack, opts *options) (url string, err error) {
	files, err := web.Files()
	if errors.Is(err, web.ErrNotBuilt) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	config := page.Config{
		SupabaseURL: s.Gateway.URL(), PublishableKey: s.Gateway.PublishableKey(), SignIn: page.SignInSupabase, Version: build.Version(version),
	}
	if !opts.SignIn {
		config.SignIn = page.SignInToken
		config.AccessToken = s.Gateway.Token(map[string]any{"role": "authenticated", "sub": technician().ID, "exp": time.Now().AddDate(0, 0, 7).Unix()})
	}
	handler, err := page.New(files, config)
	if err != nil {
		return "", err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", opts.Page)
	if err != nil {
		return "", fmt.Errorf("serve the page: %w", err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }() // it ends with the demo
	return "http://" + listener.Addr().String(), nil
}

// admitViewer has the database let the page's user do what users may, and nobody else.
func (d *demo) admitViewer(ctx context.Context) error {
	for _, m := range migrations.Optional() {
		if strings.HasSuffix(m.Name, "_page_access.sql") {
			if _, err := d.db.Exec(ctx, m.SQL); err != nil {
				return fmt.Errorf("apply %s: %w", m.Name, err)
			}
			return d.stack.Gateway.ReloadSchema(ctx)
		}
	}
	return errors.New("there is no migration for the page's users")
}

// showPage opens a page in the viewer's browser, where there is one. It is printed anyway.
func showPage(url string) {
	if runtime.GOOS == "linux" && os.Getenv("DISPLAY") == "" && os.Getenv("WAYLAND_DISPLAY") == "" {
		return
	}
	browser.Stdout, browser.Stderr = io.Discard, io.Discard
	_ = browser.OpenURL(url)
}
