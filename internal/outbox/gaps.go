package outbox

import (
	"slices"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/ledger"
	"github.com/soundcheck-io/latency-operator/internal/sample"
)

const (
	// gapLimit is how many gaps are held in memory at most.
	gapLimit = 20_000
	// gapRounds is how many times at once gaps are appended to the spool that it gave up for others.
	gapRounds = 8
	// longestCadence is the largest time between two slots of a job.
	longestCadence = 24 * time.Hour
)

// slotKey identifies a sample, or a gap by its first slot.
type slotKey struct {
	job jobKey
	due int64 // in microseconds since 1970
}

func keyOf(s *sample.Sample) slotKey { return keyOfSlot(s.JobID, s.ScheduledAt) }
func keyOfGap(g *sample.Gap) slotKey { return keyOfSlot(g.JobID, g.From) }

func keyOfSlot(jobID string, due time.Time) slotKey {
	key, _ := keyOfJob(jobID)
	return slotKey{key, due.UnixMicro()}
}

// heldGap is a gap that the outbox answers for.
type heldGap struct {
	sample.Gap
	records int   // how many it was made of, all to be settled with it
	slot    int64 // the number of its last slot, if it is a run
}

// merge makes one gap of two that begin at the same slot: the longer.
func (g *heldGap) merge(other *heldGap) {
	if !other.To.Before(g.To) {
		g.Gap = other.Gap
	}
	g.records += other.records
}

// gapList holds gaps in memory, one for each beginning.
type gapList struct {
	limit int
	list  []*heldGap
	index map[slotKey]*heldGap
	// runs are those made of lost samples that may still grow, one of each job at most.
	runs map[string]*heldGap
	// beyond counts the slots of gaps for which there was no room.
	beyond int64
}

func newGapList() gapList {
	return gapList{limit: gapLimit, index: map[slotKey]*heldGap{}, runs: map[string]*heldGap{}}
}

// put takes a gap, or makes it part of the one with the same beginning. It tells whether there was room.
func (l *gapList) put(g heldGap) bool {
	k := keyOfGap(&g.Gap)
	if known := l.index[k]; known != nil {
		known.merge(&g)
		return true
	}
	if len(l.list) >= l.limit {
		l.beyond += g.Slots
		return false
	}
	l.list = append(l.list, &g)
	l.index[k] = &g
	return true
}

// lose makes a gap of a sample, or adds it to that of its neighbour. It gives the gap, nil if there was no room, and
// tells whether it is a new one.
func (l *gapList) lose(s *sample.Sample) (g *heldGap, fresh bool) {
	if run := l.runs[s.JobID]; run != nil && run.neighbours(s) {
		run.To, run.slot = s.ScheduledAt, s.Slot
		run.Slots++
		return run, false
	}
	delete(l.runs, s.JobID)
	lost := sample.Gap{JobID: s.JobID, From: s.ScheduledAt, To: s.ScheduledAt, Slots: 1, Reason: ledger.Lost.String()}
	before := len(l.list)
	if !l.put(heldGap{Gap: lost}) {
		return nil, false
	}
	g = l.index[keyOfGap(&lost)]
	if fresh = len(l.list) > before; fresh {
		g.records, g.slot = 1, s.Slot
		l.runs[s.JobID] = g
	}
	return g, fresh
}

// neighbours tells whether a sample is of the slot after the last of a run, on the same grid: it has the next number, and
// is as far from the one before as those are from each other. A cadence is in whole seconds.
func (g *heldGap) neighbours(s *sample.Sample) bool {
	step := s.ScheduledAt.Sub(g.To)
	if s.Slot != g.slot+1 || step <= 0 || step > longestCadence || step%time.Second != 0 {
		return false
	}
	return g.Slots == 1 || g.To.Sub(g.From) == time.Duration(g.Slots-1)*step
}

// part ends the run of a job: what is lost next begins another. It has to be called when a record of the job comes between
// that is not lost.
func (l *gapList) part(jobID string) { delete(l.runs, jobID) }

// take removes and gives the first n gaps, or all if there are fewer.
func (l *gapList) take(n int) []*heldGap {
	n = max(0, min(n, len(l.list)))
	taken := slices.Clone(l.list[:n])
	l.list = slices.Delete(l.list, 0, n)
	for _, g := range taken {
		delete(l.index, keyOfGap(&g.Gap))
		if l.runs[g.JobID] == g {
			delete(l.runs, g.JobID)
		}
	}
	return taken
}

// drop removes and gives the gaps of a job.
func (l *gapList) drop(jobID string) (dropped []*heldGap) {
	for _, g := range l.take(len(l.list)) {
		if g.JobID == jobID {
			dropped = append(dropped, g)
		} else {
			l.put(*g)
		}
	}
	return dropped
}

// PutGap takes responsibility for a gap, or for a longer form of one that it took before, which then takes its place. A gap
// of a job that is gone is of no interest to anybody. It never waits for the store.
func (o *Outbox) PutGap(g sample.Gap) {
	o.mu.Lock()
	defer o.mu.Unlock()
	j := o.job(g.JobID)
	if j.gone {
		return
	}
	j.over = false
	o.remember(&g)
	before := o.queued()
	o.hold(j)
	record, err := encodeGap(o.record[:0], j, &g)
	switch {
	case o.spool(record, err):
		o.spoolGaps()
	case !o.gaps.put(heldGap{Gap: g, records: 1}):
		o.settle(j, false)
	}
	o.nudge(before)
}

// lose makes a gap of a sample that nobody will store any more, and answers for that in its place. The caller holds mu.
func (o *Outbox) lose(s *sample.Sample, inherited bool) {
	o.lost = append(o.lost, *s)
	g, fresh := o.gaps.lose(s)
	if fresh {
		o.hold(o.job(s.JobID))
	}
	if g != nil {
		inherited = o.bequeath(&g.Gap, inherited)
	}
	o.settle(o.job(s.JobID), inherited)
}

// bequeath has a gap count as inherited in the place of the record that became one. It tells whether the record's own
// share is to be settled. The caller holds mu.
func (o *Outbox) bequeath(g *sample.Gap, inherited bool) bool {
	if k := keyOfGap(g); inherited && !o.heirs[k] {
		o.heirs[k] = true
		return false
	}
	return inherited
}

// spoolGaps moves the gaps in memory to the spool, as far as it takes them. If it gives up others for them, these come next,
// but in a spool that holds hardly anything but gaps that would go on for ever. The caller holds mu.
func (o *Outbox) spoolGaps() {
	for rounds := 0; rounds < gapRounds && o.Spool != nil && len(o.gaps.list) > 0; rounds++ {
		if !o.spoolThese(o.gaps.take(len(o.gaps.list))) {
			break
		}
	}
	o.tellBeyond()
}

// spoolThese appends gaps to the spool, and puts those back that it does not take. It tells whether it took any. The caller
// holds mu.
func (o *Outbox) spoolThese(gaps []*heldGap) (progress bool) {
	for i, g := range gaps {
		record, err := encodeGap(o.record[:0], o.job(g.JobID), &g.Gap)
		if err != nil {
			o.restoreGaps(gaps[i : i+1])
			continue
		}
		if !o.spool(record, nil) {
			o.restoreGaps(gaps[i:])
			return false
		}
		progress = true
		o.remember(&g.Gap)
		for range g.records - 1 {
			o.settle(o.job(g.JobID), false) // it is one record now
		}
	}
	return progress
}

// restoreGaps puts gaps back that the spool did not take. The caller holds mu.
func (o *Outbox) restoreGaps(gaps []*heldGap) {
	for _, g := range gaps {
		if !o.gaps.put(*g) {
			o.settleGap(g, false)
		}
	}
}

// tellBeyond says how many slots have no outcome, because there was no room for their gaps. The caller holds mu.
func (o *Outbox) tellBeyond() {
	if o.gaps.beyond > 0 {
		o.Log.Error(nil, "Slots have no outcome: there was no room for more gaps", "slots", o.gaps.beyond)
		o.gaps.beyond = 0
	}
}
