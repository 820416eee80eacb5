package outbox

import (
	"time"

	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/spool"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

const (
	// ackEvery is how often the spool is told what the store has. What it is not told is sent again after a crash, which a
	// store that knows samples by their key does not notice.
	ackEvery = time.Second
	// syncEvery is how often what was appended is forced to the disk, which matters when the power fails and not when the
	// process dies.
	syncEvery = 500 * time.Millisecond
	// longestLimit is how many gaps are remembered as they were put last.
	longestLimit = 100_000
)

// backlog is what is remembered about the records of the spool. Nothing in it is needed to read them again.
type backlog struct {
	// reading counts the records that were read and are not acknowledged: should the spool give one up, it is delivered all
	// the same, or was.
	reading map[recordKey]int
	// unackedLate counts, by job, the samples among these that had no number.
	unackedLate map[string]int
	// longest are gaps in the longest form that was put. Should the spool give up a shorter one, this is appended in its place:
	// whatever is stored last stays.
	longest map[slotKey]sample.Gap
	// toInherit is how many of the next records an earlier process left; heirs are the gaps that such records became.
	toInherit int
	heirs     map[slotKey]bool
	// passing tells that what is in the batch was overtaken, or that it has both samples and gaps, which are delivered after them.
	passing bool
}

func newBacklog() backlog {
	return backlog{reading: map[recordKey]int{}, unackedLate: map[string]int{}, longest: map[slotKey]sample.Gap{}, heirs: map[slotKey]bool{}}
}

// recordKey identifies a record. Of a gap there are several, as it grows.
type recordKey struct {
	slotKey
	slots int64 // 0 for a sample
}

func (r *record) key() recordKey {
	if r.gap != nil {
		return recordKey{slotKey{r.job, r.gap.From.UnixMicro()}, r.gap.Slots}
	}
	return recordKey{slotKey{r.job, r.row.ScheduledAt.UnixMicro()}, 0}
}

// takeSpooled makes a batch of the next records of the spool. The caller holds mu.
func (o *Outbox) takeSpooled() (batch, error) {
	b := batch{spooled: true, inherited: o.toInherit > 0}
	n := o.portion(o.spooled)
	if b.inherited {
		n = min(n, o.toInherit)
	}
	records, end, err := o.Spool.Read(n)
	if err != nil {
		return batch{}, err
	}
	if len(records) == 0 {
		o.loseSpooled()
		return batch{}, nil
	}
	b.end = end
	o.spooled = max(0, o.spooled-len(records))
	if b.inherited {
		o.toInherit = max(0, o.toInherit-len(records))
	}
	b.rows = make([]supabase.Row, 0, len(records))
	for _, bytes := range records {
		r, err := decode(bytes, o.name)
		if err != nil {
			o.Log.Error(err, "A record of the spool was given up")
			o.Observer.Dropped(DropUnreadable, 1)
			continue
		}
		k := r.key()
		o.reading[k]++
		switch {
		case r.gap != nil:
			b.addGap(r.gap)
		case !b.inherited && o.overtaken(k.slotKey):
			o.passing = true
		default:
			b.addRow(&r.row)
		}
	}
	return b, nil
}

// addGap adds a gap of the spool to a batch, of those with the same beginning the longest only. The caller holds mu.
func (b *batch) addGap(g *sample.Gap) {
	k := keyOfGap(g)
	held := &heldGap{Gap: *g, records: 1}
	if known := b.gapAt[k]; known != nil {
		known.merge(held)
		return
	}
	if b.gapAt == nil {
		b.gapAt = map[slotKey]*heldGap{}
	}
	b.gapAt[k] = held
	b.gaps = append(b.gaps, held)
}

// loseSpooled ends the responsibility for records that the spool had and no longer finds, a file that was deleted say.
// Whose they were nobody knows, so what is left is counted anew: a job must not wait for its end for ever. The caller holds
// mu, and there is no batch.
func (o *Outbox) loseSpooled() {
	before := o.held
	o.spooled, o.held = 0, 0
	o.toInherit = 0
	clear(o.heirs)
	clear(o.unackedLate)
	for _, j := range o.jobs {
		j.pending, j.inherited, j.late = 0, 0, 0
	}
	for i := range o.queue {
		j := o.job(o.queue[i].JobID)
		o.hold(j)
		if o.queue[i].Sequence == unnumbered {
			j.late++
		}
	}
	for _, g := range o.gaps.list {
		for range g.records {
			o.hold(o.job(g.JobID))
		}
	}
	for _, row := range o.lane.clear() {
		o.hold(o.job(row.JobID))
		o.enqueue(&row)
	}
	for _, j := range o.jobs {
		o.tidy(j)
	}
	if lost := before - o.held; lost > 0 {
		o.Observer.Dropped(DropUnreadable, lost)
		o.Log.Error(nil, "Samples are lost: the spool no longer has them", "samples", lost)
	}
}

// acknowledge tells the spool that the store has everything up to a place, and that is all that was read: now and then, and
// always when nothing is left.
func (o *Outbox) acknowledge(end spool.Position) {
	o.mu.Lock()
	last := o.spooled == 0
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
	defer o.mu.Unlock()
	o.reading = emptied(o.reading)
	for id, n := range o.unackedLate {
		o.numbered(id, n)
	}
	clear(o.unackedLate)
}

// large is how many entries make a map not worth keeping for the next ones: it never gets smaller, and clearing it takes as long
// as it is large.
const large = 10_000

// emptied gives a map without entries.
func emptied[K comparable, V any](m map[K]V) map[K]V {
	if len(m) > large {
		return map[K]V{}
	}
	clear(m)
	return m
}

// remember takes note of a gap that was put. The caller holds mu.
func (o *Outbox) remember(g *sample.Gap) {
	k := keyOfGap(g)
	known, there := o.longest[k]
	if there && g.To.After(known.To) || !there && len(o.longest) < longestLimit {
		o.longest[k] = *g
	}
}

// GivenUp is told which records the spool gives up for newer ones. The spool calls it when something is appended, which is
// done with mu held, and must not be called from here: the gaps that samples become are appended afterwards.
func (o *Outbox) GivenUp(records [][]byte) {
	dropped := 0
	for _, bytes := range records {
		r, err := decode(bytes, o.name)
		if err != nil {
			continue
		}
		if n := o.reading[r.key()]; n > 0 { // it is delivered all the same, or was
			o.reading[r.key()] = n - 1
			o.gaps.part(r.jobID())
			continue
		}
		o.spooled = max(0, o.spooled-1)
		inherited := o.toInherit > 0
		if inherited {
			o.toInherit--
		}
		if o.giveUp(&r, inherited) {
			dropped++
		}
	}
	if dropped > 0 {
		o.Observer.Dropped(DropFull, dropped)
	}
}

// giveUp is for a record that the spool had and nobody has read. It tells whether that is a lost sample. The caller holds mu.
func (o *Outbox) giveUp(r *record, inherited bool) (lost bool) {
	j := o.job(r.jobID())
	if r.gap != nil {
		if g, known := o.longest[r.key().slotKey]; known {
			r.gap = &g
		}
	}
	if r.gap == nil && !inherited && o.lane.giveUp(r.key().slotKey) {
		o.gaps.part(r.jobID())
		return false
	}
	if r.gap == nil && r.row.Sequence == unnumbered {
		o.numbered(r.jobID(), 1)
	}
	switch {
	case r.gap == nil && j.gone:
		o.settle(j, inherited)
	case r.gap == nil:
		o.lose(&r.row.Sample, inherited)
		return true
	case !j.gone && o.gaps.put(heldGap{Gap: *r.gap, records: 1}):
		if o.bequeath(r.gap, inherited) {
			j.inherited = max(0, j.inherited-1)
		}
	default:
		o.settleGap(&heldGap{Gap: *r.gap, records: 1}, inherited)
	}
	return false
}
