package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/soundcheck-io/latency-operator/internal/pgtest"
)

func TestMain(m *testing.M) {
	// net/http reads these once. Servers on this machine are never behind a proxy.
	_ = os.Setenv("HTTPS_PROXY", "http://somebody:a-password@"+aProxy.address())
	_ = os.Setenv("NO_PROXY", ".invalid")
	pgtest.Main(m)
}

// gives is a check that finds what is given.
func gives(name string, essential bool, f Finding) Check {
	return Check{Name: name, Essential: essential, Look: func(context.Context) Finding { return f }}
}

// run gives what chains find as name and status, and what people read.
func run(ctx context.Context, t *testing.T, chains ...Chain) (short string, text string, r *Report) {
	t.Helper()
	var out bytes.Buffer
	r = &Report{Version: "v"}
	screen := NewPrinter(&out)
	Run(ctx, chains, func(f Finding) {
		r.Add(f)
		if err := screen.Print(f); err != nil {
			t.Fatal(err)
		}
	})
	r.Conclude()
	if err := screen.End(r); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, f := range r.Findings {
		all = append(all, f.Name+" "+string(f.Status))
	}
	return strings.Join(all, ", "), out.String(), r
}

func TestWhatFollowsAnEssentialFailureIsSkipped(t *testing.T) {
	short, text, r := run(t.Context(), t,
		Chain{gives("a", true, Good("is fine")), gives("b", false, Fail("Mend it.", "is broken")), gives("c", true, Fail("Mend that too.", "is broken, %d times", 2)), gives("d", true, Good("")), gives("e", true, Good(""))},
		Chain{gives("f", true, Warn("Look at it.", "is odd"))},
	)
	if want := "a ok, b failed, c failed, d skipped, e skipped, f warning"; short != want || r.Healthy {
		t.Errorf("got %s, healthy %v", short, r.Healthy)
	}
	want := `ok       a              is fine
FAILED   b              is broken
                        → Mend it.
FAILED   c              is broken, 2 times
                        → Mend that too.
skipped                 d, e: not looked at, because c failed
warning  f              is odd
                        → Look at it.

Something is wrong: 2 checks have failed; begin with b. 1 check has a warning. 2 checks were skipped.
`
	if diff := cmp.Diff(want, text); diff != "" {
		t.Error(diff)
	}
	var out bytes.Buffer
	if err := r.PrintJSON(&out); err != nil {
		t.Fatal(err)
	}
	var read Report
	if err := json.Unmarshal(out.Bytes(), &read); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(*r, read); diff != "" {
		t.Error(diff)
	}
}

func TestTheEndSaysWhatItComesTo(t *testing.T) {
	skipped := Chain{gives("a", true, Good(""))}.Skip("not looked at")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tc := range map[string]struct {
		noTime  bool
		chains  []Chain
		end     string
		healthy bool
	}{
		"well":     {false, []Chain{{gives("a", true, Good("is fine"))}}, "All is well.", true},
		"warnings": {false, []Chain{{gives("a", true, Good("is fine")), gives("b", true, Warn("x", "y")), gives("c", true, Warn("x", "y"))}}, "Everything works. 2 checks have warnings.", true},
		"skipped":  {false, []Chain{skipped}, "Nothing was looked at. 1 check was skipped.", false},
		"no time":  {true, []Chain{{gives("a", true, Good("is fine"))}}, "Something is wrong: 1 check has failed; begin with a.", false},
	} {
		ctx := t.Context()
		if tc.noTime {
			ctx = cancelled
		}
		_, text, r := run(ctx, t, tc.chains...)
		if !strings.HasSuffix(text, "\n"+tc.end+"\n") || r.Healthy != tc.healthy {
			t.Errorf("%s: %q, healthy %v", name, text, r.Healthy)
		}
	}
}

func TestLongLinesAreWrapped(t *testing.T) {
	_, text, _ := run(t.Context(), t, Chain{gives("a", true, Fail(strings.Repeat("mend it ", 30), "%s", strings.Repeat("is broken ", 30)+strings.Repeat("x", 200)))})
	lines := strings.Split(text, "\n")
	long := 0
	for _, line := range lines {
		if len([]rune(line)) > 120 {
			long++
		}
	}
	if long != 1 || len(lines) < 8 {
		t.Errorf("%d lines are too long:\n%s", long, text)
	}
}
