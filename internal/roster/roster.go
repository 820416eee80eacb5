// Package roster tells which of several processes a job belongs to, by rendezvous hashing: each member has a score for each
// job, and the highest has it. Whoever knows the members gives the same answer, so nothing is assigned and nobody is asked.
// When a member comes or goes, only its share moves.
package roster

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
)

// Member is a process that has jobs from one instant on and until another.
type Member struct {
	ID string
	// Joins is from when on; zero for always.
	Joins time.Time
	// Leaves is until when, without that instant; zero for ever. A member that leaves before it joins has no jobs at all.
	Leaves time.Time
}

// Roster is the members, and who has which job when. It does not change, and is safe for concurrent use. The zero value has
// no members.
type Roster struct {
	// spans are the times in which the members stay the same, in their order. The first goes back for ever.
	spans []span
}

// span is a time in which the members stay the same: until the next one begins.
type span struct {
	from    int64 // in ns since 1970
	at      time.Time
	members []member
}

type member struct {
	id   string
	hash uint64
}

// New makes a roster. Where members have the same ID, the last counts. In a time in which nobody would have the jobs although
// somebody is to join later, those have them who join next: handing over from nobody needs no waiting.
func New(members []Member) Roster {
	all := map[string]Member{}
	for _, m := range members {
		all[m.ID] = m
	}
	starts := []time.Time{{}}
	for _, m := range all {
		for _, t := range []time.Time{m.Joins, m.Leaves} {
			if !t.IsZero() {
				starts = append(starts, t)
			}
		}
	}
	slices.SortFunc(starts, time.Time.Compare)
	starts = slices.CompactFunc(starts, time.Time.Equal)
	spans := make([]span, len(starts))
	for i := len(starts) - 1; i >= 0; i-- {
		s := &spans[i]
		s.at, s.from = starts[i], nanos(starts[i])
		for _, m := range all {
			if !m.Joins.After(s.at) && (m.Leaves.IsZero() || m.Leaves.After(s.at)) {
				s.members = append(s.members, member{m.ID, xxhash.Sum64String(m.ID)})
			}
		}
		if len(s.members) == 0 && i < len(starts)-1 {
			s.members = spans[i+1].members
		}
		slices.SortFunc(s.members, func(a, b member) int { return strings.Compare(a.id, b.id) })
	}
	return Roster{spans}
}

// Owner is the ID of the member that has a job at an instant; empty when there is none.
func (r Roster) Owner(jobID string, at time.Time) string {
	return r.owner(r.span(at), jobID)
}

// Since is the instant at which the member that has a job at an instant got it from another one that left, or by joining;
// zero when nothing is known of another one that had it before.
func (r Roster) Since(jobID string, at time.Time) time.Time {
	i := r.span(at)
	owner := r.owner(i, jobID)
	for ; i > 0; i-- {
		if before := r.owner(i-1, jobID); before != owner {
			if before == "" {
				break
			}
			return r.spans[i].at
		}
	}
	return time.Time{}
}

// Changes is the next instant after one at which jobs change their member; zero when none is known.
func (r Roster) Changes(after time.Time) time.Time {
	for i := r.span(after) + 1; i < len(r.spans); i++ {
		if !slices.Equal(r.spans[i-1].members, r.spans[i].members) {
			return r.spans[i].at
		}
	}
	return time.Time{}
}

// Active lists the IDs of the members that have jobs at an instant, in their order.
func (r Roster) Active(at time.Time) []string {
	i := r.span(at)
	if i < 0 {
		return nil
	}
	ids := make([]string, len(r.spans[i].members))
	for k, m := range r.spans[i].members {
		ids[k] = m.id
	}
	return ids
}

// span is the number of the span that an instant lies in; -1 without any.
func (r Roster) span(at time.Time) int {
	i := len(r.spans) - 1
	for t := nanos(at); i > 0 && r.spans[i].from > t; {
		i--
	}
	return i
}

func (r Roster) owner(span int, jobID string) string {
	if span < 0 {
		return ""
	}
	members := r.spans[span].members
	switch len(members) {
	case 0:
		return ""
	case 1:
		return members[0].id
	}
	job := xxhash.Sum64String(jobID)
	best, most := 0, mix(job^members[0].hash)
	for i := 1; i < len(members); i++ {
		if score := mix(job ^ members[i].hash); score > most {
			best, most = i, score
		}
	}
	return members[best].id
}

// mix spreads the bits of a number over all of it. The difference of two scores would otherwise hang on the members alone,
// and one of them would get too many jobs.
func mix(x uint64) uint64 { // the last step of splitmix64
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// nanos is an instant as a number, which is quicker to compare.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return math.MinInt64
	}
	return t.UnixNano()
}
