package outbox

import (
	"slices"
	"time"
)

// payment is one request: all jobs get the same time.
type payment struct {
	debts []debt
	at    int64 // in microseconds since 1970
}

// ending is what became of a payment.
type ending uint8

const (
	untried ending = iota // it is to be tried as soon as possible
	done                  // all were told
	failed                // all wait for their turn again
	tooLong               // the same, but the next request is for fewer
)

// settle ends a payment.
func (t *touches) settle(p payment, end ending, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var first []debt
	for _, d := range p.debts {
		ping := &d.job.ping
		switch end {
		case done:
			ping.halved = 0
		case tooLong:
			if ping.most() > 1 {
				ping.halved++
			}
		}
		switch underWay := ping.state == paying || ping.state == payingLess; {
		case !underWay: // forgotten
		case end == untried:
			ping.state, ping.since = inOwed, d.since
			first = append(first, d)
		case end != done, ping.state == payingLess:
			t.push(d.job, now.Sub(t.began))
		case ping.newest > p.at:
			t.lag(d.job, now.Sub(t.began))
		default:
			ping.state = even
		}
	}
	if len(first) > 0 {
		t.count += len(first)
		t.owed = slices.Concat(first, t.owed)
	}
	if end == done {
		t.retry.Reset()
	}
	t.look()
}

// pause has all wait, longer each time, because of an error. Of requests that failed at the same time the first counts: it tells whether
// this one is that.
func (t *touches) pause(err error, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := now.Sub(t.began)
	if at < t.resume {
		return false
	}
	t.resume = at + delay(t.retry, err)
	return true
}

// paused tells whether all wait.
func (t *touches) paused(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return now.Sub(t.began) < t.resume
}

// hurry makes the next payment due at once, and tells whether nothing is left but to make up for shared times.
func (t *touches) hurry() (nothingOwed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hasty, t.resume = true, 0
	return t.count == 0
}
