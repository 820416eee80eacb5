// Package outbox holds samples from the moment they were measured until the database has them.
//
// What is acknowledged, when, and to whom: Put returns nil once the outbox answers for the sample, so that the caller may
// count it as measured and forget it. From then on Pending counts the sample for its job until the store has accepted it,
// has refused it for good, or lacks its job; only when Pending is 0 may a job be ended. Whoever made the sample never
// waits for the store.
//
// With a spool a sample survives the death of the process from the moment that Put returns; without one, or while it does
// not work, samples are in memory, and what is left when the process ends is lost. Delivery is repeated without end on
// everything that may pass, so with a store that knows samples by their key each is stored exactly once.
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

// Store is where samples go. Its errors are understood by supabase.Classify.
type Store interface {
	// InsertSamples stores all or none. A sample that is there already is left as it is.
	InsertSamples(ctx context.Context, rows []supabase.Row) error
	// HighestSequences gives the highest sequence number of each of at most 100 jobs that have samples.
	HighestSequences(ctx context.Context, jobIDs []string) (map[string]int64, error)
	// TouchJobs moves the time of the last sample of at most 100 jobs forward to at, and never back.
	TouchJobs(ctx context.Context, jobIDs []string, at time.Time) error
}

// Listener hears what became of samples that were not stored.
type Listener interface {
	// Gone is called when the store lacks a job: its samples are dropped.
	Gone(jobID string)
	// Rejected is called when the store will never accept a sample of the job, with the reason.
	Rejected(jobID, why string)
}

// Observer counts. Its methods must not call the outbox.
type Observer interface {
	// Stored is called with the number of samples that the store accepted.
	Stored(n int)
	// Rejected is called with the number of samples that it never will.
	Rejected(n int)
	// Dropped is called with the number of samples that were given up, and why: DropFull, DropJobGone or DropShutdown.
	Dropped(reason string, n int)
}

// The reasons for which samples are given up.
const (
	DropFull     = "full"     // the outbox was at its limit
	DropJobGone  = "job_gone" // the database has no such job
	DropShutdown = "shutdown" // the process ended before the store was back
	// DropUnreadable is for what the spool lost, and for a record that passes its checksum and is no sample.
	DropUnreadable = "unreadable"
)

// Options of an Outbox.
type Options struct {
	Store Store
	// Spool keeps samples across the death of the process; nil keeps them in memory. Its option Dropped has to be GivenUp.
	Spool    *spool.Spool
	Listener Listener
	Observer Observer
	Clock    clock.Clock
	Log      logr.Logger
	// Limit is how many samples are held in memory at most; the oldest are given up for newer ones.
	Limit int
	// Batch is how many samples one request carries at most.
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
	spooled int             // samples of the spool that no batch has yet
	queue   []sample.Sample // in memory
	since   time.Time       // when the oldest sample of these was put
	held    int             // in all of them and in the batch that is being delivered
	oldest  time.Time       // when the oldest of the batch was measured; zero without a batch
	pending map[string]int
	gone    map[string]bool
	trouble Trouble
	// sequences is the highest number given to a sample of each job.
	sequences map[string]int64
	// readTo is where the batch ends in the spool, and reading what was read and is not acknowledged.
	readTo  spool.Position
	reading map[sampleKey]bool
	// spoolTrouble is why the spool does not work; empty when it does.
	spoolTrouble string

	// Of the delivering goroutine alone.
	batch     []supabase.Row
	fromSpool bool      // the batch is
	acked     time.Time // when the spool was told last
	limit     int       // of a batch; smaller than Batch after the store found one too large
	touches   touches
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
		pending: map[string]int{}, gone: map[string]bool{}, sequences: map[string]int64{},
		touches: touches{owed: map[string]time.Time{}, inexact: map[string]time.Time{}, trail: opts.Trail},
	}
	if o.Spool != nil {
		o.recover()
	}
	return o
}

// Put takes responsibility for a sample, or says ErrJobGone. It never waits for the store.
func (o *Outbox) Put(s sample.Sample) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.gone[s.JobID] {
		return ErrJobGone
	}
	o.keep(&s)
	if n := o.queued(); n == 1 || n >= o.Batch {
		o.nudge()
	}
	return nil
}

// Pending counts the samples of a job that the outbox answers for.
func (o *Outbox) Pending(jobID string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.pending[jobID]
}

// Forget drops what is remembered about a job that is over, or that was gone and is there again. Its samples stay.
func (o *Outbox) Forget(jobID string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.gone, jobID)
	delete(o.sequences, jobID)
}

// Status is how the outbox stands.
type Status struct {
	// Held counts the samples that it answers for.
	Held int
	// Oldest is when the oldest of them was measured; zero without one.
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
	s := Status{Held: o.held, Oldest: o.oldest, Trouble: o.trouble, SpoolTrouble: o.spoolTrouble}
	if s.Oldest.IsZero() && o.queued() > 0 {
		s.Oldest = o.since
	}
	if o.Spool != nil {
		s.Bytes = o.Spool.Stats().Bytes
	}
	return s
}

// settle ends the responsibility for one sample of a job. The caller holds mu.
func (o *Outbox) settle(jobID string) {
	o.held--
	if o.pending[jobID]--; o.pending[jobID] <= 0 {
		delete(o.pending, jobID)
	}
}

func (o *Outbox) nudge() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}
