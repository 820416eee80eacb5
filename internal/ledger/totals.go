package ledger

import (
	"math"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/sample"
)

// Totals sums up samples. Times are kept in whole nanoseconds, so that sums are exact whatever their order.
type Totals struct {
	Success, Missed, SystemError int64

	// RTTSum, RTTMin and RTTMax are over the successful samples; zero without one.
	RTTSum, RTTMin, RTTMax time.Duration
	// RTTCount is how many of these have a round-trip time: all, unless somebody else wrote some.
	RTTCount int64

	// JitterSum and JitterCount are over the samples that have a jitter.
	JitterSum   time.Duration
	JitterCount int64
}

// Samples counts all of them.
func (t *Totals) Samples() int64 { return t.Success + t.Missed + t.SystemError }

// Loss is missed / (success + missed); false when nothing could be measured.
func (t *Totals) Loss() (share float64, ok bool) {
	answered := t.Success + t.Missed
	if answered == 0 {
		return 0, false
	}
	return float64(t.Missed) / float64(answered), true
}

// RTTMean is the mean round-trip time; false without a successful sample.
func (t *Totals) RTTMean() (time.Duration, bool) {
	if t.RTTCount == 0 {
		return 0, false
	}
	return time.Duration(math.Round(float64(t.RTTSum) / float64(t.RTTCount))), true
}

func (t *Totals) add(s sample.Sample) {
	switch s.Status {
	case sample.Missed:
		t.Missed++
	case sample.SystemError:
		t.SystemError++
	case sample.Success:
		t.Success++
		if s.RTT != nil {
			t.addRTT(Duration(*s.RTT))
		}
		if s.Jitter != nil {
			t.JitterSum += Duration(*s.Jitter)
			t.JitterCount++
		}
	}
}

// remove is the inverse of add, but for the shortest and the longest time.
func (t *Totals) remove(s *sample.Sample) {
	switch s.Status {
	case sample.Missed:
		t.Missed--
	case sample.SystemError:
		t.SystemError--
	case sample.Success:
		t.Success--
		if s.RTT != nil {
			t.RTTCount--
			t.RTTSum -= Duration(*s.RTT)
		}
		if s.Jitter != nil {
			t.JitterCount--
			t.JitterSum -= Duration(*s.Jitter)
		}
	}
}

func (t *Totals) addRTT(rtt time.Duration) {
	t.RTTCount++
	t.RTTSum += rtt
	t.RTTMax = max(t.RTTMax, rtt)
	if t.RTTCount == 1 || rtt < t.RTTMin {
		t.RTTMin = rtt
	}
}

// longest is what a longer time counts as in sums: a day is no round-trip time, and so a year of samples cannot overflow.
const longest = 24 * time.Hour

// Duration turns milliseconds into a duration, to the nearest nanosecond and at most a day.
func Duration(milliseconds float64) time.Duration {
	return time.Duration(math.Round(min(milliseconds*float64(time.Millisecond), float64(longest))))
}

// Milliseconds is the inverse of Duration.
func Milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
