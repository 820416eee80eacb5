package ledger

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/schedule"
)

var (
	start = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	grid  = schedule.Grid{Start: start, Cadence: 10 * time.Second, Duration: time.Minute}
)

func success(rtt float64) Outcome {
	return Outcome{Sample: sample.Sample{Status: sample.Success, RTT: &rtt}}
}

func failure(s sample.Status) Outcome {
	return Outcome{Sample: sample.Sample{Status: s}, Message: "no reply"}
}

// poll plays a poll of the slot from beginning to end.
func poll(l *Ledger, slot int64, o Outcome) {
	l.Begin(grid, slot)
	o.Jitter = l.Jitter(o.RTT)
	o.ScheduledAt, o.RecordedAt = grid.Due(slot), grid.Due(slot)
	l.Finish(o)
}

func TestEverySlotHasOneOutcome(t *testing.T) {
	for name, tc := range map[string]struct {
		play       func(l *Ledger)
		first, due int64
		unmeasured [Reasons]int64
		samples    int64
		unknown    int64
	}{
		"nothing yet": {func(*Ledger) {}, 0, 0, [Reasons]int64{}, 0, 0},
		"polled in turn": {func(l *Ledger) {
			poll(l, 0, success(10))
			poll(l, 1, failure(sample.Missed))
		}, 2, 2, [Reasons]int64{}, 2, 0},
		"found late: another operator may have measured": {func(l *Ledger) {
			l.Skip(grid, 2, OperatorDown)
			poll(l, 3, success(10))
		}, 4, 4, [Reasons]int64{}, 1, 3},
		"found late, and nobody had": {func(l *Ledger) {
			l.Skip(grid, 2, OperatorDown)
			poll(l, 3, success(10))
			l.Resolve(grid, nil, nil)
		}, 4, 4, [Reasons]int64{OperatorDown: 3}, 1, 0},
		"skipped twice counts once": {func(l *Ledger) {
			l.Skip(grid, 2, Suspended)
			l.Skip(grid, 2, NoTarget)
			l.Skip(grid, 1, NoTarget)
		}, 3, 3, [Reasons]int64{Suspended: 3}, 0, 0},
		"busy while in flight": {func(l *Ledger) {
			l.Begin(grid, 0)
			l.Skip(grid, 2, OperatorDown)
		}, 3, 3, [Reasons]int64{}, 0, 0},
		"busy once the poll has ended": {func(l *Ledger) {
			l.Begin(grid, 0)
			l.Skip(grid, 2, OperatorDown)
			l.Finish(failure(sample.SystemError))
		}, 3, 3, [Reasons]int64{Busy: 2}, 1, 0},
		"busy on two grids": {func(l *Ledger) {
			l.Begin(grid, 0)
			l.Skip(grid, 1, OperatorDown)
			finer := schedule.Grid{Start: start, Cadence: 5 * time.Second, Duration: time.Minute}
			l.Skip(finer, 4, OperatorDown)
			l.Finish(failure(sample.SystemError))
		}, 3, 4, [Reasons]int64{Busy: 3}, 1, 0},
		"abandoned: the slot is open again": {func(l *Ledger) {
			poll(l, 0, success(10))
			l.Begin(grid, 1)
			l.Abandon(OperatorDown)
		}, 1, 1, [Reasons]int64{}, 1, 0},
		"abandoned after others came due": {func(l *Ledger) {
			l.Begin(grid, 0)
			l.Skip(grid, 1, Busy)
			l.Abandon(OperatorDown)
		}, 2, 2, [Reasons]int64{OperatorDown: 1, Busy: 1}, 0, 0},
		"abandoned without a poll": {func(l *Ledger) { l.Abandon(OperatorDown) }, 0, 0, [Reasons]int64{}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var l Ledger
			tc.play(&l)
			a := l.Account()
			if l.First(grid) != tc.first || l.Due() != tc.due || a.Unmeasured != tc.unmeasured || a.Totals.Samples() != tc.samples || l.Unknown() != tc.unknown {
				t.Errorf("first %d, due %d, unmeasured %v, samples %d, unknown %d; want %d, %d, %v, %d, %d",
					l.First(grid), l.Due(), a.Unmeasured, a.Totals.Samples(), l.Unknown(), tc.first, tc.due, tc.unmeasured, tc.samples, tc.unknown)
			}
		})
	}
}

// What is stored while a poll is in flight must not hold its slot: after a crash the slot would have no outcome.
func TestAccountLeavesOutThePollInFlight(t *testing.T) {
	var l Ledger
	poll(&l, 0, success(10))
	before := l.Account()
	l.Begin(grid, 1)
	l.Skip(grid, 2, Busy)
	if diff := cmp.Diff(before, l.Account()); diff != "" {
		t.Errorf("account changed while the poll was in flight:\n%s", diff)
	}
	resumed := Resume(l.Account())
	if got := resumed.First(grid); got != 1 {
		t.Errorf("a restart goes on at slot %d, want 1", got)
	}
}

func TestChangedGridGoesOnAfterTheNewestSlot(t *testing.T) {
	for name, tc := range map[string]struct {
		grid schedule.Grid
		want int64
	}{
		"half the cadence":   {schedule.Grid{Start: start, Cadence: 5 * time.Second, Duration: time.Minute}, 7},
		"twice the cadence":  {schedule.Grid{Start: start, Cadence: 20 * time.Second, Duration: time.Minute}, 2},
		"a shorter duration": {schedule.Grid{Start: start, Cadence: 10 * time.Second, Duration: 20 * time.Second}, 2},
		"started anew":       {schedule.Grid{Start: start.Add(time.Hour), Cadence: 10 * time.Second, Duration: time.Minute}, 0},
		"started earlier":    {schedule.Grid{Start: start.Add(-time.Minute), Cadence: 10 * time.Second, Duration: time.Hour}, 10},
	} {
		t.Run(name, func(t *testing.T) {
			var l Ledger
			l.Skip(grid, 3, OperatorDown) // up to 30 s after the start
			if got := l.First(tc.grid); got != tc.want {
				t.Errorf("First = %d, want %d", got, tc.want)
			}
		})
	}
}

func TestANewGridBeginsWhenItWasMade(t *testing.T) {
	every := func(cadence, start int) schedule.Grid {
		return schedule.Grid{Start: at(start), Cadence: time.Duration(cadence) * time.Second, Duration: time.Minute}
	}
	for name, tc := range map[string]struct {
		grid   schedule.Grid
		since  int
		flight bool
		want   int64
		counts time.Time
	}{
		"the same":                         {every(10, 0), 27, false, 3, time.Time{}},
		"shorter, long after the newest":   {every(1, 0), 27, false, 27, at(27)},
		"shorter, just after it":           {every(1, 0), 21, false, 21, at(21)},
		"shorter, before it":               {every(1, 0), 15, false, 21, at(20).Add(time.Microsecond)},
		"shorter, while a poll runs":       {every(1, 0), 27, true, 27, at(27)},
		"longer":                           {every(30, 0), 27, false, 1, at(27)},
		"moved by less than a slot":        {every(10, -5), 27, false, 4, at(27)},
		"moved by whole slots":             {every(10, -20), 27, false, 5, time.Time{}},
		"started anew":                     {every(10, 100), 110, false, 0, time.Time{}},
		"started anew, of another cadence": {every(7, 100), 110, false, 0, time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			var l Ledger
			l.Follow(grid, at(0))
			poll(&l, 2, success(10)) // due 20 s after the start
			if tc.flight {
				l = Resume(Account{Sums: Sums{Until: at(10)}, Start: start, Cadence: grid.Cadence})
				l.Begin(grid, 2)
			}
			l.Follow(tc.grid, at(tc.since))
			if a := l.Account(); l.First(tc.grid) != tc.want || !a.Since.Equal(tc.counts) {
				t.Errorf("goes on with slot %d, its slots count since %s; want %d, %s", l.First(tc.grid), a.Since, tc.want, tc.counts)
			}
			if tc.flight {
				l.Finish(success(10))
				if l.First(tc.grid) != tc.want {
					t.Errorf("after the poll it goes on with slot %d", l.First(tc.grid))
				}
			}
		})
	}
	cut := Resume(Account{Sums: Sums{Until: at(10)}, Start: start, Cadence: grid.Cadence})
	cut.Begin(grid, 2)
	cut.Follow(every(1, 0), at(27))
	next := Resume(cut.Stored()) // killed during the poll
	next.Adopt(every(1, 0), at(30), false, OperatorDown)
	if next.Unknown() != 3 {
		t.Errorf("after a crash %d slots are unknown, want those from 27 to 29", next.Unknown())
	}
	cut.Abandon(OperatorDown)
	if got := cut.First(every(1, 0)); got != 27 {
		t.Errorf("after a poll that was cut short it goes on with slot %d", got)
	}
	var fresh Ledger
	fresh.Follow(every(1, 0), at(30))
	if got := fresh.First(every(1, 0)); got != 0 {
		t.Errorf("a job that nothing is known about begins with slot %d", got)
	}
}

func TestALostSampleLeavesTheFigures(t *testing.T) {
	var l Ledger
	for slot := range int64(3) {
		poll(&l, slot, success(10+float64(slot)))
	}
	l.Delivered(0)
	s := success(12).Sample
	s.ScheduledAt, s.Jitter = grid.Due(2), new(1.0)
	l.Lose(s)
	want := Totals{Success: 2, RTTSum: 21 * time.Millisecond, RTTCount: 2, RTTMin: 10 * time.Millisecond, RTTMax: 12 * time.Millisecond, JitterSum: time.Millisecond, JitterCount: 1}
	for name, a := range map[string]Account{"account": l.Account(), "stored": l.Stored()} {
		if diff := cmp.Diff(want, a.Totals); diff != "" || a.Unmeasured[Lost] != 1 || a.Slots() != 3 {
			t.Errorf("%s: %d lost of %d slots\n%s", name, a.Unmeasured[Lost], a.Slots(), diff)
		}
	}
	resumed := Resume(Account{})
	resumed.Adopt(grid, at(25), false, OperatorDown)
	resumed.Lose(s) // what an earlier process measured was never counted here
	if a := resumed.Account(); a.Slots() != 0 {
		t.Errorf("%d slots", a.Slots())
	}
}

func TestTotals(t *testing.T) {
	var l Ledger
	for i, o := range []Outcome{success(10), failure(sample.Missed), success(14.5), failure(sample.SystemError), success(12.25)} {
		poll(&l, int64(i), o)
	}
	a := l.Account()
	got := a.Totals
	want := Totals{
		Success: 3, Missed: 1, SystemError: 1,
		RTTSum: 36750 * time.Microsecond, RTTMin: 10 * time.Millisecond, RTTMax: 14500 * time.Microsecond, RTTCount: 3,
		JitterSum: 6750 * time.Microsecond, JitterCount: 2,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("totals differ:\n%s", diff)
	}
	if loss, ok := got.Loss(); !ok || loss != 0.25 {
		t.Errorf("loss %v %v, want 0.25: a system error says nothing about the device", loss, ok)
	}
	if mean, ok := got.RTTMean(); !ok || mean != 12250*time.Microsecond {
		t.Errorf("mean %v %v", mean, ok)
	}
	if a.RTT != 12250*time.Microsecond || !a.RTTAt.Equal(grid.Due(4)) {
		t.Errorf("newest round-trip time %v of %s", a.RTT, a.RTTAt)
	}
	if a.MissesInARow != 0 || a.ErrorsInARow != 0 || a.LastError != (Failure{RecordedAt: grid.Due(3), Message: "no reply"}) {
		t.Errorf("in a row %d missed, %d errors; last error %+v", a.MissesInARow, a.ErrorsInARow, a.LastError)
	}
}

func TestNothingMeasuredHasNoShares(t *testing.T) {
	var l Ledger
	poll(&l, 0, failure(sample.SystemError))
	totals := l.Account().Totals
	if _, ok := totals.Loss(); ok {
		t.Error("a loss without a measured sample")
	}
	if _, ok := totals.RTTMean(); ok {
		t.Error("a mean without a measured sample")
	}
}

// A system error says nothing about the device, so it does not end a row of misses.
func TestStreaks(t *testing.T) {
	var l Ledger
	for i, s := range []sample.Status{sample.Missed, sample.SystemError, sample.SystemError, sample.Missed, sample.Missed} {
		poll(&l, int64(i), failure(s))
	}
	if a := l.Account(); a.MissesInARow != 3 || a.ErrorsInARow != 0 {
		t.Errorf("%d missed and %d errors in a row, want 3 and 0", a.MissesInARow, a.ErrorsInARow)
	}
}

// However a job is played, each slot that came due has one outcome and a restart at any moment forgets or doubles none.
func TestRandomPlayKeepsTheBooks(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		g := schedule.Grid{Start: start, Cadence: time.Second, Duration: 5 * time.Minute}
		var l Ledger
		for now := start; now.Before(g.End()); now = now.Add(time.Duration(rnd.IntN(3000)) * time.Millisecond) {
			slot := g.At(now)
			switch rnd.IntN(7) {
			case 0:
				l.Skip(g, slot, Reason(rnd.IntN(int(Reasons))))
			case 1:
				if l.InFlight() {
					l.Finish(failure(sample.Missed))
				}
				if rnd.IntN(4) == 0 {
					l.Resolve(g, nil, nil)
				}
			case 2:
				l.Abandon(OperatorDown)
			case 3:
				l = Resume(l.Stored()) // a crash: the poll in flight is forgotten
				l.Adopt(g, now, false, OperatorDown)
			case 4:
				l.Delivered(rnd.IntN(3))
			default:
				l.Skip(g, slot-1, OperatorDown)
				if !l.InFlight() && l.First(g) == slot {
					l.Begin(g, slot)
				}
			}
			if l.Due() != l.First(g) {
				t.Fatalf("seed %d at %s: %d slots have come due in the books, %d on the grid", seed, now, l.Due(), l.First(g))
			}
		}
	}
}

func TestAnAbsurdRoundTripTimeDoesNotOverflow(t *testing.T) {
	var l Ledger
	for slot := range int64(6) {
		poll(&l, slot, success(1e300))
	}
	a := l.Account()
	if a.Totals.RTTSum != 6*longest || a.Totals.RTTMax != longest {
		t.Errorf("got %+v", a.Totals)
	}
}

// A status is written when its newest sample is not stored yet, so what came last is ahead of the sums; and it may be an hour old.
func TestJitterIsNotTakenToASampleBeforeWhatIsUnknown(t *testing.T) {
	l := Resume(Account{
		Sums: Sums{Until: grid.Due(0), Totals: Totals{Success: 1}}, Start: grid.Start, Cadence: grid.Cadence,
		Recent: Recent{RTT: 10 * time.Millisecond, RTTAt: grid.Due(1)},
	})
	l.Adopt(grid, grid.Due(4).Add(grid.Cadence/2), true, OperatorDown)
	if j := l.Jitter(new(15.0)); j != nil {
		t.Errorf("jitter %v to the sample of slot 1, although what came of slots 2 and 3 is unknown", *j)
	}
}
