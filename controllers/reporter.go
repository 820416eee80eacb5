package controllers

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

const (
	// reportEvery is how often rows are told what has changed about their jobs.
	reportEvery = 5 * time.Second
	// reportsPerRound is how many requests a round makes at most.
	reportsPerRound = 20
	// summariesPerRound is how many jobs get their running summary in a round, which takes a request each, and summaryPause the
	// least time between two of one job.
	summariesPerRound, summaryPause = 5, time.Minute
)

// ReportTable takes what technicians should read about their jobs.
type ReportTable interface {
	// JobsByID looks rows up.
	JobsByID(ctx context.Context, ids []string) ([]supabase.Job, error)
	// ReportJobs tells up to 100 rows the same.
	ReportJobs(ctx context.Context, ids []string, r supabase.Report) error
	// SummarizeJob writes what a job has come to so far.
	SummarizeJob(ctx context.Context, id string, s supabase.Summary) error
}

// Reporter tells the rows of the jobs on the board, in monitor_state and monitor_message, what is done about them, and now
// and then what their samples come to. A row is written when that changes, and rows that are to read the same share a
// request. It is a Runnable of the manager.
type Reporter struct {
	Clock clock.Clock
	Log   logr.Logger
	Board *Board
	Table ReportTable
}

// reported is what a row was told.
type reported struct {
	known bool // what it says was looked up, or written
	now   supabase.Report
	// samples is the count in the newest summary, told at.
	samples int64
	at      time.Time
}

// Start reports until ctx ends.
func (r *Reporter) Start(ctx context.Context) error {
	repeat(ctx, r.Clock, reportEvery, func(ctx context.Context) {
		if err := r.round(ctx); err != nil && ctx.Err() == nil {
			r.Log.V(1).Info("Sound Check could not be told about jobs; it is tried again", "error", err.Error())
		}
	})
	return nil
}

// NeedLeaderElection says that every process tells about its own jobs.
func (r *Reporter) NeedLeaderElection() bool { return false }

// telling is a job whose row is to be told something.
type telling struct {
	id      string
	entry   *entry
	report  supabase.Report
	summary supabase.Summary
	was     reported
}

// round tells what has changed. A row that cannot be told does not keep the others from it; a database that is away does.
func (r *Reporter) round(ctx context.Context) error {
	unknown, changed, summaries := r.collect()
	failed := r.lookUp(ctx, unknown)
	if goesOn(failed) {
		failed = cmp.Or(r.tell(ctx, changed), failed)
	}
	for _, s := range summaries {
		if !goesOn(failed) {
			return failed
		}
		err := r.Table.SummarizeJob(ctx, s.id, s.summary)
		failed = cmp.Or(err, failed)
		s.entry.mu.Lock()
		s.entry.report.at = r.Clock.Now() // one that is refused waits for its next turn, too
		if err == nil {
			s.entry.report.samples = s.summary.Samples
		}
		s.entry.mu.Unlock()
	}
	return failed
}

// collect lists the jobs of which is unknown what their rows say, those whose rows say something else than they should, and
// those few whose turn it is to have their summary told, because it has changed and was told longest ago.
func (r *Reporter) collect() (unknown, changed, summaries []telling) {
	now := r.Clock.Now()
	r.Board.each(func(id string, e *entry) {
		account := e.ledger.Account()
		report, says := reportOf(e.decided, e.problem, e.grid.Start, &account)
		if !e.gone.IsZero() || !says {
			return
		}
		t := telling{id: id, entry: e, report: report, was: e.report}
		switch {
		case !e.report.known:
			unknown = append(unknown, t)
		case report != e.report.now:
			changed = append(changed, t)
		}
		// While something is unknown, the figures lack what others measured: the row may know better.
		if e.ledger.Unknown() == 0 && account.Totals.Samples() != e.report.samples && now.Sub(e.report.at) >= summaryPause {
			summaries = insert(summaries, t)
		}
	})
	for i := range summaries {
		summaries[i].entry.mu.Lock()
		account := summaries[i].entry.ledger.Account()
		summaries[i].entry.mu.Unlock()
		summaries[i].summary = summaryOf(&account)
	}
	return unknown, changed, summaries
}

// insert puts one where it belongs among those that were told longest ago, of which only as many are kept as are told in a round.
func insert(list []telling, t telling) []telling {
	before := func(a, b telling) int { return cmp.Or(a.was.at.Compare(b.was.at), cmp.Compare(a.id, b.id)) }
	if len(list) == summariesPerRound && before(list[len(list)-1], t) < 0 {
		return list
	}
	at, _ := slices.BinarySearchFunc(list, t, before)
	list = slices.Insert(list, at, t)
	return list[:min(len(list), summariesPerRound)]
}

// lookUp learns what rows say: what they say already need not be written.
func (r *Reporter) lookUp(ctx context.Context, list []telling) error {
	for chunk := range slices.Chunk(list[:min(len(list), rowsAtOnce*reportsPerRound)], rowsAtOnce) {
		ids := make([]string, len(chunk))
		for i, t := range chunk {
			ids[i] = t.id
		}
		rows, err := r.Table.JobsByID(ctx, ids)
		if err != nil {
			return err
		}
		says := make(map[string]supabase.Report, len(rows))
		for i := range rows {
			says[rows[i].ID] = supabase.Report{State: rows[i].MonitorState, Message: rows[i].MonitorMessage}
		}
		for _, t := range chunk {
			if now, found := says[t.id]; found {
				t.told(now)
			}
		}
	}
	return nil
}

// tell writes what has changed, the same for as many rows at once as possible. Rows that are refused together are told one by one.
func (r *Reporter) tell(ctx context.Context, list []telling) (failed error) {
	same := map[supabase.Report][]telling{}
	for _, t := range list {
		same[t.report] = append(same[t.report], t)
	}
	requests := 0
	for _, list := range same {
		for chunk := range slices.Chunk(list, rowsAtOnce) {
			if requests++; requests > reportsPerRound || !goesOn(failed) {
				return failed
			}
			err := jointly(chunk, func(some []telling) error { return r.tellThese(ctx, some) })
			failed = cmp.Or(err, failed)
		}
	}
	return failed
}

// tellThese tells rows that are to read the same.
func (r *Reporter) tellThese(ctx context.Context, list []telling) error {
	ids := make([]string, len(list))
	for i, t := range list {
		ids[i] = t.id
	}
	if err := r.Table.ReportJobs(ctx, ids, list[0].report); err != nil {
		return err
	}
	for _, t := range list {
		t.told(t.report)
	}
	return nil
}

// told notes what the job's row says now, unless something else was written meanwhile.
func (t *telling) told(now supabase.Report) {
	t.entry.mu.Lock()
	defer t.entry.mu.Unlock()
	if was := &t.entry.report; was.known == t.was.known && was.now == t.was.now {
		was.known, was.now = true, now
	}
}
