package controllers

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/soundcheck-io/latency-operator/internal/roster"
)

// zeroSeconds is when it is 0 s in the tables.
var zeroSeconds = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

// second is an instant of the tables.
func second(n int) time.Time { return zeroSeconds.Add(time.Duration(n) * time.Second) }

// lately is a peer whose Lease changed some seconds ago.
func lately(changed int) peer { return peer{version: "1", changed: second(changed)} }

// known are peers from whose Leases the API server said something last at an instant. We are among them.
func known(heard int, others map[string]peer) *peerSet {
	v := newPeerSet("us")
	v.heard = second(heard)
	for id, f := range others {
		v.see(id, f)
	}
	v.see("us", lately(heard)) // unless it was among them, of the same version
	return v
}

func ids(members []roster.Member) []string {
	var ids []string
	for _, m := range members {
		ids = append(ids, m.ID)
	}
	return ids
}

func TestWhoIsAMember(t *testing.T) {
	leaving := func(at int) peer { return peer{leaves: second(at), changed: second(96)} }
	for name, tc := range map[string]struct {
		heard  int
		others map[string]peer
		now    int
		want   []string
		alone  bool
	}{
		"nobody else":                                 {100, nil, 100, []string{"us"}, true},
		"one that renews":                             {100, map[string]peer{"it": lately(97)}, 100, []string{"it", "us"}, false},
		"one in the last moment of its Lease":         {100, map[string]peer{"it": {changed: second(88).Add(time.Millisecond)}}, 100, []string{"it", "us"}, false},
		"one that does not renew":                     {100, map[string]peer{"it": lately(88)}, 100, []string{"us"}, true},
		"one that dies between two words":             {98, map[string]peer{"it": lately(89)}, 101, []string{"us"}, true},
		"one that would have died in a silence":       {98, map[string]peer{"it": lately(93)}, 200, []string{"it", "us"}, false},
		"one that died before a silence was one":      {98, map[string]peer{"it": lately(91)}, 200, []string{"us"}, true},
		"one that is to join":                         {100, map[string]peer{"it": {joins: second(102), changed: second(100)}}, 100, []string{"it", "us"}, false},
		"one that is to leave":                        {100, map[string]peer{"it": leaving(102)}, 100, []string{"it", "us"}, false},
		"one that has left: the past is known":        {100, map[string]peer{"it": leaving(100)}, 100, []string{"it", "us"}, true},
		"one that has left, and renews no more":       {130, map[string]peer{"it": leaving(100)}, 130, []string{"it", "us"}, true},
		"one that left long ago":                      {160, map[string]peer{"it": leaving(100)}, 160, []string{"us"}, true},
		"one that died before it was to leave":        {100, map[string]peer{"it": {leaves: second(101), changed: second(80)}}, 100, []string{"us"}, true},
		"we ourselves, whatever we know of ourselves": {300, map[string]peer{"us": lately(10)}, 300, []string{"us"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			v := known(tc.heard, tc.others)
			if got := ids(v.members(second(tc.now))); !slices.Equal(got, tc.want) || v.alone(second(tc.now)) != tc.alone {
				t.Errorf("members %q, alone %t; want %q, %t", got, v.alone(second(tc.now)), tc.want, tc.alone)
			}
		})
	}
}

func TestAStartLongAgoIsNone(t *testing.T) {
	v := known(100, map[string]peer{
		"old": {joins: second(30), changed: second(99)}, "new": {joins: second(70), changed: second(99)}, "us": {version: "1", joins: second(40)},
	})
	want := []roster.Member{{ID: "new", Joins: second(70)}, {ID: "old"}, {ID: "us"}}
	if diff := cmp.Diff(want, v.members(second(100))); diff != "" {
		t.Error(diff)
	}
}

// In a silence it cannot be told who dies, and after it not who could have renewed a Lease.
func TestASilenceKillsNobody(t *testing.T) {
	v := known(100, map[string]peer{"living": lately(99), "dying": lately(95), "dead": lately(80)})
	silence := second(400)
	if got := ids(v.members(silence)); !slices.Equal(got, []string{"dying", "living", "us"}) {
		t.Errorf("in the silence there are %q", got)
	}
	if !v.stale(silence) || len(v.abandoned(silence)) > 0 {
		t.Errorf("stale %t, abandoned %v", v.stale(silence), v.abandoned(silence))
	}
	v.hear(silence)
	if !v.inTouch.Equal(silence) {
		t.Errorf("in touch since %s", v.inTouch)
	}
	v.see("living", peer{version: "2", changed: second(401)})
	for _, tc := range []struct {
		now  int
		want []string
	}{{400, []string{"dying", "living", "us"}}, {411, []string{"dying", "living", "us"}}, {412, []string{"living", "us"}}} {
		v.heard = second(tc.now)
		if got := ids(v.members(second(tc.now))); !slices.Equal(got, tc.want) {
			t.Errorf("at %d s there are %q, want %q", tc.now, got, tc.want)
		}
	}
	// The dead one has still to be waited for: the silence does not count.
	if v.forgotten(v.all["dead"], second(400)) {
		t.Error("a dead one is forgotten because of a silence")
	}
}

// While the API server is away nobody renews, and each has its last word at another instant. However these fall, nobody may
// take another for dead, neither in the outage nor after it.
func TestAnOutageForAllKillsNobody(t *testing.T) {
	for renewed := 100 - int(renewEvery/time.Second); renewed <= 100; renewed++ {
		v := known(100, map[string]peer{"it": lately(renewed)})
		for now := 100; now < 300; now++ {
			if v.alone(second(now)) {
				t.Fatalf("what was renewed at %d s is dead at %d s, though the last word was at 100 s", renewed, now)
			}
		}
		v.hear(second(300))
		if v.alone(second(300 + int(renewEvery/time.Second))) {
			t.Fatal("it is dead before it could renew")
		}
	}
}

func TestWhetherTheOthersTookUsForDead(t *testing.T) {
	for name, tc := range map[string]struct {
		others map[string]peer
		want   bool
	}{
		"nobody else":                                                     {nil, false},
		"one that was in touch all the while":                             {map[string]peer{"a": {inTouch: second(0), renewed: second(298)}}, true},
		"one that was in touch for as long as the Lease lasts":            {map[string]peer{"a": {inTouch: second(0), renewed: second(106)}}, true},
		"one that died before it could know":                              {map[string]peer{"a": {inTouch: second(0), renewed: second(105)}}, false},
		"one that was away as long as we, and is not back":                {map[string]peer{"a": {inTouch: second(0), renewed: second(103)}}, false},
		"one that was away as long as we, and has been back for a moment": {map[string]peer{"a": {inTouch: second(290), renewed: second(298)}}, false},
		"one that has been back for long":                                 {map[string]peer{"a": {inTouch: second(280), renewed: second(298)}}, true},
		"one of several":                                                  {map[string]peer{"a": {inTouch: second(290), renewed: second(298)}, "b": {inTouch: second(0), renewed: second(299)}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := known(300, tc.others).declaredDead(second(100), second(300)); got != tc.want {
				t.Errorf("declaredDead = %t, want %t", got, tc.want)
			}
		})
	}
}

func TestALeaseThatIsGone(t *testing.T) {
	for name, tc := range map[string]struct {
		it   peer
		want []roster.Member
	}{
		"deleted by hand, or with its pod": {lately(99), []roster.Member{{ID: "us"}}},
		"given up after it left":           {peer{leaves: second(98), changed: second(99)}, []roster.Member{{ID: "it", Leaves: second(98)}, {ID: "us"}}},
	} {
		t.Run(name, func(t *testing.T) {
			v := known(100, map[string]peer{"it": tc.it})
			v.lose("it", second(100))
			v.lose("stranger", second(100))
			for i := range tc.want {
				tc.want[i].Joins = time.Time{}
			}
			if diff := cmp.Diff(tc.want, v.members(second(100))); diff != "" {
				t.Error(diff)
			}
			if !v.alone(second(100)) || !v.delivered(second(1000), second(100)) {
				t.Error("it still counts")
			}
			if got := ids(v.members(second(160))); !slices.Equal(got, []string{"us"}) {
				t.Errorf("a minute later there are %q", got)
			}
		})
	}
}

func TestWhatIsSeenTwiceIsNothingNew(t *testing.T) {
	v := known(100, map[string]peer{"it": lately(90)})
	v.see("it", peer{version: "1", changed: second(100)})
	if got := v.all["it"].changed; !got.Equal(second(90)) {
		t.Errorf("a Lease that did not change counts as changed at %s", got)
	}
	v.see("it", peer{version: "2", changed: second(100)})
	if got := v.all["it"].changed; !got.Equal(second(100)) {
		t.Errorf("one that did at %s", got)
	}
}

func TestWhoHasDelivered(t *testing.T) {
	until := func(delivered, changed int) peer {
		return peer{delivered: second(delivered), changed: second(changed)}
	}
	for name, tc := range map[string]struct {
		others map[string]peer
		now    int
		want   bool
	}{
		"nobody else":                        {nil, 100, true},
		"all":                                {map[string]peer{"a": until(50, 99), "b": until(60, 98)}, 100, true},
		"not all":                            {map[string]peer{"a": until(49, 99), "b": until(60, 98)}, 100, false},
		"one does not say":                   {map[string]peer{"a": {changed: second(99)}}, 100, false},
		"a dead one had not":                 {map[string]peer{"a": until(40, 60)}, 100, false},
		"it is dead for two minutes":         {map[string]peer{"a": until(40, 60)}, 180, true},
		"one that left had not":              {map[string]peer{"a": {leaves: second(90), delivered: second(49), changed: second(89)}}, 100, false},
		"one that left had":                  {map[string]peer{"a": {leaves: second(90), delivered: second(50), changed: second(89)}}, 100, true},
		"what we say ourselves is no matter": {map[string]peer{"us": {version: "1", delivered: second(1)}}, 100, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := known(tc.now, tc.others).delivered(second(50), second(tc.now)); got != tc.want {
				t.Errorf("delivered = %t, want %t", got, tc.want)
			}
		})
	}
}

func TestWhetherTheOthersHandedOver(t *testing.T) {
	for name, tc := range map[string]struct {
		it   peer
		want bool
	}{
		"one that holds some":                     {peer{delivered: second(49), changed: second(99)}, false},
		"one that holds nothing":                  {peer{delivered: second(50), changed: second(99)}, true},
		"one that died with some":                 {peer{delivered: second(49), changed: second(80)}, true},
		"one that left, and still holds some":     {peer{leaves: second(60), delivered: second(49), changed: second(80)}, false},
		"one that left, and is not to come again": {peer{leaves: second(60), delivered: second(49), changed: second(100).Add(-forgottenAfter)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := known(100, map[string]peer{"it": tc.it}).handedOver(second(50), second(100)); got != tc.want {
				t.Errorf("handed over = %t, want %t", got, tc.want)
			}
		})
	}
}

func TestWhoseLeaseIsInTheWay(t *testing.T) {
	v := known(200, map[string]peer{"living": lately(199), "dead": lately(81), "long dead": lately(80), "us": lately(10)})
	if got := slices.Sorted(maps.Keys(v.abandoned(second(200)))); !slices.Equal(got, []string{"long dead"}) {
		t.Errorf("abandoned are %q", got)
	}
}

func TestWhenTheNextMayDie(t *testing.T) {
	v := known(100, map[string]peer{"a": lately(96), "b": lately(92), "dead": lately(70), "us": lately(90)})
	if got := v.dies(second(100)); !got.Equal(second(104)) {
		t.Errorf("the next may die at %s, want %s", got, second(104))
	}
	if got := known(100, nil).dies(second(100)); !got.IsZero() {
		t.Errorf("alone, somebody dies at %s", got)
	}
}

func TestTheLeaseOfAMachine(t *testing.T) {
	for identity, want := range map[string]string{
		"latency-operator-7d4b9c6f5-x2x9k": "latency-operator-latency-operator-7d4b9c6f5-x2x9k",
		"Laptop_von_Änne.local":            "latency-operator-laptop-von-nne.local",
		"-odd.":                            "latency-operator-odd",
	} {
		if got := memberLease(identity); got != want {
			t.Errorf("the Lease of %q is %q, want %q", identity, got, want)
		}
	}
}

func TestTheTimesOfMembershipFitTogether(t *testing.T) {
	if most := deadAfter + askFirst + rampTime; most >= 20*time.Second {
		t.Errorf("the jobs of one that was killed are polled elsewhere within %s", most)
	}
	if staleAfter <= renewEvery {
		t.Error("what is known gets old between two renewals")
	}
	if deadAfter <= staleAfter+renewEvery {
		t.Error("an API server that is away for everybody kills some")
	}
}
