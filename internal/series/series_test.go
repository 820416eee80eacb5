package series_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/series"
)

var start = time.Date(2026, time.November, 24, 8, 0, 0, 0, time.UTC)

const cadence = 10 * time.Second

func due(slot int) time.Time { return start.Add(time.Duration(slot) * cadence) }

func TestAShortJobHasAColumnForEachSlot(t *testing.T) {
	s := series.New(start, cadence, 8)
	s.Sample(due(0), sample.Success, new(20.0))
	s.Sample(due(1).Add(4*time.Second), sample.Missed, nil) // off the grid
	s.Gap(due(2), due(3), 2, "Busy")
	s.Sample(due(5), sample.SystemError, nil)
	want := []series.Column{
		{From: due(0), To: due(1), Success: 1, RTTs: 1, Sum: 20, Min: 20, Max: 20},
		{From: due(1), To: due(2), Missed: 1},
		{From: due(2), To: due(3), Unmeasured: 1, Reason: "Busy"},
		{From: due(3), To: due(4), Unmeasured: 1, Reason: "Busy"},
		{From: due(4), To: due(5)},
		{From: due(5), To: due(6), SystemError: 1},
	}
	if diff := cmp.Diff(want, s.Columns()); diff != "" {
		t.Error(diff)
	}
}

// Whatever the order and the number, the columns hold all of it: each count, and the largest round-trip time.
func TestNothingIsLostInColumns(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		most, slots := 2*(1+random.IntN(20)), 1+random.IntN(2000)
		s := series.New(start, cadence, most)
		var want series.Column
		for _, slot := range random.Perm(slots) {
			switch rtt := random.ExpFloat64(); random.IntN(4) {
			case 0:
				s.Sample(due(slot), sample.Success, &rtt)
				if want.RTTs == 0 {
					want.Min, want.Max = rtt, rtt
				}
				want.Success, want.RTTs, want.Min, want.Max = want.Success+1, want.RTTs+1, min(want.Min, rtt), max(want.Max, rtt)
			case 1:
				s.Sample(due(slot), sample.Missed, nil)
				want.Missed++
			case 2:
				s.Sample(due(slot), "x", nil)
				want.SystemError++
			default:
				n := int64(1 + random.IntN(50))
				s.Gap(due(slot), due(slot).Add(time.Duration(n-1)*cadence), n, "Busy")
				want.Unmeasured += n
			}
		}
		columns := s.Columns()
		if len(columns) > most {
			t.Fatalf("%d columns, where %d were allowed", len(columns), most)
		}
		var got series.Column
		for i := range columns {
			c := &columns[i]
			if i > 0 && !c.From.Equal(columns[i-1].To) || c.Slots() > 0 && c.To.Sub(c.From) != s.Width() {
				t.Fatalf("%+v", c)
			}
			got.Success, got.Missed, got.SystemError, got.Unmeasured = got.Success+c.Success, got.Missed+c.Missed, got.SystemError+c.SystemError, got.Unmeasured+c.Unmeasured
			if c.RTTs == 0 {
				continue
			}
			if got.RTTs == 0 {
				got.Min, got.Max = c.Min, c.Max
			}
			got.RTTs, got.Min, got.Max = got.RTTs+c.RTTs, min(got.Min, c.Min), max(got.Max, c.Max)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestSpikesAreInTheirColumn(t *testing.T) {
	s := series.New(start, cadence, 720)
	for slot := range 43_200 { // five days
		rtt := 20.0
		if slot == 30_000 {
			rtt = 900
		}
		s.Sample(due(slot), sample.Success, &rtt)
	}
	columns := s.Columns()
	if s.Slots() != 64 || len(columns) != 675 {
		t.Fatalf("%d columns of %d slots", len(columns), s.Slots())
	}
	for _, c := range columns {
		spike := !c.From.After(due(30_000)) && due(30_000).Before(c.To)
		if avg, _ := c.Avg(); spike != (c.Max == 900) || c.Min != 20 || spike != (avg > 20) {
			t.Errorf("%+v", c)
		}
	}
}
