package outbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"

	"github.com/soundcheck-io/latency-operator/internal/sample"
)

// recordVersion begins each record, so that a later version can read what an earlier one left.
const recordVersion = 1

// What a record says in a byte.
const (
	hasRTT    = 1 << iota // a round-trip time follows
	hasJitter             // a jitter follows
)

// statuses by their number in a record. Numbers are never given anew.
var statuses = []sample.Status{sample.Success, sample.Missed, sample.SystemError}

// encode writes a sample into some fifty bytes:
//
//	version, job (16), status, flags, slot (varint), due (microseconds since 1970, varint), sent (after due, varint),
//	round-trip time (8), jitter (8)
func encode(s *sample.Sample) ([]byte, error) {
	id, err := uuid.Parse(s.JobID)
	if err != nil {
		return nil, fmt.Errorf("job %q: %w", s.JobID, err)
	}
	b := make([]byte, 0, 64)
	b = append(b, recordVersion)
	b = append(b, id[:]...)
	status := -1
	for n, known := range statuses {
		if s.Status == known {
			status = n
		}
	}
	if status < 0 {
		return nil, fmt.Errorf("status %q is unknown", s.Status)
	}
	var flags byte
	if s.RTT != nil {
		flags |= hasRTT
	}
	if s.Jitter != nil {
		flags |= hasJitter
	}
	b = append(b, byte(status), flags)
	b = binary.AppendVarint(b, s.Slot)
	b = binary.AppendVarint(b, s.ScheduledAt.UnixMicro())
	b = binary.AppendVarint(b, s.RecordedAt.UnixMicro()-s.ScheduledAt.UnixMicro())
	for _, f := range []*float64{s.RTT, s.Jitter} {
		if f != nil {
			b = binary.BigEndian.AppendUint64(b, math.Float64bits(*f))
		}
	}
	return b, nil
}

var errRecord = errors.New("the record is not a sample")

// decode is the inverse of encode.
func decode(b []byte) (sample.Sample, error) {
	var s sample.Sample
	if len(b) < 19 || b[0] != recordVersion || int(b[17]) >= len(statuses) {
		return s, errRecord
	}
	s.JobID = uuid.UUID(b[1:17]).String()
	s.Status = statuses[b[17]]
	flags := b[18]
	b = b[19:]
	var numbers [3]int64
	for i := range numbers {
		n, size := binary.Varint(b)
		if size <= 0 {
			return s, errRecord
		}
		numbers[i] = n
		b = b[size:]
	}
	s.Slot = numbers[0]
	s.ScheduledAt = time.UnixMicro(numbers[1]).UTC()
	s.RecordedAt = time.UnixMicro(numbers[1] + numbers[2]).UTC()
	for _, f := range []struct {
		flag byte
		to   **float64
	}{{hasRTT, &s.RTT}, {hasJitter, &s.Jitter}} {
		if flags&f.flag == 0 {
			continue
		}
		if len(b) < 8 {
			return s, errRecord
		}
		v := math.Float64frombits(binary.BigEndian.Uint64(b))
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return s, errRecord
		}
		*f.to = &v
		b = b[8:]
	}
	if len(b) != 0 {
		return s, errRecord
	}
	return s, nil
}
