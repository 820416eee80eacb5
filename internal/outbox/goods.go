package outbox

import (
	"context"

	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

// goods is how things of one kind are delivered. Its functions may be called at the same time.
type goods[T any] struct {
	job func(T) string
	// send stores all or none.
	send func(ctx context.Context, items []T) error
	// stored and reject are told how that ended, and tooMany how many the store found too many at once.
	stored  func(items []T)
	reject  func(item T, why error)
	tooMany func(n int)
	// settle ends the responsibility for one whose job is gone. The caller holds mu. dropped is told how many these were.
	settle  func(T)
	dropped func(n int)
}

// samples is how the samples of a batch are delivered.
func (o *Outbox) samples(b *batch) *goods[supabase.Row] {
	return &goods[supabase.Row]{
		job: func(row supabase.Row) string { return row.JobID },
		send: func(ctx context.Context, rows []supabase.Row) error {
			known, err := o.Store.InsertSamples(ctx, rows)
			if known > 0 {
				o.Observer.Known(known)
			}
			return err
		},
		settle: func(row supabase.Row) { o.settle(o.job(row.JobID), b.inherited) },
		stored: func(rows []supabase.Row) {
			o.touches.owe(o.settleStored(rows, b.inherited), o.Clock.Now())
			o.Observer.Stored(len(rows))
		},
		reject: func(row supabase.Row, why error) {
			o.mu.Lock()
			// Its gap stays alone: after a crash it may be refused again, and should then have the same one.
			o.gaps.part(row.JobID)
			o.lose(&row.Sample, b.inherited)
			o.gaps.part(row.JobID)
			o.mu.Unlock()
			o.Observer.Rejected(1)
			o.Log.Error(why, "Sample was rejected", "job", row.JobID, "scheduledAt", row.ScheduledAt, "status", row.Status)
			o.Listener.Rejected(row.JobID, why.Error())
		},
		tooMany: func(n int) {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.limit = max(1, n/2)
		},
		dropped: func(n int) { o.Observer.Dropped(DropJobGone, n) },
	}
}

// settleStored ends the responsibility for rows that are stored, and says of which jobs they are.
func (o *Outbox) settleStored(rows []supabase.Row, inherited bool) []touch {
	stored := make([]touch, len(rows))
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(rows) >= o.limit {
		o.limit = min(o.limit+o.limit/8+1, o.Batch) // slowly, as what is too large again may take until the statement timeout
	}
	for i := range rows {
		j := o.job(rows[i].JobID)
		stored[i] = touch{j, rows[i].RecordedAt.UnixMicro(), rows[i].Cadence}
		o.settle(j, inherited)
	}
	return stored
}

// gapsOf is how the gaps of a batch are delivered.
func (o *Outbox) gapsOf(b *batch) *goods[*heldGap] {
	return &goods[*heldGap]{
		job: func(g *heldGap) string { return g.JobID },
		send: func(ctx context.Context, gaps []*heldGap) error {
			bare := make([]sample.Gap, len(gaps))
			for i, g := range gaps {
				bare[i] = g.Gap
			}
			return o.Store.PutGaps(ctx, bare)
		},
		settle: func(g *heldGap) { o.settleGap(g, b.inherited) },
		stored: func(gaps []*heldGap) {
			o.mu.Lock()
			defer o.mu.Unlock()
			for _, g := range gaps {
				o.settleGap(g, b.inherited)
			}
		},
		reject: func(g *heldGap, why error) {
			o.mu.Lock()
			o.settleGap(g, b.inherited)
			o.mu.Unlock()
			o.Observer.Rejected(1)
			o.Log.Error(why, "Gap was rejected", "job", g.JobID, "from", g.From, "to", g.To, "slots", g.Slots, "reason", g.Reason)
			o.Listener.Rejected(g.JobID, why.Error())
		},
		tooMany: func(int) {},
		dropped: func(int) {}, // they are no samples
	}
}
