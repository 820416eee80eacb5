package controllers

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/soundcheck-io/latency-operator/internal/ledger"
	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

const (
	// auditChunk is how many jobs are asked about at once, and auditSpread how far apart their accounts may end: what is older
	// than one's own account is read in vain.
	auditChunk  = 50
	auditSpread = 10 * time.Minute
	// auditRows is about how many rows are read at once, which are held in memory.
	auditRows = 20_000
	// collect is how long a round waits for more jobs: at a start all of them come within moments.
	collect = 20 * time.Millisecond
	// firstAudit and lastAudit bound the time between two rounds while something remains unknown.
	firstAudit = 500 * time.Millisecond
	lastAudit  = 8 * time.Second
)

// History tells what the database has of jobs.
type History interface {
	// SamplesSince gives the samples of at most 50 jobs that were due after an instant each, by job and due time.
	SamplesSince(ctx context.Context, since map[string]time.Time) ([]supabase.Stored, error)
	// GapsSince gives the gaps of at most 50 jobs that end after an instant each, by job and beginning.
	GapsSince(ctx context.Context, since map[string]time.Time) ([]sample.Gap, error)
}

// Auditor finds out what became of slots that this process did not see: it asks the database, many jobs at a time, and
// gives a gap to those that have no outcome there. It is a Runnable of the manager.
type Auditor struct {
	Clock    clock.Clock
	Log      logr.Logger
	Board    *Board
	Outbox   Outbox
	Observer Observer
	History  History
	Peers    Peers
	Statuses *StatusReconciler
	// Keyed tells whether the database can know slots at all; true while that is not known.
	Keyed func() bool
	// Wake has a job decided about now.
	Wake func(jobID string)

	need nudge

	mu   sync.Mutex
	open map[string]*entry // the jobs about which something may be unknown
}

// NewAuditor gives an Auditor whose fields are still to be set.
func NewAuditor() *Auditor { return &Auditor{need: newNudge(), open: map[string]*entry{}} }

// NeedLeaderElection says that every process asks about its own jobs.
func (a *Auditor) NeedLeaderElection() bool { return false }

// Need says that something is unknown about a job.
func (a *Auditor) Need(jobID string, e *entry) {
	a.mu.Lock()
	a.open[jobID] = e
	a.mu.Unlock()
	a.need.give()
}

// Start asks until ctx ends.
func (a *Auditor) Start(ctx context.Context) error {
	wait := firstAudit
	for ctx.Err() == nil {
		again := a.Clock.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-a.need:
			wait = firstAudit
			pause(ctx, a.Clock, collect)
		case <-again.C():
			wait = min(2*wait, lastAudit)
		}
		again.Stop()
		if !a.round(ctx) {
			wait = time.Hour
		}
	}
	return nil
}

// question is what is unknown about a job.
type question struct {
	id    string
	entry *entry
	after time.Time
	parts int   // to see whether more has become unknown since
	rows  int64 // that the answer may have
}

// round asks once about everything that is unknown, and tells whether something remains so. Jobs about which there is no
// answer do not keep the others from theirs; a database that is away does.
func (a *Auditor) round(ctx context.Context) (remains bool) {
	questions, remains := a.questions()
	for len(questions) > 0 && ctx.Err() == nil {
		n := a.together(questions)
		err := jointly(questions[:n], func(some []question) error { return a.ask(ctx, some) })
		if err != nil {
			remains = true
			a.Log.V(1).Info("What became of earlier slots cannot be looked up at present", "error", err.Error())
		}
		if !goesOn(err) {
			a.release(questions)
			return remains
		}
		a.release(questions[:n])
		questions = questions[n:]
	}
	return remains
}

// together is how many of the questions, the oldest first, are asked at once.
func (a *Auditor) together(questions []question) int {
	n, rows := 1, questions[0].rows
	for n < min(auditChunk, len(questions)) && questions[n].after.Sub(questions[0].after) <= auditSpread {
		if rows += questions[n].rows; rows > auditRows {
			break
		}
		n++
	}
	return n
}

// questions lists what is unknown, the oldest first. What an earlier process measured of a job, or another from which the job
// came, has to be in the database before that is asked; until then the job goes on without an answer, and waiting is true.
func (a *Auditor) questions() (list []question, waiting bool) {
	a.mu.Lock()
	open := maps.Clone(a.open)
	a.mu.Unlock()
	for id, e := range open {
		e.mu.Lock()
		after, parts := e.ledger.Asks()
		q := question{id: id, entry: e, after: after, parts: parts, rows: e.ledger.Unknown()}
		since := e.since
		e.mu.Unlock()
		switch {
		case parts == 0, a.Board.lookup(id) != e:
			a.settled(id, e)
		case !since.IsZero() && !a.Peers.HandedOver(since):
			waiting = true
		case a.Outbox.Inherited(id) > 0:
			waiting = true
			a.release([]question{q})
		default:
			list = append(list, q)
		}
	}
	slices.SortFunc(list, func(x, y question) int { return x.after.Compare(y.after) })
	return list, waiting
}

// settled takes a job off the list about which nothing is unknown, unless that has changed meanwhile.
func (a *Auditor) settled(id string, e *entry) {
	e.mu.Lock()
	defer e.mu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	_, parts := e.ledger.Asks()
	if a.open[id] == e && (parts == 0 || a.Board.lookup(id) != e) {
		delete(a.open, id)
	}
}

// release lets jobs be polled that have no answer.
func (a *Auditor) release(questions []question) {
	for _, q := range questions {
		q.entry.mu.Lock()
		held := !q.entry.hold.IsZero()
		q.entry.hold = time.Time{}
		q.entry.mu.Unlock()
		if held {
			a.Wake(q.id)
		}
	}
}

// ask looks up what the database has of some jobs. A role that may not know is not asked again, and a database that cannot
// know slots is not asked at all: then what this process saw is all that counts.
func (a *Auditor) ask(ctx context.Context, questions []question) error {
	if !a.Keyed() {
		a.answer(questions, func(_ question, e *entry) { e.ledger.Resolve(e.grid, nil, nil) })
		return nil
	}
	since := make(map[string]time.Time, len(questions))
	for _, q := range questions {
		since[q.id] = q.after
	}
	samples, gaps := map[string][]sample.Sample{}, map[string][]ledger.Gap{}
	stored, err := a.History.SamplesSince(ctx, since)
	if supabase.LacksRight(err) {
		a.answer(questions, func(_ question, e *entry) { e.ledger.Forgo() })
		return nil
	}
	if err != nil {
		return err
	}
	for i := range stored {
		samples[stored[i].JobID] = append(samples[stored[i].JobID], sampleOf(&stored[i]))
	}
	rows, err := a.History.GapsSince(ctx, since)
	if err != nil {
		return err
	}
	for _, g := range rows {
		gaps[g.JobID] = append(gaps[g.JobID], ledger.GapOf(g))
	}
	a.answer(questions, func(q question, e *entry) {
		handOver(a.Outbox, a.Observer, q.id, e.ledger.Resolve(e.grid, samples[q.id], gaps[q.id]))
	})
	return nil
}

// answer settles questions. One that has changed since it was asked stays open: the answer may be older than it.
func (a *Auditor) answer(questions []question, settle func(question, *entry)) {
	for _, q := range questions {
		q.entry.mu.Lock()
		if after, parts := q.entry.ledger.Asks(); parts == q.parts && after.Equal(q.after) {
			settle(q, q.entry)
			a.Statuses.mark(q.entry, q.id, routine)
		} else {
			a.Need(q.id, q.entry)
		}
		q.entry.mu.Unlock()
	}
}

// sampleOf is a sample as the database has it.
func sampleOf(s *supabase.Stored) sample.Sample {
	return sample.Sample{
		JobID: s.JobID, ScheduledAt: s.ScheduledAt, RecordedAt: s.RecordedAt, Status: s.Status, RTT: s.RTT, Jitter: s.Jitter,
	}
}
