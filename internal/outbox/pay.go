package outbox

import (
	"context"
	"slices"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

// lastRounds is in how many rounds, at the end of the process, jobs get their exact time that share one.
const lastRounds = 4

// payTouches moves the jobs' last_ping_at until ctx ends, beside the delivery of samples, which would wait for hundreds of
// requests.
func (o *Outbox) payTouches(ctx context.Context) {
	retry := newBackoff()
	for ctx.Err() == nil {
		wait, owing := o.touches.due(o.Clock.Now())
		if !owing {
			wait = time.Hour
		}
		if wait > 0 {
			o.sleep(ctx, wait, o.touches.wake)
			continue
		}
		if _, err := o.pay(context.WithoutCancel(ctx)); err != nil {
			o.sleep(ctx, delay(retry, err), nil)
			continue
		}
		retry.Reset()
	}
}

// pay pays what is due, and counts the requests that went through. What one request cannot pay does not hold up the others, but
// after an error that is not about the jobs of the request itself the others would fail too: then they wait.
func (o *Outbox) pay(ctx context.Context) (paid int, err error) {
	due := o.touches.take(o.Clock.Now())
	for len(due) > 0 {
		p := due[0]
		err := o.touch(ctx, p)
		particular := supabase.Particular(err)
		switch {
		case err == nil:
			paid++
		case particular && len(p.debts) > 1:
			half := len(p.debts) / 2
			due[0] = payment{p.debts[half:], p.at}
			due = append([]payment{{p.debts[:half], p.at}}, due...)
			continue
		case ctx.Err() == nil:
			o.Log.Error(err, "The jobs' last_ping_at could not be moved; it is tried again")
		}
		if err != nil && !particular {
			for _, p := range slices.Backward(due) {
				o.touches.settle(p, false, true, o.Clock.Now())
			}
			return paid, err
		}
		o.touches.settle(p, err == nil, false, o.Clock.Now())
		due = due[1:]
	}
	return paid, nil
}

func (o *Outbox) touch(ctx context.Context, p payment) error {
	ids := make([]string, len(p.debts))
	for i, d := range p.debts {
		ids[i] = d.job.id
	}
	return o.Store.TouchJobs(ctx, ids, time.UnixMicro(p.at).UTC())
}

// flushTouches pays what is owed at the end of the process, and makes up for shared times as far as a few rounds go.
func (o *Outbox) flushTouches(ctx context.Context) {
	for rounds := 0; rounds < lastRounds && ctx.Err() == nil; {
		if o.touches.hurry() {
			rounds++
		}
		if paid, err := o.pay(ctx); err != nil || paid == 0 {
			return
		}
	}
}
