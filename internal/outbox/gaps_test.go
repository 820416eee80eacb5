package outbox

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/spool"
	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest"
)

const gapRows = `select coalesce(string_agg(to_char(from_at at time zone 'utc', 'HH24:MI:SS to ') || to_char(to_at at time zone 'utc', 'HH24:MI:SS: ') || slots || ' ' || reason, ', ' order by from_at), 'none') from sample_gaps where job_id = $1`

// skip is a gap from one slot to another.
func skip(jobID string, from, to int64) sample.Gap {
	return sample.Gap{JobID: jobID, From: measure(jobID, from).ScheduledAt, To: measure(jobID, to).ScheduledAt, Slots: to - from + 1, Reason: "Suspended"}
}

func TestGapsAreStoredBesideSamples(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"in memory": nil,
		"spooled":   func(o *Options) { o.Spool = openSpool(t, spool.Options{Dir: t.TempDir()}) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, 2, change)
			b.put(b.jobs[0], 0)
			b.box.PutGap(skip(b.jobs[0], 1, 1))
			b.box.PutGap(skip(b.jobs[0], 1, 3)) // it grows
			b.box.PutGap(skip(b.jobs[1], 0, 0))
			b.Expect(b.box.Pending(b.jobs[0])).To(Equal(3), "as often as it was put")
			b.box.Flush(t.Context())
			b.Expect(b.box.Pending(b.jobs[0])).To(BeZero())
			b.box.PutGap(skip(b.jobs[0], 1, 4)) // and goes on growing
			b.box.Flush(t.Context())
			b.Expect(b.text(gapRows, b.jobs[0])).To(Equal("10:00:10 to 10:00:40: 4 Suspended"))
			b.Expect(b.text(gapRows, b.jobs[1])).To(Equal("10:00:00 to 10:00:00: 1 Suspended"))
			b.Expect(b.text(rows, b.jobs[0])).To(Equal("0 success 10"))
			b.Expect(b.total()).To(Equal(1), "gaps are no samples")
		})
	}
}

func TestGapsSurviveTheProcess(t *testing.T) {
	dir := t.TempDir()
	b := newBench(t, 1, func(o *Options) { o.Spool = openSpool(t, spool.Options{Dir: dir}) })
	b.box.PutGap(skip(b.jobs[0], 0, 2))
	b.again(dir)
	b.Expect(b.box.Pending(b.jobs[0])).To(Equal(1))
	b.Expect(b.box.Inherited(b.jobs[0])).To(Equal(1))
	b.run()
	b.settled()
	b.Expect(b.text(gapRows, b.jobs[0])).To(Equal("10:00:00 to 10:00:20: 3 Suspended"))
}

// Samples and gaps are acknowledged together: what is stored of a batch is nothing that a crash may forget the rest of.
func TestGapsThatCannotBeStoredAreNotAcknowledged(t *testing.T) {
	dir := t.TempDir()
	b := newBench(t, 1, func(o *Options) { o.Spool = openSpool(t, spool.Options{Dir: dir}) })
	b.put(b.jobs[0], 0)
	b.box.PutGap(skip(b.jobs[0], 1, 1))
	fault := b.db.Inject(supabasetest.Fault{Match: onTable("sample_gaps"), Status: 503})
	b.Expect(b.box.deliverOnce(t.Context())).NotTo(Succeed())
	b.Expect(b.text(rows, b.jobs[0])).To(Equal("0 success 10"))
	b.Expect(b.box.Pending(b.jobs[0])).To(Equal(1))
	b.again(dir)
	b.Expect(b.box.Pending(b.jobs[0])).To(Equal(2))
	fault.Remove()
	b.box.Flush(t.Context())
	b.Expect(b.text(gapRows, b.jobs[0])).To(Equal("10:00:10 to 10:00:10: 1 Suspended"))
	b.Expect(b.text(rows, b.jobs[0])).To(Equal("0 success 10"))
}

func TestAPoisonGapIsSetAside(t *testing.T) {
	b := newBench(t, 2, nil)
	for n := range int64(20) {
		b.box.PutGap(skip(b.jobs[n%2], n, n))
	}
	bad := skip(b.jobs[1], 100, 100)
	bad.Slots = 0
	b.box.PutGap(bad)
	b.run()
	b.settled()
	b.Expect(b.text(`select count(*)::text from sample_gaps`)).To(Equal("20"))
	b.Expect(b.rejected).To(Equal([]string{b.jobs[1]}))
}

func TestTheGapsOfADeletedJobAreDropped(t *testing.T) {
	b := newBench(t, 2, nil)
	b.sql(`delete from jobs where id = $1`, b.jobs[0])
	for n := range int64(5) {
		b.box.PutGap(skip(b.jobs[0], n, n))
		b.box.PutGap(skip(b.jobs[1], n, n))
	}
	b.run()
	b.settled()
	b.Expect(b.gone).To(Equal([]string{b.jobs[0]}))
	b.Expect(b.text(`select count(*)::text from sample_gaps`)).To(Equal("5"))
	b.box.PutGap(skip(b.jobs[0], 6, 6))
	b.Expect(b.box.Pending(b.jobs[0])).To(BeZero())
}

func TestLostSamplesBecomeGaps(t *testing.T) {
	second := func(n int64) time.Time { return start.Add(time.Duration(n) * time.Second) }
	type lost struct{ slot, due int64 } // due in seconds; a slot of -1 is of something that is not lost
	for name, tc := range map[string]struct {
		lost []lost
		want string
	}{
		"neighbours":               {[]lost{{3, 30}, {4, 40}, {5, 50}}, "30-50:3"},
		"one is missing":           {[]lost{{3, 30}, {5, 50}, {6, 60}}, "30-30:1 50-60:2"},
		"another grid":             {[]lost{{3, 30}, {4, 40}, {5, 60}, {6, 80}}, "30-40:2 60-80:2"},
		"a grid that begins anew":  {[]lost{{3, 30}, {0, 31}, {1, 32}}, "30-30:1 31-32:2"},
		"one between them is kept": {[]lost{{3, 30}, {-1, 40}, {4, 50}}, "30-30:1 50-50:1"},
		"the same twice":           {[]lost{{3, 30}, {3, 30}}, "30-30:1"},
		"backwards":                {[]lost{{4, 40}, {3, 30}}, "40-40:1 30-30:1"},
		"further than a day apart": {[]lost{{4, 40}, {5, 90_000}}, "40-40:1 90000-90000:1"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newGapList()
			for _, s := range tc.lost {
				if s.slot < 0 {
					l.part(someJob)
					continue
				}
				l.lose(&sample.Sample{JobID: someJob, Slot: s.slot, ScheduledAt: second(s.due)})
			}
			got := ""
			for _, g := range l.take(10) {
				got += fmt.Sprintf(" %d-%d:%d", int(g.From.Sub(start).Seconds()), int(g.To.Sub(start).Seconds()), g.Slots)
			}
			if got != " "+tc.want {
				t.Errorf("got%s, want %s", got, tc.want)
			}
		})
	}
}

// An outage without a spool: the samples are given up one after the other, and memory does not grow.
func TestAnOutageInMemoryIsOneGap(t *testing.T) {
	b := newBench(t, 2, func(o *Options) { o.Limit = 10 })
	for slot := range int64(1000) {
		b.put(b.jobs[0], slot)
		b.put(b.jobs[1], slot)
	}
	b.Expect(b.box.Status().Held).To(Equal(10 + 2))
	b.box.Flush(t.Context())
	b.Expect(b.text(`select count(*) || ' of ' || sum(slots) from sample_gaps`)).To(Equal("2 of 1990"))
	b.Expect(b.text(overlaps)).To(Equal("0"))
}

func TestTheNumberOfGapsInMemoryIsBounded(t *testing.T) {
	b := newBench(t, 1, func(o *Options) { o.Limit = 1 })
	b.box.gaps.limit = 5
	for slot := range int64(20) {
		b.put(b.jobs[0], 2*slot) // none is the neighbour of another
		b.box.PutGap(skip(b.jobs[0], 2*slot+1, 2*slot+1))
	}
	b.Expect(b.box.Status().Held).To(Equal(1 + 5))
	b.Expect(b.box.gaps.beyond).To(Equal(int64(19 + 20 - 5)))
	b.box.Flush(t.Context())
	b.Expect(b.box.Pending(b.jobs[0])).To(BeZero())
	b.Expect(b.box.gaps.beyond).To(BeZero(), "it was said")
}

func TestWhatExpiredBeforeThereWasAnOutboxBecomesAGap(t *testing.T) {
	b := newBench(t, 1, nil)
	var expired [][]byte
	for slot := range int64(3) {
		r := record{}
		r.row.Sample, r.row.Sequence = measure(b.jobs[0], slot), slot
		record, err := encodeRecord(&r)
		b.Expect(err).NotTo(HaveOccurred())
		expired = append(expired, record)
	}
	gap := skip(b.jobs[0], 3, 5)
	record, err := encodeGap(nil, newJob(gap.JobID), &gap)
	b.Expect(err).NotTo(HaveOccurred())
	options := b.box.Options
	expired = append(expired, record, []byte("nothing"))
	options.Expired = expired
	b.box = New(options)
	b.Expect(b.dropped).To(Equal(map[string]int{DropFull: 3}))
	b.Expect(b.box.Highest(b.jobs[0])).To(Equal(int64(2)))
	b.box.Flush(t.Context())
	b.Expect(b.text(gapRows, b.jobs[0])).To(Equal("10:00:00 to 10:00:20: 3 Lost, 10:00:30 to 10:00:50: 3 Suspended"))
	b.Expect(b.lost).To(HaveLen(3), "the listener takes them out of its figures")
}

// The samples of a batch are stored before its gaps, so what is pending of a job then need not be its newest.
func TestGapsAreOvertakenBySamples(t *testing.T) {
	b := newBench(t, 1, nil)
	b.box.PutGap(skip(b.jobs[0], 0, 0))
	b.put(b.jobs[0], 1)
	b.Expect(b.box.Overtaking()).To(BeFalse())
	fault := b.db.Inject(supabasetest.Fault{Match: onTable("sample_gaps"), Status: 503})
	b.Expect(b.box.deliverOnce(t.Context())).NotTo(Succeed())
	b.Expect(b.box.Pending(b.jobs[0])).To(Equal(1))
	b.Expect(b.box.Overtaking()).To(BeTrue())
	fault.Remove()
	b.box.Flush(t.Context())
	b.Expect(b.box.Overtaking()).To(BeFalse())
}
