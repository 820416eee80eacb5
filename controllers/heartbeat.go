package controllers

import (
	"context"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

const (
	// beatEvery is how often the app hears that this process is alive.
	beatEvery = 10 * time.Second
	// forgetPollers is how long a process that is gone stays in the table.
	forgetPollers = 7 * 24 * time.Hour
)

// PollerTable is where processes say that they are alive.
type PollerTable interface {
	Heartbeat(ctx context.Context, p supabase.Poller) error
	ForgetPollers(ctx context.Context, but string, since time.Time) error
}

// Heartbeat tells the app, in the table pollers, that this process is alive, and what is wrong. It is a Runnable of the
// manager.
type Heartbeat struct {
	Clock clock.Clock
	Log   logr.Logger
	Table PollerTable
	Board *Board
	// ID and Version name this process.
	ID, Version string
	// Message is what is wrong; empty when all is well.
	Message func() string

	tidied time.Time
}

// Start tells until ctx ends.
func (h *Heartbeat) Start(ctx context.Context) error {
	repeat(ctx, h.Clock, beatEvery, h.beat)
	return nil
}

// NeedLeaderElection says that every process tells of itself.
func (h *Heartbeat) NeedLeaderElection() bool { return false }

// beat tells once. Failing is no news: whatever keeps the app from hearing this keeps samples from it too, which is told.
func (h *Heartbeat) beat(ctx context.Context) {
	now := h.Clock.Now()
	err := h.Table.Heartbeat(ctx, supabase.Poller{
		ID: h.ID, SeenAt: now, Version: h.Version, Jobs: h.Board.Phases()[string(v1alpha1.PhaseRunning)], Message: clip(h.Message(), 900),
	})
	if err == nil && now.Sub(h.tidied) > forgetPollers/7 {
		h.tidied = now
		err = h.Table.ForgetPollers(ctx, h.ID, now.Add(-forgetPollers))
	}
	if err != nil && ctx.Err() == nil {
		h.Log.V(1).Info("The app could not be told that this process is alive", "error", err.Error())
	}
}
