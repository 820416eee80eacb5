package outbox

import (
	"net/http"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/soundcheck-io/latency-operator/internal/supabase"
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

// pinged are rows of samples a millisecond apart, one of each job.
func (b *bench) pinged() []supabase.Row {
	rows := make([]supabase.Row, len(b.jobs))
	for n, id := range b.jobs {
		rows[n].JobID = id
		rows[n].RecordedAt = start.Add(time.Duration(n+1) * time.Millisecond)
	}
	return rows
}

func TestLastPingAt(t *testing.T) {
	for name, tc := range map[string]struct {
		jobs, rounds int
		exact        string
		requests     int
		next         time.Duration
	}{
		"a few are exact at once":        {jobs: 25, rounds: 1, exact: "25 exact, 0 trail, 0 ahead", requests: 25, next: time.Second},
		"more share a request":           {jobs: 90, rounds: 1, exact: "1 exact, 89 trail, 0 ahead", requests: 1, next: time.Second},
		"and are made up for":            {jobs: 90, rounds: 5, exact: "90 exact, 0 trail, 0 ahead", requests: 1 + 89, next: time.Second},
		"hundreds are told now and then": {jobs: 250, rounds: 1, exact: "3 exact, 247 trail, 0 ahead", requests: 3, next: 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, tc.jobs, nil)
			b.box.touches.owe(b.pinged())
			now := start
			for range tc.rounds {
				b.Expect(b.box.touches.send(t.Context(), b.box.Store, now)).To(Succeed())
				b.Expect(b.box.touches.next.Sub(now)).To(Equal(tc.next))
				b.Expect(b.box.touches.send(t.Context(), b.box.Store, now.Add(tc.next-time.Millisecond))).To(Succeed(), "too early, so that nothing happens")
				now = b.box.touches.next
			}
			exact, requests := b.told()
			b.Expect(exact).To(Equal(tc.exact))
			b.Expect(requests).To(Equal(tc.requests))
		})
	}
}

func TestLastPingAtNeverGoesBack(t *testing.T) {
	b := newBench(t, 1, nil)
	b.sql(`update jobs set last_ping_at = '2027-01-01 00:00:00+00'`)
	b.box.touches.owe(b.pinged())
	b.Expect(b.box.touches.send(t.Context(), b.box.Store, start)).To(Succeed())
	b.Expect(b.text(`select (last_ping_at at time zone 'utc')::text from jobs`)).To(Equal("2027-01-01 00:00:00"))
}

func TestARefusedTouchHoldsUpNoOther(t *testing.T) {
	b := newBench(t, 3, nil)
	b.sql(`alter table jobs add constraint picky check (last_ping_at is null or id <> '00000000-0000-4000-8000-000000000001')`)
	b.box.touches.owe(b.pinged())
	b.Expect(b.box.touches.send(t.Context(), b.box.Store, start)).To(MatchError(ContainSubstring("picky")))
	exact, _ := b.told()
	b.Expect(exact).To(Equal("2 exact, 0 trail, 0 ahead"))
}

func TestAStoreThatIsAwayIsNotAskedForEachJob(t *testing.T) {
	b := newBench(t, 20, nil)
	fault := b.db.Inject(supabasetest.Fault{Match: func(r *http.Request) bool { return r.Method == http.MethodPatch }, Reset: true})
	b.box.touches.owe(b.pinged())
	b.Expect(b.box.touches.send(t.Context(), b.box.Store, start)).NotTo(Succeed())
	b.Expect(fault.Count()).To(Equal(1), "samples would wait for twenty requests that hang")
	fault.Remove()
	b.Expect(b.box.touches.send(t.Context(), b.box.Store, start.Add(time.Second))).To(Succeed())
	exact, _ := b.told()
	b.Expect(exact).To(Equal("20 exact, 0 trail, 0 ahead"))
}
