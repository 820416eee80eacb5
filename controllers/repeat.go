package controllers

import (
	"context"
	"time"

	"k8s.io/utils/clock"
)

// repeat does something now, and again each time that every has passed since it was done, until ctx ends.
func repeat(ctx context.Context, clk clock.Clock, every time.Duration, do func(context.Context)) {
	for {
		do(ctx)
		timer := clk.NewTimer(every)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C():
		}
	}
}
