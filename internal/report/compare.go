package report

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Change is what became of something between two jobs.
type Change string

const (
	// Better means that it is better after than before, by more than chance explains.
	Better Change = "Better"
	// Worse is the opposite.
	Worse Change = "Worse"
	// Same means that no difference shows that is large enough to count.
	Same Change = "Same"
	// Mixed means that one thing became better and another worse.
	Mixed Change = "Mixed"
	// Unknown means that one of the two cannot be judged.
	Unknown Change = "Unknown"
)

const (
	// surely is how many standard errors apart two losses have to be to count as different: chance alone puts one pair in a hundred
	// so far apart.
	surely = 2.576
	// lossStep is the least difference of loss that counts, however sure it is: 0.1 % is four lost packets an hour at 10 s.
	lossStep = 0.001
	// rttStep and rttShare are the least differences of a round-trip time that count, in milliseconds and as a share of the one
	// before: less than both is what a path does by itself from one day to the next.
	rttStep, rttShare = 1.0, 0.10
	// tailSamples is how many round-trip times a 95th percentile needs to be compared: five lie beyond it.
	tailSamples = 100
)

// Comparison sets a job beside an earlier one.
type Comparison struct {
	Before, After *Report
	// Loss, RTT and Jitter tell what became of each; RTT is about the median and the 95th percentile.
	Loss, RTT, Jitter Change
}

// Compare compares two reports.
func Compare(before, after *Report) *Comparison {
	c := &Comparison{Before: before, After: after, Loss: Unknown, RTT: Unknown, Jitter: Unknown}
	if c.TooLittle() != "" {
		return c
	}
	c.Loss = compareLoss(before, after)
	if before.Success >= enoughSamples && after.Success >= enoughSamples && before.RTT != nil && after.RTT != nil {
		c.RTT = compareRTT(before.RTT, after.RTT)
	}
	if b, a := before.Jitter, after.Jitter; b != nil && a != nil && min(b.Count, a.Count) >= enoughSamples {
		c.Jitter = compareTimes(b.Avg, a.Avg)
	}
	return c
}

// compareLoss is a test of two proportions.
func compareLoss(before, after *Report) Change {
	n1, n2 := float64(before.Success+before.Missed), float64(after.Success+after.Missed)
	p1, p2 := float64(before.Missed)/n1, float64(after.Missed)/n2
	pooled := float64(before.Missed+after.Missed) / (n1 + n2)
	deviation := math.Sqrt(pooled * (1 - pooled) * (1/n1 + 1/n2))
	switch {
	case math.Abs(p1-p2) < max(lossStep, surely*deviation):
		return Same
	case p2 < p1:
		return Better
	default:
		return Worse
	}
}

func compareRTT(before, after *Spread) Change {
	change := compareTimes(before.P50, after.P50)
	if min(before.Count, after.Count) >= tailSamples {
		change = both(change, compareTimes(before.P95, after.P95))
	}
	return change
}

func compareTimes(before, after float64) Change {
	switch {
	case math.Abs(after-before) < max(rttStep, rttShare*before):
		return Same
	case after < before:
		return Better
	default:
		return Worse
	}
}

// both is what two changes are together.
func both(a, b Change) Change {
	switch {
	case a == b, b == Same, b == Unknown:
		return a
	case a == Same, a == Unknown:
		return b
	default:
		return Mixed
	}
}

// TooLittle says in a sentence what keeps the two from being compared; empty where nothing does.
func (c *Comparison) TooLittle() string {
	for _, of := range []struct {
		name   string
		report *Report
	}{{"before", c.Before}, {"after", c.After}} {
		switch r := of.report; r.Verdict() {
		case NothingMeasured, TooLittleData:
			return fmt.Sprintf("The two cannot be compared: the job %s has %s that say something about the device, and at least %d are needed.",
				of.name, Counted(r.Success+r.Missed, "sample"), enoughSamples)
		case MeasuringFailed:
			return fmt.Sprintf("The two cannot be compared: in the job %s measuring failed in %s.", of.name, Of(r.SystemError, r.Samples(), "polls"))
		}
	}
	return ""
}

// Overall is what became of the path as a whole: of its loss and its round-trip times, where jitter has no vote, because it follows
// from the latter.
func (c *Comparison) Overall() Change { return both(c.Loss, c.RTT) }

// Says puts the comparison into sentences.
func (c *Comparison) Says() string {
	if why := c.TooLittle(); why != "" {
		return why
	}
	return c.opening() + " " + c.aboutLoss() + " " + c.aboutRTT()
}

func (c *Comparison) opening() string {
	switch c.Overall() {
	case Better:
		return "It got better."
	case Worse:
		return "It got worse."
	case Mixed:
		return "Some of it got better and some worse."
	default:
		return "Nothing shows that it got better or worse."
	}
}

func (c *Comparison) aboutLoss() string {
	b, a := c.Before, c.After
	from, to := Percent(b.Missed, b.Success+b.Missed), Percent(a.Missed, a.Success+a.Missed)
	figures := fmt.Sprintf("%s (%d of %d polls) to %s (%d of %d)", from, b.Missed, b.Success+b.Missed, to, a.Missed, a.Success+a.Missed)
	switch {
	case c.Loss == Better:
		return "Loss fell from " + figures + "."
	case c.Loss == Worse:
		return "Loss rose from " + figures + "."
	case b.Missed == 0 && a.Missed == 0:
		return "No poll was missed before or after."
	default:
		return "Loss went from " + figures + ", which chance alone may do."
	}
}

func (c *Comparison) aboutRTT() string {
	if c.RTT == Unknown {
		return "Too few round-trip times were measured to compare them."
	}
	b, a := c.Before.RTT, c.After.RTT
	figures := fmt.Sprintf("the median went from %s to %s, the 95th percentile from %s to %s", Millis(b.P50), Millis(a.P50), Millis(b.P95), Millis(a.P95))
	switch c.RTT {
	case Better:
		return "Round-trip times fell: " + figures + "."
	case Worse:
		return "Round-trip times rose: " + figures + "."
	case Mixed:
		return "Of the round-trip times, " + figures + "."
	default:
		return "Round-trip times are about the same: " + figures + "."
	}
}

// Cautions lists, in sentences, what speaks against taking the comparison at its word.
func (c *Comparison) Cautions() (out []string) {
	b, a := c.Before, c.After
	if b.Job.ID == a.Job.ID {
		out = append(out, "Both are the same job.")
	}
	if b.Job.Target != a.Job.Target {
		out = append(out, fmt.Sprintf("The targets differ: %s before, %s after.", orNone(b.Job.Target), orNone(a.Job.Target)))
	}
	if a.Job.StartedAt.Before(b.Job.StartedAt) {
		out = append(out, "The job given as after began before the other: give the earlier job first.")
	}
	if b.Job.Cadence != a.Job.Cadence {
		out = append(out, fmt.Sprintf("The cadences differ (%s and %s), so that a short outage shows in one rather than in the other.", Duration(b.Job.Cadence), Duration(a.Job.Cadence)))
	}
	if short, long := ordered(measuredFor(b), measuredFor(a)); long > 0 && short < long/4 {
		out = append(out, fmt.Sprintf("One was measured for %s and the other for %s: what happens once a day may lie in the longer one alone.", Duration(short), Duration(long)))
	}
	for _, of := range []struct {
		name   string
		report *Report
	}{{"before", b}, {"after", a}} {
		r := of.report
		if failed, _ := r.Errors(); failed >= notableShare {
			out = append(out, fmt.Sprintf("In the job %s measuring failed in %s.", of.name, Of(r.SystemError, r.Samples(), "polls")))
		}
		if missing := r.UnmeasuredSlots(); missing > 0 && float64(missing) >= notableShare*float64(r.Slots()) {
			out = append(out, fmt.Sprintf("In the job %s nobody measured in %s.", of.name, Of(missing, r.Slots(), "slots")))
		}
	}
	return out
}

func measuredFor(r *Report) time.Duration {
	if r.Samples() == 0 {
		return 0
	}
	return r.Last.Sub(r.First) + r.Job.Cadence
}

func ordered(a, b time.Duration) (short, long time.Duration) { return min(a, b), max(a, b) }

func orNone(target string) string {
	if strings.TrimSpace(target) == "" {
		return "none"
	}
	return target
}

// Millis writes a time in milliseconds for people, with three digits or so: 0.42 ms, 12.3 ms, 1234 ms.
func Millis(ms float64) string {
	digits := 0
	switch {
	case ms < 1:
		digits = 2
	case ms < 100:
		digits = 1
	}
	return fmt.Sprintf("%.*f ms", digits, ms)
}
