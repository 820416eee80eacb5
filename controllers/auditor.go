package controllers

import (
	"context"
	"errors"
	"slices"
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
	Statuses *StatusReconciler
	// Keyed tells whether the database can know slots at all; true while that is not known.
	Keyed func() bool
	// Wake has a job decided about now.
	Wake func(jobID string)

	need chan struct{}
}

// NewAuditor gives an Auditor whose fields are still to be set.
func NewAuditor() *Auditor { return &Auditor{need: make(chan struct{}, 1)} }

// NeedLeaderElection says that every process asks about its own jobs.
func (a *Auditor) NeedLeaderElection() bool { return false }

// Need says that something is unknown.
func (a *Auditor) Need() {
	select {
	case a.need <- struct{}{}:
	default:
	}
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
	parts int // to see whether more has become unknown since
}

// round asks once about everything that is unknown, and tells whether something remains so.
func (a *Auditor) round(ctx context.Context) (remains bool) {
	questions, waiting := a.questions()
	remains = waiting
	for len(questions) > 0 && ctx.Err() == nil {
		n := 1
		for n < min(auditChunk, len(questions)) && questions[n].after.Sub(questions[0].after) <= auditSpread {
			n++
		}
		if err := a.ask(ctx, questions[:n]); err != nil {
			remains = true
			a.release(questions)
			if !errors.Is(err, supabase.ErrNoHistory) && ctx.Err() == nil {
				a.Log.V(1).Info("What became of earlier slots cannot be looked up at present", "error", err.Error())
			}
			return remains
		}
		questions = questions[n:]
	}
	return remains
}

// questions lists what is unknown, the oldest first. What an earlier process measured of a job has to be in the database
// before that is asked; until then the job goes on without an answer, and waiting is true.
func (a *Auditor) questions() (list []question, waiting bool) {
	for id, e := range a.Board.snapshot() {
		e.mu.Lock()
		after, parts := e.ledger.Asks()
		e.mu.Unlock()
		q := question{id: id, entry: e, after: after, parts: parts}
		switch {
		case parts == 0:
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

// ask looks up what the database has of some jobs.
func (a *Auditor) ask(ctx context.Context, questions []question) error {
	samples, gaps := map[string][]sample.Sample{}, map[string][]ledger.Gap{}
	if a.Keyed() {
		since := make(map[string]time.Time, len(questions))
		for _, q := range questions {
			since[q.id] = q.after
		}
		stored, err := a.History.SamplesSince(ctx, since)
		if err != nil {
			return err
		}
		for _, s := range stored {
			samples[s.JobID] = append(samples[s.JobID], sampleOf(&s))
		}
		rows, err := a.History.GapsSince(ctx, since)
		if err != nil {
			return err
		}
		for _, g := range rows {
			gaps[g.JobID] = append(gaps[g.JobID], ledger.GapOf(g))
		}
	}
	for _, q := range questions {
		a.answer(q, samples[q.id], gaps[q.id])
	}
	a.release(questions)
	return nil
}

// answer settles one question. One that has changed since it was asked stays open: the answer may be older than it.
func (a *Auditor) answer(q question, samples []sample.Sample, gaps []ledger.Gap) {
	e := q.entry
	e.mu.Lock()
	defer e.mu.Unlock()
	if after, parts := e.ledger.Asks(); parts != q.parts || !after.Equal(q.after) {
		a.Need()
		return
	}
	handOver(a.Outbox, a.Observer, q.id, e.ledger.Resolve(e.grid, samples, gaps))
	a.Statuses.mark(e, q.id, routine)
}

// sampleOf is a sample as the database has it.
func sampleOf(s *supabase.Stored) sample.Sample {
	return sample.Sample{
		JobID: s.JobID, ScheduledAt: s.ScheduledAt, RecordedAt: s.RecordedAt, Status: s.Status, RTT: s.RTT, Jitter: s.Jitter,
	}
}
