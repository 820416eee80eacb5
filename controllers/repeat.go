package controllers

import (
	"context"
	"time"

	"k8s.io/utils/clock"
)

// nudge tells a goroutine that there is something to do. It never blocks, and one that was not taken yet stands for all that follow.
type nudge chan struct{}

func newNudge() nudge { return make(nudge, 1) }

func (n nudge) give() {
	select {
	case n <- struct{}{}:
	default:
	}
}

// repeat does something now, and again each time that every has passed since it was done, until ctx ends.
func repeat(ctx context.Context, clk clock.Clock, every time.Duration, do func(context.Context)) {
	for ctx.Err() == nil {
		do(ctx)
		pause(ctx, clk, every)
	}
}

// pause returns after a time, or when ctx ends.
func pause(ctx context.Context, clk clock.Clock, d time.Duration) {
	timer := clk.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C():
	}
}
