package outbox

import (
	"time"

	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

const (
	// ackEvery is how often the spool is told what the store has. What it is not told is sent again after a crash, which a
	// store that knows samples by their key does not notice.
	ackEvery = time.Second
	// syncEvery is how often what was appended is forced to the disk, which matters when the power fails and not when the
	// process dies.
	syncEvery = 500 * time.Millisecond
	// recoverChunk is how many records are read at once at the start.
	recoverChunk = 1000
)

// recover takes up the samples that an earlier process left in the spool.
func (o *Outbox) recover() {
	for {
		records, _, err := o.Spool.Read(recoverChunk)
		if err != nil {
			o.spoolFailed(err)
		}
		if len(records) == 0 {
			break
		}
		for _, record := range records {
			o.spooled++
			if s, err := decode(record); err == nil {
				o.held++
				o.pending[s.JobID]++
			}
		}
	}
	o.Spool.Rewind()
	if o.spooled > 0 {
		o.since = o.Clock.Now()
	}
}

// keep puts a sample where it survives: into the spool, or into memory while there is none or it does not take any. The
// caller holds mu.
func (o *Outbox) keep(s *sample.Sample) {
	if o.queued() == 0 {
		o.since = o.Clock.Now()
	}
	o.held++
	o.pending[s.JobID]++
	if o.Spool != nil {
		record, err := encode(s)
		if err == nil {
			err = o.Spool.Append(record)
		}
		if err == nil {
			o.spooled++
			o.spoolTrouble = ""
			return
		}
		o.spoolFailed(err)
	}
	o.queue = append(o.queue, *s)
	if len(o.queue) > o.Limit {
		o.settle(o.queue[0].JobID)
		o.queue = o.queue[1:]
		o.Observer.Dropped(DropFull, 1)
	}
}

// queued counts the samples that no batch has yet. The caller holds mu.
func (o *Outbox) queued() int { return o.spooled + len(o.queue) }

// spoolFailed remembers, and says once, that the spool does not work. The caller holds mu, or nobody else knows o yet.
func (o *Outbox) spoolFailed(err error) {
	if o.spoolTrouble == "" {
		o.Log.Error(err, "The spool does not work; samples are kept in memory")
	}
	o.spoolTrouble = "the spool does not work, so that samples are kept in memory and would be lost with this process: " + err.Error()
}

// takeBatch moves the oldest samples into the batch: those of the spool, else those in memory. It fails when the spool
// cannot be read at the moment and there is nothing else.
func (o *Outbox) takeBatch() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.since = o.Clock.Now()
	o.fromSpool = o.spooled > 0
	if o.fromSpool {
		if err := o.takeSpooled(); err != nil {
			o.spoolFailed(err)
			if len(o.queue) == 0 {
				return err
			}
			o.fromSpool = false
		}
	}
	if !o.fromSpool {
		n := min(len(o.queue), o.limit)
		for _, s := range o.queue[:n] {
			o.batch = append(o.batch, supabase.Row{Sample: s, Sequence: unnumbered})
		}
		o.queue = o.queue[n:]
		if len(o.queue) == 0 {
			o.queue = nil // gives the memory of a backlog back
		}
	}
	if len(o.batch) > 0 {
		o.oldest = o.batch[0].RecordedAt
	}
	return nil
}

// takeSpooled reads the next samples of the spool. The caller holds mu.
func (o *Outbox) takeSpooled() error {
	records, end, err := o.Spool.Read(o.limit)
	if err != nil {
		return err
	}
	if len(records) == 0 {
		o.loseSpooled()
		return nil
	}
	o.spooled -= len(records)
	o.readTo = end
	if o.reading == nil {
		o.reading = map[sampleKey]bool{}
	}
	dropped := 0
	for _, record := range records {
		s, err := decode(record)
		switch {
		case err != nil:
			o.Log.Error(err, "A record of the spool was given up")
			o.Observer.Dropped(DropUnreadable, 1)
		case o.gone[s.JobID]:
			o.settle(s.JobID)
			dropped++
		default:
			o.reading[keyOf(&s)] = true
			o.batch = append(o.batch, supabase.Row{Sample: s, Sequence: unnumbered})
		}
	}
	if dropped > 0 {
		o.Observer.Dropped(DropJobGone, dropped)
	}
	return nil
}

// loseSpooled ends the responsibility for samples that the spool had and no longer finds, a file that was deleted say.
// Whose they were nobody knows, so what is left is counted anew: a job must not wait for its end for ever. The caller holds
// mu, and there is no batch.
func (o *Outbox) loseSpooled() {
	lost := o.held - len(o.queue)
	o.spooled, o.held = 0, len(o.queue)
	clear(o.pending)
	for i := range o.queue {
		o.pending[o.queue[i].JobID]++
	}
	if lost > 0 {
		o.Observer.Dropped(DropUnreadable, lost)
		o.Log.Error(nil, "Samples are lost: the spool no longer has them", "samples", lost)
	}
}

// acknowledge tells the spool that the store has the batch: now and then, and always when nothing is left.
func (o *Outbox) acknowledge() {
	if o.Spool == nil || !o.fromSpool || len(o.batch) > 0 {
		return
	}
	o.mu.Lock()
	last, end := o.spooled == 0, o.readTo
	o.mu.Unlock()
	now := o.Clock.Now()
	if !last && now.Sub(o.acked) < ackEvery {
		return
	}
	o.acked = now
	if err := o.Spool.Ack(end); err != nil {
		o.Log.Error(err, "The spool could not remember what is stored; after a crash it is sent again")
		return
	}
	o.mu.Lock()
	o.reading = nil
	o.mu.Unlock()
}

// GivenUp is told which samples the spool gives up for newer ones. The spool calls it during Put, which holds mu. What was
// read already is delivered all the same, or was.
func (o *Outbox) GivenUp(records [][]byte) {
	dropped := 0
	for _, record := range records {
		s, err := decode(record)
		if err != nil || o.reading[keyOf(&s)] {
			continue
		}
		o.settle(s.JobID)
		dropped++
	}
	o.spooled = max(0, o.spooled-dropped)
	if dropped > 0 {
		o.Observer.Dropped(DropFull, dropped)
	}
}

type sampleKey struct {
	jobID string
	due   int64
}

func keyOf(s *sample.Sample) sampleKey { return sampleKey{s.JobID, s.ScheduledAt.UnixMicro()} }
