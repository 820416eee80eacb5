package controllers

import (
	"testing"
	"time"

	"github.com/google/uuid"
)

func TestRampSpreadsEvenlyAndLeavesTimeToPoll(t *testing.T) {
	for name, tc := range map[string]struct{ left, most time.Duration }{
		"a long slot":     {left: time.Hour, most: rampTime},
		"most of a slot":  {left: 10 * time.Second, most: rampTime},
		"little is left":  {left: time.Second, most: 800 * time.Millisecond},
		"nothing is left": {left: 0, most: 1},
	} {
		t.Run(name, func(t *testing.T) {
			const jobs, parts = 10_000, 10
			var counts [parts]int
			for range jobs {
				id := uuid.NewString()
				wait := ramp(id, tc.left)
				if wait < 0 || wait >= max(tc.most, 1) {
					t.Fatalf("job %s waits %s of %s", id, wait, tc.left)
				}
				if again := ramp(id, tc.left); again != wait {
					t.Fatalf("job %s waits %s once and %s then", id, wait, again)
				}
				counts[wait*parts/max(tc.most, 1)]++
			}
			for part, n := range counts {
				if tc.left > 0 && (n < jobs/parts*8/10 || n > jobs/parts*12/10) {
					t.Errorf("%d of %d jobs come in part %d of %d", n, jobs, part, parts)
				}
			}
		})
	}
}
