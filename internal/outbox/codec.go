package outbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

// What a record is, in its first byte. Numbers are never given anew, so that a later version can read what an earlier one
// left.
const (
	unnumberedKind = 1 // a sample of the version that knew no numbers here; it is no longer written
	gapKind        = 2
	sampleKind     = 3
)

// What the record of a sample says in a byte.
const (
	hasRTT      = 1 << iota // a round-trip time follows
	hasJitter               // a jitter follows
	hasSequence             // a sequence number follows; not in a record of unnumberedKind
)

const headLength = 1 + 16 // kind and job

// statuses by their number in a record. Numbers are never given anew.
var statuses = []sample.Status{sample.Success, sample.Missed, sample.SystemError}

var errRecord = errors.New("the record is neither a sample nor a gap")

// record is what one record of the spool holds: a sample with its number, if it has one yet, or a gap.
type record struct {
	job jobKey
	row supabase.Row
	gap *sample.Gap
}

func (r *record) jobID() string {
	if r.gap != nil {
		return r.gap.JobID
	}
	return r.row.JobID
}

// at is when the sample was measured, or the gap came to its end.
func (r *record) at() time.Time {
	if r.gap != nil {
		return r.gap.To
	}
	return r.row.RecordedAt
}

// decode is the inverse of encodeSample and encodeGap. It has the id of a job by its key from name.
func decode(b []byte, name func(jobKey) string) (r record, err error) {
	if len(b) < headLength {
		return r, errRecord
	}
	r.job = jobKey(b[1:headLength])
	id := name(r.job)
	in := reader{b: b[headLength:]}
	switch b[0] {
	case gapKind:
		r.gap = in.gap(id)
	case unnumberedKind, sampleKind:
		r.row = in.sample(id, b[0] == unnumberedKind)
	default:
		in.bad = true
	}
	if in.bad || len(in.b) != 0 {
		return record{}, errRecord
	}
	return r, nil
}

// begin writes what all records begin with. They are added to b, like all that follows.
func begin(b []byte, kind byte, j *job) ([]byte, error) {
	if !j.proper {
		return nil, fmt.Errorf("job %q has an id that is no UUID", j.id)
	}
	return append(append(b, kind), j.key[:]...), nil
}

// encodeSample writes a sample of a job into some fifty bytes:
//
//	kind, job (16), status, flags, slot (varint), cadence (seconds, varint), due (microseconds since 1970, varint), sent (after due, varint),
//	sequence number (above the slot, varint), round-trip time (8), jitter (8)
func encodeSample(b []byte, j *job, s *supabase.Row) ([]byte, error) {
	b, err := begin(b, sampleKind, j)
	if err != nil {
		return nil, err
	}
	status := slices.Index(statuses, s.Status)
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
	if s.Sequence != unnumbered {
		flags |= hasSequence
	}
	b = append(b, byte(status), flags)
	b = binary.AppendVarint(b, s.Slot)
	b = binary.AppendVarint(b, int64(s.Cadence/time.Second))
	b = binary.AppendVarint(b, s.ScheduledAt.UnixMicro())
	b = binary.AppendVarint(b, s.RecordedAt.UnixMicro()-s.ScheduledAt.UnixMicro())
	if s.Sequence != unnumbered {
		b = binary.AppendVarint(b, s.Sequence-s.Slot)
	}
	for _, f := range []*float64{s.RTT, s.Jitter} {
		if f != nil {
			b = binary.BigEndian.AppendUint64(b, math.Float64bits(*f))
		}
	}
	return b, nil
}

// encodeGap writes a gap of a job into some forty bytes:
//
//	kind, job (16), from (microseconds since 1970, varint), to (after from, varint), slots (varint), reason (the rest)
func encodeGap(b []byte, j *job, g *sample.Gap) ([]byte, error) {
	b, err := begin(b, gapKind, j)
	if err != nil {
		return nil, err
	}
	b = binary.AppendVarint(b, g.From.UnixMicro())
	b = binary.AppendVarint(b, g.To.UnixMicro()-g.From.UnixMicro())
	b = binary.AppendVarint(b, g.Slots)
	return append(b, g.Reason...), nil
}

// reader takes a record apart. Once something is not as it should be, it is bad.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) varint() int64 {
	n, size := binary.Varint(r.b)
	if size <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) float() *float64 {
	if len(r.b) < 8 {
		r.bad = true
		return nil
	}
	v := math.Float64frombits(binary.BigEndian.Uint64(r.b))
	r.b = r.b[8:]
	r.bad = r.bad || math.IsNaN(v) || math.IsInf(v, 0)
	return &v
}

// sample reads a sample; one of the first version has neither a cadence nor a number.
func (r *reader) sample(jobID string, first bool) supabase.Row {
	row := supabase.Row{Sample: sample.Sample{JobID: jobID}, Sequence: unnumbered}
	if status := r.byte(); int(status) < len(statuses) {
		row.Status = statuses[status]
	} else {
		r.bad = true
	}
	flags := r.byte()
	row.Slot = r.varint()
	if !first {
		cadence := r.varint()
		r.bad = r.bad || cadence < 0 || cadence > int64(longestCadence/time.Second)
		row.Cadence = time.Duration(cadence) * time.Second
	}
	due := r.varint()
	row.ScheduledAt = time.UnixMicro(due).UTC()
	row.RecordedAt = time.UnixMicro(due + r.varint()).UTC()
	if !first && flags&hasSequence != 0 {
		row.Sequence = row.Slot + r.varint()
		r.bad = r.bad || row.Sequence < 0
	}
	if flags&hasRTT != 0 {
		row.RTT = r.float()
	}
	if flags&hasJitter != 0 {
		row.Jitter = r.float()
	}
	return row
}

func (r *reader) gap(jobID string) *sample.Gap {
	from := r.varint()
	g := &sample.Gap{JobID: jobID, From: time.UnixMicro(from).UTC()}
	g.To = time.UnixMicro(from + r.varint()).UTC()
	g.Slots = r.varint()
	g.Reason = string(r.b)
	r.b = nil
	return g
}
