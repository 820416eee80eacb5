package controllers

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/ledger"
	"github.com/soundcheck-io/latency-operator/internal/sample"
)

// checkpointOf writes down an account that the database has, and the highest sequence number given to a sample; -1 for
// none.
func checkpointOf(a *ledger.Account, sequence int64) *v1alpha1.Checkpoint {
	if a.Until.IsZero() && a.RTT == 0 && sequence < 0 {
		return nil
	}
	t := &a.Totals
	c := &v1alpha1.Checkpoint{
		AccountedUntil: instant(a.Until),
		GridStart:      instant(a.Start),
		GridSince:      instant(a.Since),
		CadenceSeconds: int32(a.Cadence / time.Second), //nolint:gosec // a day at most
		Success:        t.Success,
		Missed:         t.Missed,
		SystemError:    t.SystemError,
		Foreign:        a.Foreign,
		Unmeasured:     unmeasuredCounts(a),
		RTTSum:         exact(t.RTTSum),
		RTTCount:       t.RTTCount,
		RTTMin:         exact(t.RTTMin),
		RTTMax:         exact(t.RTTMax),
		JitterSum:      exact(t.JitterSum),
		JitterCount:    t.JitterCount,
		RTTLast:        exact(a.RTT),
		RTTLastAt:      instant(a.RTTAt),
	}
	if sequence >= 0 {
		c.Sequence = &sequence
	}
	return c
}

// numberedUntil is the highest number that a sample of the job had when the status was written. It can be gone on from
// while numbers are slot numbers, that of the newest sample being the highest, and the grid is the one that it was written on:
// whatever was numbered after it has the number of its slot. Otherwise the database has to be asked.
func numberedUntil(job *v1alpha1.LatencyJob) (int64, bool) {
	c, last := job.Status.Checkpoint, job.Status.Last
	if c == nil || c.Sequence == nil || last == nil || job.Status.ObservedGeneration != job.Generation {
		return 0, false
	}
	return *c.Sequence, *c.Sequence == gridOf(&job.Spec).At(last.ScheduledAt.Time)
}

// accountOf is the account that a status was written from, as far as the database has it, with what came last. A status
// without a checkpoint is that of a job of which everything has to be read back.
func accountOf(s *v1alpha1.LatencyJobStatus) ledger.Account {
	a := ledger.Account{Recent: recentOf(s)}
	c := s.Checkpoint
	if c == nil || c.AccountedUntil == nil || c.GridStart == nil || c.CadenceSeconds <= 0 {
		return a
	}
	a.Until = c.AccountedUntil.UTC()
	a.Start, a.Cadence = c.GridStart.UTC(), time.Duration(c.CadenceSeconds)*time.Second
	if c.GridSince != nil {
		a.Since = c.GridSince.UTC()
	}
	a.Foreign = c.Foreign
	a.Totals = ledger.Totals{
		Success: c.Success, Missed: c.Missed, SystemError: c.SystemError,
		RTTSum: parse(c.RTTSum), RTTCount: c.RTTCount, RTTMin: parse(c.RTTMin), RTTMax: parse(c.RTTMax),
		JitterSum: parse(c.JitterSum), JitterCount: c.JitterCount,
	}
	if by := c.Unmeasured; by != nil {
		a.Unmeasured = [ledger.Reasons]int64{
			ledger.OperatorDown: by.OperatorDown,
			ledger.Busy:         by.Busy,
			ledger.Overload:     by.Overload,
			ledger.Suspended:    by.Suspended,
			ledger.NoTarget:     by.NoTarget,
			ledger.Lost:         by.Lost,
		}
	}
	return a
}

func recentOf(s *v1alpha1.LatencyJobStatus) (r ledger.Recent) {
	if c := s.Checkpoint; c != nil && c.RTTLastAt != nil {
		r.RTT, r.RTTAt = parse(c.RTTLast), c.RTTLastAt.UTC()
	}
	if last := s.Last; last != nil {
		r.Last = ledger.Newest{
			Status:      sample.Status(last.Status),
			ScheduledAt: last.ScheduledAt.UTC(),
			RecordedAt:  last.RecordedAt.UTC(),
			Poller:      last.Poller,
		}
		r.MissesInARow = last.MissesInARow
	}
	if e := s.LastError; e != nil {
		r.LastError = ledger.Failure{RecordedAt: e.Time.UTC(), Message: e.Message}
	}
	return r
}

// unmeasuredCounts splits the slots without a sample by reason; nil when there are none.
func unmeasuredCounts(a *ledger.Account) *v1alpha1.UnmeasuredCounts {
	if a.UnmeasuredTotal() == 0 {
		return nil
	}
	by := &a.Unmeasured
	return &v1alpha1.UnmeasuredCounts{
		OperatorDown: by[ledger.OperatorDown],
		Busy:         by[ledger.Busy],
		Overload:     by[ledger.Overload],
		Suspended:    by[ledger.Suspended],
		NoTarget:     by[ledger.NoTarget],
		Lost:         by[ledger.Lost],
	}
}

// instant is nil for the zero time.
func instant(t time.Time) *metav1.MicroTime {
	if t.IsZero() {
		return nil
	}
	return &metav1.MicroTime{Time: t}
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
