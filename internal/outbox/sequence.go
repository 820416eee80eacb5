package outbox

import (
	"context"
	"maps"
	"slices"

	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

// lookupChunk is how many jobs' numbers are asked for at once.
const lookupChunk = 100

// unnumbered marks a row that has no sequence number yet.
const unnumbered = -1

// number gives the rows of the batch their sequence numbers: the slot's own, but always above the job's highest so far. A
// number once given stays, so that a row that is sent again is the same row.
func (o *Outbox) number(ctx context.Context) error {
	unknown := map[string]bool{}
	for _, row := range o.batch {
		if _, known := o.sequences[row.JobID]; !known {
			unknown[row.JobID] = true
		}
	}
	for ids := range slices.Chunk(slices.Sorted(maps.Keys(unknown)), lookupChunk) {
		if err := o.lookup(ctx, ids); err != nil {
			return err
		}
	}
	for i := range o.batch {
		if row := &o.batch[i]; row.Sequence == unnumbered {
			row.Sequence = max(row.Slot, o.sequences[row.JobID]+1)
			o.sequences[row.JobID] = row.Sequence
		}
	}
	return nil
}

// lookup learns the highest numbers of jobs from the store; fewer at once when it takes too long.
func (o *Outbox) lookup(ctx context.Context, ids []string) error {
	highest, err := o.Store.HighestSequences(ctx, ids)
	if supabase.Classify(err) == supabase.TooLarge && len(ids) > 1 {
		half := len(ids) / 2
		if err := o.lookup(ctx, ids[:half]); err != nil {
			return err
		}
		return o.lookup(ctx, ids[half:])
	}
	if err != nil {
		return err
	}
	for _, id := range ids {
		o.sequences[id] = unnumbered
		if n, found := highest[id]; found {
			o.sequences[id] = n
		}
	}
	return nil
}
