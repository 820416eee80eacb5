package outbox

import (
	"net/http"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/spool"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest"
)

// asked counts the requests for the highest numbers.
func (b *bench) asked() (n int) {
	for _, r := range b.db.Requests() {
		if r.Method == http.MethodGet && r.Query.Get("order") == "sequence_number.desc.nullslast" {
			n++
		}
	}
	return n
}

func TestAProcessThatStartsDuringAnOutageGoesOnFromTheNumbersOfTheSpool(t *testing.T) {
	dir := t.TempDir()
	b := newBench(t, 1, func(o *Options) { o.Spool = openSpool(t, spool.Options{Dir: dir}) })
	b.box.Resume(b.jobs[0], 41)
	b.put(b.jobs[0], 0, 1)
	b.again(dir)
	b.Expect(b.box.Highest(b.jobs[0])).To(Equal(int64(43)))
	b.box.Resume(b.jobs[0], 41) // what the status says is older
	b.put(b.jobs[0], 2)
	b.box.Flush(t.Context())
	b.Expect(b.text(rows, b.jobs[0])).To(Equal("42 success 10, 43 success 11, 44 success 12"))
	b.Expect(b.asked()).To(BeZero())
}

func TestANumberOnceGivenStaysAfterACrash(t *testing.T) {
	dir := t.TempDir()
	b := newBench(t, 1, func(o *Options) { o.Spool = openSpool(t, spool.Options{Dir: dir}) })
	b.box.Resume(b.jobs[0], -1)
	b.put(b.jobs[0], 5, 6)
	// Stored, but nobody heard of it.
	b.db.Inject(supabasetest.Fault{Match: onTable("samples"), AfterCommit: true, Times: 1})
	b.Expect(b.box.deliverOnce(t.Context())).NotTo(Succeed())
	b.again(dir)
	b.put(b.jobs[0], 7)
	b.box.Flush(t.Context())
	b.Expect(b.text(rows, b.jobs[0])).To(Equal("5 success 15, 6 success 16, 7 success 17"))
}

// A number may be given early only when the spool cannot bring a late one again, which would get one above it.
func TestNumbersAreGivenEarlyOnceTheLateOnesAreAcknowledged(t *testing.T) {
	b := newBench(t, 1, func(o *Options) { o.Spool, o.Batch = openSpool(t, spool.Options{Dir: t.TempDir()}), 2 })
	early := func() bool {
		b.box.mu.Lock()
		defer b.box.mu.Unlock()
		row := supabase.Row{}
		j := *b.box.job(b.jobs[0])
		j.number(&row)
		return row.Sequence != unnumbered
	}
	b.box.acked = b.box.Clock.Now().Add(time.Hour) // the spool is told at the end only
	b.put(b.jobs[0], 0, 1, 2)
	b.Expect(early()).To(BeFalse(), "nobody knows the highest")
	b.Expect(b.box.deliverOnce(t.Context())).To(Succeed())
	b.Expect(b.box.Highest(b.jobs[0])).To(Equal(int64(unnumbered)), "two have their numbers, and the third will get a higher one")
	b.Expect(early()).To(BeFalse(), "it is known, but two are stored and not acknowledged, and one is held")
	b.Expect(b.box.deliverOnce(t.Context())).To(Succeed())
	b.Expect(early()).To(BeTrue())
	b.put(b.jobs[0], 3)
	b.box.Flush(t.Context())
	b.Expect(b.text(rows, b.jobs[0])).To(Equal("0 success 10, 1 success 11, 2 success 12, 3 success 13"))
	b.Expect(b.asked()).To(Equal(1))
}

func TestNumbers(t *testing.T) {
	const hour = time.Hour
	type slot struct {
		grid time.Time
		slot int64
		want int64
	}
	at := func(slot int64) time.Time { return start.Add(time.Duration(slot) * 10 * time.Second) }
	for name, tc := range map[string]struct {
		highest int64
		due     time.Time
		slots   []slot
	}{
		"a new job":                            {-1, time.Time{}, []slot{{start, 0, 0}, {start, 1, 1}, {start, 5, 5}}},
		"goes on":                              {7, at(7), []slot{{start, 8, 8}, {start, 12, 12}}},
		"another has stored newer ones":        {9, at(9), []slot{{start, 8, 8}, {start, 9, 9}, {start, 10, 10}}},
		"somebody else numbered before":        {500, time.Time{}, []slot{{start, 8, 501}, {start, 9, 502}, {start, 12, 505}}},
		"goes on above those":                  {505, at(12), []slot{{start, 13, 506}, {start, 20, 513}}},
		"another has stored newer above those": {505, at(12), []slot{{start, 10, 503}, {start, 12, 505}, {start, 13, 506}}},
		"started anew":                         {20, at(20), []slot{{start.Add(hour), 0, 21}, {start.Add(hour), 3, 24}}},
		"another cadence would be another grid, and the number of the slot is high enough": {20, at(20), []slot{{start.Add(-hour), 400, 400}}},
	} {
		t.Run(name, func(t *testing.T) {
			n := numbering{highest: tc.highest, due: tc.due.UnixMicro()}
			for _, s := range tc.slots {
				due := s.grid.Add(time.Duration(s.slot) * 10 * time.Second)
				if got := n.next(&sample.Sample{Slot: s.slot, Cadence: 10 * time.Second, ScheduledAt: due}); got != s.want {
					t.Errorf("slot %d is numbered %d, want %d", s.slot, got, s.want)
				}
			}
		})
	}
}

// Two processes that measure the same slots, each missing some, never give two slots the same number.
func TestTwoProcessesNumberAlike(t *testing.T) {
	for name, highest := range map[string]int64{"slot numbers": -1, "above others": 300} {
		t.Run(name, func(t *testing.T) {
			a, b := numbering{highest: highest, due: never}, numbering{}
			numbers := map[int64]int64{}
			for slot := range int64(60) {
				s := &sample.Sample{Slot: slot, Cadence: time.Second, ScheduledAt: start.Add(time.Duration(slot) * time.Second)}
				if slot == 20 { // the second one looks up what is stored, and that is newer than what it has measured
					b = numbering{highest: a.highest, due: a.due}
					s19 := *s
					s19.Slot, s19.ScheduledAt = 18, start.Add(18*time.Second)
					if n := b.next(&s19); numbers[18] != n {
						t.Fatalf("slot 18 is numbered %d and %d", numbers[18], n)
					}
				}
				for i, n := range []*numbering{&a, &b} {
					if slot%7 == int64(i)+3 || i == 1 && slot < 20 {
						continue
					}
					number := n.next(s)
					if known, found := numbers[slot]; found && known != number {
						t.Fatalf("slot %d is numbered %d and %d", slot, known, number)
					}
					numbers[slot] = number
				}
			}
		})
	}
}

func TestForgetKeepsTheNumbersOfWhatIsHeld(t *testing.T) {
	b := newBench(t, 1, nil)
	b.box.Resume(b.jobs[0], 6)
	b.put(b.jobs[0], 7)
	b.box.Forget(b.jobs[0])
	b.box.Resume(b.jobs[0], 6)
	s := measure(b.jobs[0], 0)
	s.ScheduledAt = start.Add(time.Hour)
	b.Expect(b.box.Put(s)).To(Succeed())
	b.box.Flush(t.Context())
	b.Expect(b.text(rows, b.jobs[0])).To(Equal("7 success 17, 8 success 10"))
	b.box.Forget(b.jobs[0])
	b.Expect(b.box.jobs).To(BeEmpty())
}

func TestWhatAnEarlierProcessLeft(t *testing.T) {
	dir := t.TempDir()
	b := newBench(t, 2, func(o *Options) { o.Spool = openSpool(t, spool.Options{Dir: dir}) })
	b.put(b.jobs[0], 0, 2, 1)
	missed := measure(b.jobs[0], 3)
	missed.Status, missed.RTT = sample.Missed, nil
	b.Expect(b.box.Put(missed)).To(Succeed())
	_, _, ok := b.box.LastRTT(b.jobs[0])
	b.Expect(ok).To(BeFalse(), "it is not inherited")

	b.again(dir)
	b.put(b.jobs[0], 4)
	b.Expect(b.box.Inherited(b.jobs[0])).To(Equal(4))
	b.Expect(b.box.Inherited(b.jobs[1])).To(BeZero())
	rtt, due, ok := b.box.LastRTT(b.jobs[0])
	b.Expect(ok).To(BeTrue())
	b.Expect(rtt).To(Equal(12.0))
	b.Expect(due).To(Equal(start.Add(20 * time.Second)))
	b.Expect(b.box.deliverOnce(t.Context())).To(Succeed())
	b.Expect(b.box.Inherited(b.jobs[0])).To(BeZero())
	b.Expect(b.box.Pending(b.jobs[0])).To(Equal(1), "the new one")
	b.box.Forget(b.jobs[0])
	_, _, ok = b.box.LastRTT(b.jobs[0])
	b.Expect(ok).To(BeFalse())
}

func TestALostSampleThatWasInheritedCountsUntilItsGapIsStored(t *testing.T) {
	dir := t.TempDir()
	b := newBench(t, 1, func(o *Options) { o.Spool = openSpool(t, spool.Options{Dir: dir}) })
	b.sql(`alter table samples add constraint no_ten check (rtt_ms <> 10)`)
	b.put(b.jobs[0], 0)
	b.again(dir)
	fault := b.db.Inject(supabasetest.Fault{Match: onTable("sample_gaps"), Status: 503})
	b.Expect(b.box.deliverOnce(t.Context())).To(Succeed())
	b.Expect(b.box.deliverOnce(t.Context())).NotTo(Succeed())
	b.Expect(b.box.Inherited(b.jobs[0])).To(Equal(1))
	fault.Remove()
	b.box.Flush(t.Context())
	b.Expect(b.box.Inherited(b.jobs[0])).To(BeZero())
	b.Expect(b.text(gapRows, b.jobs[0])).To(Equal("10:00:00 to 10:00:00: 1 Lost"))
}

func TestAStoreThatComesBackIsNoticedSoon(t *testing.T) {
	for name, err := range map[string]error{
		"no answer":                &supabase.Error{},
		"asked to wait":            &supabase.Error{Status: 429, RetryAfter: 5 * time.Minute},
		"an error of another kind": http.ErrHandlerTimeout,
	} {
		retry := newBackoff()
		for range 1000 {
			if wait := delay(retry, err); wait <= 0 || wait > 12*time.Second {
				t.Fatalf("%s: %v", name, wait)
			}
		}
	}
	if wait := delay(newBackoff(), &supabase.Error{Status: 429, RetryAfter: 7 * time.Second}); wait != 7*time.Second {
		t.Errorf("asked to wait for 7 s, waits %v", wait)
	}
}
