package controllers

import (
	"maps"
	"slices"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/roster"
)

const (
	// notice is how long before it takes effect a change is announced: time enough for everybody to hear of it, and to begin
	// and to stop in the same instant.
	notice = 2 * time.Second
	// begun is how long after it has left a process goes on, so that all polls are begun that were due before: on a busy machine
	// these are late.
	begun = time.Second
	// renewEvery is how often a process renews its Lease. One that has not changed for deadAfter belongs to the dead: with the
	// question to the database and the ramp after it, all of their jobs are polled within 20 s.
	renewEvery = 4 * time.Second
	deadAfter  = 12 * time.Second
	// staleAfter is the longest silence of the API server after which what is known still counts as the present: a renewal of
	// our own has been due by then. After it nobody is declared dead, because it may be us who hear nothing. It is less than
	// deadAfter by more than renewEvery: when the API server goes away, the last word of everybody is younger than that.
	staleAfter = 6 * time.Second
	// forgottenAfter is how long a Lease that does not change stands for samples that its process may still deliver.
	forgottenAfter = 2 * time.Minute
	// remembered is how long it matters who had the jobs before a change: it takes a moment until all are decided about.
	remembered = time.Minute
)

// peer is what the Lease of a process says.
type peer struct {
	// joins is from when on it polls; leaves is until when, zero for as long as it lives.
	joins, leaves time.Time
	// delivered is the instant before which all that it measured is stored.
	delivered time.Time
	// inTouch is since when it has known without a break what the others' Leases say, and renewed when it renewed its own last.
	inTouch, renewed time.Time
	// version is the Lease's.
	version string
	// changed is when the Lease was seen to change last, by our clock.
	changed time.Time
}

// left tells whether the process has handed its jobs over.
func (f *peer) left(now time.Time) bool { return !f.leaves.IsZero() && !f.leaves.After(now) }

// member is the process as a member, for what happens around an instant. A start long ago is none.
func (f *peer) member(id string, now time.Time) roster.Member {
	m := roster.Member{ID: id, Joins: f.joins, Leaves: f.leaves}
	if now.Sub(m.Joins) >= remembered {
		m.Joins = time.Time{}
	}
	return m
}

// peerSet is what a process knows about those that share the jobs, itself among them. It is not safe for concurrent use.
type peerSet struct {
	self string
	all  map[string]*peer // by their identities
	// heard is when the API server last said anything about Leases; zero before the first time.
	heard time.Time
	// inTouch is since when there was no silence of the API server.
	inTouch time.Time
	// gone are those that had jobs until not long ago, and whose Leases are gone.
	gone map[string]*peer
}

func newPeerSet(self string) *peerSet {
	return &peerSet{self: self, all: map[string]*peer{}, gone: map[string]*peer{}}
}

// at is the instant up to which all this is known to be right, which is not later than now.
func (v *peerSet) at(now time.Time) time.Time { return earliest(now, v.heard.Add(staleAfter)) }

// stale tells whether what is known may not be the present.
func (v *peerSet) stale(now time.Time) bool { return v.at(now).Before(now) }

// hear notes that the API server said something. A silence counts for nobody: in it, nobody may have been able to renew a
// Lease. Those that were not dead before it have all the time again.
func (v *peerSet) hear(now time.Time) {
	switch {
	case v.heard.IsZero():
		v.inTouch = now
	case v.stale(now):
		v.inTouch = now
		silence := now.Sub(v.at(now))
		for id, f := range v.all {
			if v.alive(id, now) {
				f.changed = now
			} else {
				f.changed = f.changed.Add(silence)
			}
		}
	}
	v.heard = now
}

// see takes note of a Lease. One of the version that was seen before says nothing new.
func (v *peerSet) see(id string, f peer) {
	if old := v.all[id]; old == nil || old.version != f.version {
		v.all[id] = &f
	}
}

// lose takes note that a Lease is gone. Unless it had left, its process has no jobs from now on.
func (v *peerSet) lose(id string, now time.Time) {
	if f := v.all[id]; f != nil && f.left(now) {
		v.gone[id] = f
	}
	delete(v.all, id)
}

// alive tells whether a process renews its Lease. We do, as far as we know.
func (v *peerSet) alive(id string, now time.Time) bool {
	f := v.all[id]
	return f != nil && (id == v.self || v.at(now).Sub(f.changed) < deadAfter)
}

// declaredDead tells whether one of the others must have taken us for dead, if we renewed our Lease last at an instant: it has been
// in touch for as long as a Lease lasts since then. Where the API server was away for everybody, nobody has.
func (v *peerSet) declaredDead(renewed, now time.Time) bool {
	for id, f := range v.all {
		until := earliest(now, f.renewed.Add(staleAfter))
		if id != v.self && until.Sub(later(f.inTouch, renewed)) >= deadAfter {
			return true
		}
	}
	return false
}

// alone tells whether nobody else has jobs or is to have them.
func (v *peerSet) alone(now time.Time) bool {
	for id, f := range v.all {
		if id != v.self && v.alive(id, now) && !f.left(now) {
			return false
		}
	}
	return true
}

// members are those who have jobs, will have them, or had them not long ago, in the order of their IDs.
func (v *peerSet) members(now time.Time) []roster.Member {
	found := map[string]roster.Member{}
	maps.DeleteFunc(v.gone, func(_ string, f *peer) bool { return now.Sub(f.leaves) >= remembered })
	for id, f := range v.gone {
		found[id] = f.member(id, now)
	}
	for id, f := range v.all {
		if f.left(now) && now.Sub(f.leaves) < remembered || !f.left(now) && v.alive(id, now) {
			found[id] = f.member(id, now)
		}
	}
	members := make([]roster.Member, 0, len(found))
	for _, id := range slices.Sorted(maps.Keys(found)) {
		members = append(members, found[id])
	}
	return members
}

// delivered tells whether every other process has said that all that it measured before an instant is stored. Those that
// have said nothing for long do not count any more.
func (v *peerSet) delivered(until, now time.Time) bool { return v.stored(until, now, true) }

// handedOver tells that of those who are alive, and of those who left and have not given up their Leases yet.
func (v *peerSet) handedOver(until, now time.Time) bool { return v.stored(until, now, false) }

func (v *peerSet) stored(until, now time.Time, deadToo bool) bool {
	for id, f := range v.all {
		counts := !v.forgotten(f, now) && (deadToo || v.alive(id, now) || f.left(now))
		if id != v.self && counts && f.delivered.Before(until) {
			return false
		}
	}
	return true
}

// forgotten tells whether a Lease has not changed for so long that nobody waits for its process.
func (v *peerSet) forgotten(f *peer, now time.Time) bool {
	return v.at(now).Sub(f.changed) >= forgottenAfter
}

// abandoned lists the others whose Leases are only in the way, with the versions of these. There are none while it is not
// known what is present.
func (v *peerSet) abandoned(now time.Time) map[string]string {
	found := map[string]string{}
	for id, f := range v.all {
		if id != v.self && !v.stale(now) && v.forgotten(f, now) {
			found[id] = f.version
		}
	}
	return found
}

// dies is when the next of the others counts as dead if nothing is heard of it; zero when nobody can.
func (v *peerSet) dies(now time.Time) (next time.Time) {
	for id, f := range v.all {
		if t := f.changed.Add(deadAfter); id != v.self && t.After(now) && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	return next
}
