package outbox

import (
	"context"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

const (
	// behind is how many batches in the spool are a backlog: what is delivered at once, twice.
	behind = 2 * senders
	// laneBatches is how many batches of samples may wait to overtake it.
	laneBatches = 20
	// aheadLimit is how many samples may have overtaken it, or be about to, at a time.
	aheadLimit = 500_000
)

// passage is how far a sample of the spool has come in the lane.
type passage byte

const (
	inLane   passage = iota + 1 // it waits there
	underWay                    // it is being delivered
	settled                     // nothing is left to do about it
)

// lane is how new samples get to the store although the spool holds a backlog.
//
// The spool is one log with one acknowledged place, and stays it: every sample is appended there, and those in the lane are
// kept here as well. What was delivered from the lane is skipped when the backlog comes to it. What the lane does not deliver
// is dropped from it and nowhere else, so nothing depends on it: if the process dies, the backlog brings it all again, and
// a store that knows samples by their key does not notice.
type lane struct {
	rows  []supabase.Row // oldest first; those of them count that are waiting
	since time.Time      // when the first of them came
	// ahead has the samples that the spool holds behind the place to which the backlog was read, and that are or were in
	// the lane.
	ahead map[slotKey]passage
	most  int // that ahead has had
}

// overtake lets a sample that was just appended to the spool into the lane, if there is a backlog that the store is taking,
// and room. The sample needs its number. The caller holds mu.
func (o *Outbox) overtake(row *supabase.Row) {
	l := &o.lane
	k := keyOf(&row.Sample)
	if row.Sequence == unnumbered || o.spooled <= behind*o.Batch || !o.flowing || l.ahead[k] != 0 ||
		len(l.rows) >= laneBatches*o.Batch || len(l.ahead) >= aheadLimit {
		return
	}
	if len(l.rows) == 0 {
		l.since = o.Clock.Now()
	}
	l.rows = append(l.rows, *row)
	l.ahead[k] = inLane
	l.most = max(l.most, len(l.ahead))
}

// shrink gives the memory of a backlog back.
func (l *lane) shrink() {
	if len(l.ahead) == 0 && l.most > large {
		l.ahead, l.most = map[slotKey]passage{}, 0
	}
	if len(l.rows) == 0 {
		l.rows = nil
	}
}

// overtaken is asked about each sample to which the backlog comes. It tells whether the sample has been delivered; one that
// is still waiting leaves the lane. The caller holds mu, and nothing is under way.
func (o *Outbox) overtaken(k slotKey) bool {
	was := o.lane.ahead[k]
	delete(o.lane.ahead, k)
	return was == settled
}

// giveUp takes note that the spool gave a sample up. It tells whether that is of no consequence, because the sample was
// delivered or is under way.
func (l *lane) giveUp(k slotKey) bool {
	was := l.ahead[k]
	delete(l.ahead, k)
	return was == settled || was == underWay
}

// clear empties the lane and gives what was waiting in it.
func (l *lane) clear() []supabase.Row {
	rows := l.take(len(l.rows))
	l.rows = nil
	clear(l.ahead)
	return rows
}

// take removes and gives the first n of those that are waiting.
func (l *lane) take(n int) (rows []supabase.Row) {
	for len(l.rows) > 0 && len(rows) < n {
		if k := keyOf(&l.rows[0].Sample); l.ahead[k] == inLane {
			l.ahead[k] = underWay
			rows = append(rows, l.rows[0])
		}
		l.rows = l.rows[1:]
	}
	return rows
}

// Overtaking tells whether newer samples are delivered before older ones: then Pending is not always about the newest.
func (o *Outbox) Overtaking() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.passing || len(o.lane.ahead) > 0 || o.spooled > 0 && len(o.queue) > 0
}

// deliverLane sends some batches of the lane, if one is full or has waited long enough.
func (o *Outbox) deliverLane(ctx context.Context) error {
	o.mu.Lock()
	l := &o.lane
	var b batch
	if len(l.rows) >= o.limit || o.Clock.Now().Sub(l.since) >= o.Linger {
		b.rows = l.take(o.portion(len(l.rows)))
	}
	o.mu.Unlock()
	if b.empty() {
		return nil
	}
	left, err := deliverAll(ctx, o, o.samples(&b), b.rows)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.leave(b.rows, left)
	if err != nil {
		o.emptyLane()
	}
	return err
}

// leave notes what became of samples that were under way, of which some are left. The caller holds mu.
func (o *Outbox) leave(rows, left []supabase.Row) {
	undelivered := map[slotKey]bool{}
	for i := range left {
		undelivered[keyOf(&left[i].Sample)] = true
	}
	for i := range rows {
		k := keyOf(&rows[i].Sample)
		inSpool := o.lane.ahead[k] == underWay
		switch {
		case !undelivered[k] && inSpool:
			o.lane.ahead[k] = settled
		case undelivered[k] && inSpool:
			delete(o.lane.ahead, k) // the backlog brings it
		case undelivered[k]:
			o.lose(&rows[i].Sample, false) // the spool gave it up meanwhile
			o.Observer.Dropped(DropFull, 1)
		}
	}
}

// emptyLane leaves what is waiting to the backlog. The caller holds mu.
func (o *Outbox) emptyLane() {
	for i := range o.lane.rows {
		if k := keyOf(&o.lane.rows[i].Sample); o.lane.ahead[k] == inLane {
			delete(o.lane.ahead, k)
		}
	}
	o.lane.rows = nil
}
