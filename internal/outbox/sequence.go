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
	for ids := range slices.Chunk(o.unnumberedJobs(), lookupChunk) {
		if err := o.lookup(ctx, ids); err != nil {
			return err
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range o.batch {
		if row := &o.batch[i]; row.Sequence == unnumbered {
			row.Sequence = max(row.Slot, o.highest(row.JobID)+1)
			o.sequences[row.JobID] = row.Sequence
		}
	}
	return nil
}

// unnumberedJobs lists the jobs of the batch whose highest number has to be asked for.
func (o *Outbox) unnumberedJobs() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	unknown := map[string]bool{}
	for _, row := range o.batch {
		if _, known := o.sequences[row.JobID]; !known {
			unknown[row.JobID] = true
		}
	}
	return slices.Sorted(maps.Keys(unknown))
}

// Resume tells the highest number of a job's samples, so that the store need not be asked. What is known already counts.
func (o *Outbox) Resume(jobID string, highest int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sequences[jobID] = max(highest, o.highest(jobID))
}

// Highest is the highest number given to a sample of the job; -1 when none is known.
func (o *Outbox) Highest(jobID string) int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.highest(jobID)
}

// highest is Highest for whoever holds mu.
func (o *Outbox) highest(jobID string) int64 {
	if n, known := o.sequences[jobID]; known {
		return n
	}
	return unnumbered
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
		n, found := highest[id]
		if !found {
			n = unnumbered
		}
		o.Resume(id, n)
	}
	return nil
}
