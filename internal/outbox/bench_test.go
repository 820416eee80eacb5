package outbox

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/spool"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

// sizes are how many jobs an installation has.
var sizes = []int{100, 5000, 50_000}

// sink is a store that takes everything, and no time: what is measured is the outbox.
type sink struct{ rows atomic.Int64 }

func (s *sink) InsertSamples(_ context.Context, rows []supabase.Row) (int, error) {
	s.rows.Add(int64(len(rows)))
	return 0, nil
}
func (s *sink) PutGaps(context.Context, []sample.Gap) error          { return nil }
func (s *sink) TouchJobs(context.Context, []string, time.Time) error { return nil }
func (s *sink) HighestSequences(context.Context, []string) (map[string]supabase.Numbered, error) {
	return nil, nil
}

// load is an outbox with a spool, and jobs that are measured one after the other.
type load struct {
	b     *testing.B
	box   *Outbox
	store *sink
	next  []sample.Sample // of each job
	at    int
}

func newLoad(b *testing.B, jobs int) *load {
	b.Helper()
	s, _, err := spool.Open(spool.Options{Dir: b.TempDir(), Clock: clock.RealClock{}, Log: logr.Discard()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	l := &load{b: b, store: &sink{}, next: make([]sample.Sample, jobs)}
	for n := range l.next {
		l.next[n] = measure(fmt.Sprintf("00000000-0000-4000-8000-%012d", n), 0)
	}
	l.box = New(Options{
		Store: l.store, Spool: s, Listener: &heard{}, Observer: counts{&heard{dropped: map[string]int{}}}, Clock: clock.RealClock{}, Log: logr.Discard(),
		Limit: 1000, Batch: 1000, Linger: time.Second, Trail: 30 * time.Second,
	})
	for n := range l.next {
		l.box.Resume(l.next[n].JobID, -1)
	}
	return l
}

// put hands over the next sample of the next job.
func (l *load) put() {
	s := &l.next[l.at%len(l.next)]
	l.at++
	if err := l.box.Put(*s); err != nil {
		l.b.Fatal(err)
	}
	s.Slot++
	s.ScheduledAt = s.ScheduledAt.Add(s.Cadence)
	s.RecordedAt = s.RecordedAt.Add(s.Cadence)
}

// deliver sends everything.
func (l *load) deliver() {
	for l.box.unfinished() {
		if err := l.box.deliverOnce(l.b.Context()); err != nil {
			l.b.Fatal(err)
		}
	}
}

// BenchmarkPut takes the responsibility for a sample.
func BenchmarkPut(b *testing.B) {
	for _, jobs := range sizes {
		b.Run(fmt.Sprint("jobs=", jobs), func(b *testing.B) {
			l := newLoad(b, jobs)
			b.ReportAllocs()
			for b.Loop() {
				if l.put(); l.at%1000 == 0 {
					b.StopTimer()
					l.deliver()
					b.StartTimer()
				}
			}
		})
	}
}

// BenchmarkDeliver reads a thousand samples back from the spool and hands them to a store.
func BenchmarkDeliver(b *testing.B) {
	for _, jobs := range sizes {
		b.Run(fmt.Sprint("jobs=", jobs), func(b *testing.B) {
			l := newLoad(b, jobs)
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				for range 1000 {
					l.put()
				}
				b.StartTimer()
				l.deliver()
			}
			if rows := l.store.rows.Load(); rows != int64(l.at) {
				b.Fatalf("%d are stored of %d", rows, l.at)
			}
		})
	}
}

// BenchmarkRetained is what an outbox remembers of a job whose samples are stored.
func BenchmarkRetained(b *testing.B) {
	const jobs = 50_000
	for b.Loop() {
		l := newLoad(b, jobs)
		clear(l.box.jobs)
		before := heap()
		for n := range l.next {
			l.box.Resume(l.next[n].JobID, -1)
		}
		for range 3 * jobs {
			l.put()
			if l.at%1000 == 0 {
				l.deliver()
			}
		}
		b.ReportMetric(float64(heap()-before)/jobs, "B/job")
		runtime.KeepAlive(l)
	}
}

// heap is how much is in use.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
