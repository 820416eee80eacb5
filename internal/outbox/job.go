package outbox

import (
	"time"

	"github.com/google/uuid"
)

// jobKey is the id of a job as a number: half as long as the text, and nothing that the garbage collector has to follow.
type jobKey = uuid.UUID

// keyOfJob gives the key of a job, also of one whose id is no UUID; then it is not proper.
func keyOfJob(jobID string) (key jobKey, proper bool) {
	key, err := uuid.Parse(jobID)
	if err != nil {
		return uuid.NewSHA1(uuid.Nil, []byte(jobID)), false
	}
	return key, true
}

// never is when something happened that has not, in microseconds since 1970 like all times of a job.
var never = time.Time{}.UnixMicro()

// job is what is remembered about one job. There are many: it is kept small.
type job struct {
	id     string
	key    jobKey
	proper bool // the key is the id

	pending   int32 // records that the outbox answers for
	inherited int32 // of these, records that an earlier process left
	// late counts the samples that get their number when they are sent, until the spool cannot bring them again.
	late int32

	known bool // the job's highest number; unnumbered then says that there is none
	gone  bool // the store lacks the job
	over  bool // it is to be forgotten once nothing of it is held

	numbers numbering

	ping ping // guarded by the lock of touches

	// rtt is the newest successful round-trip time among the samples that an earlier process left, of the slot that was due at
	// rttDue; never without one.
	rtt    float64
	rttDue int64
}

// find gives what is remembered about a job; nil if that is nothing. The caller holds mu.
func (o *Outbox) find(jobID string) *job {
	key, _ := keyOfJob(jobID)
	return o.jobs[key]
}

// job gives what is remembered about a job, which may be nothing yet. The caller holds mu.
func (o *Outbox) job(jobID string) *job {
	j := o.find(jobID)
	if j == nil {
		j = newJob(jobID)
		o.jobs[j.key] = j
	}
	return j
}

func newJob(jobID string) *job {
	j := &job{id: jobID, numbers: numbering{highest: unnumbered, due: never}, rttDue: never}
	j.key, j.proper = keyOfJob(jobID)
	return j
}

// name is the id of a job with a key. It is the text that is known already, if possible. The caller holds mu.
func (o *Outbox) name(key jobKey) string {
	if j := o.jobs[key]; j != nil {
		return j.id
	}
	return key.String()
}

// tidy forgets a job that is over when nothing of it is left. The caller holds mu.
func (o *Outbox) tidy(j *job) {
	if j.over && j.pending == 0 && j.late == 0 {
		delete(o.jobs, j.key)
	}
}

// hold takes the responsibility for one more record of a job. The caller holds mu.
func (o *Outbox) hold(j *job) {
	if o.queued() == 0 {
		o.since = o.Clock.Now()
	}
	if o.held == 0 {
		o.oldest = o.Clock.Now()
	}
	o.held++
	j.pending++
}

// settle ends the responsibility for one record of a job. The caller holds mu.
func (o *Outbox) settle(j *job, inherited bool) {
	o.held--
	j.pending--
	if inherited {
		j.inherited = max(0, j.inherited-1)
	}
	o.tidy(j)
}

// settleGap ends the responsibility for the records that a gap was made of. The caller holds mu.
func (o *Outbox) settleGap(g *heldGap, inherited bool) {
	j := o.job(g.JobID)
	if k := keyOfGap(&g.Gap); o.heirs[k] {
		delete(o.heirs, k)
		j.inherited = max(0, j.inherited-1)
	}
	for range g.records {
		o.settle(j, inherited)
	}
}

// numbered ends the wait for n samples of a job that got their number when they were sent. The caller holds mu.
func (o *Outbox) numbered(jobID string, n int) {
	if j := o.find(jobID); j != nil {
		j.late = max(0, j.late-int32(n))
		o.tidy(j)
	}
}

// Pending counts the samples and gaps of a job that the outbox answers for.
func (o *Outbox) Pending(jobID string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	if j := o.find(jobID); j != nil {
		return int(j.pending)
	}
	return 0
}

// Inherited counts, of what Pending does, the records that the spool held already when the process started, and the gaps
// that some of them have become: what the account of an earlier process may have in it and the store does not.
func (o *Outbox) Inherited(jobID string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	if j := o.find(jobID); j != nil {
		return int(j.inherited)
	}
	return 0
}

// LastRTT is the newest successful round-trip time, in milliseconds, among the samples of a job that the spool held when
// the process started, and when it was due; false without one. It is known until Forget.
func (o *Outbox) LastRTT(jobID string) (rtt float64, due time.Time, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	j := o.find(jobID)
	if j == nil || j.rttDue == never {
		return 0, time.Time{}, false
	}
	return j.rtt, time.UnixMicro(j.rttDue).UTC(), true
}

// Forget drops what is remembered about a job that is over, or that was gone and is there again. What is held of it stays,
// and its numbers are remembered until that is settled, or they could be given twice.
func (o *Outbox) Forget(jobID string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	j := o.find(jobID)
	if j == nil {
		return
	}
	j.gone, j.over = false, true
	j.rtt, j.rttDue = 0, never
	o.tidy(j)
}
