package outbox

import (
	"time"
)

// job is what is remembered about one job.
type job struct {
	pending   int // records that the outbox answers for
	inherited int // of these, records that an earlier process left
	// late counts the samples that get their number when they are sent, until the spool cannot bring them again.
	late int

	numbers numbering
	known   bool // the job's highest number; unnumbered then says that there is none
	gone    bool // the store lacks the job
	over    bool // it is to be forgotten once nothing of it is held

	pinged time.Time // when the newest stored sample was taken

	// rtt is the newest successful round-trip time among the samples that an earlier process left, of the slot that was due at
	// rttDue; zero without one.
	rtt    float64
	rttDue time.Time
}

// job gives what is remembered about a job, which may be nothing yet. The caller holds mu.
func (o *Outbox) job(jobID string) *job {
	j := o.jobs[jobID]
	if j == nil {
		j = &job{numbers: numbering{highest: unnumbered}}
		o.jobs[jobID] = j
	}
	return j
}

// tidy forgets a job that is over when nothing of it is left. The caller holds mu.
func (o *Outbox) tidy(jobID string, j *job) {
	if j.over && j.pending == 0 && j.late == 0 {
		delete(o.jobs, jobID)
	}
}

// hold takes the responsibility for one more record of a job. The caller holds mu.
func (o *Outbox) hold(j *job) {
	if o.queued() == 0 {
		o.since = o.Clock.Now()
	}
	o.held++
	j.pending++
}

// settle ends the responsibility for one record of a job. The caller holds mu.
func (o *Outbox) settle(jobID string, inherited bool) {
	j := o.job(jobID)
	o.held--
	j.pending--
	if inherited {
		j.inherited = max(0, j.inherited-1)
	}
	o.tidy(jobID, j)
}

// settleGap ends the responsibility for the records that a gap was made of. The caller holds mu.
func (o *Outbox) settleGap(g *heldGap, inherited bool) {
	j := o.job(g.JobID)
	if k := keyOfGap(&g.Gap); o.heirs[k] {
		delete(o.heirs, k)
		j.inherited = max(0, j.inherited-1)
	}
	for range g.records {
		o.settle(g.JobID, inherited)
	}
}

// numbered ends the wait for n samples of a job that got their number when they were sent. The caller holds mu.
func (o *Outbox) numbered(jobID string, n int) {
	if j := o.jobs[jobID]; j != nil {
		j.late = max(0, j.late-n)
		o.tidy(jobID, j)
	}
}

// Pending counts the samples and gaps of a job that the outbox answers for.
func (o *Outbox) Pending(jobID string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	if j := o.jobs[jobID]; j != nil {
		return j.pending
	}
	return 0
}

// Inherited counts, of what Pending does, the records that the spool held already when the process started, and the gaps
// that some of them have become: what the account of an earlier process may have in it and the store does not.
func (o *Outbox) Inherited(jobID string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	if j := o.jobs[jobID]; j != nil {
		return j.inherited
	}
	return 0
}

// LastRTT is the newest successful round-trip time, in milliseconds, among the samples of a job that the spool held when
// the process started, and when it was due; false without one. It is known until Forget.
func (o *Outbox) LastRTT(jobID string) (rtt float64, due time.Time, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	j := o.jobs[jobID]
	if j == nil || j.rttDue.IsZero() {
		return 0, time.Time{}, false
	}
	return j.rtt, j.rttDue, true
}

// Forget drops what is remembered about a job that is over, or that was gone and is there again. What is held of it stays,
// and its numbers are remembered until that is settled, or they could be given twice.
func (o *Outbox) Forget(jobID string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	j := o.jobs[jobID]
	if j == nil {
		return
	}
	j.gone, j.over = false, true
	j.rtt, j.rttDue = 0, time.Time{}
	o.tidy(jobID, j)
}
