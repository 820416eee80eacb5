package outbox

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

const (
	// exactly is up to how many jobs get a request of their own, with their own time.
	exactly = 25
	// together is how many jobs one request names.
	together = supabase.TouchAtOnce
	// touchPause is the least time between two rounds of a small installation.
	touchPause = time.Second
	// touchGap is the least time between two requests of a large one.
	touchGap = 20 * time.Millisecond
	// window is among how many of those that have waited longest the jobs of one request are looked for.
	window = 5 * together
)

// touches is what is owed to the jobs' last_ping_at.
//
// One request can name many jobs but only one time. A few jobs get a request each, at once. More share one, with the oldest of
// their times: then last_ping_at trails by as much as these differ, but never claims a ping that nobody sent; what is missing
// is made up for when there is room. Where there are too many for one request, each job waits, so that what it is told stands
// for several of its samples. What waits is paid evenly, and not after the last request but beside it, where that takes long.
//
// All the while last_ping_at trails the newest stored sample by at most Trail, or by the cadence where that is longer than nine
// tenths of it.
type touches struct {
	trail, linger time.Duration
	began         time.Time // what instants are counted from, so that setting the clock makes nothing overdue

	wake chan struct{} // holds a token when the next payment may be due at another time than before

	mu     sync.Mutex
	owed   []debt        // not told since the newest sample; who has waited longest first
	behind []debt        // told an older time than that of the newest sample
	count  int           // of the debts in owed, without those that are none any more
	trails int           // the same of behind
	last   instant       // when something was paid
	exact  instant       // when a job of behind was paid in a large installation
	wait   time.Duration // of a job, in a large installation
	calmer time.Duration // what wait would be without jobs of which no sample was stored since heard
	heard  instant
	heeded time.Duration // the cadence that wait was made for last
	hasty  bool          // the next payment is due at once

	resume instant // before that nothing is tried, because something failed
	retry  *backoff.ExponentialBackOff
}

// instant is a time since touches began.
type instant = time.Duration

// longAgo is when nothing had been paid yet.
const longAgo instant = -time.Hour

// debt is a job that waits since an instant.
type debt struct {
	job   *job
	since instant
}

// holds tells whether a debt is still one: the job may be elsewhere by now, or back in the same list since later.
func (d debt) holds(where pingState) bool {
	return d.job.ping.state == where && d.job.ping.since == d.since
}

// ping is what touches knows about a job; the lock of touches guards it.
type ping struct {
	// newest is when the newest stored sample was taken, in microseconds since 1970.
	newest int64
	since  instant
	state  pingState
	// halved is how many requests with the job took too long since one went through: the next is for so much fewer.
	halved uint8
}

// most is how many jobs a request may be for that is for this one too.
func (p *ping) most() int { return max(1, together>>p.halved) }

// pingState tells where a job waits.
type pingState uint8

const (
	even       pingState = iota // nothing is owed
	inOwed                      // it waits in owed
	inBehind                    // it waits in behind
	paying                      // a request is under way
	payingLess                  // a request is under way, and a newer sample was stored meanwhile
)

// touch is a sample that is stored: its job, when it was taken, in microseconds since 1970, and the time to the next.
type touch struct {
	job     *job
	at      int64
	cadence time.Duration
}

func newTouches(trail, linger time.Duration, now time.Time) *touches {
	t := &touches{wake: make(chan struct{}, 1), trail: trail, linger: linger, began: now, last: longAgo, exact: longAgo, heeded: -1, retry: newBackoff()}
	t.wait, t.calmer = t.longest(), t.longest()
	return t
}

// nearby is how far the times of jobs of one request may differ from that of the job that has waited longest.
func (t *touches) nearby() time.Duration { return t.trail / 20 }

// most is how far the newest sample of a job may be ahead of what it was last told of, which may be less than it was to be.
func (t *touches) most() time.Duration { return t.trail - 2*t.nearby() }

// longest is how long a job may wait at most.
func (t *touches) longest() time.Duration { return max(0, t.most()-t.linger) }

// heed shortens the wait, if need be, for jobs of a cadence. A job that was told of its newest sample owes again a cadence later,
// and while it waits others come: the newest of them is to be within the limit.
func (t *touches) heed(cadence time.Duration) {
	t.heeded = cadence
	need := t.longest()
	switch most := t.most(); {
	case cadence <= 0: // not known
		need = most / 2
	case cadence <= most:
		need = max(0, most-most%cadence-t.linger)
	}
	t.wait, t.calmer = min(t.wait, need), min(t.calmer, need)
}

// recall ends what was heeded for jobs that are no longer measured. A job that needs it has had a sample stored meanwhile.
func (t *touches) recall(now instant) {
	if now-t.heard < 2*t.trail {
		return
	}
	t.wait, t.calmer, t.heard, t.heeded = t.calmer, t.longest(), now, -1
}

// owe takes note of samples that are stored.
func (t *touches) owe(samples []touch, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.count
	t.recall(now.Sub(t.began))
	for _, s := range samples {
		if s.cadence != t.heeded {
			t.heed(s.cadence)
		}
		p := &s.job.ping
		if s.at <= p.newest {
			continue
		}
		p.newest = s.at
		switch p.state {
		case even:
			t.push(s.job, now.Sub(t.began))
		case inBehind:
			t.trails--
			t.push(s.job, now.Sub(t.began))
		case paying:
			p.state = payingLess
		}
	}
	if before == 0 && t.count > 0 || before <= together && t.count > together {
		t.look()
	}
}

func (t *touches) push(j *job, since instant) {
	j.ping.state, j.ping.since = inOwed, since
	t.owed = append(t.owed, debt{j, since})
	t.count++
}

// lag has a job wait in behind. Of those there that are none any more, only so many are kept: the first may wait for long, and
// jobs of a short cadence come and go behind it.
func (t *touches) lag(j *job, since instant) {
	j.ping.state, j.ping.since = inBehind, since
	t.behind = append(t.behind, debt{j, since})
	t.trails++
	if len(t.behind) > 2*t.trails+together {
		t.behind = slices.DeleteFunc(t.behind, func(d debt) bool { return !d.holds(inBehind) })
	}
}

// forget owes a job nothing any more.
func (t *touches) forget(j *job) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch j.ping.state {
	case inOwed:
		t.count--
	case inBehind:
		t.trails--
	}
	j.ping.state = even
}

// due is how long to wait until something is to be paid; false when nothing is owed.
func (t *touches) due(now time.Time) (time.Duration, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tidy()
	if t.count == 0 && len(t.behind) == 0 {
		return 0, false
	}
	return max(t.next(), t.resume) - now.Sub(t.began), true
}

// next is when the next payment is due.
func (t *touches) next() instant {
	next := t.last + touchPause
	switch {
	case t.count > together:
		// The k-th request from now has to come before the first of its jobs has waited long enough, and all come evenly, but
		// none before half of that time: it would stand for too few samples.
		pace := t.wait + touchPause
		for k := 0; k*together < len(t.owed); k++ {
			pace = min(pace, (t.owed[k*together].since+t.wait-t.last)/time.Duration(k+1))
		}
		return max(t.last+max(touchGap, pace), t.owed[0].since+t.wait/2)
	case t.count == 0 && !t.roomy():
		return max(next, t.behind[0].since+t.wait)
	}
	return next
}

// roomy tells whether there are few enough jobs for each of them to get its exact time.
func (t *touches) roomy() bool { return t.count <= exactly && t.trails <= together }

// tidy removes debts that are none any more from where they are looked at.
func (t *touches) tidy() {
	for len(t.owed) > 0 && !t.owed[0].holds(inOwed) {
		t.owed = t.owed[1:]
	}
	for len(t.behind) > 0 && !t.behind[0].holds(inBehind) {
		t.behind = t.behind[1:]
	}
}

// take gives what is to be paid now, in the order in which it is to be paid. Whoever takes it calls settle for each payment.
func (t *touches) take(at time.Time) (due []payment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := at.Sub(t.began)
	t.tidy()
	if max(t.next(), t.resume) > now && !t.hasty {
		return nil
	}
	t.last, t.hasty = now, false
	if t.roomy() {
		room := exactly - t.count
		due = t.singles(&t.owed, inOwed, t.count)
		return append(due, t.singles(&t.behind, inBehind, room)...)
	}
	for all := t.count <= together; t.count > 0 && (all || due == nil); {
		due = append(due, t.group())
	}
	if len(t.behind) > 0 && now-t.behind[0].since >= t.wait && now-t.exact >= touchPause {
		t.exact = now
		due = append(due, t.singles(&t.behind, inBehind, 1)...)
	}
	return due
}

// group takes the job that has waited longest, and others whose newest sample was taken at about the same time.
func (t *touches) group() payment {
	t.tidy()
	head, nearby := t.owed[0].job.ping.newest, t.nearby().Microseconds()
	p := payment{at: head, debts: make([]debt, 0, min(together, t.count))}
	kept := make([]debt, 0, window)
	n, most := 0, together
	for ; n < min(window, len(t.owed)) && len(p.debts) < most; n++ {
		d := t.owed[n]
		ahead := d.job.ping.newest - head
		switch {
		case !d.holds(inOwed):
		case max(ahead, -ahead) > nearby, len(p.debts) >= d.job.ping.most():
			kept = append(kept, d)
		default:
			most = min(most, d.job.ping.most())
			d.job.ping.state = paying
			t.count--
			p.at = min(p.at, d.job.ping.newest)
			p.debts = append(p.debts, d)
		}
	}
	copy(t.owed[n-len(kept):n], kept)
	t.owed = t.owed[n-len(kept):]
	return p
}

// singles takes the first n jobs of a list, each for a request of its own, the oldest time first.
func (t *touches) singles(list *[]debt, where pingState, n int) (due []payment) {
	for ; len(*list) > 0 && len(due) < n; *list = (*list)[1:] {
		d := (*list)[0]
		if !d.holds(where) {
			continue
		}
		if where == inOwed {
			t.count--
		} else {
			t.trails--
		}
		d.job.ping.state = paying
		due = append(due, payment{debts: []debt{d}, at: d.job.ping.newest})
	}
	slices.SortFunc(due, func(a, b payment) int { return cmp.Compare(a.at, b.at) })
	return due
}

// look has whoever waits for the next payment see when that is now.
func (t *touches) look() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}
