package controllers

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/ledger"
	"github.com/soundcheck-io/latency-operator/internal/sample"
)

// checkpointOf holds the part of an account that the figures of a status round away, and the highest sequence number given
// to a sample; -1 for none.
func checkpointOf(a *ledger.Account, sequence int64) *v1alpha1.Checkpoint {
	if a.Until.IsZero() {
		return nil
	}
	t := &a.Totals
	c := &v1alpha1.Checkpoint{
		AccountedUntil: &metav1.MicroTime{Time: a.Until},
		RTTSum:         exact(t.RTTSum),
		RTTLast:        exact(t.RTTLast),
		RTTMin:         exact(t.RTTMin),
		RTTMax:         exact(t.RTTMax),
		JitterSum:      exact(t.JitterSum),
		JitterCount:    t.JitterCount,
	}
	if sequence >= 0 {
		c.Sequence = &sequence
	}
	return c
}

// numberedUntil is the highest number that a sample of the job had when the status was written. It can be gone on from
// while numbers are slot numbers and the grid is the one that it was written on: whatever was numbered after it has the
// number of its slot. Otherwise the database has to be asked.
func numberedUntil(job *v1alpha1.LatencyJob) (int64, bool) {
	c := job.Status.Checkpoint
	if c == nil || c.Sequence == nil || c.AccountedUntil == nil || job.Status.ObservedGeneration != job.Generation {
		return 0, false
	}
	return *c.Sequence, *c.Sequence <= gridOf(&job.Spec).At(c.AccountedUntil.Time)
}

// accountOf is the account that a status was written from. A status without a checkpoint is that of a new job.
func accountOf(s *v1alpha1.LatencyJobStatus) ledger.Account {
	var a ledger.Account
	c := s.Checkpoint
	if c == nil || c.AccountedUntil == nil {
		return a
	}
	a.Until = c.AccountedUntil.UTC()
	a.Totals = ledger.Totals{
		Success: s.Samples.Success, Missed: s.Samples.Missed, SystemError: s.Samples.SystemError,
		RTTSum: parse(c.RTTSum), RTTLast: parse(c.RTTLast), RTTMin: parse(c.RTTMin), RTTMax: parse(c.RTTMax),
		JitterSum: parse(c.JitterSum), JitterCount: c.JitterCount,
	}
	if by := s.Slots.UnmeasuredBy; by != nil {
		a.Unmeasured = [ledger.Reasons]int64{
			ledger.OperatorDown: by.OperatorDown,
			ledger.Busy:         by.Busy,
			ledger.Overload:     by.Overload,
			ledger.Suspended:    by.Suspended,
			ledger.NoTarget:     by.NoTarget,
		}
	}
	if last := s.Last; last != nil {
		a.Last = ledger.Outcome{
			Sample: sample.Sample{
				Status:      sample.Status(last.Status),
				ScheduledAt: last.ScheduledAt.UTC(),
				RecordedAt:  last.RecordedAt.UTC(),
			},
			Poller: last.Poller,
		}
		a.MissesInARow = last.MissesInARow
	}
	if e := s.LastError; e != nil {
		a.LastError = ledger.Outcome{
			Sample:  sample.Sample{Status: sample.SystemError, RecordedAt: e.Time.UTC()},
			Message: e.Message,
		}
	}
	return a
}

// exact writes a duration without loss; nothing for zero.
func exact(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

// parse is the inverse of exact. A status that a person has edited into nonsense counts as zero.
func parse(s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0
	}
	return d
}
