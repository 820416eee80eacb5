package outbox

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/soundcheck-io/latency-operator/internal/sample"
)

const someJob = "0b9c3f0e-5a54-4c6e-9d0c-2a4f6f1f7a11"

func TestRecordsKeepEverything(t *testing.T) {
	at := time.Date(2026, 11, 23, 10, 0, 0, 123456000, time.UTC)
	rtt, jitter := 12.5, 0.1
	for name, s := range map[string]sample.Sample{
		"success":       {JobID: someJob, Slot: 7, ScheduledAt: at, RecordedAt: at.Add(1234 * time.Microsecond), Status: sample.Success, RTT: &rtt, Jitter: &jitter},
		"first success": {JobID: someJob, ScheduledAt: at, RecordedAt: at, Status: sample.Success, RTT: &rtt},
		"missed":        {JobID: someJob, Slot: 1 << 40, ScheduledAt: at, RecordedAt: at, Status: sample.Missed},
		"sent early":    {JobID: someJob, ScheduledAt: at, RecordedAt: at.Add(-time.Hour), Status: sample.SystemError},
	} {
		t.Run(name, func(t *testing.T) {
			record, err := encode(&s)
			if err != nil {
				t.Fatal(err)
			}
			if len(record) > 64 {
				t.Errorf("%d bytes", len(record))
			}
			got, err := decode(record)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(s, got); diff != "" {
				t.Error(diff)
			}
			for n := range record {
				if _, err := decode(record[:n]); err == nil {
					t.Errorf("the first %d bytes pass for a sample", n)
				}
			}
		})
	}
}

func TestWhatIsNoSampleIsNotWritten(t *testing.T) {
	for _, s := range []sample.Sample{{JobID: "7", Status: sample.Missed}, {JobID: someJob, Status: "lost"}} {
		if _, err := encode(&s); err == nil {
			t.Errorf("%+v is encoded", s)
		}
	}
}

func FuzzDecode(f *testing.F) {
	rtt := 12.5
	for _, s := range []sample.Sample{
		{JobID: someJob, Slot: 7, ScheduledAt: start, RecordedAt: start, Status: sample.Success, RTT: &rtt, Jitter: &rtt},
		{JobID: someJob, ScheduledAt: start, RecordedAt: start, Status: sample.Missed},
	} {
		record, err := encode(&s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(record)
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		s, err := decode(record)
		if err != nil {
			return
		}
		again, err := encode(&s)
		if err != nil {
			t.Fatal(err)
		}
		twice, err := decode(again)
		if err != nil || !cmp.Equal(s, twice) {
			t.Errorf("%x becomes %x: %v", record, again, err)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	rtt := 12.5
	s := sample.Sample{JobID: someJob, Slot: 7, ScheduledAt: start, RecordedAt: start, Status: sample.Success, RTT: &rtt, Jitter: &rtt}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := encode(&s); err != nil {
			b.Fatal(err)
		}
	}
}
