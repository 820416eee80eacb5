package outbox

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	"k8s.io/utils/clock"

	"github.com/soundcheck-io/latency-operator/internal/pgtest"
	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var start = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

// heard is what listener and observer were told.
type heard struct {
	mu       sync.Mutex
	stored   int
	known    int
	rejected []string
	lost     []sample.Sample
	gone     []string
	dropped  map[string]int
}

func (h *heard) Gone(id string)        { h.note(func() { h.gone = append(h.gone, id) }) }
func (h *heard) Rejected(id, _ string) { h.note(func() { h.rejected = append(h.rejected, id) }) }
func (h *heard) Lost(s sample.Sample)  { h.note(func() { h.lost = append(h.lost, s) }) }

func (h *heard) note(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

// counts is the Observer side of heard, whose Rejected has another signature.
type counts struct{ *heard }

func (c counts) Stored(n int)                 { c.note(func() { c.stored += n }) }
func (c counts) Known(n int)                  { c.note(func() { c.known += n }) }
func (c counts) Rejected(int)                 {}
func (c counts) Dropped(reason string, n int) { c.note(func() { c.dropped[reason] += n }) }

func (h *heard) total() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.stored
}

// bench is an outbox in front of a database.
type bench struct {
	*WithT
	t   *testing.T
	db  *supabasetest.Server
	box *Outbox
	*heard
	jobs []string
}

func newBench(t *testing.T, jobs int, change func(*Options), opts ...supabasetest.Option) *bench {
	t.Helper()
	b := &bench{WithT: NewWithT(t), t: t, db: supabasetest.New(t, opts...), heard: &heard{dropped: map[string]int{}}}
	credentials, err := supabase.NewCredentials(supabase.Source{Value: b.db.SecretKey()}, supabase.Source{}, clock.RealClock{})
	b.Expect(err).NotTo(HaveOccurred())
	store, err := supabase.New(supabase.Options{URL: b.db.URL(), Credentials: credentials, UserAgent: "test/1", Observer: deaf{}, Clock: clock.RealClock{}})
	b.Expect(err).NotTo(HaveOccurred())
	options := Options{
		Store: store, Listener: b.heard, Observer: counts{b.heard}, Clock: clock.RealClock{}, Log: logr.Discard(),
		Limit: 10_000, Batch: 500, Linger: 10 * time.Millisecond, Trail: 30 * time.Second,
	}
	if change != nil {
		change(&options)
	}
	b.box = New(options)
	for n := range jobs {
		id := fmt.Sprintf("00000000-0000-4000-8000-%012d", n+1)
		b.sql(`insert into jobs (id, account_number, monitoring_mode) values ($1, 'A-1', 'real_polling')`, id)
		b.jobs = append(b.jobs, id)
	}
	return b
}

type deaf struct{}

func (deaf) Requested(string, int, time.Duration) {}
func (deaf) ClockSkew(time.Duration)              {}

func (b *bench) sql(statement string, args ...any) {
	b.t.Helper()
	b.Expect(b.db.Exec(b.t.Context(), statement, args...)).To(Succeed())
}

func (b *bench) text(query string, args ...any) string {
	b.t.Helper()
	out, err := b.db.Text(b.t.Context(), query, args...)
	b.Expect(err).NotTo(HaveOccurred())
	return out
}

// run delivers until the test ends.
func (b *bench) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); b.box.Run(ctx) }()
	stop = func() { cancel(); <-done }
	b.t.Cleanup(stop)
	return stop
}

// measure is the sample of a slot, ten seconds apart.
func measure(jobID string, slot int64) sample.Sample {
	at := start.Add(time.Duration(slot) * 10 * time.Second)
	rtt := 10 + float64(slot)
	return sample.Sample{JobID: jobID, Slot: slot, Cadence: 10 * time.Second, ScheduledAt: at, RecordedAt: at.Add(time.Millisecond), Status: sample.Success, RTT: &rtt}
}

func (b *bench) put(jobID string, slots ...int64) {
	b.t.Helper()
	for _, slot := range slots {
		b.Expect(b.box.Put(measure(jobID, slot))).To(Succeed())
	}
}

func (b *bench) settled() {
	b.t.Helper()
	b.Eventually(func() int { return b.box.Status().Held }, 20*time.Second, 5*time.Millisecond).Should(BeZero())
}

const rows = `select coalesce(string_agg(sequence_number || ' ' || status || ' ' || coalesce(rtt_ms::text, '-'), ', ' order by sequence_number), 'none') from samples where job_id = $1`

func TestSamplesAreStored(t *testing.T) {
	b := newBench(t, 2, nil)
	b.put(b.jobs[0], 0, 1)
	b.put(b.jobs[1], 7)
	b.Expect(b.box.Pending(b.jobs[0])).To(Equal(2))
	b.run()
	b.settled()
	b.Expect(b.box.Pending(b.jobs[0])).To(BeZero())
	b.Expect(b.text(rows, b.jobs[0])).To(Equal("0 success 10, 1 success 11"))
	b.Expect(b.text(rows, b.jobs[1])).To(Equal("7 success 17"))
	b.Eventually(func() string {
		return b.text(`select (last_ping_at at time zone 'utc')::text from jobs where id = $1`, b.jobs[0])
	}).
		Should(Equal("2026-11-23 10:00:10.001"))
	inserts := 0
	for _, r := range b.db.Requests() {
		if r.Method == http.MethodPost {
			inserts++
		}
	}
	b.Expect(inserts).To(Equal(1), "one request for all")
}

func TestNumbersStayAboveTheHighest(t *testing.T) {
	b := newBench(t, 2, nil)
	b.sql(`insert into samples (job_id, sequence_number, status) select $1, n % 41, 'missed' from generate_series(1, 2500) n`, b.jobs[0])
	b.put(b.jobs[0], 3, 4, 60)
	b.put(b.jobs[1], 3)
	b.run()
	b.settled()
	const ours = `select string_agg(sequence_number::text, ' ' order by scheduled_at) from samples where job_id = $1 and scheduled_at is not null`
	b.Expect(b.text(ours, b.jobs[0])).To(Equal("41 42 98"), "once above the slots, always by as much")
	b.Expect(b.text(ours, b.jobs[1])).To(Equal("3"))
	// A grid that begins anew has small numbers again.
	s := measure(b.jobs[0], 0)
	s.ScheduledAt = start.Add(time.Hour)
	b.Expect(b.box.Put(s)).To(Succeed())
	b.settled()
	b.Expect(b.text(ours, b.jobs[0])).To(Equal("41 42 98 99"))
}

// faults are what may go wrong without a sample being lost or stored twice.
var faults = map[string]supabasetest.Fault{
	"connection reset":         {Reset: true, Times: 2},
	"answer lost after commit": {AfterCommit: true, Times: 2},
	"HTML from Cloudflare":     {Status: 522, ContentType: "text/html", Body: "<html>", Times: 2},
	"rate limited":             {Status: 429, Times: 1},
	"null":                     {Status: 500, ContentType: "application/json", Body: "null", Times: 2},
	"key refused for a while":  {Status: 401, Times: 2},
	"read-only":                {Status: 405, ContentType: "application/json", Body: `{"code":"25006","message":"read-only"}`, Times: 2},
	"pool exhausted":           {Status: 504, ContentType: "application/json", Body: `{"code":"PGRST003","message":"Timed out"}`, Times: 2},
	"statement timeout":        {Status: 500, ContentType: "application/json", Body: `{"code":"57014","message":"timeout"}`, Times: 3},
	"too large":                {Status: 413, Times: 2},
	"constraint not there yet": {Status: 400, ContentType: "application/json", Body: `{"code":"42P10","message":"no constraint"}`, Times: 2},
}

func TestFaultsCostNothing(t *testing.T) {
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, 3, nil)
			fault.Match = func(r *http.Request) bool { return r.Method == http.MethodPost }
			injected := b.db.Inject(fault)
			for n := range int64(10) {
				for _, id := range b.jobs {
					b.put(id, n)
				}
			}
			b.run()
			b.settled()
			b.Expect(injected.Count()).To(Equal(fault.Times))
			b.Expect(b.text(`select count(*) || ' of ' || count(distinct (job_id, sequence_number)) from samples`)).To(Equal("30 of 30"))
			b.Expect(b.total()).To(Equal(30))
			b.Expect(b.known).To(Equal(map[bool]int{true: 30}[fault.AfterCommit]), "stored already when it was sent again")
			b.Expect(b.box.Status().Trouble).To(BeZero())
		})
	}
}

func TestTroubleIsNamedWhileItLasts(t *testing.T) {
	b := newBench(t, 1, nil)
	injected := b.db.Inject(supabasetest.Fault{Status: 401, ContentType: "application/json", Body: `{"message":"Invalid API key"}`})
	b.put(b.jobs[0], 0)
	b.run()
	b.Eventually(func() Trouble { return b.box.Status().Trouble }, "5s").Should(And(
		HaveField("Class", supabase.KeyRefused), HaveField("Message", ContainSubstring("Invalid API key"))))
	injected.Remove()
	b.Eventually(func() Trouble { return b.box.Status().Trouble }, "10s").Should(BeZero())
}

func TestAPoisonRowIsSetAside(t *testing.T) {
	b := newBench(t, 2, nil)
	b.sql(`alter table samples add constraint no_forty check (rtt_ms <> 40)`)
	for n := range int64(100) {
		b.put(b.jobs[n%2], n)
	}
	b.run()
	b.settled()
	b.Expect(b.text(`select count(*) || ' without ' || 100 - count(*) || ': ' || bool_or(sequence_number = 30) from samples`)).To(Equal("99 without 1: false"))
	b.Expect(b.rejected).To(Equal([]string{b.jobs[0]}))
	b.Expect(b.text(gapRows, b.jobs[0])).To(Equal("10:05:00 to 10:05:00: 1 Lost"))
}

func TestTheSamplesOfADeletedJobAreDropped(t *testing.T) {
	b := newBench(t, 3, nil)
	b.sql(`delete from jobs where id = $1`, b.jobs[1])
	for n := range int64(10) {
		for _, id := range b.jobs {
			b.put(id, n)
		}
	}
	b.run()
	b.settled()
	b.Expect(b.text(`select count(*) || ' of ' || count(distinct job_id) from samples`)).To(Equal("20 of 2"))
	b.Expect(b.gone).To(Equal([]string{b.jobs[1]}))
	b.Expect(b.dropped).To(Equal(map[string]int{DropJobGone: 10}))
	b.Expect(b.box.Put(measure(b.jobs[1], 11))).To(MatchError(ErrJobGone))
	b.box.Forget(b.jobs[1])
	b.Expect(b.box.Put(measure(b.jobs[1], 11))).To(Succeed())
}

func TestWithoutScheduledAtItWorksOnTheSeedsColumns(t *testing.T) {
	b := newBench(t, 0, nil, supabasetest.WithoutMigrations(), supabasetest.WithSQL(seed))
	id := b.text(`insert into jobs (account_number, monitoring_mode) values ('A-1', 'real_polling') returning id::text`)
	b.put(id, 0, 1)
	b.run()
	b.settled()
	b.Expect(b.text(rows, id)).To(Equal("0 success 10, 1 success 11"))
	// The migrations are applied while it runs.
	b.Expect(supabasetest.Migrate(t.Context(), b.db.DSN())).To(Succeed())
	b.Expect(b.db.ReloadSchema(t.Context())).To(Succeed())
	b.box.Store.(*supabase.Client).RecheckSchema()
	b.put(id, 2)
	b.settled()
	b.Expect(b.text(`select string_agg(sequence_number || coalesce(' ' || (scheduled_at at time zone 'utc')::text, ''), ', ' order by sequence_number) from samples`)).
		To(Equal("0, 1, 2 2026-11-23 10:00:20"))
}

// seed is the app's tables as they are without the operator's migrations.
const seed = `
	create table jobs (id uuid primary key default gen_random_uuid(), account_number text, target_ip text, cadence_seconds int, duration_minutes int,
		status text default 'running', monitoring_mode text default 'simulated', started_at timestamptz default now(), completed_at timestamptz);
	create table samples (id uuid primary key default gen_random_uuid(), job_id uuid references jobs (id), sequence_number int, status text, rtt_ms numeric);
	grant all on jobs, samples to service_role`

func TestTheOldestIsGivenUpWhenFull(t *testing.T) {
	b := newBench(t, 1, func(o *Options) { o.Limit = 3 })
	b.put(b.jobs[0], 0, 1, 2, 3, 4)
	b.Expect(b.box.Pending(b.jobs[0])).To(Equal(3+1), "one gap for what was given up")
	b.Expect(b.dropped).To(Equal(map[string]int{DropFull: 2}))
	b.run()
	b.settled()
	b.Expect(b.text(rows, b.jobs[0])).To(Equal("2 success 12, 3 success 13, 4 success 14"))
	b.Expect(b.text(gapRows, b.jobs[0])).To(Equal("10:00:00 to 10:00:10: 2 Lost"))
}

func TestFlushSendsWhatIsLeft(t *testing.T) {
	b := newBench(t, 1, func(o *Options) { o.Linger = time.Hour })
	stop := b.run()
	b.put(b.jobs[0], 0, 1)
	stop()
	b.Expect(b.text(rows, b.jobs[0])).To(Equal("none"))
	b.box.Flush(t.Context())
	b.Expect(b.text(rows, b.jobs[0])).To(Equal("0 success 10, 1 success 11"))
	b.Expect(b.text(`select (last_ping_at at time zone 'utc')::text from jobs`)).To(Equal("2026-11-23 10:00:10.001"))
}

func TestAnEndDuringARequestDoublesNothingEvenWithoutAKey(t *testing.T) {
	b := newBench(t, 0, nil, supabasetest.WithoutMigrations(), supabasetest.WithSQL(seed))
	id := b.text(`insert into jobs (account_number, monitoring_mode) values ('A-1', 'real_polling') returning id::text`)
	slow := b.db.Inject(supabasetest.Fault{Match: func(r *http.Request) bool { return r.Method == http.MethodPost }, Delay: 300 * time.Millisecond})
	b.put(id, 0, 1, 2)
	stop := b.run()
	b.Eventually(slow.Count).Should(Equal(1))
	stop()
	b.put(id, 3)
	b.box.Flush(t.Context())
	b.Expect(b.text(rows, id)).To(Equal("0 success 10, 1 success 11, 2 success 12, 3 success 13"))
}

func TestANumberSurvivesTheEndOfRun(t *testing.T) {
	b := newBench(t, 1, nil)
	fault := b.db.Inject(supabasetest.Fault{Match: func(r *http.Request) bool { return r.Method == http.MethodPost }, Status: 503})
	b.put(b.jobs[0], 0, 1, 2)
	stop := b.run()
	b.Eventually(fault.Count).Should(BeNumerically(">=", 1))
	stop()
	fault.Remove()
	b.box.Flush(t.Context())
	b.Expect(b.text(rows, b.jobs[0])).To(Equal("0 success 10, 1 success 11, 2 success 12"))
}

func TestWhoeverResumesNeedNotAsk(t *testing.T) {
	b := newBench(t, 2, nil)
	b.box.Resume(b.jobs[0], 6)
	b.put(b.jobs[0], 7)
	b.run()
	b.settled()
	b.Expect(b.box.Highest(b.jobs[0])).To(Equal(int64(7)))
	b.Expect(b.box.Highest(b.jobs[1])).To(Equal(int64(-1)))
	for _, r := range b.db.Requests() {
		b.Expect(r.Query.Get("order")).NotTo(ContainSubstring("sequence_number"))
	}
}

func TestAViolationOfAnotherForeignKeyIsNoDeletedJob(t *testing.T) {
	b := newBench(t, 1, nil)
	b.db.Inject(supabasetest.Fault{Times: 1, Match: func(r *http.Request) bool { return r.Method == http.MethodPost }, Status: 409, ContentType: "application/json",
		Body: `{"code":"23503","message":"violates foreign key","details":"Key (poller)=(7) is not present in table \"pollers\"."}`})
	b.put(b.jobs[0], 0)
	b.run()
	b.settled()
	b.Expect(b.gone).To(BeEmpty())
	b.Expect(b.rejected).To(Equal([]string{b.jobs[0]}))
}

func TestFlushGivesUpWhenItsTimeIsOverAndSaysHowMuch(t *testing.T) {
	b := newBench(t, 1, nil)
	b.db.Inject(supabasetest.Fault{Hang: true})
	b.put(b.jobs[0], 0, 1)
	b.box.Flush(ended(t))
	b.Expect(b.dropped).To(Equal(map[string]int{DropShutdown: 2}))
}

// ended is a context that ends soon.
func ended(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}
