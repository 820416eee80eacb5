package outbox

import (
	"cmp"
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

// lastRounds is in how many rounds, at the end of the process, jobs get their exact time that share one.
const lastRounds = 4

// payTouches moves the jobs' last_ping_at until ctx ends, beside the delivery of samples, which would wait for hundreds of
// requests. What ctx cuts short is made again by Flush: doing it twice is harmless.
func (o *Outbox) payTouches(ctx context.Context) {
	p := newPayer(o)
	defer func() { _, _ = p.wait() }()
	for ctx.Err() == nil {
		wait, owing := o.touches.due(o.Clock.Now())
		if !owing {
			wait = time.Hour
		}
		if wait > 0 {
			o.sleep(ctx, wait, o.touches.wake)
			continue
		}
		p.begin(ctx)
	}
}

// pay pays what is due, and counts the requests that went through.
func (o *Outbox) pay(ctx context.Context) (paid int, err error) {
	p := newPayer(o)
	p.begin(ctx)
	return p.wait()
}

// payer makes the requests of payments, some at once.
type payer struct {
	*Outbox
	sending errgroup.Group
	paid    atomic.Int64
}

func newPayer(o *Outbox) *payer {
	p := &payer{Outbox: o}
	p.sending.SetLimit(senders)
	return p
}

// begin pays what is due. It returns when the last request has begun.
func (p *payer) begin(ctx context.Context) {
	for _, due := range p.touches.take(p.Clock.Now()) {
		p.sending.Go(func() error { return p.send(ctx, due) })
	}
}

// wait returns when all requests have ended, with how many went through and what was wrong first.
func (p *payer) wait() (paid int, err error) {
	err = p.sending.Wait()
	return int(p.paid.Load()), err
}

// send pays one payment. What goes wrong is one of these:
//   - The store refuses one of the jobs. They are halved at once, so that it does not hold up the others.
//   - The store took too long. Either the row of one of the jobs is locked, or there is more to do than the store can, and asking again for
//     each half would make it worse. They wait for their turn, and are fewer then. All others wait a little.
//   - Anything else is likely to happen to the next request too. So all wait.
func (p *payer) send(ctx context.Context, due payment) error {
	t := p.touches
	if ctx.Err() != nil || t.paused(p.Clock.Now()) {
		t.settle(due, untried, p.Clock.Now())
		return ctx.Err()
	}
	err := p.touch(ctx, due)
	now := p.Clock.Now()
	particular := supabase.Particular(err) && !supabase.Away(err)
	switch {
	case err == nil:
		p.paid.Add(1)
		t.settle(due, done, now)
	case ctx.Err() != nil:
		t.settle(due, untried, now)
	case particular && len(due.debts) > 1:
		half := len(due.debts) / 2
		first := p.send(ctx, payment{due.debts[:half], due.at})
		return cmp.Or(first, p.send(ctx, payment{due.debts[half:], due.at}))
	case particular:
		p.Log.Error(err, "The job's last_ping_at could not be moved; it is tried again", "job", due.debts[0].job.id)
		t.settle(due, failed, now)
		err = nil // for all others
	default:
		end := failed
		if supabase.Classify(err) == supabase.TooLarge {
			end = tooLong
		}
		t.settle(due, end, now)
		if t.pause(err, now) {
			p.Log.Error(err, "The jobs' last_ping_at could not be moved; it is tried again")
		}
	}
	return err
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
