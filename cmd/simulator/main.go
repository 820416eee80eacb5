// Command simulator answers like SpreeDB's latency API, to try the operator where there is no SpreeDB. With --supabase it also
// stands in for the Supabase project, and then nothing else is needed.
package main

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"github.com/go-logr/logr"
	"github.com/go-logr/zapr"
	"go.uber.org/zap"

	"github.com/soundcheck-io/latency-operator/internal/spreedb/spreedbtest"
)

// grace is for the polls in flight at the end; those that hang on purpose use it up.
const grace = 3 * time.Second

func main() {
	var opts options
	kong.Parse(&opts,
		kong.Name("simulator"),
		kong.Description("Answers GET /latency/Sound%20Check/{ip}/ like SpreeDB. With --supabase it stands in for a Supabase project as well."),
		kong.DefaultEnvars("SIMULATOR"),
		kong.ShortUsageOnError(),
	)
	zapLog, err := zap.NewProduction()
	if err != nil {
		panic(err) // the configuration is zap's own
	}
	log := zapr.NewLogger(zapLog)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err = run(ctx, opts, log)
	stop()
	if err != nil {
		log.Error(err, "Simulator ended")
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, opts options, log logr.Logger) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	db := opts.spreedb()
	healthy := func(*http.Request) error { return nil }
	if opts.Supabase != "" {
		project, err := startProject(ctx, opts)
		if err != nil {
			return err
		}
		defer project.close()
		healthy = project.healthy
		log.Info("Supabase project started", "address", project.URL(), "secretKey", project.SecretKey(), "publishableKey", project.PublishableKey())
		if opts.Jobs {
			var acting sync.WaitGroup
			defer acting.Wait()
			defer stop()
			acting.Go(func() { (&theatre{db: db, dsn: project.DSN(), log: log}).run(ctx) })
		}
	}
	return serve(ctx, opts, log, db, healthy)
}

// serve answers like SpreeDB until ctx ends.
func serve(ctx context.Context, opts options, log logr.Logger, db *spreedbtest.SpreeDB, healthy func(*http.Request) error) error {
	listener, err := net.Listen("tcp", opts.Listen)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           handler(db, healthy),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
	}
	log.Info("Simulator started", "address", listener.Addr().String(), "median", opts.Median.String(),
		"loss", opts.Loss, "dead", opts.Dead, "hang", opts.Hang, "seed", opts.Seed)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	patience, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if server.Shutdown(patience) != nil {
		server.Close()
	}
	total := db.Total()
	log.Info("Simulator stopped", "polls", total.Polls, "maxInFlight", total.MaxInFlight, "maxOverlap", db.MaxOverlap())
	return nil
}
