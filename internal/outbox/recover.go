package outbox

import "github.com/soundcheck-io/latency-operator/internal/sample"

// recoverChunk is how many records are read at once at the start.
const recoverChunk = 1000

// recover takes up what an earlier process left in the spool.
func (o *Outbox) recover() {
	for {
		records, _, err := o.Spool.Read(recoverChunk)
		if err != nil {
			o.spoolFailed(err)
		}
		if len(records) == 0 {
			break
		}
		for _, bytes := range records {
			o.spooled++
			if r, err := decode(bytes, o.name); err == nil {
				o.inherit(&r)
			}
		}
	}
	o.Spool.Rewind()
	o.toInherit = o.spooled
	o.since = o.Clock.Now()
}

// inherit counts a record that an earlier process left.
func (o *Outbox) inherit(r *record) {
	j := o.job(r.jobID())
	o.hold(j)
	if at := r.at(); at.Before(o.oldest) {
		o.oldest = at
	}
	j.inherited++
	if r.gap != nil {
		o.remember(r.gap)
		return
	}
	// The numbers of records are the job's highest, so that a process that starts while the store is away goes on from them.
	if row := &r.row; row.Sequence == unnumbered {
		j.late++
	} else {
		j.learn(row.Sequence, row.ScheduledAt)
	}
	if s := &r.row.Sample; s.Status == sample.Success && s.RTT != nil && s.ScheduledAt.UnixMicro() >= j.rttDue {
		j.rtt, j.rttDue = *s.RTT, s.ScheduledAt.UnixMicro()
	}
}

// expire makes gaps of the samples that the spool gave up while it was opened, and keeps the gaps.
func (o *Outbox) expire(records [][]byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	dropped := 0
	for _, bytes := range records {
		r, err := decode(bytes, o.name)
		if err != nil {
			continue
		}
		if r.gap == nil && r.row.Sequence != unnumbered {
			o.job(r.jobID()).learn(r.row.Sequence, r.row.ScheduledAt)
		}
		o.hold(o.job(r.jobID()))
		switch {
		case r.gap == nil:
			o.lose(&r.row.Sample, false)
			dropped++
		case !o.gaps.put(heldGap{Gap: *r.gap, records: 1}):
			o.settle(o.job(r.jobID()), false)
		}
	}
	if dropped > 0 {
		o.Observer.Dropped(DropFull, dropped)
		o.Log.Info("Samples were too old for the spool and are lost", "samples", dropped)
	}
	o.spoolGaps()
}
