package outbox

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

const (
	firstRetry = 500 * time.Millisecond
	// longestRetry keeps a database that comes back from waiting much longer than this.
	longestRetry = 15 * time.Second
)

// Run delivers until ctx ends. A request under way then is not cut short, as nobody would know what became of it.
func (o *Outbox) Run(ctx context.Context) {
	if o.Spool != nil {
		var syncing sync.WaitGroup
		defer syncing.Wait()
		syncing.Go(func() { o.syncSpool(ctx) })
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
	for ctx.Err() == nil && o.Status().Held > 0 {
		if err := o.deliverOnce(ctx); err != nil {
			o.sleep(ctx, delay(retry, err), nil)
		}
	}
	o.touches.flush(ctx, o.Store, o.Clock.Now())
	left := o.Status()
	kept := 0
	if o.Spool != nil {
		if err := o.Spool.Sync(); err != nil {
			o.Log.Error(err, "The spool could not be forced to the disk")
		}
		kept = o.Spool.Stats().Records
	}
	if lost := max(0, left.Held-kept); lost > 0 {
		o.Observer.Dropped(DropShutdown, lost)
		o.Log.Error(nil, "Samples are lost: the process ends before Supabase takes them", "samples", lost, "reason", left.Trouble.Message)
	}
	if left.Held > 0 && kept > 0 {
		o.Log.Info("Samples wait in the spool for the next process", "samples", min(kept, left.Held))
	}
}

func newBackoff() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier = firstRetry, longestRetry, 2
	b.Reset()
	return b
}

// delay is how long to wait after an error: longer each time, but at least what the server asks for.
func delay(b *backoff.ExponentialBackOff, err error) time.Duration {
	wait := b.NextBackOff()
	if answer, ok := errors.AsType[*supabase.Error](err); ok {
		wait = max(wait, min(answer.RetryAfter, 2*longestRetry))
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
	now := o.Clock.Now()
	o.mu.Lock()
	queued, since := o.queued(), o.since
	o.mu.Unlock()
	wait, waiting := o.touches.due(now)
	switch {
	case len(o.batch) > 0 || queued >= o.limit:
		return 0, true
	case queued > 0:
		linger := since.Add(o.Linger).Sub(now)
		if !waiting || linger < wait {
			wait = linger
		}
		return wait, true
	default:
		return wait, waiting
	}
}

// deliverOnce sends one batch, and what is owed to the jobs' last_ping_at. What an error leaves undone is tried again at
// the next call.
func (o *Outbox) deliverOnce(ctx context.Context) error {
	if len(o.batch) == 0 {
		if err := o.takeBatch(); err != nil {
			return err
		}
	}
	err := o.number(ctx)
	if err == nil {
		full := len(o.batch) >= o.limit
		o.batch, err = o.deliver(ctx, o.batch)
		if err == nil && full {
			o.limit = min(2*o.limit, o.Batch)
		}
		o.acknowledge()
	}
	if err != nil && ctx.Err() != nil {
		return err // cut short by us: says nothing about the store
	}
	o.note(err)
	if err != nil {
		return err
	}
	if err := o.touches.send(ctx, o.Store, o.Clock.Now()); err != nil && ctx.Err() == nil {
		o.Log.Error(err, "The jobs' last_ping_at could not be moved; it is tried again")
	}
	return nil
}

// deliver stores rows and gives back those that are still to be stored, with the reason:
//   - rows that the store finds too many at once are halved;
//   - a row that it will never accept is found by halving, and set aside;
//   - the rows of a job that it lacks are dropped;
//   - anything else may pass.
func (o *Outbox) deliver(ctx context.Context, rows []supabase.Row) ([]supabase.Row, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	err := o.Store.InsertSamples(ctx, rows)
	switch class := supabase.Classify(err); {
	case class == supabase.OK:
		o.stored(rows)
		return nil, nil
	case class == supabase.JobGone:
		switch id, about := goneJob(err, rows); {
		case id != "":
			return o.deliver(ctx, o.dropJob(id, rows))
		case !about && len(rows) == 1:
			o.reject(rows[0], err)
			return nil, nil
		}
	case class == supabase.RowRejected && len(rows) == 1:
		o.reject(rows[0], err)
		return nil, nil
	case class == supabase.RowRejected:
	case class == supabase.TooLarge && len(rows) > 1:
		o.limit = max(1, len(rows)/2)
	default:
		return rows, err
	}
	half := len(rows) / 2
	rest, err := o.deliver(ctx, rows[:half])
	if err != nil {
		return append(rest, rows[half:]...), err
	}
	return o.deliver(ctx, rows[half:])
}

var keyInDetails = regexp.MustCompile(`^Key \((\w+)\)=\((.*)\) is not present`)

// goneJob is the job that a foreign key violation is about; empty when the answer does not say and there are several. It
// tells whether the violation can be about a job at all: the app may have other foreign keys.
func goneJob(err error, rows []supabase.Row) (id string, about bool) {
	if answer, ok := errors.AsType[*supabase.Error](err); ok {
		if m := keyInDetails.FindStringSubmatch(answer.Details); m != nil {
			if m[1] != "job_id" {
				return "", false
			}
			if slices.ContainsFunc(rows, func(r supabase.Row) bool { return r.JobID == m[2] }) {
				return m[2], true
			}
		}
	}
	if len(rows) == 1 {
		return rows[0].JobID, true
	}
	return "", true
}

func (o *Outbox) stored(rows []supabase.Row) {
	o.mu.Lock()
	for _, row := range rows {
		o.settle(row.JobID)
	}
	o.mu.Unlock()
	o.touches.owe(rows)
	o.Observer.Stored(len(rows))
}

func (o *Outbox) reject(row supabase.Row, err error) {
	o.mu.Lock()
	o.settle(row.JobID)
	o.mu.Unlock()
	o.Observer.Rejected(1)
	o.Log.Error(err, "Sample was rejected", "job", row.JobID, "scheduledAt", row.ScheduledAt, "status", row.Status)
	o.Listener.Rejected(row.JobID, err.Error())
}

// dropJob gives up what there is of a job that the store lacks, and returns the rows of the others.
func (o *Outbox) dropJob(id string, rows []supabase.Row) []supabase.Row {
	rest := slices.DeleteFunc(slices.Clone(rows), func(r supabase.Row) bool { return r.JobID == id })
	o.mu.Lock()
	o.gone[id] = true
	queued := len(o.queue)
	o.queue = slices.DeleteFunc(o.queue, func(s sample.Sample) bool { return s.JobID == id })
	dropped := len(rows) - len(rest) + queued - len(o.queue)
	for range dropped {
		o.settle(id)
	}
	delete(o.sequences, id)
	o.mu.Unlock()
	o.touches.forget(id)
	o.Observer.Dropped(DropJobGone, dropped)
	o.Log.Info("Samples of a deleted job were dropped", "job", id, "samples", dropped)
	o.Listener.Gone(id)
	return rest
}

// note remembers how delivery fares.
func (o *Outbox) note(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err == nil {
		o.trouble = Trouble{}
		if len(o.batch) == 0 {
			o.oldest = time.Time{}
		}
		return
	}
	since := o.trouble.Since
	if since.IsZero() {
		since = o.Clock.Now()
	}
	o.trouble = Trouble{Class: supabase.Classify(err), Message: err.Error(), Since: since}
}
