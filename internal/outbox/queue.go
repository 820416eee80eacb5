package outbox

import (
	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

// keep puts a sample where it survives: into the spool, or into memory while there is none or it does not take any. The
// caller holds mu.
func (o *Outbox) keep(j *job, row *supabase.Row) {
	record, err := encodeSample(o.record[:0], j, row)
	if o.spool(record, err) {
		o.overtake(row)
		o.spoolGaps()
		return
	}
	o.enqueue(row)
}

// spool appends a record to the spool, unless there is none or the record could not be made. It tells whether the record is
// there. The caller holds mu.
func (o *Outbox) spool(record []byte, err error) bool {
	if o.Spool == nil {
		return false
	}
	if err == nil {
		o.record = record
		err = o.Spool.Append(record)
	}
	if err != nil {
		o.spoolFailed(err)
		return false
	}
	o.spooled++
	o.spoolTrouble = ""
	return true
}

// spoolFailed remembers, and says once, that the spool does not work. The caller holds mu, or nobody else knows o yet.
func (o *Outbox) spoolFailed(err error) {
	if o.spoolTrouble == "" {
		o.Log.Error(err, "The spool does not work; samples are kept in memory")
	}
	o.spoolTrouble = "the spool does not work, so that samples are kept in memory and would be lost with this process: " + err.Error()
}

// enqueue puts a sample into memory; the oldest there are given up for newer ones. The caller holds mu.
func (o *Outbox) enqueue(row *supabase.Row) {
	o.queue = append(o.queue, *row)
	for len(o.queue) > o.Limit {
		oldest := o.queue[0]
		o.queue = o.queue[1:]
		if oldest.Sequence == unnumbered {
			o.numbered(oldest.JobID, 1)
		}
		o.lose(&oldest.Sample, false)
		o.Observer.Dropped(DropFull, 1)
	}
}

// queued counts what no batch has yet. The caller holds mu.
func (o *Outbox) queued() int { return o.spooled + o.inMemory() }

// inMemory counts, of these, what the spool does not have. The caller holds mu.
func (o *Outbox) inMemory() int { return len(o.queue) + len(o.gaps.list) }

// takeMemory makes a batch of the oldest samples and gaps in memory. The caller holds mu.
func (o *Outbox) takeMemory() batch {
	var b batch
	most := o.portion(o.inMemory())
	n := min(len(o.queue), most)
	for i := range o.queue[:n] {
		b.addRow(&o.queue[i])
	}
	o.queue = o.queue[n:]
	if len(o.queue) == 0 {
		o.queue = nil // gives the memory of a backlog back
	}
	b.gaps = o.gaps.take(most - n)
	o.tellBeyond()
	return b
}
