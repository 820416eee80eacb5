package outcomes

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/soundcheck-io/latency-operator/internal/sample"
)

var (
	start = time.Date(2026, 11, 29, 8, 0, 0, 123456000, time.UTC)
	job   = Job{ID: "5b0c6f0e-0000-4000-8000-000000000001", TargetIP: "10.1.2.3", CadenceSeconds: 10, DurationMinutes: 60, StartedAt: start, Status: "running"}
	one   = Sample{ScheduledAt: start, RecordedAt: start.Add(time.Millisecond), Status: sample.Success, RTT: new(12.345), Jitter: new(0.4)}
	two   = Sample{ScheduledAt: start.Add(30 * time.Second), Status: sample.Missed}
	hole  = Gap{FromAt: start.Add(10 * time.Second), ToAt: start.Add(20 * time.Second), Slots: 2, Reason: "OperatorDown"}
)

// The answer that both sides have agreed upon.
const agreed = `{"job":{"id":"5b0c6f0e-0000-4000-8000-000000000001","targetIP":"10.1.2.3","cadenceSeconds":10,"durationMinutes":60,"startedAt":"2026-11-29T08:00:00.123456Z","status":"running"}}
{"sample":{"scheduledAt":"2026-11-29T08:00:00.123456Z","recordedAt":"2026-11-29T08:00:00.124456Z","status":"success","rttMs":12.345,"jitterMs":0.4}}
{"gap":{"fromAt":"2026-11-29T08:00:10.123456Z","toAt":"2026-11-29T08:00:20.123456Z","slots":2,"reason":"OperatorDown"}}
{"sample":{"scheduledAt":"2026-11-29T08:00:30.123456Z","status":"missed"}}
{"end":{"samples":2,"gaps":1}}
`

func write(t *testing.T, to io.Writer) *Writer {
	t.Helper()
	w, err := NewWriter(to, job)
	if err := errors.Join(err, w.Sample(one), w.Gap(hole), w.Sample(two)); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWritesWhatWasAgreed(t *testing.T) {
	var out bytes.Buffer
	if err := write(t, &out).End(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(agreed, out.String()); diff != "" {
		t.Error(diff)
	}
}

func readAll(from io.Reader) (lines []Line, err error) {
	for r := NewReader(from); ; {
		line, err := r.Next()
		if err != nil {
			if _, again := r.Next(); again.Error() != err.Error() {
				return lines, errors.New("a second call gives another error")
			}
			return lines, err
		}
		lines = append(lines, line)
	}
}

func TestReadsWhatWasAgreed(t *testing.T) {
	for name, text := range map[string]string{
		"as written":           agreed,
		"without a last break": strings.TrimSuffix(agreed, "\n"),
		"with more than is known": strings.Replace(strings.Replace(agreed, `"status":"missed"`, `"status":"missed","hops":3`, 1),
			`{"end"`, `{"remark":"of a later version"}`+"\n"+`{"end"`, 1),
	} {
		lines, err := readAll(iotest.HalfReader(strings.NewReader(text)))
		if !errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff([]Line{{Job: &job}, {Sample: &one}, {Gap: &hole}, {Sample: &two}}, lines); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestWhatIsCutOffAnywhereIsNeverTakenForAll(t *testing.T) {
	whole := strings.TrimSuffix(agreed, "\n")
	for n := range len(whole) {
		if _, err := readAll(strings.NewReader(whole[:n])); !errors.Is(err, ErrCutOff) {
			t.Fatalf("after %d bytes: %v", n, err)
		}
	}
}

func TestOtherAnswersAreNamed(t *testing.T) {
	first, _, _ := strings.Cut(agreed, "\n")
	broken := errors.New("connection reset by peer")
	for name, tc := range map[string]struct {
		from io.Reader
		is   error
		says string
	}{
		"nothing":          {strings.NewReader(""), ErrCutOff, "ask again"},
		"a broken line":    {io.MultiReader(strings.NewReader(first+"\n"), iotest.ErrReader(broken)), broken, "connection reset by peer"},
		"a broken end":     {io.MultiReader(strings.NewReader(agreed), iotest.ErrReader(broken)), ErrCutOff, "connection reset by peer"},
		"half a line":      {strings.NewReader(first + "\n" + `{"sample":{"sta` + "\n" + first), ErrNotOutcomes, "line 2"},
		"a lost line":      {strings.NewReader(strings.Replace(agreed, `{"sample":{"scheduledAt":"2026-11-29T08:00:30.123456Z","status":"missed"}}`+"\n", "", 1)), ErrCutOff, "1 samples and 1 gaps came of 2 and 1"},
		"HTML":             {strings.NewReader("<html>"), ErrNotOutcomes, "line 1: invalid character"},
		"no job":           {strings.NewReader(`{"end":{"samples":0,"gaps":0}}`), ErrNotOutcomes, "line 1: it does not begin with the job"},
		"metrics":          {strings.NewReader("# HELP"), ErrNotOutcomes, "line 1"},
		"a job twice":      {strings.NewReader(first + "\n" + first), ErrNotOutcomes, "line 2: the job comes twice"},
		"two kinds":        {strings.NewReader(`{"job":{},"end":{}}`), ErrNotOutcomes, "several kinds"},
		"more":             {strings.NewReader(agreed + first), ErrNotOutcomes, "line 6: it goes on after its end"},
		"a wrong type":     {strings.NewReader(first + "\n" + `{"sample":{"rttMs":"12"}}`), ErrNotOutcomes, "line 2"},
		"a very long line": {strings.NewReader(first + "\n" + strings.Repeat("x", MaxLine+1)), ErrNotOutcomes, "line 2: it is longer than 65536 bytes"},
	} {
		_, err := readAll(tc.from)
		if !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAFailureMidwayIsAnError(t *testing.T) {
	var out bytes.Buffer
	w := write(t, &out)
	if err := w.Fail("Supabase did not answer:\n" + strings.Repeat("é", 1000)); err != nil {
		t.Fatal(err)
	}
	lines, err := readAll(&out)
	var failed *FailedError
	if len(lines) != 4 || !errors.As(err, &failed) || !strings.HasPrefix(failed.Sentence, "Supabase did not answer: é") || len([]rune(failed.Sentence)) != maxError {
		t.Errorf("%d lines, %v", len(lines), err)
	}
	out.Reset()
	if err := write(t, &out).Fail(" "); err != nil {
		t.Fatal(err)
	}
	if _, err := readAll(&out); !errors.As(err, &failed) {
		t.Errorf("without words: %v", err)
	}
}

func TestANumberThatIsNoneIsAnError(t *testing.T) {
	w, err := NewWriter(io.Discard, job)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Sample(Sample{Status: sample.Success, RTT: new(math.NaN())}); err == nil {
		t.Error("no error")
	}
}

// Whatever comes, reading ends, holds no more than a line, and what it takes for complete has all that it counts.
func FuzzReader(f *testing.F) {
	f.Add([]byte(agreed))
	f.Add([]byte(strings.Replace(agreed, `{"end":{"samples":2,"gaps":1}}`, `{"error":"no"}`, 1)))
	f.Add([]byte(`{"job":null}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		lines, err := readAll(bytes.NewReader(in))
		if err == nil || strings.ContainsAny(err.Error(), "\n\r") {
			t.Fatalf("%v", err)
		}
		if !errors.Is(err, io.EOF) {
			return
		}
		if len(lines) == 0 || lines[0].Job == nil {
			t.Fatal("complete without a job")
		}
		var again bytes.Buffer
		w, err := NewWriter(&again, *lines[0].Job)
		for _, l := range lines[1:] {
			if l.Sample != nil {
				err = errors.Join(err, w.Sample(*l.Sample))
			} else {
				err = errors.Join(err, w.Gap(*l.Gap))
			}
		}
		if err := errors.Join(err, w.End()); err != nil {
			t.Fatal(err)
		}
		if relines, err := readAll(&again); !errors.Is(err, io.EOF) || len(relines) != len(lines) {
			t.Fatalf("%d lines written again are %d: %v", len(lines), len(relines), err)
		}
	})
}
