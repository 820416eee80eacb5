// Package spreedbtest is a SpreeDB that tests, the demo and benchmarks can tell what to answer. It serves real HTTP,
// remembers what it was asked, and behaves the same for the same seed.
package spreedbtest

import (
	"net/netip"
	"sync"
)

const defaultKeep = 10_000

// Options of a SpreeDB; the zero value answers every poll as for a healthy device.
type Options struct {
	// Seed of everything random.
	Seed uint64
	// Default is the behaviour of targets that have none of their own.
	Default Behaviour
	// Choose tells it target by target, at every poll; when it is set, Default is not used. It must not call the
	// SpreeDB.
	Choose func(target netip.Addr) Behaviour
	// Keep is how many of the newest polls Polls returns; default 10,000, none if negative.
	Keep int
}

// SpreeDB is an http.Handler. Its methods may be called from several goroutines.
type SpreeDB struct {
	seed uint64
	keep int

	mu      sync.Mutex
	choose  func(netip.Addr) Behaviour
	outage  *Behaviour
	targets map[netip.Addr]*target
	total   Count
	polls   []Poll // a ring once it is full
	oldest  int
}

type target struct {
	own   *Behaviour
	count Count
}

// New gives a SpreeDB that does not listen yet: mount it as a handler, or call Listen or Start.
func New(opts Options) *SpreeDB {
	s := &SpreeDB{seed: opts.Seed, keep: opts.Keep, choose: opts.Choose, targets: map[netip.Addr]*target{}}
	if s.keep == 0 {
		s.keep = defaultKeep
	}
	if s.choose == nil {
		s.SetDefault(opts.Default)
	}
	return s
}

// Set gives a target a behaviour of its own, from its next poll on. It panics if target is no IP address.
func (s *SpreeDB) Set(target string, b Behaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.target(netip.MustParseAddr(target)).own = &b
}

// SetDefault is the behaviour, from their next poll on, of all targets that have none of their own.
func (s *SpreeDB) SetDefault(b Behaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.choose = func(netip.Addr) Behaviour { return b }
}

// Break makes SpreeDB behave like this for every target, whatever they were set to, until Mend.
func (s *SpreeDB) Break(b Behaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outage = &b
}

// Mend ends what Break began. Polls that hang go on hanging.
func (s *SpreeDB) Mend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outage = nil
}

// target is the record of a target. The caller holds mu.
func (s *SpreeDB) target(addr netip.Addr) *target {
	addr = addr.Unmap()
	t := s.targets[addr]
	if t == nil {
		t = new(target)
		s.targets[addr] = t
	}
	return t
}
