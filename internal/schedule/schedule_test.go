package schedule

import (
	"testing"
	"time"
)

var start = time.Date(2026, 11, 23, 10, 0, 0, 123456000, time.UTC)

func TestGridCountsItsSlots(t *testing.T) {
	for name, tc := range map[string]struct {
		cadence, duration time.Duration
		want              int64
	}{
		"whole":               {10 * time.Second, time.Minute, 6},
		"rest is a slot":      {7 * time.Second, time.Minute, 9},
		"longer than its end": {time.Hour, time.Minute, 1},
		"no cadence":          {0, time.Minute, 0},
		"negative cadence":    {-time.Second, time.Minute, 0},
		"no duration":         {time.Second, 0, 0},
		"the longest job":     {time.Second, 525600 * time.Minute, 31536000},
	} {
		t.Run(name, func(t *testing.T) {
			if got := (Grid{start, tc.cadence, tc.duration}).Slots(); got != tc.want {
				t.Errorf("Slots() = %d, want %d", got, tc.want)
			}
		})
	}
}

func TestGridFindsTheSlotOfAnInstant(t *testing.T) {
	g := Grid{Start: start, Cadence: 10 * time.Second, Duration: time.Minute}
	for name, tc := range map[string]struct {
		offset    time.Duration
		at, after int64
	}{
		"before the start":    {-time.Nanosecond, -1, 0},
		"at the start":        {0, 0, 1},
		"within slot 0":       {9999 * time.Millisecond, 0, 1},
		"at slot 1":           {10 * time.Second, 1, 2},
		"just before slot 2":  {20*time.Second - 1, 1, 2},
		"within the last one": {55 * time.Second, 5, 6},
		"at the end":          {time.Minute, 5, 6},
		"long after the end":  {24 * time.Hour, 5, 6},
	} {
		t.Run(name, func(t *testing.T) {
			now := start.Add(tc.offset)
			if got := g.At(now); got != tc.at {
				t.Errorf("At = %d, want %d", got, tc.at)
			}
			if got := g.After(now); got != tc.after {
				t.Errorf("After = %d, want %d", got, tc.after)
			}
		})
	}
}

// The grid has no drift: the instant of a slot of a job of a year is exact.
func TestGridDoesNotDrift(t *testing.T) {
	g := Grid{Start: start, Cadence: 7 * time.Second, Duration: 525600 * time.Minute}
	for k := int64(0); k < g.Slots(); k += 9973 {
		due := g.Due(k)
		if g.At(due) != k || g.At(due.Add(-1)) != k-1 || g.After(due) != min(k+1, g.Slots()) || g.After(due.Add(-1)) != k {
			t.Fatalf("slot %d due %s: At %d, before it %d, After %d, before it %d", k, due, g.At(due), g.At(due.Add(-1)), g.After(due), g.After(due.Add(-1)))
		}
	}
	if last := g.Due(g.Slots() - 1); !last.Before(g.End()) || last.Add(g.Cadence).Before(g.End()) {
		t.Errorf("last slot %s does not lie just before the end %s", last, g.End())
	}
}

func TestGridWithoutSlots(t *testing.T) {
	var g Grid
	if g.Slots() != 0 || g.At(start) != -1 || g.After(start) != 0 {
		t.Errorf("zero grid: Slots %d, At %d, After %d", g.Slots(), g.At(start), g.After(start))
	}
}

func TestDeadlineLeavesRoomForEverySlot(t *testing.T) {
	for name, tc := range map[string]struct{ cadence, want time.Duration }{
		"equal":                 {10 * time.Second, 9 * time.Second},
		"a little longer":       {11 * time.Second, 9900 * time.Millisecond},
		"long":                  {time.Minute, 10 * time.Second},
		"shorter than a poll":   {time.Second, 10 * time.Second},
		"just shorter":          {9 * time.Second, 10 * time.Second},
		"not a cadence of ours": {0, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Deadline(tc.cadence, 10*time.Second); got != tc.want {
				t.Errorf("Deadline = %s, want %s", got, tc.want)
			}
		})
	}
}

func TestEqual(t *testing.T) {
	grid := Grid{Start: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC), Cadence: time.Second, Duration: time.Minute}
	elsewhere := grid
	elsewhere.Start = grid.Start.In(time.FixedZone("", 3600))
	if !grid.Equal(elsewhere) {
		t.Error("the time zone makes a difference")
	}
	for _, other := range []Grid{
		{Start: grid.Start.Add(1), Cadence: grid.Cadence, Duration: grid.Duration},
		{Start: grid.Start, Cadence: 2 * grid.Cadence, Duration: grid.Duration},
		{Start: grid.Start, Cadence: grid.Cadence, Duration: 2 * grid.Duration},
	} {
		if grid.Equal(other) {
			t.Errorf("%v makes no difference", other)
		}
	}
}
