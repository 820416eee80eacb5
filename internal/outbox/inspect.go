package outbox

import (
	"time"

	"github.com/soundcheck-io/latency-operator/internal/spool"
)

// Waiting is what lies in the folder of an outbox.
type Waiting struct {
	// Samples and Gaps are those that the database has not acknowledged, and Unreadable the records that are neither.
	Samples, Gaps, Unreadable int
	// Oldest is when the oldest of them was measured, or ended; zero without one.
	Oldest time.Time
	// Bytes is how much disk they take, and what was set aside.
	Bytes int64
	// Quarantined names the files that were set aside because they were damaged.
	Quarantined []string
}

// Inspect looks into the folder of an outbox that another process may be using, and changes nothing.
func Inspect(dir string) (Waiting, error) {
	var w Waiting
	found, err := spool.Inspect(dir, func(b []byte) {
		r, err := decode(b, func(jobKey) string { return "" })
		switch {
		case err != nil:
			w.Unreadable++
			return
		case r.gap != nil:
			w.Gaps++
		default:
			w.Samples++
		}
		if at := r.at(); w.Oldest.IsZero() || at.Before(w.Oldest) {
			w.Oldest = at
		}
	})
	w.Bytes, w.Quarantined = found.Bytes, found.Quarantined
	return w, err
}
