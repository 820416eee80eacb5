package outbox

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/soundcheck-io/latency-operator/internal/spool"
	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest"
)

// onTable matches the requests that write to a table.
func onTable(name string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/"+name)
	}
}

// backlogged is a bench whose spool holds slots 0 to 99 of a job, ten batches.
func backlogged(t *testing.T, change func(*Options)) (*bench, *clocktesting.FakeClock) {
	t.Helper()
	clk := clocktesting.NewFakeClock(start)
	b := newBench(t, 2, func(o *Options) {
		o.Spool, o.Batch, o.Linger, o.Clock = openSpool(t, spool.Options{Dir: t.TempDir()}), 10, time.Second, clk
		if change != nil {
			change(o)
		}
	})
	b.box.Resume(b.jobs[0], -1)
	for slot := range int64(100) {
		b.put(b.jobs[0], slot)
	}
	return b, clk
}

func TestNewSamplesDoNotWaitForABacklog(t *testing.T) {
	b, clk := backlogged(t, nil)
	b.Expect(b.box.deliverOnce(t.Context())).To(Succeed())
	b.put(b.jobs[0], 100, 101)
	b.Expect(b.box.Overtaking()).To(BeTrue())
	clk.Step(time.Second)
	b.Expect(b.box.deliverOnce(t.Context())).To(Succeed())
	b.Expect(b.text(`select count(*) || ', up to ' || max(sequence_number) from samples`)).To(Equal("52, up to 101"), "with four more batches of ten")
	b.Expect(b.box.Pending(b.jobs[0])).To(Equal(50))
	b.box.Flush(t.Context())
	b.Expect(b.text(`select count(*) || ' of ' || count(distinct sequence_number) || ', ' || bool_and(rtt_ms = 10 + sequence_number) from samples`)).To(Equal("102 of 102, true"))
	b.Expect(b.total()).To(Equal(102), "none is sent again")
	inserts := 0
	for _, r := range b.db.Requests() {
		if r.Method == http.MethodPost {
			inserts++
		}
	}
	b.Expect(inserts).To(Equal(11), "ten of the backlog, and one of those that overtook it")
	b.Expect(b.box.Overtaking()).To(BeFalse())
	b.Expect(b.box.Spool.Stats().Records).To(BeZero())
	b.Expect(b.text(`select (last_ping_at at time zone 'utc')::text from jobs order by id limit 1`)).To(Equal("2026-11-23 10:16:50.001"))
}

func TestWhatCannotOvertakeIsDeliveredInItsTurn(t *testing.T) {
	b, clk := backlogged(t, nil)
	b.Expect(b.box.deliverOnce(t.Context())).To(Succeed())
	b.put(b.jobs[0], 100, 101)
	b.put(b.jobs[1], 0)
	b.Expect(b.box.lane.rows).To(HaveLen(2), "the one without a number waits")
	clk.Step(time.Second)
	b.db.Inject(supabasetest.Fault{Match: onTable("samples"), Status: 503, Times: 1})
	b.Expect(b.box.deliverOnce(t.Context())).NotTo(Succeed())
	b.Expect(b.box.lane.rows).To(BeEmpty())
	b.put(b.jobs[0], 102)
	b.Expect(b.box.lane.rows).To(BeEmpty(), "the store does not take any at present")
	b.box.Flush(t.Context())
	b.Expect(b.text(`select count(*)::text from samples`)).To(Equal("104"))
	b.Expect(b.total()).To(Equal(104))
}

func TestTheLaneIsBounded(t *testing.T) {
	b, _ := backlogged(t, nil)
	b.Expect(b.box.deliverOnce(t.Context())).To(Succeed())
	for slot := range int64(300) {
		b.put(b.jobs[0], 100+slot)
	}
	b.Expect(b.box.lane.rows).To(HaveLen(laneBatches * 10))
	b.box.Flush(t.Context())
	b.Expect(b.text(`select count(*) || ' up to ' || max(sequence_number) from samples`)).To(Equal("400 up to 399"))
	b.Expect(b.total()).To(Equal(400))
}

func TestErrorsInTheLaneAreLikeAnyOther(t *testing.T) {
	b, clk := backlogged(t, nil)
	b.box.Resume(b.jobs[1], -1)
	b.sql(`alter table samples add constraint no_more check (rtt_ms <> 111)`)
	b.Expect(b.box.deliverOnce(t.Context())).To(Succeed())
	b.sql(`delete from jobs where id = $1`, b.jobs[1])
	b.put(b.jobs[0], 100, 101, 102)
	b.put(b.jobs[1], 0, 1)
	clk.Step(time.Second)
	b.Expect(b.box.deliverOnce(t.Context())).To(Succeed())
	b.Expect(b.text(`select string_agg(sequence_number::text, ' ') from samples where sequence_number >= 100`)).To(Equal("100 102"))
	b.Expect(b.gone).To(Equal([]string{b.jobs[1]}))
	b.Expect(b.rejected).To(Equal([]string{b.jobs[0]}))
	b.box.Flush(t.Context())
	b.Expect(b.dropped).To(Equal(map[string]int{DropJobGone: 2}))
	b.Expect(b.text(gapRows, b.jobs[0])).To(Equal("10:16:50 to 10:16:50: 1 Lost"))
	b.Expect(b.text(`select count(*)::text from samples`)).To(Equal("102"))
}

func TestAfterACrashTheBacklogBringsWhatOvertookIt(t *testing.T) {
	dir := t.TempDir()
	b, clk := backlogged(t, func(o *Options) { o.Spool = openSpool(t, spool.Options{Dir: dir}) })
	b.Expect(b.box.deliverOnce(t.Context())).To(Succeed())
	b.put(b.jobs[0], 100, 101)
	clk.Step(time.Second)
	b.Expect(b.box.deliverOnce(t.Context())).To(Succeed())
	b.again(dir)
	b.Expect(b.box.Highest(b.jobs[0])).To(Equal(int64(101)))
	b.put(b.jobs[0], 102)
	b.box.Flush(t.Context())
	b.Expect(b.text(`select count(*) || ' of ' || count(distinct sequence_number) || ' up to ' || max(sequence_number) from samples`)).To(Equal("103 of 103 up to 102"))
}

func TestWhatOvertakesSurvivesTheLossOfTheSpool(t *testing.T) {
	dir := t.TempDir()
	b, _ := backlogged(t, func(o *Options) { o.Spool = openSpool(t, spool.Options{Dir: dir, SegmentBytes: 1024}) })
	b.Expect(b.box.deliverOnce(t.Context())).To(Succeed())
	b.put(b.jobs[0], 100, 101)
	segments, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	b.Expect(err).NotTo(HaveOccurred())
	for _, name := range segments {
		b.Expect(os.Remove(name)).To(Succeed())
	}
	b.box.Flush(t.Context())
	b.Expect(b.text(`select string_agg(sequence_number::text, ' ') from samples where sequence_number >= 100`)).To(Equal("100 101"))
	b.Expect(b.total() + b.dropped[DropUnreadable]).To(Equal(102))
	b.Expect(b.box.Pending(b.jobs[0])).To(BeZero())
	b.Expect(b.box.Overtaking()).To(BeFalse())
}

// BenchmarkDrain is how fast a spool is emptied by a store that takes no time: what is measured is the outbox.
func BenchmarkDrain(b *testing.B) {
	const backlog = 200_000
	dir := b.TempDir()
	s, _, err := spool.Open(spool.Options{Dir: dir, Clock: clock.RealClock{}, Log: logr.Discard()})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	store := newShelf()
	box := New(Options{
		Store: store, Spool: s, Listener: &heard{}, Observer: counts{&heard{dropped: map[string]int{}}}, Clock: clock.RealClock{}, Log: logr.Discard(),
		Limit: 1000, Batch: 500, Linger: time.Second, Trail: 30 * time.Second,
	})
	var putting, draining time.Duration
	for b.Loop() {
		began := time.Now()
		for n := range int64(backlog) {
			id := fmt.Sprintf("00000000-0000-4000-8000-%012d", n%5000)
			box.Resume(id, -1)
			if err := box.Put(measure(id, n/5000)); err != nil {
				b.Fatal(err)
			}
		}
		putting += time.Since(began)
		clear(store.rows)
		began = time.Now()
		box.Flush(b.Context())
		draining += time.Since(began)
		if len(store.rows) != backlog {
			b.Fatalf("%d are stored", len(store.rows))
		}
	}
	b.ReportMetric(float64(b.N*backlog)/putting.Seconds(), "put/s")
	b.ReportMetric(float64(b.N*backlog)/draining.Seconds(), "drained/s")
}
