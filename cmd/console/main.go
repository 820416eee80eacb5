// Command console serves the page of Sound Check, where technicians start jobs and watch them. The page is built into it; what it
// shows comes from Supabase straight to the browser.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/zapr"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"k8s.io/utils/clock"

	"github.com/soundcheck-io/latency-operator/internal/build"
	"github.com/soundcheck-io/latency-operator/internal/page"
	"github.com/soundcheck-io/latency-operator/web"
)

// version is set when the binary is linked.
var version string

// patience is how long answers under way may take at the end.
const patience = 5 * time.Second

func main() {
	opts, err := parse(os.Args[1:])
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		err = run(ctx, opts)
		stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "console:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, opts *options) error {
	config, err := opts.config(build.Version(version), clock.RealClock{})
	if err != nil {
		return err
	}
	files, err := web.Files()
	if err != nil {
		return err
	}
	handler, err := page.New(files, config)
	if err != nil {
		return err
	}
	log, err := newLog(opts.LogFormat)
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", opts.Listen)
	if err != nil {
		return fmt.Errorf("listen at %s, which CONSOLE_LISTEN says: %w", opts.Listen, err)
	}
	return serve(ctx, listener, handler, log, &config)
}

// serve answers until ctx ends, and then lets answers under way come to their end.
func serve(ctx context.Context, listener net.Listener, handler http.Handler, log logr.Logger, config *page.Config) error {
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
	}
	log.Info("Serving the page", "address", listener.Addr().String(), "supabase", config.SupabaseURL, "signIn", config.SignIn, "version", config.Version)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	rest, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if err := server.Shutdown(rest); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	log.Info("Stopped")
	return server.Close()
}

func newLog(format string) (logr.Logger, error) {
	config := zap.NewProductionConfig()
	config.Encoding, config.DisableCaller = format, true
	config.EncoderConfig.EncodeTime = zapcore.RFC3339TimeEncoder
	log, err := config.Build()
	if err != nil {
		return logr.Logger{}, fmt.Errorf("prepare the log: %w", err)
	}
	return zapr.NewLogger(log), nil
}
