package spreedb

import (
	"sync/atomic"
	"time"
)

// Window is what became of the slots that are due in a stretch of time.
type Window struct {
	devices []Device
	// first is the number of each device's first slot in the window; its slots are slots[i] to slots[i+1] of the lists below.
	first, slots []int64
	// late is how many nanoseconds after it was due a slot was asked about first, and 1, so that 0 is never; count how often.
	late  []atomic.Int64
	count []atomic.Int32
}

// arrive notes a request that came so long after the start of device i. It belongs to the slot that was due last.
func (w *Window) arrive(i int, after, cadence int64) {
	if after < 0 {
		return
	}
	slot := after / cadence
	at := slot - w.first[i] + w.slots[i]
	if slot < w.first[i] || at >= w.slots[i+1] {
		return
	}
	w.count[at].Add(1)
	w.late[at].CompareAndSwap(0, after-slot*cadence+1)
}

// Slots are the figures of a window for one kind of devices.
type Slots struct {
	// Due is how many slots there were. Unmeasured of them saw no request before the next one was due, Twice saw several.
	Due, Unmeasured, Twice int
	// Late is how long after it was due each of the others saw its first request, in no order.
	Late []time.Duration
}

// Of counts the slots of the devices that hang, or of all others. Slots that are due now may still be measured.
func (w *Window) Of(hanging bool) Slots {
	var s Slots
	for i, d := range w.devices {
		if d.Hangs != hanging {
			continue
		}
		for at := w.slots[i]; at < w.slots[i+1]; at++ {
			s.Due++
			switch w.count[at].Load() {
			case 0:
				s.Unmeasured++
				continue
			case 1:
			default:
				s.Twice++
			}
			s.Late = append(s.Late, time.Duration(w.late[at].Load()-1))
		}
	}
	return s
}

// Open tells whether a slot of a device that does not hang saw no request so far.
func (w *Window) Open() bool {
	for i, d := range w.devices {
		for at := w.slots[i]; !d.Hangs && at < w.slots[i+1]; at++ {
			if w.count[at].Load() == 0 {
				return true
			}
		}
	}
	return false
}
