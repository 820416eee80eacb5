package main

import (
	"errors"
	"net/http"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/spreedb/spreedbtest"
)

// options are the command line. A target keeps its behaviour as long as the seed stays the same.
type options struct {
	Listen   string        `default:":4402" help:"Address to listen on."`
	Median   time.Duration `default:"20ms" help:"Median round-trip time of the devices that answer."`
	Spread   float64       `default:"0.3" help:"Standard deviation of its logarithm; none if negative."`
	Loss     float64       `default:"0" help:"Share of polls, 0 to 1, that a device does not answer."`
	Dead     float64       `default:"0" help:"Share of devices, 0 to 1, that never answer."`
	Hang     float64       `default:"0" help:"Share of devices, 0 to 1, for which SpreeDB itself never answers."`
	Patience time.Duration `default:"2s" help:"How long SpreeDB waits for a device that does not answer."`
	Seed     uint64        `default:"1" help:"Seed of everything random."`
}

// Validate is called by kong.
func (o *options) Validate() error {
	for _, share := range []float64{o.Loss, o.Dead, o.Hang, o.Dead + o.Hang} {
		if !(share >= 0 && share <= 1) { // NaN is neither
			return errors.New("--loss, --dead, --hang and --dead + --hang must be between 0 and 1")
		}
	}
	if o.Median <= 0 || o.Patience < 0 {
		return errors.New("--median must be positive and --patience must not be negative")
	}
	return nil
}

// spreedb is the SpreeDB of these options. It keeps no ledger, since nobody could read it.
func (o *options) spreedb() *spreedbtest.SpreeDB {
	population := spreedbtest.Population{
		Seed: o.Seed, Dead: o.Dead, Hang: o.Hang,
		Healthy: spreedbtest.Behaviour{Median: o.Median, Spread: o.Spread, Loss: o.Loss, Patience: o.Patience},
	}
	return spreedbtest.New(spreedbtest.Options{Seed: o.Seed, Choose: population.At, Keep: -1})
}

// handler adds what a kubelet asks.
func handler(db *spreedbtest.SpreeDB) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			_, _ = w.Write([]byte("ok\n"))
			return
		}
		db.ServeHTTP(w, r)
	})
}
