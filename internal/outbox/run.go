package outbox

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

// A database that comes back is to be noticed within 30 s. A request may hang for 15 s before that, so at most 12 s pass
// between two: longestRetry with half of it for chance, or what the server asks for.
const (
	firstRetry        = 500 * time.Millisecond
	longestRetry      = 8 * time.Second
	longestRetryAfter = 12 * time.Second
)

// Run delivers until ctx ends. A request under way then is not cut short, as nobody would know what became of it.
func (o *Outbox) Run(ctx context.Context) {
	var beside sync.WaitGroup
	defer beside.Wait()
	beside.Go(func() { o.payTouches(ctx) })
	if o.Spool != nil {
		beside.Go(func() { o.syncSpool(ctx) })
	}
	retry := newBackoff()
	for {
		wait, waiting := o.due()
		switch {
		case ctx.Err() != nil:
			return
		case waiting && wait <= 0:
			if err := o.deliverOnce(context.WithoutCancel(ctx)); err != nil {
				o.sleep(ctx, delay(retry, err), nil)
				continue
			}
			retry.Reset()
		case waiting:
			o.sleep(ctx, wait, o.wake)
		default:
			o.sleep(ctx, time.Hour, o.wake)
		}
	}
}

// syncSpool forces what was appended to the disk now and then, until ctx ends.
func (o *Outbox) syncSpool(ctx context.Context) {
	for ctx.Err() == nil {
		o.sleep(ctx, syncEvery, nil)
		if err := o.Spool.Sync(); err != nil {
			o.mu.Lock()
			o.spoolFailed(err)
			o.mu.Unlock()
		}
	}
}

// Flush delivers what there is, as long as ctx lasts, and gives up the rest. It is for the end of the process.
func (o *Outbox) Flush(ctx context.Context) {
	retry := newBackoff()
	for ctx.Err() == nil && o.unfinished() {
		if err := o.deliverOnce(ctx); err != nil {
			o.sleep(ctx, delay(retry, err), nil)
			continue
		}
		retry.Reset()
	}
	o.flushTouches(ctx)
	if o.Spool != nil {
		if err := o.Spool.Sync(); err != nil {
			o.Log.Error(err, "The spool could not be forced to the disk")
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	samples, all := len(o.queue), o.inMemory()
	if !o.batch.spooled {
		samples += len(o.batch.rows)
		all += len(o.batch.rows) + len(o.batch.gaps)
	}
	if samples > 0 {
		o.Observer.Dropped(DropShutdown, samples)
	}
	if all > 0 {
		o.Log.Error(nil, "Samples are lost: the process ends before Supabase takes them", "samples", samples, "gaps", all-samples, "reason", o.trouble.Message)
	}
	if kept := o.held - all; kept > 0 {
		o.Log.Info("Samples wait in the spool for the next process", "records", kept)
	}
}

// unfinished tells whether something is to be delivered, or to be acknowledged because it was overtaken by what is.
func (o *Outbox) unfinished() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.held > 0 || o.spooled > 0
}

func newBackoff() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier, b.RandomizationFactor = firstRetry, longestRetry, 2, 0.5
	b.Reset()
	return b
}

// delay is how long to wait after an error: longer each time, but at least what the server asks for.
func delay(b *backoff.ExponentialBackOff, err error) time.Duration {
	wait := b.NextBackOff()
	if answer, ok := errors.AsType[*supabase.Error](err); ok {
		wait = max(wait, min(answer.RetryAfter, longestRetryAfter))
	}
	return wait
}

// sleep returns after d, when wake (which may be nil) has something, or when ctx ends.
func (o *Outbox) sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	timer := o.Clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C():
	case <-wake:
	case <-ctx.Done():
	}
}

// due is how long to wait until there is something to deliver; false when nothing is to be expected.
func (o *Outbox) due() (time.Duration, bool) {
	o.mu.Lock()
	queued, since := o.queued(), o.since
	o.mu.Unlock()
	if !o.batch.empty() || queued >= o.limit {
		return 0, true
	}
	return since.Add(o.Linger).Sub(o.Clock.Now()), queued > 0
}
