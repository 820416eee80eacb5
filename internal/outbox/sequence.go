package outbox

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

// lookupChunk is how many jobs' numbers are asked for at once.
const lookupChunk = 100

// unnumbered marks a row that has no sequence number yet.
const unnumbered = -1

// number gives a sample its number when it is put, if that can be done: the slot's own, but always above the job's
// highest so far. The record keeps it, so it stays the same however often the sample is sent, also by another process. It
// cannot wait until the sample is sent, because new samples may overtake a backlog, and would take the numbers of those
// that they overtake.
//
// A sample is late when the job's highest number is not known. It gets its number when its turn comes, and the store can be
// asked; then so do those after it, as they are to have higher ones. Numbers are given early again once the spool cannot bring
// a late one again: after a crash that would get a number above theirs. The caller holds mu.
func (j *job) number(row *supabase.Row) {
	if j.known && j.late == 0 {
		row.Sequence = j.numbers.next(&row.Sample)
		return
	}
	row.Sequence = unnumbered
	j.late++
}

// learn takes note of a number that a sample of the job has, and when that was due, zero if that is not known; unnumbered if
// none has one.
func (j *job) learn(highest int64, due time.Time) {
	j.known = true
	if highest > j.numbers.highest {
		j.numbers.highest, j.numbers.due = highest, due.UnixMicro()
	}
}

// numbering is how the samples of a job are numbered: the number of the slot, but above the highest number before. Once
// that makes a difference, the difference stays the same on a grid: another process that numbers the same slots, because it
// took over or runs beside this one, then gives them the same numbers, and never one that this process gives to another slot.
type numbering struct {
	highest int64
	due     int64 // of the sample with the highest number; never if not known
	// base and cadence are the grid, in microseconds, and above is how far its numbers lie above its slots.
	base, cadence int64
	above         int64
}

// next gives a number to a sample.
func (n *numbering) next(s *sample.Sample) int64 {
	due, cadence := s.ScheduledAt.UnixMicro(), s.Cadence.Microseconds()
	if base := due - s.Slot*cadence; cadence != n.cadence || base != n.base {
		n.base, n.cadence = base, cadence
		n.above = n.anchor()
	}
	if newer := n.due == never || due > n.due; newer && s.Slot+n.above <= n.highest {
		n.above = n.highest + 1 - s.Slot
	}
	number := s.Slot + n.above
	if number > n.highest {
		n.highest, n.due = number, due
	}
	return number
}

// anchor is how far the numbers of the grid lie above its slots, judging by the sample with the highest number if it lies on
// the grid.
func (n *numbering) anchor() int64 {
	since := n.due - n.base
	if n.due == never || n.cadence <= 0 || since < 0 || since%n.cadence != 0 {
		return 0
	}
	return max(0, n.highest-since/n.cadence)
}

// numberLate gives their numbers to those rows of the batch that have none. A number once given stays, so that a row that
// is sent again is the same row.
func (o *Outbox) numberLate(ctx context.Context, rows []supabase.Row) error {
	for ids := range slices.Chunk(o.unknownJobs(rows), lookupChunk) {
		if err := o.lookup(ctx, ids); err != nil {
			return err
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range rows {
		if row := &rows[i]; row.Sequence == unnumbered {
			row.Sequence = o.job(row.JobID).numbers.next(&row.Sample)
		}
	}
	return nil
}

// unknownJobs lists the jobs of rows whose highest number has to be asked for.
func (o *Outbox) unknownJobs(rows []supabase.Row) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	unknown := map[string]bool{}
	for i := range rows {
		row := &rows[i]
		if row.Sequence != unnumbered {
			continue
		}
		switch j := o.job(row.JobID); {
		case !j.proper: // no store has anything of it, and asking would be an error for all
			j.learn(unnumbered, time.Time{})
		case !j.known:
			unknown[row.JobID] = true
		}
	}
	return slices.Sorted(maps.Keys(unknown))
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
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, id := range ids {
		n, found := highest[id]
		if !found {
			n.Sequence = unnumbered
		}
		o.job(id).learn(n.Sequence, n.ScheduledAt)
	}
	return nil
}

// Resume tells the highest number of a job's samples, or -1 if it has none, so that the store need not be asked. What is
// known already counts.
func (o *Outbox) Resume(jobID string, highest int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	j := o.job(jobID)
	j.over = false
	j.learn(highest, time.Time{})
}

// Highest is the highest number given to a sample of the job; -1 when none is known, and while samples of it wait for theirs.
func (o *Outbox) Highest(jobID string) int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	if j := o.find(jobID); j != nil && j.late == 0 {
		return j.numbers.highest
	}
	return unnumbered
}
