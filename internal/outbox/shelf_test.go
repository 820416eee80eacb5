package outbox

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

// shelf is the least that a Store can be: samples and gaps by their keys, in memory. It is for what takes thousands of
// requests; what a database does is tested with a database.
type shelf struct {
	mu       sync.Mutex // held while a request is answered
	rows     map[slotKey]supabase.Row
	gaps     map[slotKey]sample.Gap
	gone     map[string]bool
	requests int
	// before and after are asked for an error around each request that writes; they may be nil. After that of after,
	// everything is stored all the same.
	before, after func(n int) error
	poison        func(*supabase.Row) bool
	poisonGap     func(*sample.Gap) bool
	// touched is told about each request that moves last_ping_at; it may be nil.
	touched func(ctx context.Context, ids []string, at time.Time) error
}

func newShelf() *shelf {
	return &shelf{rows: map[slotKey]supabase.Row{}, gaps: map[slotKey]sample.Gap{}, gone: map[string]bool{}}
}

func refused(code, details string) error {
	return &supabase.Error{Status: 400, Code: code, Details: details, Message: "refused"}
}

func (s *shelf) write(n int, refusal func() error, commit func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	if s.before != nil {
		if err := s.before(n); err != nil {
			return err
		}
	}
	if err := refusal(); err != nil {
		return err
	}
	commit()
	if s.after != nil {
		return s.after(n)
	}
	return nil
}

func (s *shelf) InsertSamples(_ context.Context, rows []supabase.Row) (known int, err error) {
	err = s.write(len(rows), func() error {
		for i := range rows {
			if s.gone[rows[i].JobID] {
				return refused("23503", "Key (job_id)=("+rows[i].JobID+") is not present in table \"jobs\".")
			}
		}
		if s.poison != nil && slices.ContainsFunc(rows, func(r supabase.Row) bool { return s.poison(&r) }) {
			return refused("23514", "")
		}
		return nil
	}, func() {
		for _, row := range rows {
			if _, there := s.rows[keyOf(&row.Sample)]; !there {
				s.rows[keyOf(&row.Sample)] = row
			} else {
				known++
			}
		}
	})
	return known, err
}

func (s *shelf) PutGaps(_ context.Context, gaps []sample.Gap) error {
	return s.write(len(gaps), func() error {
		for i := range gaps {
			if s.gone[gaps[i].JobID] {
				return refused("23503", "Key (job_id)=("+gaps[i].JobID+") is not present in table \"jobs\".")
			}
		}
		if s.poisonGap != nil && slices.ContainsFunc(gaps, func(g sample.Gap) bool { return s.poisonGap(&g) }) {
			return refused("23514", "")
		}
		return nil
	}, func() {
		for _, g := range gaps {
			s.gaps[keyOfGap(&g)] = g
		}
	})
}

func (s *shelf) HighestSequences(_ context.Context, ids []string) (map[string]supabase.Numbered, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	if s.before != nil {
		if err := s.before(0); err != nil {
			return nil, err
		}
	}
	highest := map[string]supabase.Numbered{}
	for _, row := range s.rows {
		if known, found := highest[row.JobID]; slices.Contains(ids, row.JobID) && (!found || row.Sequence > known.Sequence) {
			highest[row.JobID] = supabase.Numbered{Sequence: row.Sequence, ScheduledAt: row.ScheduledAt}
		}
	}
	return highest, nil
}

func (s *shelf) TouchJobs(ctx context.Context, ids []string, at time.Time) error {
	if s.touched == nil {
		return nil
	}
	return s.touched(ctx, ids, at)
}
