// Package endpoint serves what became of the slots of a job over HTTP, from the database, as package outcomes writes it. Who may
// have it is for the caller to say.
package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/uuid"
	"golang.org/x/sync/semaphore"
	"k8s.io/utils/clock"

	"github.com/soundcheck-io/latency-operator/internal/outcomes"
	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

// Pattern is where a Handler belongs in an http.ServeMux.
const Pattern = "/jobs/{id}/samples"

const (
	// AtOnce is how many answers are given at once. Each keeps one of the database's connections busy, of which Supabase has ten
	// or so, and holds two pages of rows, some 2 MB.
	AtOnce = 3
	// Limit is how long one answer may take. It is enough for millions of samples: go test ./internal/endpoint -run XXX -bench Answer.
	Limit = 5 * time.Minute
	// stalled is how long a reader may take nothing, before it loses its place to others.
	stalled = 30 * time.Second
	// again is when to ask again, where nobody knows better.
	again = 5 * time.Second
)

// Database is where it is read from, a page at a time.
type Database interface {
	JobsByID(ctx context.Context, ids []string) ([]supabase.Job, error)
	EachSampleSince(ctx context.Context, jobID string, since time.Time, do func(supabase.Stored)) error
	EachGap(ctx context.Context, jobID string, since time.Time, do func(sample.Gap)) error
}

// Refusal is an answer other than the samples.
type Refusal struct {
	// Status is the HTTP status, and Sentence what the caller is told.
	Status   int
	Sentence string
	// Again is when it may be worth asking again; 0 is never.
	Again time.Duration
}

// Handler answers GET requests at Pattern. It is safe for concurrent use.
type Handler struct {
	Database Database
	// Admit says why whoever asks may not have the samples of the job with that id; nil lets them have it. The id is a UUID in
	// lower case.
	Admit func(r *http.Request, id string) *Refusal
	Clock clock.PassiveClock
	Log   logr.Logger

	// places are those that are free. Nobody waits for one: a request that waits holds memory as well.
	places         *semaphore.Weighted
	limit, stalled time.Duration
}

// New gives a Handler.
func New(database Database, admit func(*http.Request, string) *Refusal, clk clock.PassiveClock, log logr.Logger) *Handler {
	return &Handler{Database: database, Admit: admit, Clock: clk, Log: log, places: semaphore.NewWeighted(AtOnce), limit: Limit, stalled: stalled}
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if refusal := h.serve(w, r); refusal != nil {
		if refusal.Again > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(refusal.Again.Round(time.Second)/time.Second)))
		}
		if refusal.Status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
		http.Error(w, refusal.Sentence, refusal.Status)
	}
}

func (h *Handler) serve(w http.ResponseWriter, r *http.Request) *Refusal {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		return &Refusal{Status: http.StatusMethodNotAllowed, Sentence: "Samples can only be read: ask with GET."}
	}
	// Before anybody is asked about it: what is asked about is remembered for a while.
	id := r.PathValue("id")
	if len(id) != 36 || uuid.Validate(id) != nil || id != strings.ToLower(id) {
		return &Refusal{Status: http.StatusNotFound, Sentence: "There is no such job: its id is a UUID in lower case, as in the names of LatencyJobs."}
	}
	if refusal := h.Admit(r, id); refusal != nil {
		return refusal
	}
	since, err := sinceOf(r)
	if err != nil {
		return &Refusal{Status: http.StatusBadRequest, Sentence: err.Error()}
	}
	if !h.places.TryAcquire(1) {
		return &Refusal{
			Status: http.StatusTooManyRequests, Again: again,
			Sentence: fmt.Sprintf("The operator gives out the samples of %d jobs already, and of no more at once: ask again in some seconds.", AtOnce),
		}
	}
	defer h.places.Release(1)
	ctx, cancel := context.WithTimeout(r.Context(), h.limit)
	defer cancel()
	job, refusal := h.find(ctx, id)
	if refusal != nil {
		return refusal
	}
	return h.send(ctx, w, job, since)
}

// sinceOf reads the instant after which samples are asked for; zero for all.
func sinceOf(r *http.Request) (time.Time, error) {
	text := r.URL.Query().Get("since")
	if text == "" {
		return time.Time{}, nil
	}
	since, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || since.Year() < 1 || since.Year() > 9999 {
		return time.Time{}, errors.New("The parameter since is not an instant: give it as in 2026-11-29T08:00:00.123456Z.") //nolint:revive,staticcheck // it is the answer
	}
	return since, nil
}

// find reads the row of the job.
func (h *Handler) find(ctx context.Context, id string) (supabase.Job, *Refusal) {
	rows, err := h.Database.JobsByID(ctx, []string{id})
	switch {
	case err != nil:
		return supabase.Job{}, h.unavailable(ctx, err)
	case len(rows) == 0 || rows[0].ID != id:
		return supabase.Job{}, &Refusal{Status: http.StatusNotFound, Sentence: "The database has no job with the id " + id + ", or hides it from the operator."}
	}
	return rows[0], nil
}

// unavailable is the answer where the database does not give what it is asked for.
func (h *Handler) unavailable(ctx context.Context, err error) *Refusal {
	if errors.Is(err, supabase.ErrNoHistory) {
		return &Refusal{Status: http.StatusServiceUnavailable, Sentence: sentence(ctx, err)} // until somebody changes the database
	}
	wait := again
	if answer, ok := errors.AsType[*supabase.Error](err); ok && answer.RetryAfter > 0 {
		wait = answer.RetryAfter
	}
	return &Refusal{Status: http.StatusServiceUnavailable, Sentence: sentence(ctx, err), Again: wait}
}

// sentence says what went wrong.
func sentence(ctx context.Context, err error) string {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Sprintf("This took longer than the %s that an answer may take: ask for the rest with the parameter since.", Limit)
	case ctx.Err() != nil:
		return "The operator is being stopped: ask again in some seconds."
	}
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// jobOf is what is told about a row. A start that cannot be read is not told.
func jobOf(row *supabase.Job) outcomes.Job {
	return outcomes.Job{
		ID: row.ID, TargetIP: row.TargetIP, CadenceSeconds: row.CadenceSeconds, DurationMinutes: row.DurationMinutes,
		StartedAt: instantOf(row.StartedAt), CompletedAt: instantOf(row.CompletedAt), Status: row.Status,
	}
}

func instantOf(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}
