package ledger

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/schedule"
)

func at(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

// stored is a successful sample of the slot that was due some seconds after the start.
func stored(seconds int) sample.Sample {
	return sample.Sample{ScheduledAt: at(seconds), Status: sample.Success, RTT: new(10.0), Jitter: new(1.0)}
}

func gap(from, every int, slots int64, why Reason) Gap {
	return Gap{Stretch{at(from), time.Duration(every) * time.Second, slots}, why}
}

func TestWhatIsUnknownIsSettledByTheDatabase(t *testing.T) {
	hour := schedule.Grid{Start: start, Cadence: 10 * time.Second, Duration: time.Hour}
	coarse := schedule.Grid{Start: start, Cadence: 30 * time.Second, Duration: time.Hour}
	fine := schedule.Grid{Start: start, Cadence: 5 * time.Second, Duration: time.Hour}
	until20 := Account{Sums: Sums{Until: at(20), Totals: Totals{Success: 3}}, Start: start, Cadence: 10 * time.Second}
	for name, tc := range map[string]struct {
		before     Account
		grid       schedule.Grid
		now        int
		samples    []sample.Sample
		gaps       []Gap
		measured   int64
		unmeasured [Reasons]int64
		lost       []Gap
		first      int64
	}{
		"a new job that is due since a while": {grid: hour, now: 25, unmeasured: [Reasons]int64{OperatorDown: 2}, lost: []Gap{gap(0, 10, 2, OperatorDown)}, first: 2},
		"a new job, just started":             {grid: hour, now: 3},
		"a job before its start":              {grid: hour, now: -30},
		"everything was measured": {
			before: until20, grid: hour, now: 55, samples: []sample.Sample{stored(30), stored(40)}, measured: 5, first: 5,
		},
		"the present slot has been measured too": {
			before: until20, grid: hour, now: 55, samples: []sample.Sample{stored(30), stored(40), stored(50)}, measured: 6, first: 6,
		},
		"nobody was there": {
			before: until20, grid: hour, now: 65, samples: []sample.Sample{stored(30)}, measured: 4,
			unmeasured: [Reasons]int64{OperatorDown: 2}, lost: []Gap{gap(40, 10, 2, OperatorDown)}, first: 6,
		},
		"holes between": {
			before: until20, grid: hour, now: 95, samples: []sample.Sample{stored(40), stored(60), stored(70)}, measured: 6,
			unmeasured: [Reasons]int64{OperatorDown: 3}, lost: []Gap{gap(30, 10, 1, OperatorDown), gap(50, 10, 1, OperatorDown), gap(80, 10, 1, OperatorDown)}, first: 9,
		},
		"a gap that is written keeps its reason": {
			before: until20, grid: hour, now: 75, samples: []sample.Sample{stored(60)}, gaps: []Gap{gap(30, 10, 2, Suspended)}, measured: 4,
			unmeasured: [Reasons]int64{Suspended: 2, OperatorDown: 1}, lost: []Gap{gap(50, 10, 1, OperatorDown)}, first: 7,
		},
		"of a gap that was known in part the rest counts": {
			before: Account{Sums: Sums{Until: at(20), Unmeasured: [Reasons]int64{Suspended: 3}}, Start: start, Cadence: 10 * time.Second}, grid: hour, now: 55,
			gaps: []Gap{gap(0, 10, 5, Suspended)}, unmeasured: [Reasons]int64{Suspended: 5}, first: 5,
		},
		"a sample outweighs a gap": {
			before: until20, grid: hour, now: 65, samples: []sample.Sample{stored(40)}, gaps: []Gap{gap(30, 10, 3, OperatorDown)}, measured: 4,
			unmeasured: [Reasons]int64{OperatorDown: 2}, first: 6,
		},
		"samples of before count once": {
			before: until20, grid: hour, now: 45, samples: []sample.Sample{stored(0), stored(10), stored(20), stored(30)}, measured: 4, first: 4,
		},
		"slower by now": {
			before: until20, grid: coarse, now: 95, samples: []sample.Sample{stored(30), stored(40), stored(50)}, measured: 6,
			unmeasured: [Reasons]int64{OperatorDown: 1}, lost: []Gap{gap(60, 30, 1, OperatorDown)}, first: 3,
		},
		"slower by now, nothing due": {
			before: until20, grid: coarse, now: 28, samples: []sample.Sample{stored(25)}, measured: 4, first: 1,
		},
		"faster by now: what never came due is no gap": {
			before: until20, grid: fine, now: 52, samples: []sample.Sample{stored(30), stored(40)}, measured: 5,
			unmeasured: [Reasons]int64{OperatorDown: 1}, lost: []Gap{gap(45, 5, 1, OperatorDown)}, first: 10,
		},
		"over meanwhile": {
			before: until20, grid: grid, now: 999, samples: []sample.Sample{stored(30)}, measured: 4,
			unmeasured: [Reasons]int64{OperatorDown: 2}, lost: []Gap{gap(40, 10, 2, OperatorDown)}, first: 6,
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := Resume(tc.before)
			l.Adopt(tc.grid, at(tc.now), false, OperatorDown)
			if after, n := l.Asks(); n != 1 || !after.Equal(tc.before.Until) {
				t.Errorf("asks %d times for what came after %s", n, after)
			}
			var lost []Gap
			for _, u := range l.Resolve(tc.grid, tc.samples, tc.gaps) {
				lost = append(lost, u.Gap)
			}
			a := l.Account()
			if a.Totals.Samples() != tc.measured || a.Unmeasured != tc.unmeasured || l.First(tc.grid) != tc.first || l.Unknown() != 0 {
				t.Errorf("%d measured, unmeasured %v, first %d, unknown %d; want %d, %v, %d, 0",
					a.Totals.Samples(), a.Unmeasured, l.First(tc.grid), l.Unknown(), tc.measured, tc.unmeasured, tc.first)
			}
			if diff := cmp.Diff(tc.lost, lost); diff != "" {
				t.Errorf("new gaps:\n%s", diff)
			}
		})
	}
}

// What is read back comes before what was measured since, and must not look like the newest.
func TestWhatIsReadBackDoesNotOverwriteWhatIsNewer(t *testing.T) {
	l := Resume(Account{Sums: Sums{Until: at(0)}, Cadence: 10 * time.Second})
	l.Adopt(grid, at(25), false, OperatorDown)
	poll(&l, 2, failure(sample.Missed))
	l.Resolve(grid, []sample.Sample{stored(10)}, nil)
	a := l.Account()
	if a.Last.Status != sample.Missed || a.MissesInARow != 1 || a.RTT != 10*time.Millisecond || a.Totals.Success != 1 {
		t.Errorf("got %+v", a)
	}
}

func TestJitterIsTakenToTheSampleBefore(t *testing.T) {
	resumed := func() Ledger {
		var l Ledger
		poll(&l, 0, success(10))
		l = Resume(l.Account())
		l.Adopt(grid, at(25), false, OperatorDown)
		return l
	}
	unasked := resumed()
	if j := unasked.Jitter(new(15.0)); j != nil {
		t.Errorf("%v before the database was asked which sample came before", *j)
	}
	asked := resumed()
	asked.Resolve(grid, []sample.Sample{{ScheduledAt: at(10), Status: sample.Success, RTT: new(14.0)}}, nil)
	if j := asked.Jitter(new(15.0)); j == nil || *j != 1 {
		t.Errorf("%v once the database was asked", j)
	}
	recalled := resumed()
	recalled.Recall(13*time.Millisecond, at(10))
	if j := recalled.Jitter(new(15.0)); j == nil || *j != 2 {
		t.Errorf("%v where the spool has the sample before", j)
	}
}

func TestStoredTrailsWhatIsHandedOver(t *testing.T) {
	var l Ledger
	for slot := range int64(4) {
		poll(&l, slot, success(10))
		l.Delivered(2) // a batch later
	}
	if a := l.Stored(); a.Slots() != 2 || !a.Until.Equal(at(10)) || a.Last.ScheduledAt != at(30) {
		t.Errorf("%d slots until %s are taken for stored, the newest of %s", a.Slots(), a.Until, a.Last.ScheduledAt)
	}
	l.Delivered(0)
	if a := l.Stored(); a.Slots() != 4 {
		t.Errorf("%d slots are taken for stored once everything is", a.Slots())
	}
	l.Skip(grid, 4, OperatorDown)
	l.Begin(grid, 5)
	l.Finish(success(10))
	l.Delivered(0)
	if a := l.Stored(); a.Slots() != 4 {
		t.Errorf("%d slots are taken for stored, beyond one that is unknown", a.Slots())
	}
}

func TestAGapGrows(t *testing.T) {
	var l Ledger
	var got []Gap
	note := func(_ int64, lost []Unmeasured) {
		for _, u := range lost {
			got = append(got, u.Gap)
		}
	}
	note(l.Skip(grid, 0, Suspended))
	note(l.Skip(grid, 2, Suspended))
	note(l.Skip(grid, 3, NoTarget))
	poll(&l, 4, success(10))
	note(l.Skip(grid, 5, NoTarget))
	want := []Gap{gap(0, 10, 1, Suspended), gap(0, 10, 3, Suspended), gap(30, 10, 1, NoTarget), gap(50, 10, 1, NoTarget)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, g := range want {
		if diff := cmp.Diff(g.Slots, GapOf(g.Of("x")).Slots) + cmp.Diff(g.To(), GapOf(g.Of("x")).To()); diff != "" {
			t.Errorf("%+v changes when it is stored:\n%s", g, diff)
		}
	}
}

func TestCloseLeavesOneOutcomeForEachSlot(t *testing.T) {
	for name, tc := range map[string]struct {
		samples     []sample.Sample
		gaps        []Gap
		put, remove []Gap
		unmeasured  [Reasons]int64
	}{
		"all is well":           {samples: []sample.Sample{stored(0), stored(10)}, gaps: []Gap{gap(20, 10, 4, Busy)}, unmeasured: [Reasons]int64{Busy: 4}},
		"unknown slots":         {samples: []sample.Sample{stored(0), stored(10)}, gaps: []Gap{gap(40, 10, 2, Lost)}, put: []Gap{gap(20, 10, 2, OperatorDown)}, unmeasured: [Reasons]int64{Lost: 2, OperatorDown: 2}},
		"a sample within a gap": {samples: []sample.Sample{stored(30)}, gaps: []Gap{gap(0, 10, 6, OperatorDown)}, put: []Gap{gap(0, 10, 3, OperatorDown), gap(40, 10, 2, OperatorDown)}, unmeasured: [Reasons]int64{OperatorDown: 5}},
		"a sample at its beginning": {samples: []sample.Sample{stored(0)}, gaps: []Gap{gap(0, 10, 6, OperatorDown)}, put: []Gap{gap(10, 10, 5, OperatorDown)}, remove: []Gap{gap(0, 10, 6, OperatorDown)},
			unmeasured: [Reasons]int64{OperatorDown: 5}},
		"samples all over it": {samples: []sample.Sample{stored(0), stored(10), stored(20), stored(30), stored(40), stored(50)}, gaps: []Gap{gap(10, 10, 2, OperatorDown)}, remove: []Gap{gap(10, 10, 2, OperatorDown)}},
		"gaps that overlap": {samples: []sample.Sample{stored(0)}, gaps: []Gap{gap(10, 10, 3, Busy), gap(20, 10, 4, OperatorDown)}, put: []Gap{gap(40, 10, 2, OperatorDown)}, remove: []Gap{gap(20, 10, 4, OperatorDown)},
			unmeasured: [Reasons]int64{Busy: 3, OperatorDown: 2}},
		"a gap within another": {gaps: []Gap{gap(0, 10, 6, Suspended), gap(20, 10, 1, OperatorDown)}, remove: []Gap{gap(20, 10, 1, OperatorDown)}, unmeasured: [Reasons]int64{Suspended: 6}},
	} {
		t.Run(name, func(t *testing.T) {
			l := Resume(Account{})
			l.Adopt(grid, at(999), false, OperatorDown)
			var count Count
			for _, s := range tc.samples {
				count.Add(s)
			}
			count.Add(sample.Sample{Status: sample.Missed}) // the app's own
			b := l.Close(grid, at(999), false, &count, tc.gaps, true)
			if diff := cmp.Diff(tc.put, b.Put) + cmp.Diff(tc.remove, b.Remove); diff != "" {
				t.Error(diff)
			}
			if b.Account.Unmeasured != tc.unmeasured || b.Account.Slots() != 6 || b.Account.Totals.Missed != 1 {
				t.Errorf("unmeasured %v of %d slots, %d missed", b.Account.Unmeasured, b.Account.Slots(), b.Account.Totals.Missed)
			}
		})
	}
}

func TestCloseEndsWhereTheJobDid(t *testing.T) {
	for name, tc := range map[string]struct {
		over        int
		adopted     int
		shortened   bool
		since       time.Time
		gaps        []Gap
		kept        bool
		put, remove []Gap
		unmeasured  int64
	}{
		"unknown slots after it":           {over: 25, adopted: 999, kept: true, put: []Gap{gap(10, 10, 2, OperatorDown)}, unmeasured: 2},
		"a gap across it":                  {over: 25, gaps: []Gap{gap(10, 10, 5, OperatorDown)}, kept: true, put: []Gap{gap(10, 10, 2, OperatorDown)}, unmeasured: 2},
		"a gap after it":                   {over: 15, gaps: []Gap{gap(10, 10, 1, Busy), gap(20, 10, 4, OperatorDown)}, kept: true, remove: []Gap{gap(20, 10, 4, OperatorDown)}, unmeasured: 1},
		"unknown slots, shortened":         {over: 25, adopted: 45, shortened: true, kept: true, put: []Gap{gap(10, 10, 3, OperatorDown)}, unmeasured: 3},
		"shortened after a gap":            {over: 15, shortened: true, gaps: []Gap{gap(10, 10, 3, Suspended)}, kept: true, unmeasured: 3},
		"slots that nothing is known of":   {over: 999, kept: true, put: []Gap{gap(10, 10, 5, OperatorDown)}, unmeasured: 5},
		"slots that do not count":          {over: 999, since: at(35), kept: true, put: []Gap{gap(40, 10, 2, OperatorDown)}, unmeasured: 2},
		"a database that keeps no gaps":    {over: 25, adopted: 999, unmeasured: 2},
		"one that does not, nothing asked": {over: 999},
	} {
		t.Run(name, func(t *testing.T) {
			l := Resume(Account{Sums: Sums{Until: at(0)}, Start: start, Cadence: 10 * time.Second, Since: tc.since})
			if tc.adopted > 0 {
				l.Adopt(grid, at(tc.adopted), false, OperatorDown)
			}
			var count Count
			count.Add(stored(0))
			b := l.Close(grid, at(tc.over), !tc.shortened, &count, tc.gaps, tc.kept)
			if diff := cmp.Diff(tc.put, b.Put) + cmp.Diff(tc.remove, b.Remove); diff != "" {
				t.Error(diff)
			}
			if n := b.Account.UnmeasuredTotal(); n != tc.unmeasured {
				t.Errorf("%d slots are unmeasured, want %d", n, tc.unmeasured)
			}
		})
	}
}

// A job that is started anew long after its status was lost, and whose database takes until the next slot to answer.
func TestWhatIsUnknownTwiceIsCountedOnce(t *testing.T) {
	var samples []sample.Sample
	for i := range 100 {
		samples = append(samples, sample.Sample{Status: sample.Missed, ScheduledAt: at(i)})
	}
	g := schedule.Grid{Start: start.Add(48 * time.Hour), Cadence: time.Second, Duration: time.Hour}
	l := Resume(Account{})
	l.Adopt(g, g.Start.Add(300*time.Millisecond), false, OperatorDown)
	l.Skip(g, 0, OperatorDown)
	l.Resolve(g, samples, nil)
	if a := l.Account(); a.Totals.Samples() != 100 || a.Unmeasured[OperatorDown] != 1 {
		t.Errorf("%d samples and %v, and there are 100 and one slot without", a.Totals.Samples(), a.Unmeasured)
	}
}

func TestWhatTheDatabaseWillNotTellHoldsNothingUp(t *testing.T) {
	l := Resume(Account{Sums: Sums{Until: at(0), Totals: Totals{Success: 1}}})
	l.Adopt(grid, at(25), false, OperatorDown)
	l.Forgo()
	poll(&l, 2, success(10))
	l.Delivered(0)
	if a := l.Stored(); a.Totals.Success != 2 || a.UnmeasuredTotal() != 0 || !a.Until.Equal(at(20)) {
		t.Errorf("stored are %+v", a)
	}
}

// Whatever the database holds, closing leaves each slot with one outcome, and closing again changes nothing.
func TestCloseIsDoneOnce(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		g := schedule.Grid{Start: start, Cadence: time.Second, Duration: time.Minute}
		var count Count
		for slot := range g.Slots() {
			if rnd.IntN(2) == 0 {
				count.Add(stored(int(slot)))
			}
		}
		var gaps []Gap
		for from := rnd.IntN(10); from < 60; from += rnd.IntN(9) + 1 {
			gaps = append(gaps, gap(from, 1, min(int64(rnd.IntN(8)+1), 60-int64(from)), Reason(rnd.IntN(int(Reasons)))))
		}
		var l Ledger
		l.Adopt(g, g.End(), false, OperatorDown)
		b := l.Close(g, g.End(), false, &count, gaps, true)
		if b.Account.Slots() != g.Slots() {
			t.Fatalf("seed %d: %d outcomes of %d slots", seed, b.Account.Slots(), g.Slots())
		}
		rows := map[time.Time]Gap{}
		for _, row := range gaps {
			rows[row.From] = row
		}
		for _, row := range b.Put {
			rows[row.From] = row
		}
		for _, row := range b.Remove {
			delete(rows, row.From)
		}
		var again []Gap
		for slot := range g.Slots() {
			if row, ok := rows[g.Due(slot)]; ok {
				again = append(again, row)
			}
		}
		slices.SortFunc(b.Gaps, func(x, y Gap) int { return x.From.Compare(y.From) })
		if diff := cmp.Diff(again, b.Gaps); diff != "" {
			t.Fatalf("seed %d: the gaps that there are then: %s", seed, diff)
		}
		if next := l.Close(g, g.End(), false, &count, again, true); len(next.Put)+len(next.Remove) > 0 {
			t.Fatalf("seed %d: closing again puts %v and removes %v", seed, next.Put, next.Remove)
		}
	}
}
