package controllers

import (
	"context"
	"time"

	"k8s.io/utils/clock"
)

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
