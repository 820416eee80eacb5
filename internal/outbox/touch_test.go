package outbox

import (
	"net/http"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest"
)

// told counts the jobs whose last_ping_at is that of their newest sample, and the requests for it.
func (b *bench) told() (exact string, requests int) {
	b.t.Helper()
	for _, r := range b.db.Requests() {
		if r.Method == http.MethodPatch {
			requests++
		}
	}
	return b.text(`select count(*) filter (where last_ping_at = newest) || ' exact, ' || count(*) filter (where last_ping_at < newest) || ' trail, ' || count(*) filter (where last_ping_at > newest) || ' ahead'
		from jobs join (select right(id::text, 12)::int * interval '1 ms' + $1::timestamptz as newest, id from jobs) n using (id)`, start), requests
}

// owing is a bench to whose jobs a sample each is owed, a millisecond apart.
func owing(t *testing.T, jobs int) (*bench, *clocktesting.FakeClock) {
	t.Helper()
	clk := clocktesting.NewFakeClock(start)
	b := newBench(t, jobs, func(o *Options) { o.Clock, o.Linger = clk, time.Second })
	stored := make([]touch, len(b.jobs))
	for n, id := range b.jobs {
		stored[n] = touch{b.box.job(id), start.Add(time.Duration(n+1) * time.Millisecond).UnixMicro(), 10 * time.Second}
	}
	b.box.touches.owe(stored, clk.Now())
	return b, clk
}

func TestLastPingAt(t *testing.T) {
	const soon, never = time.Second, -1
	for name, tc := range map[string]struct {
		jobs, rounds int
		after        time.Duration // the rounds took that long
		exact        string
		requests     int
		next         time.Duration // until the next
	}{
		"a few are exact at once":       {25, 1, 0, "25 exact, 0 trail, 0 ahead", 25, never},
		"more share a request":          {90, 1, 0, "1 exact, 89 trail, 0 ahead", 1, soon},
		"and are made up for":           {90, 5, 4 * time.Second, "90 exact, 0 trail, 0 ahead", 1 + 89, never},
		"as many as a request can name": {190, 1, 0, "1 exact, 189 trail, 0 ahead", 1, soon},
		"hundreds wait for a while":     {500, 1, 9500 * time.Millisecond, "1 exact, 189 trail, 0 ahead", 1, 4750 * time.Millisecond},
		"and get their turn":            {500, 3, 15250 * time.Millisecond, "3 exact, 497 trail, 0 ahead", 3, 13250 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			b, clk := owing(t, tc.jobs)
			began := clk.Now()
			wait, owing := b.box.touches.due(clk.Now())
			for range tc.rounds {
				if wait > 0 {
					clk.Step(wait - time.Microsecond)
					b.Expect(b.box.pay(t.Context())).To(BeZero(), "it is too early")
					clk.Step(time.Microsecond)
				}
				b.Expect(b.box.pay(t.Context())).NotTo(BeZero())
				wait, owing = b.box.touches.due(clk.Now())
			}
			if !owing {
				wait = never
			}
			exact, requests := b.told()
			b.Expect(exact).To(Equal(tc.exact))
			b.Expect(requests).To(Equal(tc.requests))
			b.Expect([]time.Duration{clk.Now().Sub(began), wait}).To(Equal([]time.Duration{tc.after, tc.next}))
		})
	}
}

func TestLastPingAtNeverGoesBack(t *testing.T) {
	b, _ := owing(t, 1)
	b.sql(`update jobs set last_ping_at = '2027-01-01 00:00:00+00'`)
	b.Expect(b.box.pay(t.Context())).To(Equal(1))
	b.Expect(b.text(`select (last_ping_at at time zone 'utc')::text from jobs`)).To(Equal("2027-01-01 00:00:00"))
}

func TestARefusedTouchHoldsUpNoOther(t *testing.T) {
	for jobs, want := range map[int]string{
		3:  "2 exact, 0 trail, 0 ahead",
		90: "1 exact, 88 trail, 0 ahead",
	} {
		b, clk := owing(t, jobs)
		b.sql(`alter table jobs add constraint picky check (last_ping_at is null or id <> '00000000-0000-4000-8000-000000000002')`)
		_, err := b.box.pay(t.Context())
		b.Expect(err).NotTo(HaveOccurred())
		exact, _ := b.told()
		b.Expect(exact).To(Equal(want))
		b.Expect(b.box.touches.count).To(Equal(1), "it is tried again")
		// It is at the end of the process too, but not for ever.
		b.box.flushTouches(t.Context())
		clk.Step(time.Second)
		b.sql(`alter table jobs drop constraint picky`)
		b.box.flushTouches(t.Context())
		exact, _ = b.told()
		b.Expect(exact).To(HavePrefix(map[int]string{3: "3 exact", 90: "90 exact"}[jobs]))
	}
}

func TestAStoreThatIsAwayIsNotAskedForEachJob(t *testing.T) {
	b, clk := owing(t, 20)
	fault := b.db.Inject(supabasetest.Fault{Match: func(r *http.Request) bool { return r.Method == http.MethodPatch }, Reset: true})
	_, err := b.box.pay(t.Context())
	b.Expect(err).To(HaveOccurred())
	b.Expect(fault.Count()).To(BeNumerically("<=", senders), "twenty requests might hang")
	fault.Remove()
	clk.Step(time.Second)
	b.Expect(b.box.pay(t.Context())).To(Equal(20))
	exact, _ := b.told()
	b.Expect(exact).To(Equal("20 exact, 0 trail, 0 ahead"))
}

// What hundreds of jobs are owed must not keep samples waiting.
func TestSamplesDoNotWaitForTouches(t *testing.T) {
	b := newBench(t, 3, nil)
	slow := b.db.Inject(supabasetest.Fault{Match: func(r *http.Request) bool { return r.Method == http.MethodPatch }, Delay: 3 * time.Second, Times: 1})
	b.run()
	b.put(b.jobs[0], 0)
	b.Eventually(slow.Count, "10s").Should(Equal(1))
	b.put(b.jobs[1], 0)
	b.put(b.jobs[0], 1)
	b.settled()
	const exact = `select string_agg((last_ping_at at time zone 'utc')::time::text, ' ' order by id) from jobs`
	b.Expect(b.text(`select count(*)::text from samples`) + " " + b.text(exact)).To(Equal("3 null"))
	b.Eventually(func() string { return b.text(exact) }, "10s").Should(Equal("10:00:10.001 10:00:00.001"))
}

func TestNothingIsOwedToAJobThatIsGone(t *testing.T) {
	b, _ := owing(t, 3)
	b.box.dropJob(b.jobs[1])
	b.Expect(b.box.pay(t.Context())).To(Equal(2))
	exact, _ := b.told()
	b.Expect(exact).To(Equal("2 exact, 0 trail, 0 ahead"))
	_, owing := b.box.touches.due(b.box.Clock.Now())
	b.Expect(owing).To(BeFalse())
}

func TestFlushPaysHoweverManyThereAre(t *testing.T) {
	for jobs, want := range map[int]string{90: "90 exact, 0 trail, 0 ahead", 500: "3 exact, 497 trail, 0 ahead"} {
		b, _ := owing(t, jobs)
		b.box.Flush(t.Context())
		exact, _ := b.told()
		b.Expect(exact).To(Equal(want))
	}
}
