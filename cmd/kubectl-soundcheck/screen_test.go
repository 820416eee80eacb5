package main

import (
	"testing"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/outcomes"
	"github.com/soundcheck-io/latency-operator/internal/sample"
)

// seen is a look at the slots of a window of a job with a 10 s cadence, just after the last of them: s was answered, m missed, e
// failed, and - was not polled, which a gap says; of ? nothing is known.
func seen(slots string, before time.Duration) *view {
	from := time.Date(2026, time.November, 24, 23, 50, 0, 0, time.UTC)
	due := func(slot int) time.Time { return from.Add(time.Duration(slot) * 10 * time.Second) }
	v := &view{
		job: outcomes.Job{CadenceSeconds: 10, DurationMinutes: 600, StartedAt: from.Add(-before), Status: "running"},
		now: due(len(slots)), from: from,
	}
	for i, slot := range slots {
		switch slot {
		case '-':
			v.gaps = append(v.gaps, outcomes.Gap{FromAt: due(i), ToAt: due(i), Slots: 1, Reason: "Suspended"})
		case '?':
		default:
			status := map[rune]sample.Status{'s': sample.Success, 'm': sample.Missed, 'e': sample.SystemError}[slot]
			v.samples = append(v.samples, outcomes.Sample{ScheduledAt: due(i), Status: status})
		}
	}
	return v
}

func TestWatchSaysOfTheDeviceWhatAReportWould(t *testing.T) {
	for name, c := range map[string]struct {
		slots  string
		before time.Duration
		want   string
	}{
		"answering":                         {"smms", time.Hour, "The newest poll, of 23:50:30 UTC: success"},
		"two misses":                        {"smm", time.Hour, "The newest poll, of 23:50:20 UTC: missed"},
		"three":                             {"smmm", time.Hour, "The device has been silent since 23:50:10 UTC: 3 polls in a row."},
		"failed polls between and since":    {"smemme", time.Hour, "The device has been silent since 23:50:10 UTC: 3 polls in a row."},
		"misses on both sides of a gap":     {"smm--mm", time.Hour, "The newest poll, of 23:51:00 UTC: missed"},
		"an outage behind a gap":            {"smm--mmm", time.Hour, "The device has been silent since 23:50:50 UTC: 3 polls in a row."},
		"a gap since":                       {"smmm-", time.Hour, "The newest poll, of 23:50:30 UTC: missed"},
		"all of the window":                 {"mmmm", time.Hour, "The device has been silent since 23:50:00 UTC or longer: at least 4 polls in a row."},
		"all of it that could be measured":  {"eemmmm", time.Hour, "The device has been silent since 23:50:20 UTC or longer: at least 4 polls in a row."},
		"all of it that was polled":         {"-mmmm", time.Hour, "The device has been silent since 23:50:10 UTC: 4 polls in a row."},
		"all of the job":                    {"mmmm", 0, "The device has been silent since 23:50:00 UTC: 4 polls in a row."},
		"yesterday":                         {"smmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm", time.Hour, "The device has been silent since 2026-11-24 23:50:10 UTC: 61 polls in a row."},
		"nothing":                           {"", 0, "No sample has come yet."},
		"nothing for a while":               {"s??????", time.Hour, "No sample has come for 1m10s: nobody measures, or samples are on their way."},
		"suspended for a while":             {"s------", time.Hour, "No sample has come for 1m10s: 6 slots passed without a poll, because the job was suspended."},
		"silent, and then nothing for long": {"smmm??????", time.Hour, "No sample has come for 1m10s: nobody measures, or samples are on their way."},
	} {
		v := seen(c.slots, c.before)
		r, _ := v.figures(100)
		if got := v.state(r); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}
