package spreedbtest

import (
	"net/netip"
	"slices"
	"time"
)

// Poll is a poll that has ended.
type Poll struct {
	// Target whose latency was asked for.
	Target netip.Addr
	// Arrived is when the request came in, Left when its answer was ready or the client gave up.
	Arrived, Left time.Time
	// Code is the HTTP status that was answered; 0 if nothing was, because the client gave up or the connection was
	// dropped.
	Code int
	// RTT in milliseconds that was answered; 0 if none was.
	RTT float64
	// Error that was answered; empty if none was. It is empty, too, in a body that a Behaviour prescribes.
	Error string
}

// Count says how often a target was polled.
type Count struct {
	// Polls is how many have arrived, InFlight how many of them have not ended.
	Polls, InFlight int
	// MaxInFlight is how many were in flight at once: more than 1 means that polls overlapped. A poll that its client
	// gives up counts until the end of its connection is seen, moments later.
	MaxInFlight int
}

// Polls returns the polls that have ended in the order of their arrival, as many of the newest as Options.Keep says.
func (s *SpreeDB) Polls() []Poll {
	s.mu.Lock()
	defer s.mu.Unlock()
	polls := slices.Clone(s.polls)
	slices.SortStableFunc(polls, func(a, b Poll) int { return a.Arrived.Compare(b.Arrived) })
	return polls
}

// Target counts the polls of a target. It panics if target is no IP address.
func (s *SpreeDB) Target(target string) Count {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.targets[netip.MustParseAddr(target).Unmap()]; t != nil {
		return t.count
	}
	return Count{}
}

// Total counts the polls of all targets.
func (s *SpreeDB) Total() Count {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// MaxOverlap is the highest MaxInFlight of any one target.
func (s *SpreeDB) MaxOverlap() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	most := 0
	for _, t := range s.targets {
		most = max(most, t.count.MaxInFlight)
	}
	return most
}

// arrive counts a poll and tells how to treat it and its number, from 1.
func (s *SpreeDB) arrive(addr netip.Addr) (Behaviour, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.target(addr)
	t.count.arrive()
	s.total.arrive()
	switch n := uint64(t.count.Polls); {
	case s.outage != nil:
		return *s.outage, n
	case t.own != nil:
		return *t.own, n
	default:
		return s.choose(addr), n
	}
}

// leave ends a poll.
func (s *SpreeDB) leave(p Poll) {
	p.Left = time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.target(p.Target).count.InFlight--
	s.total.InFlight--
	switch {
	case s.keep < 0:
	case len(s.polls) < s.keep:
		s.polls = append(s.polls, p)
	default:
		s.polls[s.oldest] = p
		s.oldest = (s.oldest + 1) % s.keep
	}
}

func (c *Count) arrive() {
	c.Polls++
	c.InFlight++
	c.MaxInFlight = max(c.MaxInFlight, c.InFlight)
}
