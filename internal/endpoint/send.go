package endpoint

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/outcomes"
	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

// send writes the answer. What goes wrong before anything was sent is an answer of its own, and afterwards the last line.
func (h *Handler) send(ctx context.Context, w http.ResponseWriter, row supabase.Job, since time.Time) *Refusal {
	to := &sink{w: w, control: http.NewResponseController(w), handler: h}
	defer func() { _ = to.control.SetWriteDeadline(time.Time{}) }() // the next request over this connection has its own
	err := h.write(ctx, to, jobOf(&row), since)
	switch {
	case err == nil:
		return nil
	case to.err != nil || ctx.Err() != nil:
		h.Log.V(1).Info("Whoever asked for samples went away or was too slow", "job", row.ID, "error", err.Error())
	default:
		h.Log.Info("The samples of a job could not be read to the end", "job", row.ID, "error", err.Error())
	}
	if !to.began {
		return h.unavailable(ctx, err)
	}
	return nil
}

// write is send without its answer. It returns what went wrong, after it has said so in the last line if the first was sent.
func (h *Handler) write(ctx context.Context, to *sink, job outcomes.Job, since time.Time) error {
	out, err := outcomes.NewWriter(to, job)
	if err != nil {
		return err
	}
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	m := &merger{out: out, cancel: cancel}
	var stop func()
	m.next, stop = iter.Pull2(h.gaps(reading, job.ID, since))
	defer stop()
	m.pull()
	if m.err == nil {
		err := h.Database.EachSampleSince(reading, job.ID, since, m.sample)
		// Of a new installation nothing is known but that it has none. Whether they are hidden is for doctor to say.
		if m.err == nil && !errors.Is(err, supabase.ErrNoneSeen) {
			m.err = err
		}
	}
	for m.err == nil && m.held {
		m.gap()
	}
	if m.err == nil {
		return out.End()
	}
	if to.began && to.err == nil {
		_ = out.Fail(sentence(ctx, m.err))
	}
	return m.err
}

// gaps gives the gaps of a job one by one, and at last the error if there was one.
func (h *Handler) gaps(ctx context.Context, id string, since time.Time) iter.Seq2[sample.Gap, error] {
	return func(yield func(sample.Gap, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		wanted := true
		err := h.Database.EachGap(ctx, id, since, func(g sample.Gap) {
			if wanted = wanted && yield(g, nil); !wanted {
				cancel()
			}
		})
		if wanted && err != nil {
			yield(sample.Gap{}, err)
		}
	}
}

// merger writes samples and gaps in the order of time.
type merger struct {
	out  *outcomes.Writer
	next func() (sample.Gap, error, bool)
	// cancel ends reading, after an error.
	cancel context.CancelFunc
	err    error
	// ahead is the gap that comes next, if one is held.
	ahead sample.Gap
	held  bool
}

// pull takes the next gap.
func (m *merger) pull() {
	gap, err, ok := m.next()
	m.ahead, m.held = gap, ok && err == nil
	m.fail(err)
}

// gap writes the gap that is held and takes the next.
func (m *merger) gap() {
	m.fail(m.out.Gap(outcomes.Gap{FromAt: m.ahead.From, ToAt: m.ahead.To, Slots: m.ahead.Slots, Reason: m.ahead.Reason}))
	if m.err == nil {
		m.pull()
	}
}

// sample writes a sample, after the gaps that begin before it. Those without a due time come after all.
func (m *merger) sample(s supabase.Stored) {
	for m.err == nil && m.held && (s.ScheduledAt.IsZero() || m.ahead.From.Before(s.ScheduledAt)) {
		m.gap()
	}
	if m.err == nil {
		m.fail(m.out.Sample(outcomes.Sample{ScheduledAt: s.ScheduledAt, RecordedAt: s.RecordedAt, Status: s.Status, RTT: s.RTT, Jitter: s.Jitter}))
	}
}

func (m *merger) fail(err error) {
	if m.err == nil && err != nil {
		m.err = err
		m.cancel()
	}
}

// sink sends what it is given at once. Nobody may take it for longer than stalled.
type sink struct {
	w       http.ResponseWriter
	control *http.ResponseController
	handler *Handler
	began   bool
	err     error
}

// Write implements io.Writer.
func (s *sink) Write(p []byte) (n int, err error) {
	if !s.began {
		s.began = true
		s.w.Header().Set("Content-Type", outcomes.MediaType)
		s.w.Header().Set("Cache-Control", "no-store")
	}
	_ = s.control.SetWriteDeadline(s.handler.Clock.Now().Add(s.handler.stalled)) // where it cannot be set, the time limit is all there is
	n, err = s.w.Write(p)
	if err == nil {
		err = s.control.Flush()
	}
	s.err = err
	return n, err
}
