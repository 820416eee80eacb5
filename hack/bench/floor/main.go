// Command floor does the least that any program which measures the jobs has to do: one heap of timers, a goroutine and a GET for
// each slot, and once a second POSTs of up to 1,000 samples. It knows no cluster, writes no status, keeps nothing on disk, reads
// the jobs once, and does not try again. `make bench` runs it after the operator, to tell what the rest costs.
//
// It takes SUPABASE_URL, SUPABASE_SERVICE_ROLE_KEY and POLLER_BASE_URL from the environment, and runs until SIGTERM.
package main

import (
	"container/heap"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// timeout bounds a poll, and so do nine tenths of its job's cadence, as in the operator.
	timeout = 10 * time.Second
	// batch is how many samples one POST holds at most.
	batch = 1000
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}

// job is a row of jobs, with when its next slot is due.
type job struct {
	ID       string    `json:"id"`
	TargetIP string    `json:"target_ip"`
	Cadence  int64     `json:"cadence_seconds"`
	Started  time.Time `json:"started_at"`

	due time.Time
}

// timers is a heap of jobs by when they are due.
type timers []*job

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].due.Before(t[j].due) }
func (t timers) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }

// Push is heap.Interface's.
func (t *timers) Push(j any) { *t = append(*t, j.(*job)) }

// Pop is heap.Interface's, and is not used.
func (t *timers) Pop() any { panic("jobs do not end here") }

// sample is a row of samples.
type sample struct {
	JobID       string    `json:"job_id"`
	ScheduledAt time.Time `json:"scheduled_at"`
	RecordedAt  time.Time `json:"recorded_at"`
	Sequence    int64     `json:"sequence_number"`
	Status      string    `json:"status"`
	RTT         *float64  `json:"rtt_ms"`
}

type floor struct {
	spreedb, supabase, key string
	polls, posts           *http.Client

	inFlight sync.WaitGroup
	mu       sync.Mutex
	samples  []sample
}

func run(ctx context.Context) error {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy, transport.MaxIdleConns, transport.MaxIdleConnsPerHost = nil, 0, 4096
	f := &floor{
		spreedb: os.Getenv("POLLER_BASE_URL") + "/latency/Sound%20Check/", supabase: os.Getenv("SUPABASE_URL") + "/rest/v1/", key: os.Getenv("SUPABASE_SERVICE_ROLE_KEY"),
		polls: &http.Client{Transport: transport}, posts: &http.Client{Timeout: timeout},
	}
	jobs, err := f.jobs(ctx)
	if err != nil {
		return fmt.Errorf("read the jobs: %w", err)
	}
	if len(jobs) == 0 {
		return errors.New("there are no jobs")
	}
	f.polls.Timeout = min(timeout, jobs[0].cadence()*9/10) // of all jobs, which have the same cadence here
	now := time.Now()
	for _, j := range jobs {
		j.due = j.Started.Add(now.Sub(j.Started).Truncate(j.cadence()) + j.cadence())
	}
	heap.Init(&jobs)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		f.send(ctx)
	}()
	timer := time.NewTimer(0)
	for {
		next := jobs[0]
		if wait := time.Until(next.due); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				<-sent
				return nil
			}
		}
		due := next.due
		f.inFlight.Go(func() { f.poll(next, due) })
		next.due = next.due.Add(next.cadence())
		heap.Fix(&jobs, 0)
	}
}

func (j *job) cadence() time.Duration { return time.Duration(j.Cadence) * time.Second }

// jobs reads the table by pages.
func (f *floor) jobs(ctx context.Context) (all timers, err error) {
	for {
		query := "jobs?select=id,target_ip,cadence_seconds,started_at&status=eq.running&order=id.asc"
		if len(all) > 0 {
			query += "&id=gt." + all[len(all)-1].ID
		}
		answer, err := f.ask(ctx, http.MethodGet, query, "")
		if err != nil {
			return nil, err
		}
		var page []*job
		if err := json.Unmarshal(answer, &page); err != nil {
			return nil, err
		}
		if len(page) == 0 {
			return all, nil
		}
		all = append(all, page...)
	}
}

// poll measures one slot. What goes wrong is a sample too.
func (f *floor) poll(j *job, due time.Time) {
	s := sample{JobID: j.ID, ScheduledAt: due, RecordedAt: time.Now(), Sequence: int64(due.Sub(j.Started) / j.cadence()), Status: "system_error"}
	res, err := f.polls.Get(f.spreedb + j.TargetIP + "/") //nolint:noctx // the client has a timeout, and nobody cancels
	if err == nil {
		var answer struct {
			Elapsed float64 `json:"elapsed"`
			Error   string  `json:"error"`
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err == nil && res.StatusCode == http.StatusOK && json.Unmarshal(body, &answer) == nil {
			if s.Status = "missed"; answer.Error == "" {
				s.Status, s.RTT = "success", &answer.Elapsed
			}
		}
	}
	f.mu.Lock()
	f.samples = append(f.samples, s)
	f.mu.Unlock()
}

// send stores the samples of each second, and at the end those of the polls that were in flight.
func (f *floor) send(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for last := false; !last; {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			f.inFlight.Wait()
			last = true
		}
		f.mu.Lock()
		samples := f.samples
		f.samples = make([]sample, 0, len(samples))
		f.mu.Unlock()
		for batch := range slices.Chunk(samples, batch) {
			body, err := json.Marshal(batch)
			if err == nil {
				_, err = f.ask(context.WithoutCancel(ctx), http.MethodPost, "samples?on_conflict=job_id,scheduled_at", string(body))
			}
			if err != nil {
				fmt.Fprintln(os.Stderr, "floor: samples are lost:", err)
			}
		}
	}
}

func (f *floor) ask(ctx context.Context, method, query, body string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, f.supabase+query, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Apikey", f.key)
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Prefer", "resolution=ignore-duplicates,return=minimal")
	}
	res, err := f.posts.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode/100 != 2 {
		err = fmt.Errorf("%s: %s", res.Status, answer)
	}
	return answer, err
}
