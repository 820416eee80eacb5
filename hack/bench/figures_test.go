package main

import (
	"context"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"github.com/soundcheck-io/latency-operator/hack/bench/spreedb"
)

func TestPercentiles(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i+1) * time.Millisecond
	}
	for name, tc := range map[string]struct {
		sorted []time.Duration
		share  float64
		want   time.Duration
	}{
		"none":               {nil, 0.5, 0},
		"one":                {hundred[:1], 0.99, time.Millisecond},
		"the middle":         {hundred, 0.5, 50 * time.Millisecond},
		"ninety-nine":        {hundred, 0.99, 99 * time.Millisecond},
		"the largest":        {hundred, 1, 100 * time.Millisecond},
		"between two is up":  {hundred[:3], 0.5, 2 * time.Millisecond},
		"below the first":    {hundred, 0, time.Millisecond},
		"99 of 10 is the 10": {hundred[:10], 0.99, 10 * time.Millisecond},
	} {
		if got := percentile(tc.sorted, tc.share); got != tc.want {
			t.Errorf("%s: got %s, want %s", name, got, tc.want)
		}
	}
	if got := percentilesOf([]time.Duration{3 * time.Millisecond, 1500 * time.Microsecond}); got != (percentiles{1.5, 3, 3}) {
		t.Errorf("got %+v", got)
	}
}

func TestLoads(t *testing.T) {
	for text, want := range map[string]flagged{
		"5000":           {Jobs: 5000},
		"5000+500":       {Jobs: 5000, Hanging: 500},
		"3000@second":    {Jobs: 3000, Phases: phasesSecond},
		"100+10@equal":   {Jobs: 100, Hanging: 10, Phases: phasesEqual},
		"100+0@spread":   {Jobs: 100, Phases: phasesSpread},
		"":               {},
		"many":           {},
		"0":              {},
		"-5":             {},
		"5+":             {},
		"5+-1":           {},
		"5@":             {},
		"5@sometimes":    {},
		"5@second+5":     {},
		"99999999999999": {},
	} {
		var got flagged
		err := got.UnmarshalText([]byte(text))
		if (err != nil) != (want == flagged{}) || err == nil && got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	opts := options{Jobs: []flagged{{Jobs: 5, Hanging: 1}, {Jobs: 6, Phases: phasesEqual}}, Hanging: 2, Phases: phasesSpread, Replicas: []int{1, 3}}
	want := []string{"5 jobs, 1 more that hang", "5 jobs, 1 more that hang, 3 replicas", "6 jobs, 2 more that hang, started at the same instant", "6 jobs, 2 more that hang, started at the same instant, 3 replicas"}
	var got []string
	for _, l := range opts.loads() {
		got = append(got, l.String())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFlagsThatMakeNoSense(t *testing.T) {
	for flag, valid := range map[string]bool{
		"--cadence=10s": true, "--cadence=1500ms": false, "--cadence=0s": false, "--window=100ms": false, "--dead=1.5": false, "--dead=0": true,
		"--hanging=-1": false, "--settle=-1s": false, "--replicas=1,0": false, "--replicas=1,2": true, "--phases=often": false, "--jobs=many": false,
		"--floor=false": true, "--no-floor": true,
	} {
		if err := parsed(t, flag); (err == nil) != valid {
			t.Errorf("%s: %v", flag, err)
		}
	}
}

func parsed(t *testing.T, args ...string) error {
	t.Helper()
	parser, err := kong.New(new(options), kong.Exit(func(int) {}))
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(args)
	return err
}

func TestPhases(t *testing.T) {
	now := time.Date(2026, time.November, 23, 10, 0, 0, 123456789, time.UTC)
	for phases, span := range map[string]time.Duration{phasesSpread: 10 * time.Second, phasesSecond: time.Second, phasesEqual: 0} {
		opts := options{Cadence: 10 * time.Second, Dead: 0.5, Seed: 1}
		p := populate(load{Jobs: 100, Hanging: 10, Phases: phases}, &opts, now)
		ids, dead, hanging := map[string]bool{}, 0, 0
		for i, row := range p.rows {
			ids[row.ID] = true
			if at := now.Sub(row.StartedAt); at < 0 || at > span+time.Microsecond || row.StartedAt != row.StartedAt.Truncate(time.Microsecond) || row.StartedAt != p.devices[i].Start {
				t.Errorf("%s: job %d started %s ago", phases, i, at)
			}
			if p.devices[i].Dead {
				dead++
			}
			if p.devices[i].Hangs {
				hanging++
			}
			if row.TargetIP != spreedb.Address(i) {
				t.Errorf("job %d has the target %s", i, row.TargetIP)
			}
		}
		if len(ids) != 110 || hanging != 10 || dead < 30 || dead > 70 {
			t.Errorf("%s: %d ids, %d hang, %d are dead", phases, len(ids), hanging, dead)
		}
		if got := p.rows[50].StartedAt.Sub(p.rows[0].StartedAt).Round(time.Millisecond); got != span/2 {
			t.Errorf("%s: half of the jobs started within %s", phases, got)
		}
		again := populate(load{Jobs: 100, Hanging: 10, Phases: phases}, &opts, now)
		if !slices.Equal(p.rows, again.rows) {
			t.Errorf("%s: the same seed gives other jobs", phases)
		}
	}
}

func TestWritesOfTheAPIServer(t *testing.T) {
	const metrics = `# HELP apiserver_request_total [STABLE] Counter of apiserver requests
# TYPE apiserver_request_total counter
apiserver_request_total{code="200",component="apiserver",dry_run="",group="coordination.k8s.io",resource="leases",scope="resource",subresource="",verb="PUT",version="v1"} 12
apiserver_request_total{code="200",component="apiserver",dry_run="",group="latency.soundcheck.io",resource="latencyjobs",scope="resource",subresource="status",verb="APPLY",version="v1alpha1"} 1.5e+03
apiserver_request_total{code="409",component="apiserver",dry_run="",group="latency.soundcheck.io",resource="latencyjobs",scope="resource",subresource="status",verb="APPLY",version="v1alpha1"} 2
apiserver_request_total{code="200",component="apiserver",dry_run="",group="latency.soundcheck.io",resource="latencyjobs",scope="resource",subresource="",verb="PATCH",version="v1alpha1"} 3
apiserver_request_total{code="200",component="apiserver",dry_run="",group="latency.soundcheck.io",resource="latencyjobs",scope="namespace",subresource="",verb="LIST",version="v1alpha1"} 7
apiserver_request_total{code="0",component="apiserver",dry_run="",group="latency.soundcheck.io",resource="latencyjobs",scope="namespace",subresource="",verb="WATCH",version="v1alpha1"} 7
apiserver_request_total{code="201",component="apiserver",dry_run="",group="events.k8s.io",resource="events",scope="resource",subresource="",verb="POST",version="v1"} 4
apiserver_request_total_of_something_else{verb="POST"} 4
`
	got, err := parseWrites(strings.NewReader(metrics))
	want := writes{"leases": 12, "latencyjobs/status": 1502, "latencyjobs": 3, "events": 4}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if _, err := parseWrites(strings.NewReader(`apiserver_request_total{verb="POST"} much`)); err == nil {
		t.Error("that is no number")
	}
}

func TestWhatProcTells(t *testing.T) {
	cpu, err := parseStat([]byte("4242 (a b) (c) S 17 4242 4242 0 -1 4194560 1 0 0 0 250 50 90 9 20 0 12 0 100 0 0\n"))
	if cpu != (stat{state: "S", parent: 17, used: 3 * time.Second, reaped: 990 * time.Millisecond}) || err != nil {
		t.Errorf("got %+v, %v", cpu, err)
	}
	m, err := parseStatus("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\nThreads:\t3\n")
	if m != (memory{rss: 1 << 20, peak: 2 << 20}) || err != nil {
		t.Errorf("got %+v, %v", m, err)
	}
	before, err := parseMachine("cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1 2\n")
	if err != nil || before.all != 10*time.Second {
		t.Errorf("got %+v, %v", before, err)
	}
	after, err := parseMachine("cpu  160 0 110 720 110 0 0 0 50 0\n")
	if busy := after.busySince(before); err != nil || math.Abs(busy-0.7) > 1e-9 {
		t.Errorf("busy %g, %v", busy, err)
	}
	for name, broken := range map[string]func() error{
		"stat":    func() error { _, err := parseStat([]byte("4242 (x) S 1")); return err },
		"a word":  func() error { _, err := parseStat([]byte("4242 (x) S 1 2 3 4 5 6 7 8 9 10 x 12 13 14")); return err },
		"status":  func() error { _, err := parseStatus("Name:\tx\n"); return err },
		"machine": func() error { _, err := parseMachine("intr 1 2 3"); return err },
	} {
		if broken() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestTimeOfChildrenThatEndIsNotLost looks as often as it can at a process whose children do something and end, one after the other.
func TestTimeOfChildrenThatEndIsNotLost(t *testing.T) {
	const work = `for child in $(seq 20); do sh -c 'for step in $(seq 200000); do :; done'; done`
	parent := exec.CommandContext(t.Context(), "sh", "-c", work)
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- parent.Wait() }()
	for last, looks := time.Duration(0), 0; ; looks++ {
		used, err := cpuWithChildren(parent.Process.Pid)
		if err != nil { // it has ended
			if err := <-ended; err != nil || last == 0 {
				t.Errorf("%s in %d looks, %v", last, looks, err)
			}
			return
		}
		if used < last {
			t.Fatalf("%s, and before that %s", used, last)
		}
		last = used
	}
}

func TestTargets(t *testing.T) {
	good := func(l load) result {
		if l.Phases == "" {
			l.Phases = phasesSpread
		}
		l.Replicas = 1
		return result{Load: l, CPURatio: 1.3, Floor: &figures{}, Operator: figures{
			Slots: 100_000, Polls: 100_000, LatenessMillis: percentiles{P99: 50}, APIWritesPerPoll: 0.01, SupabasePerPoll: 0.005, KiBPerJob: 10, FirstSampleSeconds: new(25.0),
		}}
	}
	for name, tc := range map[string]struct {
		load   load
		spoil  func(*result)
		missed string
	}{
		"all is well":              {load{Jobs: 5000}, func(*result) {}, ""},
		"one slot":                 {load{Jobs: 5000}, func(r *result) { r.Operator.Unmeasured = 1 }, "share of slots unmeasured"},
		"one in a thousand":        {load{Jobs: 50000}, func(r *result) { r.Operator.Unmeasured = 100 }, ""},
		"more than that":           {load{Jobs: 50000}, func(r *result) { r.Operator.Unmeasured = 101 }, "share of slots unmeasured"},
		"late":                     {load{Jobs: 5000}, func(r *result) { r.Operator.LatenessMillis.P99 = 50.1 }, "lateness p99 in ms"},
		"dear":                     {load{Jobs: 20000}, func(r *result) { r.CPURatio = 1.51 }, "CPU per poll to the floor's"},
		"without a floor":          {load{Jobs: 20000}, func(r *result) { r.CPURatio, r.Floor = 0, nil }, ""},
		"hanging may cost":         {load{Jobs: 5000, Hanging: 500}, func(r *result) { r.CPURatio = 9 }, ""},
		"two at once":              {load{Jobs: 50000}, func(r *result) { r.Operator.KiBPerJob, r.Operator.APIWritesPerPoll = 11, 0.02 }, "API writes per poll, memory per job in KiB"},
		"chatty":                   {load{Jobs: 50000}, func(r *result) { r.Operator.SupabasePerPoll = 0.006 }, "Supabase requests per poll"},
		"a floor without polls":    {load{Jobs: 20000}, func(r *result) { r.CPURatio = 0 }, "CPU per poll to the floor's"},
		"a slow start":             {load{Jobs: 5000}, func(r *result) { r.Operator.FirstSampleSeconds = new(25.1) }, "start to every job's first sample in s"},
		"a job without a sample":   {load{Jobs: 5000}, func(r *result) { r.Operator.FirstSampleSeconds = new(0.0) }, "start to every job's first sample in s"},
		"the database cannot tell": {load{Jobs: 5000}, func(r *result) { r.Operator.FirstSampleSeconds = nil }, ""},
		"nothing measured": {load{Jobs: 20000}, func(r *result) { r.Operator = figures{} },
			"share of slots unmeasured, lateness p99 in ms, API writes per poll, Supabase requests per poll, memory per job in KiB"},
		"not to be believed":         {load{Jobs: 5000}, func(r *result) { r.Problems = []string{"x"} }, "problems"},
		"all in one second":          {load{Jobs: 3000, Phases: phasesSecond}, func(r *result) { r.Operator.Unmeasured = 1 }, "share of slots unmeasured"},
		"nothing promised":           {load{Jobs: 777}, func(r *result) { r.Operator.Unmeasured = 777 }, ""},
		"nothing about equal phases": {load{Jobs: 5000, Phases: phasesEqual}, func(r *result) { r.Operator.Unmeasured = 777 }, ""},
	} {
		res := good(tc.load)
		tc.spoil(&res)
		if got := missed(checks(res, 10*time.Second)); got != tc.missed {
			t.Errorf("%s: missed %q, want %q", name, got, tc.missed)
		}
	}
	if got := checks(good(load{Jobs: 5000}), time.Second); len(got) > 0 {
		t.Errorf("promises are about a cadence of 10 s: %v", got)
	}
}

func TestAFloorThatIsNotToBeBelievedIsAProblemOfTheResult(t *testing.T) {
	for name, tc := range map[string]struct {
		operator, floor []string
		want            []string
	}{
		"both are well":       {nil, nil, nil},
		"the operator is not": {[]string{"operator: x"}, nil, []string{"operator: x"}},
		"the floor is not":    {nil, []string{"floor: y"}, []string{"floor: y"}},
		"neither is":          {[]string{"operator: x"}, []string{"floor: y", "floor: z"}, []string{"operator: x", "floor: y", "floor: z"}},
	} {
		res := result{Operator: figures{CPUPerPollMicros: 150}, Problems: tc.operator}
		res.compare(&figures{CPUPerPollMicros: 100}, tc.floor)
		if diff := cmp.Diff(tc.want, res.Problems); diff != "" || res.CPURatio != 1.5 || res.Floor == nil {
			t.Errorf("%s: %s, ratio %g", name, diff, res.CPURatio)
		}
	}
	m := measurement{program: &program{name: "floor"}}
	m.suspect("%d of %d jobs were not polled within %s", 3, 100, time.Minute)
	if want := []string{"floor: 3 of 100 jobs were not polled within 1m0s"}; !slices.Equal(m.problems, want) {
		t.Errorf("got %q", m.problems)
	}
}

func TestWhatIsNotKnownIsSaidSo(t *testing.T) {
	for want, c := range map[string]check{
		"x: 1.234, at most 1.4: met":      {What: "x", Is: 1.234, AtMost: 1.4, Met: true},
		"x: 1.5, at most 1.4: MISSED":     {What: "x", Is: 1.5, AtMost: 1.4},
		"x: unknown, at most 1.4: MISSED": {What: "x", AtMost: 1.4, Unknown: true},
		"problems: 2, at most 0: MISSED":  {What: "problems", Is: 2},
		"problems: 0, at most 0: met":     {What: "problems", Met: true},
		"x: 0.00123, at most 0.02: met":   {What: "x", Is: 0.00123, AtMost: 0.02, Met: true},
	} {
		if got := c.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for want, s := range map[string]*float64{"": nil, "never": new(0.0), "12.3 s": new(12.34)} {
		if got := sinceStart(s); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestExitCodes(t *testing.T) {
	met, notMet := []check{{What: "x", Met: true}}, []check{{What: "x", Met: true}, {What: "y"}}
	for name, tc := range map[string]struct {
		results []result
		err     error
		want    int
	}{
		"all is well":          {[]result{{Targets: met}, {}}, nil, 0},
		"a target was missed":  {[]result{{Targets: notMet}, {Targets: met}}, nil, 1},
		"a problem":            {[]result{{}, {Problems: []string{"x"}}}, nil, 1},
		"it could not measure": {nil, errors.New("x"), 2},
		"somebody stopped it":  {nil, context.Canceled, 2},
	} {
		r := &report{Results: tc.results}
		if tc.err != nil {
			r = nil // as run returns it
		}
		if got := exitCode(r, tc.err); got != tc.want {
			t.Errorf("%s: got %d, want %d", name, got, tc.want)
		}
	}
}

func TestAPollWithoutASampleIsDoubted(t *testing.T) {
	for f, want := range map[[2]int]string{
		{300, 300}: "", {0, 0}: "", {300, 299}: "300 slots were polled, 299 have a sample", {299, 300}: "299 slots were polled, 300 have a sample",
	} {
		if got := (&figures{Measured: f[0], Stored: f[1]}).doubt(); got != want {
			t.Errorf("%v: got %q, want %q", f, got, want)
		}
	}
}

func TestRatesAndNumbers(t *testing.T) {
	got := perSecond(map[string]int64{"a": 5, "b": 5}, map[string]int64{"a": 25, "b": 5, "c": 10}, 10)
	if diff := cmp.Diff(map[string]float64{"a": 2, "c": 1}, got); diff != "" {
		t.Error(diff)
	}
	if text := rates(got); text != "a 2.00; c 1.00" {
		t.Errorf("got %q", text)
	}
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -100: "-100"} {
		if got := grouped(n); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestPlot(t *testing.T) {
	r := &report{}
	for i, jobs := range []int{5000, 100, 50000} {
		r.Results = append(r.Results, result{
			Load:     load{Jobs: jobs, Phases: phasesSpread, Replicas: 1},
			Operator: figures{CPUPerPollMicros: 100 * float64(i+1), LatenessMillis: percentiles{1, 2, 3000}}, Floor: &figures{CPUPerPollMicros: 90},
		})
	}
	path := filepath.Join(t.TempDir(), "plot.svg")
	if err := r.plot(path); err != nil {
		t.Fatal(err)
	}
	svg, err := os.ReadFile(path)
	for _, text := range []string{"</svg>", ">50,000<", ">operator<", ">floor<", ">p99<", ">5,000<", "sans-serif"} {
		if err != nil || !strings.Contains(string(svg), text) {
			t.Errorf("%v: no %s", err, text)
		}
	}
	for loads, valid := range map[string]bool{"1": false, "1,2": true, "1,2+1": false, "1,2@second": false} {
		if err := parsed(t, "--jobs", loads, "--plot", "x.svg"); (err == nil) != valid {
			t.Errorf("a curve has two points: %s: %v", loads, err)
		}
	}
}

func TestTicksAndBoundsAreRound(t *testing.T) {
	for _, tc := range []struct{ low, high, below, above float64 }{{108, 3900, 50, 5000}, {0.7, 340, 0.5, 500}, {1, 1, 0.5, 2}, {90, 300, 50, 500}} {
		if below, above := bounds(tc.low, tc.high); math.Abs(below-tc.below) > 1e-9 || math.Abs(above-tc.above) > 1e-9 {
			t.Errorf("%g to %g: got %g to %g", tc.low, tc.high, below, above)
		}
	}
}
