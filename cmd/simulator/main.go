// Command simulator answers like SpreeDB's latency API, to try the operator where there is no SpreeDB.
package main

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"github.com/go-logr/logr"
	"github.com/go-logr/zapr"
	"go.uber.org/zap"
)

// grace is for the polls in flight at the end; those that hang on purpose use it up.
const grace = 3 * time.Second

func main() {
	var opts options
	kong.Parse(&opts,
		kong.Name("simulator"),
		kong.Description("Answers GET /latency/Sound%20Check/{ip}/ like SpreeDB."),
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
	listener, err := net.Listen("tcp", opts.Listen)
	if err != nil {
		return err
	}
	db := opts.spreedb()
	server := &http.Server{
		Handler:           handler(db),
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
