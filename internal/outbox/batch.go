package outbox

import (
	"github.com/soundcheck-io/latency-operator/internal/spool"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

// batch is what is being delivered, oldest first: what is done is no longer in it.
type batch struct {
	rows []supabase.Row
	gaps []*heldGap
	// gapAt finds them by their beginning while a batch is read from the spool.
	gapAt map[slotKey]*heldGap
	// late counts, by job, the rows that had no number when they were taken.
	late map[string]int
	// spooled tells that it was read from the spool, where it ends at end, and inherited that an earlier process left all of it.
	spooled   bool
	end       spool.Position
	inherited bool
	// last tells that nothing else was held when it was taken.
	last bool
}

func (b *batch) empty() bool { return len(b.rows)+len(b.gaps) == 0 }

func (b *batch) addRow(row *supabase.Row) {
	if row.Sequence == unnumbered {
		if b.late == nil {
			b.late = map[string]int{}
		}
		b.late[row.JobID]++
	}
	b.rows = append(b.rows, *row)
}

// takeBatch moves the oldest of what is held into the batch, which is empty: of what is in the spool and of what is in memory in
// turn, as neither may ever be empty. It fails when the spool cannot be read at the moment and there is nothing else.
func (o *Outbox) takeBatch() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.since = o.Clock.Now()
	var err error
	if o.spooled > 0 && (!o.turn || o.inMemory() == 0) {
		o.batch, err = o.takeSpooled()
	}
	if err != nil {
		o.spoolFailed(err)
		if o.inMemory() == 0 {
			return err
		}
	}
	if !o.batch.spooled {
		o.batch = o.takeMemory()
	}
	o.turn = o.batch.spooled
	switch {
	case len(o.batch.rows) > 0:
		o.oldest = o.batch.rows[0].RecordedAt
	case len(o.batch.gaps) > 0:
		o.oldest = o.batch.gaps[0].To
	}
	o.batch.last = o.queued() == 0
	if o.batch.spooled && len(o.queue) > 0 || !o.batch.spooled && o.spooled > 0 || len(o.batch.rows) > 0 && len(o.batch.gaps) > 0 {
		o.passing = true
	}
	return nil
}

// finish is for a batch of which nothing is left.
func (o *Outbox) finish() {
	b := o.batch
	o.batch = batch{}
	o.mu.Lock()
	o.passing = false
	if b.last {
		o.oldest = o.since // what is held now came since; else it is what was behind the batch, and not older
	}
	for id, n := range b.late {
		if b.spooled {
			o.unackedLate[id] += n
		} else {
			o.numbered(id, n)
		}
	}
	if o.queued() == 0 {
		o.longest = emptied(o.longest)
	}
	o.lane.shrink()
	o.mu.Unlock()
	if b.spooled {
		o.acknowledge(b.end)
	}
}
