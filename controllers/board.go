package controllers

import (
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/clock"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/ledger"
	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/schedule"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

// Board is what this process knows about the jobs that it polls. It is the truth while the process lives; the status of
// a LatencyJob is a picture of it that a restart goes on from. It is safe for concurrent use.
type Board struct {
	clock   clock.PassiveClock
	mu      sync.Mutex
	entries map[string]*entry // by the job's id, which is the LatencyJob's name
}

// NewBoard gives an empty board.
func NewBoard(clk clock.PassiveClock) *Board {
	return &Board{clock: clk, entries: map[string]*entry{}}
}

// entry is one job on the board.
type entry struct {
	mu     sync.Mutex
	ledger ledger.Ledger
	// adopted says that the database has been, or is being, asked what came before this process.
	adopted bool
	// grid is the job's, when it was looked at last.
	grid schedule.Grid
	// hold is until when no poll begins, because the database is being asked what became of earlier slots.
	hold time.Time
	// since is the hand-over by which the job came from another process; zero if it did not.
	since time.Time
	// ramp is until when the poll of a slot waits that is late; zero when none does. See ramp.
	ramp time.Time
	// polled is when this process began to poll the job last, and waits says that it has a place in the line at the gate.
	polled time.Time
	waits  bool
	// leaving says that another process polls the job once the poll in flight has ended.
	leaving bool
	// wake is when the job is to be decided about next; zero for never.
	wake time.Time
	// end is how the job ended according to the database, and closed the end after which its books were closed.
	end, closed end
	// endSeen is when the job was first seen to have ended.
	endSeen time.Time
	// gone is when the database refused a sample because the row does not exist; zero when it did not, or that lapsed.
	gone time.Time
	// rejected is why the database refused the newest sample that it refused; empty when it refused none.
	rejected string
	// decided is the phase of the newest decision, and problem what is wrong with the row.
	decided v1alpha1.JobPhase
	problem string
	// phase and down are what was last told to people: events are about their changes.
	phase v1alpha1.JobPhase
	down  bool
	// absentSince is when the LatencyJob was first found missing; zero while it exists.
	absentSince time.Time
	// dirty says that the status controller has been asked for a status that it has not begun to write.
	dirty atomic.Bool
	// report is what the app was told about the job.
	report reported
}

// end is an end that the database has confirmed and the LatencyJob's spec does not show yet. It counts for the grid that it
// ended: a job that is started anew has another.
type end struct {
	state v1alpha1.JobState
	at    time.Time
	grid  schedule.Grid
	// report is what the job came to; nil while its books are open, and where there is nothing to tell.
	report *v1alpha1.JobReport
}

// entry gives the entry of a LatencyJob. The first time, it goes on from the status that an earlier process wrote.
func (b *Board) entry(job *v1alpha1.LatencyJob) *entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.entries[job.Name]
	if e == nil {
		e = resume(job)
		b.entries[job.Name] = e
	}
	return e
}

// resume is an entry that goes on from a status.
func resume(job *v1alpha1.LatencyJob) *entry {
	status := &job.Status
	e := &entry{ledger: ledger.Resume(accountOf(status)), phase: status.Phase, down: isDown(status), grid: gridOf(&job.Spec)}
	if meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionComplete) && status.ObservedGeneration == job.Generation {
		e.closed = end{state: v1alpha1.JobState(status.Phase), grid: e.grid, report: status.Report}
		if done := status.CompletionTime; done != nil {
			e.closed.at = done.Time
		}
		if job.Spec.State == v1alpha1.StateRunning {
			e.end = e.closed // the row has ended, and the sync has not brought it yet
		}
	}
	return e
}

// follow takes note of what the LatencyJob says now, which the row has said for lag at most. The caller holds e.mu.
func (e *entry) follow(job *v1alpha1.LatencyJob, now time.Time, lag time.Duration) {
	grid := gridOf(&job.Spec)
	if grid.Start.After(e.grid.Start) {
		e.ledger.Restarted()
	}
	e.ledger.Follow(grid, now.Add(-lag))
	e.grid = grid
	e.problem = job.Annotations[v1alpha1.RowProblemAnnotation]
	switch {
	case job.Spec.State != v1alpha1.StateRunning:
		e.end.state = "" // the row says it now; should it run again, it is to be polled and ended again
		if e.endSeen.IsZero() {
			e.endSeen = now
		}
	case e.end.state == "" || !e.end.grid.Equal(grid) || ranAt(job).After(e.end.at):
		e.end, e.closed, e.endSeen = end{}, end{}, time.Time{}
	}
}

// delivered tells the ledger how far the database has got. The caller holds e.mu.
func (e *entry) delivered(box Outbox, jobID string) {
	if !box.Overtaking() {
		e.ledger.Delivered(box.Pending(jobID))
	}
}

// lookup gives the entry of a job that is on the board, or nil.
func (b *Board) lookup(jobID string) *entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.entries[jobID]
}

// forget takes a job off the board.
func (b *Board) forget(jobID string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.entries, jobID)
}

// Gone notes that the database refused a sample of the job because its row does not exist: nobody polls it any
// more, and the sync controller takes the LatencyJob away.
func (b *Board) Gone(jobID string) {
	b.update(jobID, func(e *entry) { e.gone = b.clock.Now() })
}

// Present takes back what Gone noted: the row is there after all.
func (b *Board) Present(jobID string) {
	b.update(jobID, func(e *entry) { e.gone = time.Time{} })
}

// Rejected notes why the database refused a sample of the job.
func (b *Board) Rejected(jobID, why string) {
	b.update(jobID, func(e *entry) { e.rejected = why })
}

// Lost takes a sample out of the figures that will never be in the database.
func (b *Board) Lost(s sample.Sample) {
	b.update(s.JobID, func(e *entry) { e.ledger.Lose(s) })
}

// says takes note of what a row tells the technician, unless that is known.
func (b *Board) says(jobID string, now supabase.Report) {
	b.update(jobID, func(e *entry) {
		if !e.report.known {
			e.report.known, e.report.now = true, now
		}
	})
}

func (b *Board) update(jobID string, f func(*entry)) {
	if e := b.lookup(jobID); e != nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		f(e)
	}
}

// gone lists the jobs whose row is known not to exist.
func (b *Board) goneJobs() map[string]bool {
	gone := map[string]bool{}
	b.each(func(id string, e *entry) {
		if !e.gone.IsZero() {
			gone[id] = true
		}
	})
	return gone
}

// Phases counts the jobs on the board by phase.
func (b *Board) Phases() map[string]int {
	phases := map[string]int{}
	b.each(func(_ string, e *entry) {
		if e.phase != "" {
			phases[string(e.phase)]++
		}
	})
	return phases
}

// dueOver is the time over which DueRate counts.
const dueOver = time.Minute

// DueRate is how many slots came due in a second of the last minute, of the jobs that were being measured when they were last
// decided about. They are counted, because of jobs with a long cadence that began together all slots come due at once, and none
// for a long time after that.
func (b *Board) DueRate() (perSecond float64) {
	now, slots := b.clock.Now(), int64(0)
	b.each(func(_ string, e *entry) {
		if e.decided == v1alpha1.PhaseRunning && e.absentSince.IsZero() {
			slots += e.grid.At(now) - e.grid.At(now.Add(-dueOver))
		}
	})
	return float64(slots) / dueOver.Seconds()
}

// member is a job on the board.
type member struct {
	id    string
	entry *entry
}

// snapshot is the board as it is now.
func (b *Board) snapshot() []member {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]member, 0, len(b.entries))
	for id, e := range b.entries {
		all = append(all, member{id, e})
	}
	return all
}

func (b *Board) each(f func(string, *entry)) {
	for _, m := range b.snapshot() {
		m.entry.mu.Lock()
		f(m.id, m.entry)
		m.entry.mu.Unlock()
	}
}

// view is what decisions about the job are made from. The caller holds e.mu.
func (e *entry) view(job *v1alpha1.LatencyJob, held int) view {
	v := view{
		spec:     &job.Spec,
		mirrored: job.Labels[v1alpha1.MirroredLabel] == v1alpha1.MirroredValue,
		gone:     !e.gone.IsZero(),
		ledger:   &e.ledger,
		held:     held,
		hold:     later(e.hold, e.ramp),
		waits:    e.waits,
	}
	grid := gridOf(&job.Spec)
	if e.end.state != "" && e.end.grid.Equal(grid) {
		v.ended = e.end.state
	}
	if e.closed.state != "" && e.closed.grid.Equal(grid) {
		v.closed = job.Spec.State == v1alpha1.StateRunning || job.Spec.State == e.closed.state
	}
	return v
}

// Overdue is how long the job has waited for its decision that has waited longest; not more than zero when none waits. It
// grows when this process has stopped deciding, for whatever reason.
func (b *Board) Overdue(now time.Time) (longest time.Duration) {
	b.each(func(_ string, e *entry) {
		if !e.wake.IsZero() && e.absentSince.IsZero() {
			longest = max(longest, now.Sub(e.wake))
		}
	})
	return longest
}
