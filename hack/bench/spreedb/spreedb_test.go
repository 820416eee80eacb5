package spreedb

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/spreedb"
)

var t0 = time.Date(2026, time.November, 23, 10, 0, 0, 0, time.UTC)

func TestEveryDeviceHasAnAddress(t *testing.T) {
	for _, i := range []int{0, 1, 255, 256, 65535, 65536, MaxDevices - 1} {
		address := Address(i)
		if _, err := netip.ParseAddr(address); err != nil {
			t.Errorf("device %d: %v", i, err)
		}
		if back, ok := index(address); !ok || back != i {
			t.Errorf("device %d has the address %s, which is that of %d, %t", i, address, back, ok)
		}
	}
	for _, address := range []string{"", "10.0.0.1", "10.1.2", "10.1.2.3.4", "10.1.2.256", "11.1.2.3", "10.1.2.x"} {
		if i, ok := index(address); ok {
			t.Errorf("%q is the address of nobody, not of %d", address, i)
		}
	}
}

func TestSlotsOfAWindow(t *testing.T) {
	const cadence = 10 * time.Second
	device := Device{Start: t0, Cadence: cadence}
	for name, tc := range map[string]struct {
		from    time.Duration // after t0
		length  time.Duration
		arrive  []time.Duration
		due     int
		missing int
		twice   int
		late    []time.Duration
	}{
		"each once":                          {0, 20 * time.Second, []time.Duration{time.Millisecond, 10*time.Second + 2*time.Millisecond}, 2, 0, 0, []time.Duration{time.Millisecond, 2 * time.Millisecond}},
		"late by nearly a cadence":           {0, 10 * time.Second, []time.Duration{cadence - 1}, 1, 0, 0, []time.Duration{cadence - 1}},
		"late by a cadence is the next slot": {0, 10 * time.Second, []time.Duration{cadence}, 1, 1, 0, nil},
		"early belongs to the slot before":   {5 * time.Second, 10 * time.Second, []time.Duration{cadence - 1}, 1, 1, 0, nil},
		"twice counts the first":             {0, 10 * time.Second, []time.Duration{time.Second, 2 * time.Second}, 1, 0, 1, []time.Duration{time.Second}},
		"measured after the window":          {5 * time.Second, 6 * time.Second, []time.Duration{19 * time.Second}, 1, 0, 0, []time.Duration{9 * time.Second}},
		"due when it begins":                 {10 * time.Second, 10 * time.Second, []time.Duration{10 * time.Second}, 1, 0, 0, []time.Duration{0}},
		"due when it ends":                   {1 * time.Second, 9 * time.Second, []time.Duration{10 * time.Second}, 0, 0, 0, nil},
		"before the start":                   {-20 * time.Second, 30 * time.Second, []time.Duration{-15 * time.Second, 0}, 1, 0, 0, []time.Duration{0}},
	} {
		t.Run(name, func(t *testing.T) {
			l := NewLedger([]Device{device, {Start: t0, Cadence: cadence, Hangs: true}})
			w := l.Watch(t0.Add(tc.from), tc.length)
			open := w.Open()
			for _, after := range tc.arrive {
				l.arrive(0, t0.Add(after).UnixNano())
			}
			got := w.Of(false)
			if diff := cmp.Diff(Slots{Due: tc.due, Unmeasured: tc.missing, Twice: tc.twice, Late: tc.late}, got); diff != "" {
				t.Error(diff)
			}
			if hanging := w.Of(true); hanging.Due != tc.due || hanging.Unmeasured != tc.due {
				t.Errorf("the other device was not asked about: %+v", hanging)
			}
			if open != (tc.due > 0) || w.Open() != (tc.missing > 0) {
				t.Errorf("open before %t, after %t", open, w.Open())
			}
		})
	}
}

func TestALedgerTellsWhenAllWerePolled(t *testing.T) {
	l := NewLedger([]Device{{Start: t0, Cadence: time.Second}, {Start: t0, Cadence: time.Second}})
	l.arrive(1, 5)
	if slot := l.arrive(1, t0.Add(2500*time.Millisecond).UnixNano()); slot != 2 {
		t.Errorf("slot %d was due last", slot)
	}
	if l.Polled() != 1 || l.Polls() != 2 || !l.LastFirst().IsZero() {
		t.Error("one of two was polled")
	}
	l.leave()
	l.arrive(0, 9)
	<-l.EveryPolled()
	if got := l.LastFirst(); got.UnixNano() != 9 || l.Peak() != 2 {
		t.Errorf("the last first poll was at %d, %d at once", got.UnixNano(), l.Peak())
	}
}

func TestRushIsTheBusiestSecond(t *testing.T) {
	l := NewLedger([]Device{{Start: t0, Cadence: time.Second}})
	for _, millis := range []int64{0, 950, 1000, 1500, 1890, 9000, 9500, -100, 4_000_000_000} {
		l.arrive(0, l.began+millis*int64(time.Millisecond))
	}
	if got := l.Rush(); got != 4 { // from 0.95 s on
		t.Errorf("got %d", got)
	}
}

func TestTheOperatorUnderstandsItsAnswers(t *testing.T) {
	s, err := Start(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	client, err := spreedb.New(spreedb.Options{BaseURL: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	poll := func(i int, within time.Duration) spreedb.Result {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		return client.Poll(ctx, netip.MustParseAddr(Address(i)))
	}
	l := NewLedger([]Device{{Start: t0, Cadence: time.Second}, {Start: t0, Cadence: time.Second, Dead: true}, {Start: t0, Cadence: time.Second, Hangs: true}})
	s.Use(l)
	if got := poll(0, time.Minute); got.Status != sample.Success || got.RTT == nil || got.Poller == "" {
		t.Errorf("a device that answers: %+v", got)
	}
	if got := poll(1, time.Minute); got.Status != sample.Missed || got.Message != "timeout" {
		t.Errorf("a dead device: %+v", got)
	}
	if got := poll(2, 100*time.Millisecond); got.Status != sample.SystemError {
		t.Errorf("one that hangs: %+v", got)
	}
	if problems := s.Problems(); l.Polls() != 3 || len(problems) > 0 {
		t.Errorf("%d polls, %v", l.Polls(), problems)
	}
	poll(3, time.Minute)
	if len(s.Problems()) != 1 {
		t.Error("a request about no device is a problem")
	}
}

func TestAnswersTakeTheSameTimesWithTheSameSeed(t *testing.T) {
	one, two, other := drawn(1), drawn(1), drawn(2)
	if one != two || one == other {
		t.Error("the seed decides")
	}
	s := &Server{took: one}
	ofDevice, inSlot := map[time.Duration]bool{}, map[time.Duration]bool{}
	for n := range draws {
		ofDevice[s.takes(5, int64(n))], inSlot[s.takes(n, 5)] = true, true
	}
	all := map[time.Duration]bool{}
	for _, took := range one {
		all[took] = true
	}
	if len(ofDevice) != len(all) || len(inSlot) != len(all) || s.takes(5, -1) <= 0 {
		t.Errorf("of %d draws a device has %d, and a slot %d", len(all), len(ofDevice), len(inSlot))
	}
	sorted := one[:]
	slices.Sort(sorted)
	if got := sorted[draws/2]; got < 19*time.Millisecond || got > 21*time.Millisecond {
		t.Errorf("the median is %s", got)
	}
}
