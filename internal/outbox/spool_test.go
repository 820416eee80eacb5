package outbox

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/soundcheck-io/latency-operator/internal/spool"
	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest"
)

// openSpool opens the folder, and closes it with the test.
func openSpool(t *testing.T, opts spool.Options) *spool.Spool {
	t.Helper()
	opts.Clock, opts.Log = clock.RealClock{}, logr.Discard()
	s, _, err := spool.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// again gives the outbox of the next process, after one that ended without a word.
func (b *bench) again(dir string) {
	b.t.Helper()
	_ = b.box.Spool.Close()
	options := b.box.Options
	options.Spool = openSpool(b.t, spool.Options{Dir: dir})
	b.box = New(options)
}

func TestSamplesSurviveTheProcess(t *testing.T) {
	dir := t.TempDir()
	b := newBench(t, 2, func(o *Options) { o.Spool = openSpool(t, spool.Options{Dir: dir}) })
	fault := b.db.Inject(supabasetest.Fault{Status: 503})
	b.put(b.jobs[0], 0, 1, 2)
	b.put(b.jobs[1], 0)
	stop := b.run()
	b.Eventually(fault.Count).Should(BeNumerically(">=", 1))
	stop()

	b.again(dir)
	b.Expect(b.box.Pending(b.jobs[0])).To(Equal(3), "so that the job is not ended before they are stored")
	b.put(b.jobs[0], 3)
	fault.Remove()
	b.run()
	b.settled()
	b.Expect(b.text(rows, b.jobs[0])).To(Equal("0 success 10, 1 success 11, 2 success 12, 3 success 13"))
	b.Expect(b.text(rows, b.jobs[1])).To(Equal("0 success 10"))
	b.Expect(b.dropped).To(BeEmpty())

	b.again(dir)
	b.Expect(b.box.Status().Held).To(BeZero(), "what is stored is not taken up again")
}

func TestFlushLeavesTheRestToTheNextProcess(t *testing.T) {
	dir := t.TempDir()
	b := newBench(t, 1, func(o *Options) { o.Spool = openSpool(t, spool.Options{Dir: dir}) })
	fault := b.db.Inject(supabasetest.Fault{Match: func(r *http.Request) bool { return r.Method == http.MethodPost }, Hang: true})
	b.put(b.jobs[0], 0, 1)
	b.box.Flush(ended(t))
	b.Expect(b.dropped).To(BeEmpty(), "nothing is lost")
	fault.Remove()
	b.again(dir)
	b.box.Flush(t.Context())
	b.Expect(b.text(rows, b.jobs[0])).To(Equal("0 success 10, 1 success 11"))
}

func TestASpoolThatFailsLosesNothingWhileTheProcessLives(t *testing.T) {
	b := newBench(t, 1, func(o *Options) { o.Spool = openSpool(t, spool.Options{Dir: t.TempDir()}) })
	b.put(b.jobs[0], 0)
	b.Expect(b.box.Status().SpoolTrouble).To(BeEmpty())
	b.Expect(b.box.Spool.Close()).To(Succeed()) // as good as a disk that is gone
	b.put(b.jobs[0], 1, 2)
	b.Expect(b.box.Status().SpoolTrouble).To(ContainSubstring("the spool does not work"))
	b.run()
	b.Eventually(func() string { return b.text(rows, b.jobs[0]) }, "10s").Should(HaveSuffix("1 success 11, 2 success 12"))
}

func TestAJobWhoseIDIsNoUUIDHoldsUpNoOther(t *testing.T) {
	b := newBench(t, 1, func(o *Options) { o.Spool = openSpool(t, spool.Options{Dir: t.TempDir()}) })
	b.put("seven", 0)
	b.put(b.jobs[0], 0)
	b.Expect(b.box.Pending("seven")).To(Equal(1))
	b.run()
	b.settled()
	b.Expect(b.text(rows, b.jobs[0])).To(Equal("0 success 10"))
	b.Expect(b.rejected).To(Equal([]string{"seven", "seven"}), "the sample, and the gap that it became")
}

func TestWhatTheSpoolLosesHoldsUpNoJob(t *testing.T) {
	dir := t.TempDir()
	b := newBench(t, 2, func(o *Options) { o.Spool = openSpool(t, spool.Options{Dir: dir}) })
	b.put(b.jobs[0], 0, 1)
	segments, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	b.Expect(err).NotTo(HaveOccurred())
	b.Expect(segments).To(HaveLen(1))
	b.Expect(os.Remove(segments[0])).To(Succeed())
	b.run()
	b.settled()
	b.Expect(b.box.Pending(b.jobs[0])).To(BeZero())
	b.Expect(b.dropped).To(Equal(map[string]int{DropUnreadable: 2}))
	b.put(b.jobs[1], 0)
	b.settled()
	b.Expect(b.text(rows, b.jobs[1])).To(Equal("0 success 10"))
}

func TestASpoolThatCannotBeReadForAMomentLosesNothing(t *testing.T) {
	dir := t.TempDir()
	b := newBench(t, 1, func(o *Options) { o.Spool = openSpool(t, spool.Options{Dir: dir}) })
	b.put(b.jobs[0], 0, 1)
	b.Expect(b.box.Spool.Close()).To(Succeed())
	b.Expect(b.box.deliverOnce(t.Context())).To(MatchError(spool.ErrClosed))
	b.Expect(b.box.Pending(b.jobs[0])).To(Equal(2))
	b.Expect(b.dropped).To(BeEmpty())
	b.box.Spool = openSpool(t, spool.Options{Dir: dir})
	b.run()
	b.settled()
	b.Expect(b.text(rows, b.jobs[0])).To(Equal("0 success 10, 1 success 11"))
}

func TestAFullSpoolGivesUpTheOldestAndCountsThem(t *testing.T) {
	b := newBench(t, 1, nil)
	options := b.box.Options
	options.Spool = openSpool(t, spool.Options{
		Dir: t.TempDir(), SegmentBytes: 1024, LimitBytes: 4096, Dropped: func(records [][]byte) { b.box.GivenUp(records) },
	})
	b.box = New(options)
	for slot := range int64(500) {
		b.put(b.jobs[0], slot)
	}
	b.Expect(b.box.Status().Held).To(BeNumerically("<", 100))
	b.run()
	b.settled()
	b.Expect(b.total() + b.dropped[DropFull]).To(Equal(500))
	b.Expect(b.text(`select count(*) || ' up to ' || max(sequence_number) from samples`)).To(Equal(b.text(`select $1::int || ' up to 499'`, b.total())))
	b.Expect(b.text(`select sum(slots) || ' ' || string_agg(distinct reason, ',') from sample_gaps`)).To(Equal(b.text(`select $1::int || ' Lost'`, b.dropped[DropFull])))
	b.Expect(b.text(overlaps)).To(Equal("0"))
}

// overlaps counts the samples that lie in a gap of their job.
const overlaps = `select count(*)::text from samples s join sample_gaps g on g.job_id = s.job_id and s.scheduled_at between from_at and to_at`

func TestWhatIsStoredIsNotCountedAsGivenUp(t *testing.T) {
	b := newBench(t, 1, nil)
	options := b.box.Options
	options.Batch = 20
	options.Spool = openSpool(t, spool.Options{
		Dir: t.TempDir(), SegmentBytes: 1024, LimitBytes: 4096, Dropped: func(records [][]byte) { b.box.GivenUp(records) },
	})
	b.box = New(options)
	b.box.acked = b.box.Clock.Now().Add(time.Hour) // it is not told yet
	for slot := range int64(60) {
		b.put(b.jobs[0], slot)
	}
	held := b.box.Status().Held
	b.Expect(b.box.deliverOnce(t.Context())).To(Succeed())
	b.Expect(b.box.Status().Held).To(Equal(held - 20))
	for slot := range int64(200) {
		b.put(b.jobs[0], 60+slot)
	}
	b.run()
	b.settled()
	b.Expect(b.total() + b.dropped[DropFull]).To(Equal(260))
	b.Expect(b.text(`select count(*)::text from samples`)).To(Equal(b.text(`select $1::int::text`, b.total())))
}

func TestTheSpooledSamplesOfADeletedJobAreDropped(t *testing.T) {
	b := newBench(t, 2, func(o *Options) {
		o.Spool = openSpool(t, spool.Options{Dir: t.TempDir()})
		o.Batch = 2
	})
	b.sql(`delete from jobs where id = $1`, b.jobs[0])
	for slot := range int64(10) {
		b.put(b.jobs[0], slot)
		b.put(b.jobs[1], slot)
	}
	b.run()
	b.settled()
	b.Expect(b.text(`select count(*)::text from samples`)).To(Equal("10"))
	b.Expect(b.dropped).To(Equal(map[string]int{DropJobGone: 10}))
}

// What is claimed to be stored, to those who close the books, depends on how old the oldest is that is not.
func TestTheOldestIsNotTakenForNewer(t *testing.T) {
	dir := t.TempDir()
	clk := clocktesting.NewFakeClock(start.Add(time.Hour))
	b := newBench(t, 1, func(o *Options) {
		o.Spool, o.Clock, o.Batch = openSpool(t, spool.Options{Dir: dir}), clk, 10
	})
	oldest := func() time.Time { return b.box.Status().Oldest }
	measured := func(slot int64) time.Time { return measure(b.jobs[0], slot).RecordedAt }
	b.Expect(oldest()).To(BeZero())
	b.put(b.jobs[0], 0)
	b.Expect(oldest()).To(Equal(clk.Now()), "when it was put")
	for slot := range int64(25) {
		b.put(b.jobs[0], 1+slot)
	}
	b.again(dir)
	b.Expect(oldest()).To(Equal(measured(0)), "an earlier process left it")
	b.Expect(b.box.deliverOnce(t.Context())).To(Succeed())
	b.Expect(b.box.Status().Held).To(Equal(16))
	b.Expect(oldest()).To(BeTemporally("<=", measured(10)))
	b.box.Flush(t.Context())
	b.Expect(oldest()).To(BeZero())
	clk.Step(time.Hour)
	b.put(b.jobs[0], 26)
	b.Expect(oldest()).To(Equal(clk.Now()), "what was there before it does not count")

	// In memory too, where it is overtaken by what the spool takes.
	b.Expect(b.box.Spool.Close()).To(Succeed())
	b.put(b.jobs[0], 27)
	b.box.Spool = openSpool(t, spool.Options{Dir: dir})
	b.put(b.jobs[0], 28)
	b.Expect(oldest()).To(Equal(measured(27)))
}

// Samples that came while the spool did not work are delivered although it works again, and has new ones at any time.
func TestWhatIsInMemoryDoesNotWaitForTheSpoolToBeEmpty(t *testing.T) {
	dir := t.TempDir()
	b := newBench(t, 2, func(o *Options) { o.Spool = openSpool(t, spool.Options{Dir: dir}) })
	b.Expect(b.box.Spool.Close()).To(Succeed())
	b.put(b.jobs[0], 0, 1)
	b.box.Spool = openSpool(t, spool.Options{Dir: dir})
	for slot := range int64(3) {
		b.put(b.jobs[1], slot)
		b.Expect(b.box.Overtaking()).To(Equal(slot < 2), "newer samples are delivered before older ones")
		b.Expect(b.box.deliverOnce(t.Context())).To(Succeed())
	}
	b.Expect(b.box.Pending(b.jobs[0])).To(BeZero())
	b.Expect(b.text(rows, b.jobs[0])).To(Equal("0 success 10, 1 success 11"))
}
