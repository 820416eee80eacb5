package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/ledger"
	"github.com/soundcheck-io/latency-operator/internal/outbox"
	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

// picky is a database that refuses whatever is about one job.
type picky struct {
	bad              string
	told, summarized map[string]bool
	asked            []int // how many jobs at once
}

var errPicky = &supabase.Error{Status: 400, Code: "23514", Message: "violates a check"}

func (p *picky) JobsByID(_ context.Context, ids []string) (rows []supabase.Job, _ error) {
	for _, id := range ids {
		rows = append(rows, supabase.Job{ID: id})
	}
	return rows, nil
}

func (p *picky) ReportJobs(_ context.Context, ids []string, _ supabase.Report) error {
	if slices.Contains(ids, p.bad) {
		return errPicky
	}
	for _, id := range ids {
		p.told[id] = true
	}
	return nil
}

func (p *picky) SummarizeJob(_ context.Context, id string, _ supabase.Summary) error {
	if id == p.bad {
		return errPicky
	}
	p.summarized[id] = true
	return nil
}

func (p *picky) SamplesSince(_ context.Context, since map[string]time.Time) ([]supabase.Stored, error) {
	p.asked = append(p.asked, len(since))
	if _, asked := since[p.bad]; asked {
		return nil, errPicky
	}
	return nil, nil
}

func (*picky) GapsSince(context.Context, map[string]time.Time) ([]sample.Gap, error) { return nil, nil }

// A key that is refused is refused for every job: nobody is asked one by one.
func TestARefusedKeyIsNoReasonToAskOneByOne(t *testing.T) {
	for name, err := range map[string]*supabase.Error{
		"refused":      {Status: 401, Message: "Invalid API key"},
		"rate limited": {Status: 429},
		"away":         {},
		"no migration": {Status: 400, Code: "PGRST204"},
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := jobsOnBoard(500, func(e *entry) {
				e.decided = v1alpha1.PhaseRunning
				e.report.known = true
				e.ledger = ledger.Resume(ledger.Account{Sums: ledger.Sums{Totals: ledger.Totals{Missed: 1}}})
			})
			table := &refusing{err: err}
			r := &Reporter{Clock: clock.RealClock{}, Log: logr.Discard(), Board: b, Table: table}
			if r.round(t.Context()) == nil || table.requests != 1 {
				t.Errorf("%d requests", table.requests)
			}
		})
	}
}

// refusing is a database that refuses everything.
type refusing struct {
	err      error
	requests int
}

func (r *refusing) JobsByID(context.Context, []string) ([]supabase.Job, error) {
	r.requests++
	return nil, r.err
}

func (r *refusing) ReportJobs(context.Context, []string, supabase.Report) error {
	r.requests++
	return r.err
}

func (r *refusing) SummarizeJob(context.Context, string, supabase.Summary) error {
	r.requests++
	return r.err
}

func TestOver(t *testing.T) {
	job := jobOf(nil)
	grid := gridOf(&job.Spec)
	seen := start.Add(40 * time.Second)
	for name, tc := range map[string]struct {
		status, at string
		newest     time.Duration
		want       time.Duration
	}{
		"runs":                    {"running", "", 0, time.Minute},
		"cancelled":               {"cancelled", "2026-11-23T10:00:20+00:00", 25 * time.Second, 20 * time.Second},
		"cancelled after its end": {"cancelled", "2026-11-23T11:00:20+00:00", 0, time.Minute},
		"does not say when":       {"cancelled", "", 0, 40 * time.Second},
		"of an earlier run":       {"cancelled", "2026-11-23T09:00:20+00:00", 0, 40 * time.Second},
		"long before the newest":  {"cancelled", "2026-11-23T10:00:20+00:00", 90 * time.Second, 40 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			e := &entry{endSeen: seen}
			e.ledger = ledger.Resume(ledger.Account{Recent: ledger.Recent{Last: ledger.Newest{ScheduledAt: start.Add(tc.newest)}}})
			if got := over(&supabase.Job{Status: tc.status, CompletedAt: tc.at}, e, grid); !got.Equal(start.Add(tc.want)) {
				t.Errorf("over at %s, want %s", got, start.Add(tc.want))
			}
		})
	}
}

// jobsOnBoard puts jobs on a board that have begun an hour ago.
func jobsOnBoard(n int, prepare func(*entry)) (*Board, time.Time) {
	b, now := NewBoard(clock.RealClock{}), start.Add(30*time.Second)
	for i := range n {
		job := jobOf(nil)
		job.Name = fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
		prepare(b.entry(&job))
	}
	return b, now
}

func TestARowThatCannotBeToldKeepsNoOtherFromIt(t *testing.T) {
	b, _ := jobsOnBoard(20, func(e *entry) {
		e.decided = v1alpha1.PhaseRunning
		e.ledger = ledger.Resume(ledger.Account{Sums: ledger.Sums{Totals: ledger.Totals{Missed: 1}}})
	})
	table := &picky{bad: "00000000-0000-4000-8000-000000000000", told: map[string]bool{}, summarized: map[string]bool{}}
	r := &Reporter{Clock: clock.RealClock{}, Log: logr.Discard(), Board: b, Table: table}
	for range 10 {
		if err := r.round(t.Context()); err != nil && !errors.Is(err, errPicky) {
			t.Fatal(err)
		}
	}
	if len(table.told) != 19 || len(table.summarized) != 19 {
		t.Errorf("%d rows were told, %d have their summary, of 19", len(table.told), len(table.summarized))
	}
}

func TestAJobThatCannotBeAskedAboutKeepsNoOtherFromItsAnswer(t *testing.T) {
	b, now := jobsOnBoard(60, func(*entry) {})
	history := &picky{bad: "00000000-0000-4000-8000-000000000000"}
	a := NewAuditor()
	b.each(func(id string, e *entry) {
		e.ledger.Adopt(e.grid, now, false, ledger.OperatorDown)
		a.Need(id, e)
	})
	a.Clock, a.Log, a.Board, a.Observer, a.History = clock.RealClock{}, logr.Discard(), b, nobody{}, history
	a.Outbox = outbox.New(outbox.Options{Clock: clock.RealClock{}, Log: logr.Discard(), Observer: nobody{}, Listener: b, Limit: 1000, Batch: 100})
	a.Statuses = &StatusReconciler{bell: &bell{}}
	a.Keyed, a.Wake = func() bool { return true }, func(string) {}
	if !a.round(t.Context()) {
		t.Error("nothing remains unknown")
	}
	open := 0
	b.each(func(_ string, e *entry) {
		if _, parts := e.ledger.Asks(); parts > 0 {
			open++
		}
	})
	if open != 1 {
		t.Errorf("%d jobs of 60 have no answer; they were asked about in groups of %v", open, history.asked)
	}
}

// during is Rows without a row, and does something while they are listed.
type during struct {
	Rows
	do  func()
	err error
}

func (d during) RunningJobs(context.Context) ([]supabase.Job, error) {
	d.do()
	return nil, d.err
}

// A LatencyJob that is deleted while all rows are compared may have been looked at before: the next sync has to look again, and not
// the next comparison a minute later.
func TestWhatHappensToALatencyJobDuringAComparisonIsNotForgotten(t *testing.T) {
	for name, failure := range map[string]error{"it goes through": nil, "it fails": errPicky} {
		t.Run(name, func(t *testing.T) {
			store := toolscache.NewStore(toolscache.MetaNamespaceKeyFunc)
			cached := &Cached{}
			cached.store.Store(&store)
			r := &SyncReconciler{Clock: clock.RealClock{}, Board: NewBoard(clock.RealClock{}), Observer: nobody{}, Cached: cached}
			r.meddled.note("before")
			r.Rows = during{do: func() { r.meddled.note("during") }, err: failure}
			if err := r.syncAll(t.Context()); !errors.Is(err, failure) {
				t.Fatal(err)
			}
			want := []string{"during"}
			if failure != nil {
				want = []string{"before", "during"}
			}
			if got := r.meddled.take(); !slices.Equal(got, want) {
				t.Errorf("the next sync looks at %v, want %v", got, want)
			}
		})
	}
}
