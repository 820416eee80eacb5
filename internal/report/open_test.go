package report_test

import (
	"strings"
	"testing"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/report"
)

func TestSlotsWithoutAnOutcomeAreOpen(t *testing.T) {
	const cadence = 10 * time.Second
	for name, c := range map[string]struct {
		outcomes string
		gaps     []report.Gap
		ended    time.Time
		asOf     time.Time
		want     int64
	}{
		"before the start":            {"", nil, time.Time{}, start.Add(-time.Hour), 0},
		"a poll may take a while":     {"sss", nil, time.Time{}, due(5).Add(cadence - 1), 0},
		"and then it is missed":       {"sss", nil, time.Time{}, due(6), 1},
		"a hole":                      {"sss---sss", nil, time.Time{}, due(8), 0},
		"a hole after a while":        {"sss---sss", nil, time.Time{}, due(11), 3},
		"a hole with a reason":        {"sss---sss", []report.Gap{gap(3, 3, "OperatorDown")}, time.Time{}, due(11), 0},
		"up to the end":               {strings.Repeat("s", 360), nil, time.Time{}, due(100_000), 0},
		"one is lacking at the end":   {strings.Repeat("s", 359), nil, time.Time{}, due(100_000), 1},
		"cancelled":                   {"sss", nil, due(2).Add(1), due(1000), 0},
		"cancelled, one is lacking":   {"sss", nil, due(3), due(1000), 1},
		"what was measured elsewhere": {strings.Repeat("s", 400), nil, time.Time{}, due(100_000), 0},
	} {
		r := of(c.outcomes, c.gaps...)
		r.Job.EndedAt = c.ended
		if got := r.Open(c.asOf); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
