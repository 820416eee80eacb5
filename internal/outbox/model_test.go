package outbox

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/go-logr/logr"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/spool"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

// model is what an outbox was told, to compare with what the store has in the end.
// seeds is how many histories are tried.
const seeds = uint64(30)

type model struct {
	t     *testing.T
	rnd   *rand.Rand
	clock *clocktesting.FakeClock
	store *shelf
	heard *heard
	dir   string // of the spool; empty without one
	limit int64
	box   *Outbox
	jobs  []*modelJob
	down  bool // the store
	// unsure are the samples that may be in the store although the outbox was not told so.
	unsure map[slotKey]bool
	// excused are the slots whose gap was in memory when the process ended.
	excused map[slotKey]bool
}

// modelJob is one job of a model.
type modelJob struct {
	id      string
	start   time.Time
	cadence time.Duration
	slot    int64          // the next
	resumed bool           // the outbox is told its highest number
	regrids bool           // its grid changes, so that its numbers are not those of the slots
	leaves  bool           // it is deleted some time
	samples map[int64]bool // by due time, in microseconds
	skipped map[int64]bool
	gap     *sample.Gap // the newest, while it may grow
}

// key is that of a sample by its due time, in microseconds.
func (j *modelJob) key(due int64) slotKey { return keyOfSlot(j.id, time.UnixMicro(due)) }

func (j *modelJob) due() time.Time { return j.start.Add(time.Duration(j.slot) * j.cadence) }

func newModel(t *testing.T, seed uint64) *model {
	m := &model{
		t: t, rnd: rand.New(rand.NewPCG(seed, 1)), clock: clocktesting.NewFakeClock(start), store: newShelf(), unsure: map[slotKey]bool{}, excused: map[slotKey]bool{},
		heard: &heard{dropped: map[string]int{}},
	}
	for n, j := range []modelJob{{resumed: true}, {resumed: true}, {}, {resumed: true, regrids: true}, {leaves: true}} {
		j.id = fmt.Sprintf("00000000-0000-4000-8000-%012d", n+1)
		j.start, j.cadence = start, time.Duration(n+1)*time.Second
		j.samples, j.skipped = map[int64]bool{}, map[int64]bool{}
		m.jobs = append(m.jobs, &j)
	}
	m.store.poison = func(r *supabase.Row) bool { return *r.RTT == 666 }
	m.store.before = m.before
	m.store.after = func(int) error {
		if m.rnd.IntN(12) == 0 {
			return &supabase.Error{Message: "no answer"}
		}
		return nil
	}
	if seed%4 != 0 {
		m.dir, m.limit = t.TempDir(), []int64{0, 6000, 16_000}[m.rnd.IntN(3)]
	}
	m.open(nil)
	return m
}

// before lets the request fail, and things happen while it is under way.
func (m *model) before(n int) error {
	for range m.rnd.IntN(6) {
		m.put()
	}
	switch {
	case m.down, m.rnd.IntN(10) == 0:
		return &supabase.Error{Status: 503, Message: "down"}
	case n > 3 && m.rnd.IntN(10) == 0:
		return &supabase.Error{Status: 413, Message: "too large"}
	}
	return nil
}

// open begins a process.
func (m *model) open(resume func(*modelJob) int64) {
	options := Options{
		Store: m.store, Listener: m.heard, Observer: counts{m.heard}, Clock: m.clock, Log: logr.Discard(),
		Limit: 40, Batch: 8, Linger: time.Second, Trail: 30 * time.Second,
	}
	if m.dir != "" {
		m.box = nil
		s, _, err := spool.Open(spool.Options{
			Dir: m.dir, SegmentBytes: 1000, LimitBytes: m.limit, Clock: m.clock, Log: logr.Discard(),
			Dropped: func(records [][]byte) { m.box.GivenUp(records) },
		})
		if err != nil {
			m.t.Fatal(err)
		}
		options.Spool = s
	}
	m.box = New(options)
	for _, j := range m.jobs {
		if j.resumed && resume != nil {
			m.box.Resume(j.id, resume(j))
		} else if j.resumed {
			m.box.Resume(j.id, -1)
		}
	}
}

// restart ends the process without a word. Whatever the store has may come again.
func (m *model) restart() {
	if m.dir == "" {
		return
	}
	old := m.box
	_ = old.Spool.Close()
	for k := range m.store.rows {
		m.unsure[k] = true
	}
	// What is in memory alone is lost with the process: gaps for which a spool that is full of gaps had no room, and what the
	// spool gave up after it was read.
	for _, g := range append(old.gaps.list, old.batch.gaps...) {
		for n := range g.Slots {
			m.excused[keyOfSlot(g.JobID, dueIn(&g.Gap, n))] = true
		}
	}
	for _, row := range old.batch.rows {
		m.excused[keyOf(&row.Sample)] = true
	}
	m.open(func(j *modelJob) int64 { return old.Highest(j.id) })
}

// put has something become of the next slot of some job.
func (m *model) put() {
	j := m.jobs[m.rnd.IntN(len(m.jobs))]
	due := j.due()
	if m.rnd.IntN(5) == 0 {
		if j.gap == nil {
			j.gap = &sample.Gap{JobID: j.id, From: due, Reason: "Busy"}
		}
		j.gap.To = due
		j.gap.Slots++
		j.skipped[due.UnixMicro()] = true
		m.box.PutGap(*j.gap)
		j.slot++
		return
	}
	j.gap = nil
	rtt := 10.0
	if m.rnd.IntN(30) == 0 {
		rtt = 666
	}
	err := m.box.Put(sample.Sample{JobID: j.id, Slot: j.slot, ScheduledAt: due, RecordedAt: due, Status: sample.Success, RTT: &rtt})
	if err == nil {
		j.samples[due.UnixMicro()] = true
	}
	j.slot++
	if j.regrids && m.rnd.IntN(20) == 0 {
		j.start, j.slot, j.cadence = j.due().Add(time.Second), 0, time.Duration(1+m.rnd.IntN(4))*time.Second
	}
}

func (m *model) step() {
	m.clock.Step(time.Duration(m.rnd.IntN(700)) * time.Millisecond)
	switch n := m.rnd.IntN(100); {
	case n < 60:
		m.put()
	case n < 94:
		rows := len(m.store.rows)
		if m.box.deliverOnce(m.t.Context()) != nil && len(m.store.rows) > rows {
			for k := range m.store.rows {
				m.unsure[k] = true // the answer was lost
			}
		}
	case n < 96:
		m.restart()
	case n < 99:
		m.down = !m.down
	default:
		for _, j := range m.jobs {
			if j.leaves && m.rnd.IntN(3) == 0 {
				m.store.gone[j.id] = true
			}
		}
	}
	m.balanced()
}

// balanced checks what holds at any time.
func (m *model) balanced() {
	o := m.box
	held := 0
	for _, j := range o.jobs {
		held += int(j.pending)
		if j.pending < 0 || j.inherited > j.pending || j.late < 0 {
			m.t.Fatalf("%s: %+v", j.id, *j)
		}
	}
	if held != o.held || o.spooled < 0 {
		m.t.Fatalf("%d pending, %d held, %d to be read", held, o.held, o.spooled)
	}
	if o.Spool == nil {
		return
	}
	if unread := o.Spool.Stats().Records; unread < o.spooled {
		m.t.Fatalf("%d records are to be read of %d", o.spooled, unread)
	}
}

// end delivers everything, and compares.
func (m *model) end() {
	m.down, m.store.after = false, nil
	m.store.before = nil
	m.box.Flush(m.t.Context())
	m.balanced()
	o := m.box
	if o.held != 0 || o.spooled != 0 || len(o.lane.ahead) != 0 || o.Overtaking() || len(o.heirs) != 0 || len(o.gaps.list) != 0 {
		m.t.Errorf("%d held, %d to be read, %d ahead, %d heirs, %d gaps", o.held, o.spooled, len(o.lane.ahead), len(o.heirs), len(o.gaps.list))
	}
	if o.Spool != nil && o.Spool.Stats().Records != 0 {
		m.t.Errorf("%d records are not acknowledged", o.Spool.Stats().Records)
	}
	for _, j := range m.jobs {
		if o.Pending(j.id) != 0 || o.Inherited(j.id) != 0 {
			m.t.Errorf("%s: %d pending, %d inherited", j.id, o.Pending(j.id), o.Inherited(j.id))
		}
		if !m.store.gone[j.id] {
			m.compare(j)
		}
	}
}

// dueIn is when slot n of a gap was due.
func dueIn(g *sample.Gap, n int64) time.Time {
	if n == 0 {
		return g.From
	}
	return g.From.Add(time.Duration(n) * g.To.Sub(g.From) / time.Duration(g.Slots-1))
}

func (m *model) compare(j *modelJob) {
	covered := map[int64]string{}
	for _, g := range m.store.gaps {
		if g.JobID != j.id {
			continue
		}
		for n := range g.Slots {
			due := dueIn(&g, n)
			at := due.UnixMicro()
			switch {
			case covered[at] != "" && (g.Reason != "Lost" || covered[at] != "Lost"):
				m.t.Errorf("%s %v is in two gaps, %s and %s", j.id, due, covered[at], g.Reason)
			case g.Reason == "Busy" && !j.skipped[at], g.Reason == "Lost" && !j.samples[at]:
				m.t.Errorf("%s %v is in a gap, %s", j.id, due, g.Reason)
			}
			covered[at] = g.Reason
		}
	}
	numbers := map[int64]bool{}
	for k, row := range m.store.rows {
		if row.JobID != j.id {
			continue
		}
		if !j.samples[k.due] || covered[k.due] != "" && !m.unsure[k] {
			m.t.Errorf("%s %d is stored, %q", j.id, row.Slot, covered[k.due])
		}
		if numbers[row.Sequence] {
			m.t.Errorf("%s has %d twice", j.id, row.Sequence)
		}
		numbers[row.Sequence] = true
		if j.resumed && !j.regrids && row.Sequence != row.Slot {
			m.t.Errorf("%s %d has the number %d", j.id, row.Slot, row.Sequence)
		}
	}
	for at := range j.samples {
		if _, there := m.store.rows[j.key(at)]; !there && covered[at] != "Lost" && !m.excused[j.key(at)] {
			m.t.Errorf("%s %v has no outcome", j.id, time.UnixMicro(at).UTC())
		}
	}
	for at := range j.skipped {
		if covered[at] != "Busy" && !m.excused[j.key(at)] {
			m.t.Errorf("%s %v has no gap, %q", j.id, time.UnixMicro(at).UTC(), covered[at])
		}
	}
}

// Whatever happens, and in whichever order: every sample is stored once, or has a gap that says that it was lost.
func TestWhateverHappensEverySlotHasItsOutcome(t *testing.T) {
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			m := newModel(t, seed)
			for range 600 {
				if t.Failed() {
					return
				}
				m.step()
			}
			m.end()
			if m.box.Spool != nil {
				_ = m.box.Spool.Close()
			}
		})
	}
}
