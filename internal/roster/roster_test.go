package roster

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

var start = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

// at is some seconds after the start; 0 is the zero time.
func at(seconds int) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return start.Add(time.Duration(seconds) * time.Second)
}

// jobs are ids of jobs, always the same.
func jobs(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = uuid.NewSHA1(uuid.NameSpaceOID, fmt.Append(nil, i)).String()
	}
	return ids
}

// pods are members as a Deployment names them.
func pods(n int) []Member {
	members := make([]Member, n)
	for i := range members {
		members[i].ID = fmt.Sprintf("latency-operator-7d4b9c6f5-%05d", i)
	}
	return members
}

func shares(r Roster, ids []string) map[string]int {
	count := map[string]int{}
	for _, id := range ids {
		count[r.Owner(id, start)]++
	}
	return count
}

func TestSharesAreEven(t *testing.T) {
	ids := jobs(50_000)
	for _, n := range []int{1, 2, 3, 5, 10} {
		want := float64(len(ids)) / float64(n)
		got := shares(New(pods(n)), ids)
		if len(got) != n {
			t.Errorf("%d members have jobs of %d", len(got), n)
		}
		for id, jobs := range got {
			if off := math.Abs(float64(jobs)-want) / want; off > 0.05 {
				t.Errorf("of %d members %s has %d jobs, which is %.1f %% off", n, id, jobs, 100*off)
			}
		}
	}
}

func TestOnlyItsShareMoves(t *testing.T) {
	ids := jobs(20_000)
	for n := 1; n <= 6; n++ {
		few, many := New(pods(n)), New(pods(n+1))
		added := pods(n + 1)[n].ID
		moved := 0
		for _, id := range ids {
			before, after := few.Owner(id, start), many.Owner(id, start)
			if before != after {
				moved++
				if after != added {
					t.Fatalf("with a member more, job %s moves from %s to %s", id, before, after)
				}
			}
		}
		if share := float64(len(ids)) / float64(n+1); math.Abs(float64(moved)-share) > 0.06*share {
			t.Errorf("from %d members to one more, %d jobs move; its share is %.0f", n, moved, share)
		}
	}
}

// Processes of two versions share the jobs while an update rolls: a change of the scores would have each job polled twice or
// not at all meanwhile.
func TestTheAnswerStaysTheSame(t *testing.T) {
	r := New(pods(5))
	got := make([]string, 12)
	for i, id := range jobs(len(got)) {
		owner := r.Owner(id, start)
		got[i] = owner[len(owner)-1:]
	}
	if want := []string{"0", "0", "2", "1", "0", "2", "1", "1", "0", "2", "1", "3"}; !slices.Equal(got, want) {
		t.Errorf("the owners are %q, and were %q", got, want)
	}
	backwards := pods(5)
	slices.Reverse(backwards)
	for _, id := range jobs(1000) {
		if New(backwards).Owner(id, start) != r.Owner(id, start) {
			t.Fatal("the order of the members matters")
		}
	}
}

// owners gives all who have jobs at an instant.
func owners(r Roster, when time.Time) []string {
	found := map[string]bool{}
	for _, id := range jobs(200) {
		if owner := r.Owner(id, when); owner != "" {
			found[owner] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

func TestMembersComeAndGoAtAnInstant(t *testing.T) {
	for name, tc := range map[string]struct {
		members []Member
		// active are those who have jobs from the instants on; the first is long ago.
		active  map[int][]string
		changes []int
	}{
		"nobody": {nil, map[int][]string{1: nil}, nil},
		"one":    {[]Member{{ID: "a"}}, map[int][]string{1: {"a"}}, nil},
		"one of a time: there was nobody before": {
			[]Member{{ID: "a", Joins: at(10)}}, map[int][]string{1: {"a"}, 10: {"a"}}, nil,
		},
		"one joins": {
			[]Member{{ID: "a"}, {ID: "b", Joins: at(10)}}, map[int][]string{9: {"a"}, 10: {"a", "b"}}, []int{10},
		},
		"one leaves": {
			[]Member{{ID: "a"}, {ID: "b", Leaves: at(10)}}, map[int][]string{9: {"a", "b"}, 10: {"a"}}, []int{10},
		},
		"the last leaves": {[]Member{{ID: "a", Leaves: at(10)}}, map[int][]string{9: {"a"}, 10: nil, 11: nil}, []int{10}},
		"one takes the place of another": {
			[]Member{{ID: "a", Leaves: at(10)}, {ID: "b", Joins: at(10)}}, map[int][]string{9: {"a"}, 10: {"b"}}, []int{10},
		},
		"one left before the next was to join, who need not wait then": {
			[]Member{{ID: "a", Leaves: at(10)}, {ID: "b", Joins: at(12)}}, map[int][]string{9: {"a"}, 10: {"b"}, 12: {"b"}}, []int{10},
		},
		"several were to join": {
			[]Member{{ID: "a", Leaves: at(10)}, {ID: "b", Joins: at(12)}, {ID: "c", Joins: at(13)}},
			map[int][]string{9: {"a"}, 10: {"b"}, 12: {"b"}, 13: {"b", "c"}}, []int{10, 13},
		},
		"one leaves before it joins": {
			[]Member{{ID: "a"}, {ID: "b", Joins: at(10), Leaves: at(8)}}, map[int][]string{7: {"a"}, 9: {"a"}, 11: {"a"}}, nil,
		},
		"an update rolls": {
			[]Member{{ID: "a", Leaves: at(14)}, {ID: "b", Leaves: at(24)}, {ID: "c", Joins: at(10)}, {ID: "d", Joins: at(20)}},
			map[int][]string{9: {"a", "b"}, 10: {"a", "b", "c"}, 14: {"b", "c"}, 20: {"b", "c", "d"}, 24: {"c", "d"}, 99: {"c", "d"}},
			[]int{10, 14, 20, 24},
		},
		"one twice: the last counts": {
			[]Member{{ID: "a"}, {ID: "b"}, {ID: "b", Joins: at(10)}}, map[int][]string{9: {"a"}, 10: {"a", "b"}}, []int{10},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := New(tc.members)
			for second, want := range tc.active {
				got := owners(r, at(second))
				if !slices.Equal(got, want) || !slices.Equal(r.Active(at(second)), want) {
					t.Errorf("after %d s jobs are those of %q, and %q are active; want %q", second, got, r.Active(at(second)), want)
				}
			}
			after := at(1)
			for _, second := range tc.changes {
				if after = r.Changes(after); !after.Equal(at(second)) {
					t.Fatalf("the next change is at %s, want %d s", after, second)
				}
			}
			if after := r.Changes(after); !after.IsZero() {
				t.Errorf("then one at %s", after)
			}
		})
	}
}

// jobOf finds a job that has an owner each at some instants.
func jobOf(t *testing.T, r Roster, owners map[int]string) string {
	t.Helper()
	for _, id := range jobs(1000) {
		fits := true
		for second, owner := range owners {
			fits = fits && r.Owner(id, at(second)) == owner
		}
		if fits {
			return id
		}
	}
	t.Fatalf("no job is of %v", owners)
	return ""
}

func TestSinceIsWhenTheJobMoved(t *testing.T) {
	update := []Member{{ID: "a", Leaves: at(14)}, {ID: "b", Leaves: at(24)}, {ID: "c", Joins: at(10)}, {ID: "d", Joins: at(20)}}
	for name, tc := range map[string]struct {
		members []Member
		owners  map[int]string
		when    int
		want    int
	}{
		"always":                      {update, map[int]string{1: "a", 13: "a"}, 13, 0},
		"before the move":             {update, map[int]string{9: "a", 10: "c"}, 9, 0},
		"got by joining":              {update, map[int]string{9: "a", 10: "c"}, 10, 10},
		"and kept while others moved": {update, map[int]string{9: "a", 10: "c", 24: "c"}, 30, 10},
		"got from one that left":      {update, map[int]string{13: "a", 14: "c"}, 30, 14},
		"twice moved":                 {update, map[int]string{13: "a", 14: "b", 24: "d"}, 30, 24},
		"nobody had it":               {[]Member{{ID: "a", Joins: at(10)}}, map[int]string{10: "a"}, 11, 0},
		"from one that was gone when it was to be handed over": {
			[]Member{{ID: "a", Leaves: at(10)}, {ID: "b", Joins: at(12)}}, map[int]string{9: "a", 12: "b"}, 12, 10,
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := New(tc.members)
			if got := r.Since(jobOf(t, r, tc.owners), at(tc.when)); !got.Equal(at(tc.want)) {
				t.Errorf("Since = %s, want %s", got, at(tc.want))
			}
		})
	}
	if got := (Roster{}).Since("job", start); !got.IsZero() {
		t.Errorf("without members Since = %s", got)
	}
}

// Whatever comes and goes, the members agree on each instant, and a job has one owner as long as there is anybody.
func TestEveryJobHasOneOwner(t *testing.T) {
	members := []Member{
		{ID: "a", Leaves: at(30)}, {ID: "b", Joins: at(5), Leaves: at(35)}, {ID: "c", Joins: at(12), Leaves: at(13)}, {ID: "d", Joins: at(40)},
	}
	r := New(members)
	for second := 1; second < 60; second++ {
		active := r.Active(at(second))
		for _, id := range jobs(100) {
			if owner := r.Owner(id, at(second)); !slices.Contains(active, owner) {
				t.Fatalf("after %d s a job is %q's, and %q have some", second, owner, active)
			}
		}
	}
	if diff := cmp.Diff([]string{"d"}, r.Active(at(37))); diff != "" {
		t.Error(diff)
	}
}

// One turn over all jobs of a large installation.
func BenchmarkOwner(b *testing.B) {
	ids := jobs(50_000)
	for _, n := range []int{1, 5} {
		b.Run(fmt.Sprintf("50000 jobs, members %d", n), func(b *testing.B) {
			r := New(pods(n))
			for b.Loop() {
				for _, id := range ids {
					r.Owner(id, start)
				}
			}
		})
	}
}
