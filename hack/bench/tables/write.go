package tables

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// post inserts rows, all or none.
func (s *Store) post(w http.ResponseWriter, table string, q *query, body []byte, p preferences) (err error) {
	var n written
	switch key := q.conflict; {
	case table == "samples" && !p.mergeDuplicates && (key == "" || key == "job_id,scheduled_at"):
		n, err = s.insertSamples(body, p.ignoreDuplicates)
	case table == "sample_gaps" && p.mergeDuplicates && key == "job_id,from_at":
		n, err = s.upsertGaps(body)
	case table == "pollers" && p.mergeDuplicates && key == "id":
		n, err = s.upsertPoller(body)
	default:
		err = fmt.Errorf("such an insert into %s", table)
	}
	if err != nil {
		return err
	}
	total, status := "*", http.StatusCreated
	if p.count {
		total = strconv.Itoa(n.inserted + n.updated)
	}
	if n.updated > 0 && n.inserted == 0 {
		status = http.StatusOK
	}
	w.Header().Set("Content-Range", "*/"+total)
	w.WriteHeader(status)
	return nil
}

// written is how many rows were new, and how many took the place of others.
type written struct{ inserted, updated int }

// strict decodes a body that has no other fields than expected.
func strict(body []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("this body: %w", err)
	}
	return nil
}

func noSuchJob(table string) *refusal {
	return &refusal{http.StatusConflict, "23503", fmt.Sprintf(`insert or update on table "%[1]s" violates foreign key constraint "%[1]s_job_id_fkey"`, table)}
}

type sentSample struct {
	JobID       string    `json:"job_id"`
	ScheduledAt time.Time `json:"scheduled_at"`
	RecordedAt  time.Time `json:"recorded_at"`
	Sequence    int64     `json:"sequence_number"`
	Status      string    `json:"status"`
	RTT         *float64  `json:"rtt_ms"`
	Jitter      *float64  `json:"jitter_ms"`
}

func (s *Store) insertSamples(body []byte, ignore bool) (n written, err error) {
	var sent []sentSample
	if err := strict(body, &sent); err != nil {
		return n, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, row := range sent {
		switch j := s.byID[row.JobID]; {
		case j == nil:
			return n, noSuchJob("samples")
		case row.ScheduledAt.IsZero():
			return n, errors.New("samples without scheduled_at")
		case !ignore && j.has(row.ScheduledAt.UnixMicro()):
			return n, &refusal{http.StatusConflict, "23505", `duplicate key value violates unique constraint "samples_job_id_scheduled_at_key"`}
		}
	}
	now := time.Now()
	for _, row := range sent {
		if s.byID[row.JobID].insert(row, now) {
			n.inserted++
		}
	}
	s.ignored += int64(len(sent) - n.inserted)
	return n, nil
}

func (j *job) has(due int64) bool {
	i := j.after(due - 1)
	return i < len(j.samples) && j.samples[i].due == due
}

// insert adds a sample unless it is there.
func (j *job) insert(row sentSample, now time.Time) bool {
	due := row.ScheduledAt.UnixMicro()
	at := j.after(due - 1)
	if at < len(j.samples) && j.samples[at].due == due {
		return false
	}
	j.samples = slices.Insert(j.samples, at, measured{
		due: due, recorded: row.RecordedAt.UnixMicro(), rtt: orNaN(row.RTT), jitter: orNaN(row.Jitter), sequence: row.Sequence, status: known(row.Status),
	})
	if j.sampled.IsZero() {
		j.sampled = now
	}
	return true
}

func orNaN(f *float64) float64 {
	if f == nil {
		return math.NaN()
	}
	return *f
}

// known keeps one text of each status in place of thousands.
func known(status string) string {
	for _, one := range []string{"success", "missed", "system_error"} {
		if status == one {
			return one
		}
	}
	return status
}

func (s *Store) upsertGaps(body []byte) (n written, err error) {
	var sent []struct {
		JobID  string    `json:"job_id"`
		From   time.Time `json:"from_at"`
		To     time.Time `json:"to_at"`
		Slots  int64     `json:"slots"`
		Reason string    `json:"reason"`
	}
	if err := strict(body, &sent); err != nil {
		return n, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, row := range sent {
		if s.byID[row.JobID] == nil {
			return n, noSuchJob("sample_gaps")
		}
	}
	for _, row := range sent {
		j := s.byID[row.JobID]
		g := gap{from: row.From.UnixMicro(), to: row.To.UnixMicro(), slots: row.Slots, reason: row.Reason}
		i, found := slices.BinarySearchFunc(j.gaps, g, func(a, b gap) int { return cmp.Compare(a.from, b.from) })
		if found {
			j.gaps[i] = g
			n.updated++
		} else {
			j.gaps = slices.Insert(j.gaps, i, g)
			n.inserted++
		}
	}
	return n, nil
}

func (s *Store) upsertPoller(body []byte) (n written, err error) {
	var sent poller
	if err := strict(body, &sent); err != nil {
		return n, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n.updated = boolInt(s.pollers[sent.ID] != nil)
	n.inserted = 1 - n.updated
	s.pollers[sent.ID] = &sent
	return n, nil
}

// patch changes the jobs that a query asks for.
func (s *Store) patch(w http.ResponseWriter, table string, q *query, body []byte, p preferences) error {
	var sent map[string]json.RawMessage
	if err := strict(body, &sent); err != nil {
		return err
	}
	if table != "jobs" {
		return fmt.Errorf("changing %s", table)
	}
	changed, foreign := map[string]cell{}, false
	for column, raw := range sent {
		if !slices.Contains(columns[table], column) {
			return &refusal{http.StatusBadRequest, "PGRST204", fmt.Sprintf("Could not find the '%s' column of '%s' in the schema cache", column, table)}
		}
		c, err := jobCell(column, raw)
		if err != nil {
			return fmt.Errorf("this %s: %w", column, err)
		}
		changed[column] = c
		foreign = foreign || !own[column]
	}
	if foreign {
		changed["updated_at"] = instantCell(time.Now().UnixMicro())
	}
	n := s.change(q, changed)
	rows, total := "*", "*"
	if n > 0 {
		rows = "0-" + strconv.Itoa(n-1)
	}
	if p.count {
		total = strconv.Itoa(n)
	}
	w.Header().Set("Content-Range", rows+"/"+total)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Store) change(q *query, changed map[string]cell) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rows, _ := s.rows("jobs", q)
	for r := range rows {
		if !q.matches(r) {
			continue
		}
		maps.Copy(r.(*job).cells, changed)
		n++
	}
	return n
}

// remove deletes gaps or pollers.
func (s *Store) remove(w http.ResponseWriter, table string, q *query) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch table {
	case "sample_gaps":
		for _, j := range s.some(q, "job_id") {
			j.gaps = slices.DeleteFunc(j.gaps, func(g gap) bool { return q.matches(gapRow{j.id, &g}) })
		}
	case "pollers":
		for id, p := range s.pollers {
			if q.matches(p) {
				delete(s.pollers, id)
			}
		}
	default:
		return fmt.Errorf("deleting from %s", table)
	}
	w.Header().Set("Content-Range", "*/*")
	w.WriteHeader(http.StatusNoContent)
	return nil
}
