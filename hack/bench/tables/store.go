package tables

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"
)

// Job is a row of jobs as the app writes it: running, and really polled.
type Job struct {
	// ID is a UUID in lower case.
	ID, TargetIP    string
	CadenceSeconds  int
	DurationMinutes int
	// StartedAt is kept in microseconds.
	StartedAt time.Time
}

// Store holds the tables. Its methods may be called from several goroutines.
type Store struct {
	mu      sync.Mutex
	jobs    []*job // by id
	byID    map[string]*job
	pollers map[string]*poller
	// ignored counts samples that were there already.
	ignored  int64
	problems []string
}

// NewStore gives a Store with the jobs.
func NewStore(jobs []Job) *Store {
	s := &Store{byID: make(map[string]*job, len(jobs)), pollers: map[string]*poller{}}
	now := time.Now().UnixMicro()
	for _, given := range jobs {
		j := &job{id: given.ID, cells: map[string]cell{
			"target_ip": optional(given.TargetIP), "status": textCell("running"), "monitoring_mode": textCell("real_polling"),
			"cadence_seconds": numberCell(float64(given.CadenceSeconds)), "duration_minutes": numberCell(float64(given.DurationMinutes)),
			"started_at": instantCell(given.StartedAt.UnixMicro()), "updated_at": instantCell(now), "total_samples": numberCell(0),
		}}
		s.jobs = append(s.jobs, j)
		s.byID[j.id] = j
	}
	slices.SortFunc(s.jobs, func(a, b *job) int { return cmp.Compare(a.id, b.id) })
	return s
}

// Stored counts the samples that were due from an instant on and before another.
func (s *Store) Stored(from, to time.Time) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, j := range s.jobs {
		n += j.after(to.UnixMicro()-1) - j.after(from.UnixMicro()-1)
	}
	return n
}

// after is the place of the first sample that was due after an instant.
func (j *job) after(at int64) int {
	i, _ := slices.BinarySearchFunc(j.samples, at+1, func(s measured, at int64) int { return cmp.Compare(s.due, at) })
	return i
}

// Sampled is when the first sample of a job came; zero for a job without any.
func (s *Store) Sampled(id string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byID[id].sampled
}

// Ignored counts samples that were sent although they were there already.
func (s *Store) Ignored() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ignored
}

// Problems are requests that were refused, each said once, twenty at most. A measurement beside one is worth nothing.
func (s *Store) Problems() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.problems)
}

func (s *Store) problem(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.problems) < 20 && !slices.Contains(s.problems, text) {
		s.problems = append(s.problems, text)
	}
}

// some are the jobs that a query can be about, as far as one of its columns names them, by id.
func (s *Store) some(q *query, column string) []*job {
	ids, ok := q.named(column)
	if !ok {
		return s.beyond(q, column)
	}
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	var out []*job
	for _, id := range ids {
		if j := s.byID[id]; j != nil {
			out = append(out, j)
		}
	}
	return out
}

// beyond are the jobs after an id, where a query asks for them: pages go on that way.
func (s *Store) beyond(q *query, column string) []*job {
	for _, f := range q.filters {
		if f.column == column && f.op == "gt" {
			i, found := slices.BinarySearchFunc(s.jobs, f.values[0], func(j *job, id string) int { return cmp.Compare(j.id, id) })
			return s.jobs[i+boolInt(found):]
		}
	}
	return s.jobs
}

// rows are the rows of a table that a query can be about, and whether they come in the order that it wants.
func (s *Store) rows(table string, q *query) (rows iter.Seq[row], ordered bool) {
	switch table {
	case "jobs":
		return seq(s.some(q, "id"), func(j *job, yield func(row) bool) bool { return yield(j) }), q.inOrderOf("id")
	case "samples":
		return seq(s.some(q, "job_id"), func(j *job, yield func(row) bool) bool {
			for i := range j.samples {
				if !yield(sampleRow{j.id, &j.samples[i]}) {
					return false
				}
			}
			return true
		}), q.inOrderOf("job_id", "scheduled_at")
	case "sample_gaps":
		return seq(s.some(q, "job_id"), func(j *job, yield func(row) bool) bool {
			for i := range j.gaps {
				if !yield(gapRow{j.id, &j.gaps[i]}) {
					return false
				}
			}
			return true
		}), q.inOrderOf("job_id", "from_at")
	default:
		ids := slices.Sorted(maps.Keys(s.pollers))
		return seq(ids, func(id string, yield func(row) bool) bool { return yield(s.pollers[id]) }), q.inOrderOf("id")
	}
}

// seq yields the rows of each item.
func seq[T any](items []T, of func(T, func(row) bool) bool) iter.Seq[row] {
	return func(yield func(row) bool) {
		for _, item := range items {
			if !of(item, yield) {
				return
			}
		}
	}
}

// read gives the rows that a query asks for.
func (s *Store) read(table string, q *query) []row {
	var out []row
	rows, ordered := s.rows(table, q)
	for r := range rows {
		if !q.matches(r) {
			continue
		}
		if out = append(out, r); ordered && len(out) >= q.limit {
			break
		}
	}
	if !ordered {
		slices.SortStableFunc(out, q.compare)
	}
	return out[:min(len(out), max(q.limit, 0))]
}
