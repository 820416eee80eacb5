package outbox

import (
	"bytes"
	"encoding/hex"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

const someJob = "0b9c3f0e-5a54-4c6e-9d0c-2a4f6f1f7a11"

// encodeRecord writes whatever a record is.
func encodeRecord(r *record) ([]byte, error) {
	j := newJob(r.jobID())
	if r.gap != nil {
		return encodeGap(nil, j, r.gap)
	}
	return encodeSample(nil, j, &r.row)
}

// plain decodes a record of a job that nobody knows.
func plain(b []byte) (record, error) { return decode(b, jobKey.String) }

func records() map[string]record {
	key, _ := keyOfJob(someJob)
	at := time.Date(2026, 11, 23, 10, 0, 0, 123456000, time.UTC)
	rtt, jitter := 12.5, 0.1
	row := func(sequence int64, s sample.Sample) record {
		s.JobID = someJob
		return record{job: key, row: supabase.Row{Sample: s, Sequence: sequence}}
	}
	return map[string]record{
		"success": row(7, sample.Sample{Slot: 7, ScheduledAt: at, RecordedAt: at.Add(1234 * time.Microsecond), Status: sample.Success, RTT: &rtt, Jitter: &jitter}),
		"late":    row(unnumbered, sample.Sample{Slot: 7, ScheduledAt: at, RecordedAt: at, Status: sample.Success, RTT: &rtt}),
		"missed":  row(1<<40+12, sample.Sample{Slot: 1 << 40, ScheduledAt: at, RecordedAt: at, Status: sample.Missed}),
		"early":   row(0, sample.Sample{ScheduledAt: at, RecordedAt: at.Add(-time.Hour), Status: sample.SystemError}),
		"gap":     {job: key, gap: &sample.Gap{JobID: someJob, From: at, To: at.Add(time.Hour), Slots: 361, Reason: "Suspended"}},
		"one":     {job: key, gap: &sample.Gap{JobID: someJob, From: at, To: at, Slots: 1}},
	}
}

func TestRecordsKeepEverything(t *testing.T) {
	for name, r := range records() {
		t.Run(name, func(t *testing.T) {
			b, err := encodeRecord(&r)
			if err != nil {
				t.Fatal(err)
			}
			got, err := plain(b)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(r, got, cmp.AllowUnexported(record{})); diff != "" {
				t.Error(diff)
			}
			if r.gap != nil {
				return // its reason may have any length
			}
			for n := range b {
				if _, err := plain(b[:n]); err == nil {
					t.Errorf("the first %d bytes pass for a sample", n)
				}
			}
		})
	}
}

// An hour at 500 samples a second, 1.8 million records, is to stay below 200 MB.
func TestARecordIsSmall(t *testing.T) {
	const frame = 8 // that the spool adds
	r := records()["success"]
	r.row.Slot, r.row.Sequence = 525_599, 525_599+100_000
	b, err := encodeRecord(&r)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes with its frame", len(b)+frame)
	if len(b)+frame > 80 {
		t.Errorf("%d bytes", len(b)+frame)
	}
}

func TestRecordsOfTheFirstVersionAreRead(t *testing.T) {
	// Written by that version: slot 7, a success of 12.5 ms with a jitter of 0.1 ms, sent 1.234 ms after it was due.
	b, err := hex.DecodeString("01" + "0b9c3f0e5a544c6e9d0c2a4f6f1f7a11" + "00" + "03" + "0e" + "80a9d682d5bbb006" + "a413" + "4029000000000000" + "3fb999999999999a")
	if err != nil {
		t.Fatal(err)
	}
	got, err := plain(b)
	if err != nil {
		t.Fatal(err)
	}
	want := records()["success"]
	want.row.Sequence = unnumbered
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(record{})); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsNoSampleIsNotWritten(t *testing.T) {
	for _, s := range []sample.Sample{{JobID: "7", Status: sample.Missed}, {JobID: someJob, Status: "lost"}} {
		if _, err := encodeSample(nil, newJob(s.JobID), &supabase.Row{Sample: s}); err == nil {
			t.Errorf("%+v is encoded", s)
		}
	}
	if _, err := encodeGap(nil, newJob("7"), &sample.Gap{JobID: "7"}); err == nil {
		t.Error("a gap of no job is encoded")
	}
}

func FuzzDecode(f *testing.F) {
	for _, r := range records() {
		b, err := encodeRecord(&r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(append([]byte{unnumberedKind}, b[1:]...))
	}
	f.Add([]byte("\x030000000000000000\x0100\xae\x8c\xae\xae\xae000")) // its cadence is longer than a time can be
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := plain(b)
		if err != nil {
			return
		}
		again, err := encodeRecord(&r)
		if err != nil {
			t.Fatal(err)
		}
		twice, err := plain(again)
		if err != nil || !cmp.Equal(r, twice, cmp.AllowUnexported(record{})) {
			t.Errorf("%x becomes %x: %v", b, again, err)
		}
		if once, err := encodeRecord(&twice); err != nil || !bytes.Equal(once, again) {
			t.Errorf("%x becomes %x: %v", again, once, err)
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	r := records()["success"]
	j := newJob(r.jobID())
	var room []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if room, err = encodeSample(room[:0], j, &r.row); err != nil {
			b.Fatal(err)
		}
	}
}
