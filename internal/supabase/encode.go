package supabase

import (
	"encoding/json"
	"math"
	"strconv"
	"time"
)

// rowBytes is what a sample takes in JSON, or a little more, so that the body of a request is allocated once.
const rowBytes = 256

// encode writes samples as JSON, all with the same columns: those that the database has. By hand, because it is done for each
// sample there is: encoding/json takes two and a half times as long with a struct for a row, and with a map five times.
func encode(samples []Row, schema *Schema) []byte {
	scheduled, numbered := schema.samples["scheduled_at"], schema.samples["sequence_number"]
	jitter, recorded := schema.samples["jitter_ms"], schema.samples["recorded_at"]
	b := make([]byte, 0, 2+rowBytes*len(samples))
	b = append(b, '[')
	for i := range samples {
		s := &samples[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(append(b, `{"job_id":`...), s.JobID)
		b = appendText(append(b, `,"status":`...), string(s.Status))
		b = appendNumber(append(b, `,"rtt_ms":`...), s.RTT)
		if scheduled {
			b = appendInstant(append(b, `,"scheduled_at":`...), s.ScheduledAt)
		}
		if numbered {
			b = strconv.AppendInt(append(b, `,"sequence_number":`...), s.Sequence, 10)
		}
		if jitter {
			b = appendNumber(append(b, `,"jitter_ms":`...), s.Jitter)
		}
		if recorded {
			b = appendInstant(append(b, `,"recorded_at":`...), s.RecordedAt)
		}
		b = append(b, '}')
	}
	return append(b, ']')
}

// appendText writes ids and words, which need no escape; anything else is left to encoding/json.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(s) // a string always can be
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// appendNumber writes null for nil, and for what JSON has no number for.
func appendNumber(b []byte, v *float64) []byte {
	if v == nil || math.IsNaN(*v) || math.IsInf(*v, 0) {
		return append(b, "null"...)
	}
	return strconv.AppendFloat(b, *v, 'f', -1, 64)
}

// appendInstant writes an instant as the database keeps it. It is timestamp without zeros at the end, in the one layout that
// package time is quick at.
func appendInstant(b []byte, t time.Time) []byte {
	b = t.UTC().Truncate(time.Microsecond).AppendFormat(append(b, '"'), time.RFC3339Nano)
	return append(b, '"')
}
