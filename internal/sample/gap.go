package sample

import "time"

// Gap is a stretch of neighbouring slots of one job that have no sample, all for the same reason. (JobID, From)
// identifies it: one that is written again in a longer form takes the place of the shorter.
type Gap struct {
	// JobID is the id of the row in jobs, a UUID in lower case.
	JobID string
	// From and To are when the first and the last of the slots were due, UTC, in whole microseconds.
	From, To time.Time
	// Slots is how many there are, at least one. They lie at equal distances from From to To.
	Slots int64
	// Reason is why, as ledger.Reason writes it.
	Reason string
}
