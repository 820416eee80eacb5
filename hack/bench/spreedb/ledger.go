package spreedb

import (
	"math"
	"sync/atomic"
	"time"
)

// Device is the target of one job.
type Device struct {
	// Start and Cadence are the grid of the job: slot k is due at Start + k × Cadence.
	Start   time.Time
	Cadence time.Duration
	// Hangs says that requests for it are never answered, Dead that SpreeDB says after a while that it timed out.
	Hangs, Dead bool
}

// Ledger notes when requests for some devices came. Its methods may be called from several goroutines.
type Ledger struct {
	devices []Device
	// starts are their starts in nanoseconds since 1970, first when the first request for each came.
	starts []int64
	first  []atomic.Int64

	polls, polled  atomic.Int64
	inFlight, peak atomic.Int64
	everyPolled    chan struct{}
	window         atomic.Pointer[Window]

	// began is when the ledger was made, and tenths how many requests came in each tenth of a second since.
	began  int64
	tenths [tenths]atomic.Int32
}

// tenths are those of an hour. What comes later is not in Rush.
const tenths = 36_000

// NewLedger gives a ledger for devices, which are known by their index from then on.
func NewLedger(devices []Device) *Ledger {
	l := &Ledger{
		devices: devices, starts: make([]int64, len(devices)), first: make([]atomic.Int64, len(devices)),
		everyPolled: make(chan struct{}), began: time.Now().UnixNano(),
	}
	for i, d := range devices {
		l.starts[i] = d.Start.UnixNano()
	}
	return l
}

// arrive notes a request for device i and returns which of its slots was due last, counted from its start.
func (l *Ledger) arrive(i int, now int64) (slot int64) {
	l.polls.Add(1)
	if running := l.inFlight.Add(1); running > l.peak.Load() {
		l.peak.Store(running) // of two at once one may be lost: it is a figure to look at
	}
	if tenth := (now - l.began) / int64(time.Second/10); tenth >= 0 && tenth < tenths {
		l.tenths[tenth].Add(1)
	}
	if l.first[i].Load() == 0 && l.first[i].CompareAndSwap(0, now) && l.polled.Add(1) == int64(len(l.devices)) {
		close(l.everyPolled)
	}
	if w := l.window.Load(); w != nil {
		w.arrive(i, now-l.starts[i], int64(l.devices[i].Cadence))
	}
	return (now - l.starts[i]) / int64(l.devices[i].Cadence)
}

func (l *Ledger) leave() { l.inFlight.Add(-1) }

// Polls is how many requests came so far.
func (l *Ledger) Polls() int64 { return l.polls.Load() }

// Polled is for how many devices one came.
func (l *Ledger) Polled() int { return int(l.polled.Load()) }

// Peak is how many requests there were at once at most.
func (l *Ledger) Peak() int64 { return l.peak.Load() }

// Rush is how many requests came in the busiest second so far.
func (l *Ledger) Rush() int {
	most, running := 0, 0
	for i := range l.tenths {
		running += int(l.tenths[i].Load())
		if i >= 10 {
			running -= int(l.tenths[i-10].Load())
		}
		most = max(most, running)
	}
	return most
}

// EveryPolled is closed when a request has come for every device.
func (l *Ledger) EveryPolled() <-chan struct{} { return l.everyPolled }

// LastFirst is when the last of the first requests came; zero while there is a device without any.
func (l *Ledger) LastFirst() time.Time {
	var last int64
	for i := range l.first {
		at := l.first[i].Load()
		if at == 0 {
			return time.Time{}
		}
		last = max(last, at)
	}
	return time.Unix(0, last)
}

// Watch notes from now on what becomes of the slots that are due from an instant on, for so long. It ends an earlier Watch.
func (l *Ledger) Watch(from time.Time, length time.Duration) *Window {
	w := &Window{devices: l.devices, first: make([]int64, len(l.devices)), slots: make([]int64, len(l.devices)+1)}
	for i, d := range l.devices {
		w.first[i] = firstSlot(d, from)
		w.slots[i+1] = w.slots[i] + max(firstSlot(d, from.Add(length))-w.first[i], 0)
	}
	total := w.slots[len(l.devices)]
	w.late, w.count = make([]atomic.Int64, total), make([]atomic.Int32, total)
	l.window.Store(w)
	return w
}

// firstSlot is the number of the first slot that is due at an instant or later.
func firstSlot(d Device, at time.Time) int64 {
	return max(int64(math.Ceil(float64(at.Sub(d.Start))/float64(d.Cadence))), 0)
}
