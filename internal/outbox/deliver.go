package outbox

import (
	"context"
	"errors"
	"regexp"
	"slices"

	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

// deliverOnce sends a batch of the samples that overtake, and one of what is held. What an error leaves undone is tried again at the next call.
func (o *Outbox) deliverOnce(ctx context.Context) error {
	defer o.tellLost()
	if o.batch.empty() {
		if err := o.takeBatch(); err != nil {
			return err // of the spool: says nothing about the store
		}
	}
	err := o.deliverLane(ctx)
	if err == nil {
		err = o.deliverBatch(ctx)
	}
	if err != nil && ctx.Err() != nil {
		return err // cut short by us: says nothing about the store
	}
	o.note(err)
	return err
}

// deliverBatch sends what is in the batch, samples first.
func (o *Outbox) deliverBatch(ctx context.Context) error {
	b := &o.batch
	samples, gaps := o.samples(b), o.gapsOf(b)
	b.rows, b.gaps = shed(o, samples, b.rows), shed(o, gaps, b.gaps)
	err := o.numberLate(ctx, b.rows)
	if err == nil {
		b.rows, err = deliverAll(ctx, o, samples, b.rows)
	}
	if err == nil {
		b.gaps, err = deliverAll(ctx, o, gaps, b.gaps)
	}
	o.mu.Lock()
	o.spoolGaps() // of the samples that were refused, before these are acknowledged
	o.mu.Unlock()
	if b.empty() {
		o.finish()
	}
	return err
}

// deliver stores items with one request, and gives back those that are still to be stored, with the reason:
//   - items that the store finds too many at once are halved;
//   - an item that it will never accept is found by halving, and set aside;
//   - the items of a job that it lacks are dropped;
//   - anything else may pass.
func deliver[T any](ctx context.Context, o *Outbox, g *goods[T], items []T) ([]T, error) {
	items = shed(o, g, items)
	if len(items) == 0 {
		return nil, nil
	}
	err := g.send(ctx, items)
	switch class := supabase.Classify(err); {
	case class == supabase.OK:
		g.stored(items)
		return nil, nil
	case class == supabase.JobGone:
		switch id, about := goneJob(err, items, g.job); {
		case id != "":
			o.dropJob(id)
			return deliver(ctx, o, g, items)
		case !about && len(items) == 1:
			g.reject(items[0], err)
			return nil, nil
		}
	case class == supabase.RowRejected && len(items) == 1:
		g.reject(items[0], err)
		return nil, nil
	case class == supabase.RowRejected:
	case class == supabase.TooLarge && len(items) > 1:
		g.tooMany(len(items))
	default:
		return items, err
	}
	half := len(items) / 2
	rest, err := deliver(ctx, o, g, items[:half])
	if err != nil {
		return slices.Concat(rest, items[half:]), err
	}
	return deliver(ctx, o, g, items[half:])
}

// shed drops the items of jobs that the store lacks.
func shed[T any](o *Outbox, g *goods[T], items []T) []T {
	o.mu.Lock()
	isGone := func(item T) bool { j := o.find(g.job(item)); return j != nil && j.gone }
	if !slices.ContainsFunc(items, isGone) {
		o.mu.Unlock()
		return items
	}
	kept := make([]T, 0, len(items))
	for _, item := range items {
		if isGone(item) {
			g.settle(item)
		} else {
			kept = append(kept, item)
		}
	}
	o.mu.Unlock()
	g.dropped(len(items) - len(kept))
	return kept
}

var keyInDetails = regexp.MustCompile(`^Key \((\w+)\)=\((.*)\) is not present`)

// goneJob is the job that a foreign key violation is about; empty when the answer does not say and there are several. It
// tells whether the violation can be about a job at all: the app may have other foreign keys.
func goneJob[T any](err error, items []T, job func(T) string) (id string, about bool) {
	if answer, ok := errors.AsType[*supabase.Error](err); ok {
		if m := keyInDetails.FindStringSubmatch(answer.Details); m != nil {
			if m[1] != "job_id" {
				return "", false
			}
			if slices.ContainsFunc(items, func(item T) bool { return job(item) == m[2] }) {
				return m[2], true
			}
		}
	}
	if len(items) == 1 {
		return job(items[0]), true
	}
	return "", true
}

// dropJob gives up what is held of a job that the store lacks: what is in memory at once, the rest as its turn comes.
func (o *Outbox) dropJob(id string) {
	o.mu.Lock()
	j := o.job(id)
	j.gone = true
	o.touches.forget(j)
	samples := len(o.queue)
	o.queue = slices.DeleteFunc(o.queue, func(row supabase.Row) bool {
		if row.JobID == id && row.Sequence == unnumbered {
			o.numbered(id, 1)
		}
		return row.JobID == id
	})
	samples -= len(o.queue)
	for range samples {
		o.settle(j, false)
	}
	for _, g := range o.gaps.drop(id) {
		o.settleGap(g, false)
	}
	o.mu.Unlock()
	if samples > 0 {
		o.Observer.Dropped(DropJobGone, samples)
	}
	o.Log.Info("A job is gone from the database, and so nobody wants its samples", "job", id)
	o.Listener.Gone(id)
}

// note remembers how delivery fares.
func (o *Outbox) note(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.flowing = err == nil
	if err == nil {
		o.trouble = Trouble{}
		return
	}
	since := o.trouble.Since
	if since.IsZero() {
		since = o.Clock.Now()
	}
	o.trouble = Trouble{Class: supabase.Classify(err), Message: err.Error(), Since: since}
}
