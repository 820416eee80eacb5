package main

import (
	"os"
	"path/filepath"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/soundcheck-io/latency-operator/internal/outbox"
	"github.com/soundcheck-io/latency-operator/internal/spool"
)

const (
	// defaultSpoolDir is where the Deployment mounts a volume.
	defaultSpoolDir = "/var/spool/soundcheck"
	// spoolWait is how long a folder may be in use: a pod that is deleted by force still lives for seconds when the next one
	// mounts its volume.
	spoolWait = 10 * time.Second
)

// spoolDirs are the folders that are tried, in this order.
func spoolDirs(opts *options) []string {
	if opts.SpoolDir != "" {
		return []string{opts.SpoolDir}
	}
	return []string{defaultSpoolDir, filepath.Join(os.TempDir(), "soundcheck-spool")}
}

// openSpool opens the folder for unsent samples. Without one that can be used measuring goes on, with samples in memory.
func openSpool(opts *options, dropped func([][]byte), clk clock.Clock, log logr.Logger) (*spool.Spool, error) {
	var failed error
	for _, dir := range spoolDirs(opts) {
		s, _, err := spool.Open(spool.Options{
			Dir: dir, LimitBytes: opts.SpoolLimit << 20, LimitAge: opts.SpoolLimitAge, Wait: spoolWait, Dropped: dropped, Clock: clk, Log: log,
		})
		if err == nil {
			log.Info("Unsent samples are kept on disk", "folder", dir)
			return s, nil
		}
		failed = err
	}
	return nil, failed
}

// newOutbox gives the outbox its spool, and tells why it has none.
func newOutbox(opts *options, o outbox.Options) (*outbox.Outbox, error) {
	var box *outbox.Outbox
	dropped := func(records [][]byte) {
		if box == nil {
			o.Expired = append(o.Expired, records...)
			return
		}
		box.GivenUp(records)
	}
	var err error
	o.Spool, err = openSpool(opts, dropped, o.Clock, o.Log)
	box = outbox.New(o)
	return box, err
}
