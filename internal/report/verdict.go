package report

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Verdict is a report in one word.
type Verdict string

const (
	// NothingMeasured means that there is no sample.
	NothingMeasured Verdict = "NothingMeasured"
	// TooLittleData means that there are samples, and too few to judge by.
	TooLittleData Verdict = "TooLittleData"
	// MeasuringFailed means that so many polls could not be made that the rest proves little.
	MeasuringFailed Verdict = "MeasuringFailed"
	// DeviceSilent means that the device answered no poll.
	DeviceSilent Verdict = "DeviceSilent"
	// DeviceDropped means that the device was away for a while.
	DeviceDropped Verdict = "DeviceDropped"
	// Lossy means that the device answers, with loss.
	Lossy Verdict = "Lossy"
	// Healthy means that the device answers.
	Healthy Verdict = "Healthy"
)

const (
	// enoughSamples is how many samples that say something about the device a judgement needs: with fewer, one lost packet is
	// more than 5 % of them.
	enoughSamples = 20
	// failedShare is the share of samples that could not be measured from which on the others are not judged: most of the
	// time nobody knows.
	failedShare = 0.5
	// lossyShare is the loss from which on Sound Check shows it in red.
	lossyShare = 0.02
	// notableShare is the share of polls that failed, or of slots without a poll, from which on it is mentioned.
	notableShare = 0.01
)

// Verdict judges the report.
func (r *Report) Verdict() Verdict {
	loss, asked := r.Loss()
	failed, _ := r.Errors()
	switch {
	case r.Samples() == 0:
		return NothingMeasured
	case failed >= failedShare:
		return MeasuringFailed
	case !asked || r.Success+r.Missed < enoughSamples:
		return TooLittleData
	case r.Success == 0:
		return DeviceSilent
	case r.Outages > 0:
		return DeviceDropped
	case loss > lossyShare:
		return Lossy
	default:
		return Healthy
	}
}

// Path says what the figures are about.
const Path = "This is the path from the poller to the modem's management address, not the customer's own traffic."

// Says puts the verdict into sentences: what the device did, then what could not be measured, then what was not.
func (r *Report) Says() string {
	parts := []string{r.aboutDevice()}
	failed, _ := r.Errors()
	if failed >= notableShare && r.Verdict() != MeasuringFailed {
		parts = append(parts, fmt.Sprintf("Measuring failed in %s; that says nothing about the device.", Of(r.SystemError, r.Samples(), "polls")))
	}
	if missing := r.UnmeasuredSlots(); missing > 0 && r.Samples() > 0 && float64(missing) >= notableShare*float64(r.Slots()) {
		parts = append(parts, fmt.Sprintf("Nobody measured in %s, %s.", Of(missing, r.Slots(), "slots"), r.mainReason()))
	}
	return strings.Join(parts, " ")
}

func (r *Report) aboutDevice() string {
	judged := r.Success + r.Missed
	switch r.Verdict() {
	case NothingMeasured:
		if missing := r.UnmeasuredSlots(); missing > 0 {
			return fmt.Sprintf("Nothing was measured: %s passed without a poll, %s.", Counted(missing, "slot"), r.mainReason())
		}
		if !r.Job.EndedAt.IsZero() {
			return "Nothing was measured."
		}
		return "Nothing has been measured yet."
	case MeasuringFailed:
		return fmt.Sprintf("Measuring failed in %s: nothing can be said about the device. Look at SpreeDB first.", Of(r.SystemError, r.Samples(), "polls"))
	case TooLittleData:
		return fmt.Sprintf("Too little was measured for a judgement: the device answered %s.", Of(r.Success, judged, "polls"))
	case DeviceSilent:
		return fmt.Sprintf("The device answered none of %s.", Counted(judged, "poll"))
	case DeviceDropped:
		longest := ", the longest time"
		if r.Outages == 1 {
			longest = ","
		}
		return fmt.Sprintf("The device was silent %s%s for %s from %s on. It missed %s.",
			times(r.Outages), longest, Duration(r.Outage.Lasted), r.Outage.From.UTC().Format("2006-01-02 15:04:05 UTC"), Of(r.Missed, judged, "polls"))
	case Lossy:
		return fmt.Sprintf("The device answers, and loses packets: it missed %s, never %d in a row.", Of(r.Missed, judged, "polls"), OutageAfter)
	default:
		if r.Missed == 0 {
			return fmt.Sprintf("The device answered all of %s.", Counted(judged, "poll"))
		}
		return fmt.Sprintf("The device is well: it missed only %s, never %d in a row.", Of(r.Missed, judged, "polls"), OutageAfter)
	}
}

// mainReason names why most of the slots have no sample. There is one at least.
func (r *Report) mainReason() string {
	reasons := r.Reasons()
	words := Reason(reasons[0].Name)
	if reasons[0].Slots < r.UnmeasuredSlots() {
		return "mostly because " + words
	}
	return "because " + words
}

// Reason says in words why a slot has no sample. A name that this version does not know is given as it is.
func Reason(name string) string {
	switch name {
	case "OperatorDown":
		return "no operator was polling"
	case "Busy":
		return "the poll before was still running"
	case "Overload":
		return "it did not fit into the limits that protect SpreeDB"
	case "Suspended":
		return "the job was suspended"
	case "NoTarget":
		return "there was no usable target address"
	case "Lost":
		return "it was measured, and the sample was lost"
	default:
		return name
	}
}

// Of writes a share with what it is of: 12 of 3600 polls (0.33%).
func Of(part, whole int64, what string) string {
	return fmt.Sprintf("%d of %d %s (%s)", part, whole, what, Percent(part, whole))
}

// Percent writes a share, rounded halves up to hundredths of a percent, as the LatencyJob's status does. A dash where whole is 0.
func Percent(part, whole int64) string {
	if whole == 0 {
		return "–"
	}
	hundredths := (2*10_000*part + whole) / (2 * whole)
	return fmt.Sprintf("%d.%02d%%", hundredths/100, hundredths%100)
}

// Duration writes a time for people, in whole seconds: 2h5m, 40s.
func Duration(d time.Duration) string {
	seconds := int64(d.Round(time.Second) / time.Second)
	var text strings.Builder
	for _, unit := range []struct {
		seconds int64
		name    string
	}{{86400, "d"}, {3600, "h"}, {60, "m"}, {1, "s"}} {
		if n := seconds / unit.seconds; n > 0 {
			fmt.Fprint(&text, n, unit.name)
			seconds -= n * unit.seconds
		}
	}
	if text.Len() == 0 {
		return "0s"
	}
	return text.String()
}

// Counted writes a number of things: 1 slot, 2 slots.
func Counted(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.FormatInt(n, 10) + " " + what + "s"
}

func times(n int64) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	default:
		return strconv.FormatInt(n, 10) + " times"
	}
}
