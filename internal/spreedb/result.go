package spreedb

import "github.com/soundcheck-io/latency-operator/internal/sample"

// Result is what one poll found. It never is an error: what went wrong is in it.
type Result struct {
	// Status is the outcome; empty only if Aborted.
	Status sample.Status
	// RTT is the round-trip time in milliseconds as SpreeDB measured it, finite and positive; nil unless Status is
	// Success.
	RTT *float64
	// Message is what SpreeDB or the network said; empty for a success. It is printable UTF-8, has at most 256 bytes,
	// and holds nothing of ours that would change while the same thing goes wrong.
	Message string
	// Poller is the name of the SpreeDB poller that measured, if the answer names one: printable UTF-8, at most 128
	// bytes.
	Poller string
	// Aborted means that the caller cancelled the poll, as opposed to its deadline passing: this is no sample, and
	// nothing else is set.
	Aborted bool
}
