package controllers

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/ledger"
	"github.com/soundcheck-io/latency-operator/internal/schedule"
)

// Board is what this process knows about the jobs that it polls. It is the truth while the process lives; the status of
// a LatencyJob is a picture of it that a restart goes on from. It is safe for concurrent use.
type Board struct {
	mu      sync.Mutex
	entries map[string]*entry // by the job's id, which is the LatencyJob's name
}

// NewBoard gives an empty board.
func NewBoard() *Board { return &Board{entries: map[string]*entry{}} }

// entry is one job on the board.
type entry struct {
	mu     sync.Mutex
	ledger ledger.Ledger
	// end is how the job ended according to the database.
	end end
	// gone says that the database refused a sample because the row does not exist.
	gone bool
	// rejected is why the database refused the newest sample that it refused; empty when it refused none.
	rejected string
	// phase and down are what was last told to people: events are about their changes.
	phase v1alpha1.JobPhase
	down  bool
	// absentSince is when the LatencyJob was first found missing; zero while it exists.
	absentSince time.Time
	// dirty says that the status controller has been asked for a status that it has not begun to write.
	dirty atomic.Bool
}

// end is an end that the database has confirmed and the LatencyJob's spec does not show yet. It counts for the grid that it
// ended: a job that is started anew has another.
type end struct {
	state v1alpha1.JobState
	at    time.Time
	grid  schedule.Grid
}

// open gives the entry of a LatencyJob, and tells whether it was known. The first time, it goes on from the status that an
// earlier process wrote.
func (b *Board) open(job *v1alpha1.LatencyJob) (e *entry, known bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, known = b.entries[job.Name]
	if !known {
		e = &entry{ledger: ledger.Resume(accountOf(&job.Status)), phase: job.Status.Phase, down: isDown(&job.Status)}
		b.entries[job.Name] = e
	}
	return e, known
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
	b.update(jobID, func(e *entry) { e.gone = true })
}

// Present takes back what Gone noted: the row is there after all.
func (b *Board) Present(jobID string) {
	b.update(jobID, func(e *entry) { e.gone = false })
}

// Rejected notes why the database refused a sample of the job.
func (b *Board) Rejected(jobID, why string) {
	b.update(jobID, func(e *entry) { e.rejected = why })
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
		if e.gone {
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

// snapshot is the board as it is now.
func (b *Board) snapshot() map[string]*entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.entries)
}

func (b *Board) each(f func(string, *entry)) {
	for id, e := range b.snapshot() {
		e.mu.Lock()
		f(id, e)
		e.mu.Unlock()
	}
}

// view is what decisions about the job are made from. The caller holds e.mu.
func (e *entry) view(job *v1alpha1.LatencyJob, held int) view {
	v := view{
		spec:     &job.Spec,
		mirrored: job.Labels[v1alpha1.MirroredLabel] == v1alpha1.MirroredValue,
		gone:     e.gone,
		ledger:   &e.ledger,
		held:     held,
	}
	if e.end.state != "" && e.end.grid.Equal(gridOf(&job.Spec)) {
		v.ended = e.end.state
	}
	return v
}
