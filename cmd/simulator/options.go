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

	Supabase string `group:"A Supabase project as well" placeholder:"ADDRESS" help:"Address, such as :8000, on which to stand in for a Supabase project too. PostgreSQL has to be installed; it is started on a port of 127.0.0.1 and lets in whoever reaches that."`
	projectOptions
}

// projectOptions only matter with --supabase.
type projectOptions struct {
	Database       int    `group:"A Supabase project as well" default:"5432" placeholder:"PORT" help:"Port of PostgreSQL on 127.0.0.1. Database and superuser are called postgres."`
	Data           string `group:"A Supabase project as well" type:"path" placeholder:"FOLDER" help:"Where PostgreSQL keeps its data, for one simulator at a time. Default: a temporary folder."`
	Template       string `group:"A Supabase project as well" type:"path" placeholder:"FOLDER" help:"What initdb made once: the data begin as a copy of it. Default: initdb is run."`
	SecretKey      string `group:"A Supabase project as well" env:"SUPABASE_SERVICE_ROLE_KEY" help:"Key of the operator. Default: a random one, which is logged."`
	PublishableKey string `group:"A Supabase project as well" env:"SUPABASE_PUBLISHABLE_KEY" help:"Key of the app and of users. Default: a random one, which is logged."`
	Jobs           bool   `group:"A Supabase project as well" help:"Start a handful of jobs, and start each again when it is over."`
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
	if o.Supabase == "" && (o.Data != "" || o.Template != "" || o.Jobs) {
		return errors.New("--data, --template and --jobs need --supabase")
	}
	if o.Template != "" && o.Data == "" {
		return errors.New("--template needs --data")
	}
	if o.Database < 1 || o.Database > 65535 {
		return errors.New("--database must be a port, from 1 to 65535")
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

// handler adds what a kubelet asks: whether all is well.
func handler(db *spreedbtest.SpreeDB, healthy func(*http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" {
			db.ServeHTTP(w, r)
			return
		}
		if err := healthy(r); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
}
