// Package outbox holds samples from the moment they were measured until the database has them, and gaps, which say of
// which slots there are none.
//
// What is acknowledged, when, and to whom: Put returns nil once the outbox answers for the sample, so that the caller may
// count it as measured and forget it. From then on Pending counts the sample for its job until the store has accepted it,
// has refused it for good, or lacks its job; only when Pending is 0 may a job be ended. Whoever made the sample never
// waits for the store. All this holds for PutGap and gaps as well.
//
// With a spool a sample survives the death of the process from the moment that Put returns; without one, or while it does
// not work, samples are in memory, and what is left when the process ends is lost. Delivery is repeated without end on
// everything that may pass, so with a store that knows samples by their key each is stored exactly once.
//
// A sample that is given up because of a limit, or that the store refuses for good, becomes a gap with the reason Lost, so
// that its slot has an outcome all the same.
//
// The samples of a job are delivered in the order in which they were put, however many requests are under way at once, and then
// its gaps. New samples overtake a backlog in the spool that the store is taking, and what is in memory because the spool did not
// work; while anything is overtaken, Overtaking says so.
package outbox

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/spool"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

// ErrJobGone says that the database has no such job, so that nobody will ever want the sample.
var ErrJobGone = errors.New("the job is gone from the database")

// Store is where samples go. It is safe for concurrent use. Its errors are understood by supabase.Classify.
type Store interface {
	// InsertSamples stores all or none. A sample that is there already is left as it is; known counts these, as far as the
	// store tells.
	InsertSamples(ctx context.Context, rows []supabase.Row) (known int, err error)
	// PutGaps stores all or none, each in the place of one of the job with the same beginning.
	PutGaps(ctx context.Context, gaps []sample.Gap) error
	// HighestSequences gives the sample with the highest sequence number of each of at most 100 jobs that have samples.
	HighestSequences(ctx context.Context, jobIDs []string) (map[string]supabase.Numbered, error)
	// TouchJobs moves the time of the last sample of at most supabase.TouchAtOnce jobs forward to at, and never back.
	TouchJobs(ctx context.Context, jobIDs []string, at time.Time) error
}

// Listener hears what became of samples and gaps that were not stored. It is safe for concurrent use.
type Listener interface {
	// Gone is called when the store lacks a job: what is held of it is dropped.
	Gone(jobID string)
	// Rejected is called when the store will never accept a sample or a gap of the job, with the reason.
	Rejected(jobID, why string)
	// Lost is called for each sample that will never be stored and has become a gap.
	Lost(s sample.Sample)
}

// Observer counts. Its methods must not call the outbox. It is safe for concurrent use.
type Observer interface {
	// Stored is called with the number of samples that the store accepted.
	Stored(n int)
	// Known is called with how many of these it had already: they were sent again, or another replica measured them too.
	Known(n int)
	// Rejected is called with the number of samples and gaps that it never will.
	Rejected(n int)
	// Dropped is called with the number of samples that were given up, and why: one of the Drop constants.
	Dropped(reason string, n int)
}

// The reasons for which samples are given up.
const (
	DropFull     = "full"     // the outbox or its spool was at its limit
	DropJobGone  = "job_gone" // the database has no such job
	DropShutdown = "shutdown" // the process ended before the store was back
	// DropUnreadable is for what the spool lost, and for a record that passes its checksum and is no sample.
	DropUnreadable = "unreadable"
)

// Options of an Outbox.
type Options struct {
	Store Store
	// Spool keeps records across the death of the process; nil keeps them in memory. Its option Dropped has to be GivenUp.
	Spool *spool.Spool
	// Expired are the records that the spool gave up while it was opened, before there was an Outbox to tell.
	Expired  [][]byte
	Listener Listener
	Observer Observer
	Clock    clock.Clock
	Log      logr.Logger
	// Limit is how many samples are held in memory for want of a spool at most; the oldest are given up for newer ones.
	Limit int
	// Batch is how many samples or gaps one request carries at most; more than that are sent with several at once.
	Batch int
	// Linger is how long the first sample of a batch waits for others.
	Linger time.Duration
	// Trail is how far the jobs' last_ping_at may lag in a large installation.
	Trail time.Duration
}

// Outbox is safe for concurrent use. Run and Flush must not run at the same time.
type Outbox struct {
	Options

	wake chan struct{} // holds a token when a waiting Run should look again

	mu      sync.Mutex
	jobs    map[jobKey]*job
	held    int            // what all of them have pending
	spooled int            // records of the spool that were not read yet
	queue   []supabase.Row // samples in memory
	gaps    gapList        // gaps in memory
	since   time.Time      // from when on they linger: when the oldest was put, or the last batch was taken
	lane    lane           // the samples that overtake what is in the spool
	oldest  time.Time      // what is held was not measured before, as far as it is in the spool or in a batch
	trouble Trouble
	record  []byte          // room for a record that is being made
	lost    []sample.Sample // of which the listener has not been told
	flowing bool            // the newest delivery succeeded
	limit   int             // of a request; smaller than Batch after the store found one too large

	backlog             // what is remembered about the records of the spool
	spoolTrouble string // why the spool does not work; empty when it does

	touches *touches // with a lock of its own, which may be taken while mu is held

	// Of the delivering goroutine alone.
	batch batch
	turn  bool      // of what is in memory
	acked time.Time // when the spool was told last
}

// Trouble is why samples cannot be delivered; the zero Trouble says that they can.
type Trouble struct {
	Class supabase.Class
	// Message is one sentence.
	Message string
	// Since is when delivery failed first.
	Since time.Time
}

// New gives an Outbox that holds what its spool does. Nothing is delivered before Run.
func New(opts Options) *Outbox {
	o := &Outbox{
		Options: opts, wake: make(chan struct{}, 1), limit: opts.Batch,
		jobs: map[jobKey]*job{}, gaps: newGapList(), lane: lane{ahead: map[slotKey]passage{}}, backlog: newBacklog(),
		touches: newTouches(opts.Trail, opts.Linger, opts.Clock.Now()),
	}
	if o.Spool != nil {
		o.recover()
	}
	o.expire(opts.Expired)
	return o
}

// tellLost tells the listener which samples became gaps: not where that happens, because there it may hold locks of its own.
func (o *Outbox) tellLost() {
	o.mu.Lock()
	lost := o.lost
	o.lost = nil
	o.mu.Unlock()
	for _, s := range lost {
		o.Listener.Lost(s)
	}
}

// Put takes responsibility for a sample, or says ErrJobGone. It never waits for the store.
func (o *Outbox) Put(s sample.Sample) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	j := o.job(s.JobID)
	if j.gone {
		return ErrJobGone
	}
	j.over = false
	row := supabase.Row{Sample: s}
	j.number(&row)
	before := o.queued()
	o.hold(j)
	o.keep(j, &row)
	o.nudge(before)
	return nil
}

// Status is how the outbox stands.
type Status struct {
	// Held counts the samples and gaps that it answers for.
	Held int
	// Oldest is when the first of them was measured or put; zero without one. None of them was measured earlier than that by
	// more than a poll takes.
	Oldest time.Time
	// Trouble is why they cannot be delivered.
	Trouble Trouble
	// Bytes is how much disk the spool takes, and SpoolTrouble why it does not work; empty when it does, or when there is
	// none.
	Bytes        int64
	SpoolTrouble string
}

// Status is how the outbox stands now.
func (o *Outbox) Status() Status {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := Status{Held: o.held, Trouble: o.trouble, SpoolTrouble: o.spoolTrouble}
	if o.held > 0 {
		s.Oldest = o.oldest
	}
	if len(o.queue) > 0 && o.queue[0].RecordedAt.Before(s.Oldest) {
		s.Oldest = o.queue[0].RecordedAt // it came while the spool did not work, and newer ones may overtake it
	}
	if o.Spool != nil {
		s.Bytes = o.Spool.Stats().Bytes
	}
	return s
}

// nudge has a waiting Run look again when the first record is there, or enough for a batch. It is told how many there were
// before. The caller holds mu.
func (o *Outbox) nudge(before int) {
	if before > 0 && o.queued() < o.Batch {
		return
	}
	select {
	case o.wake <- struct{}{}:
	default:
	}
}
