package spreedb

import (
	"math"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/soundcheck-io/latency-operator/internal/sample"
)

const (
	silence   = "SpreeDB measured no round trip"
	noObject  = "SpreeDB's answer is not a JSON object"
	wellKnown = `{"elapsed": 12.5, "error": "", "expected": "<50", "ip": "10.1.2.3", "poller": "phx-3"}`
)

// answers is every kind of answer with status 200.
var answers = map[string]struct {
	body string
	want Result
}{
	"a round trip":               {wellKnown, Result{Status: sample.Success, RTT: new(12.5), Poller: "phx-3"}},
	"a whole number":             {`{"elapsed": 12, "error": ""}`, success(12)},
	"an exponent":                {`{"elapsed": 1.5e-3}`, success(0.0015)},
	"a huge round trip":          {`{"elapsed": 1e300}`, success(1e300)},
	"no error":                   {`{"elapsed": 1}`, success(1)},
	"error null":                 {`{"elapsed": 1, "error": null}`, success(1)},
	"error blank":                {`{"elapsed": 1, "error": " \t\n"}`, success(1)},
	"error false":                {`{"elapsed": 1, "error": false}`, success(1)},
	"error an empty object":      {`{"elapsed": 1, "error": {}}`, success(1)},
	"space around the object":    {" \r\n\t{\"elapsed\": 1} \n", success(1)},
	"unknown fields":             {`{"elapsed": 1, "x": {"error": "timeout"}, "ip": 7}`, success(1)},
	"elapsed 0":                  {`{"elapsed": 0, "error": ""}`, missed(silence)},
	"elapsed -0":                 {`{"elapsed": -0.0}`, missed(silence)},
	"elapsed negative":           {`{"elapsed": -1}`, missed(silence)},
	"elapsed null":               {`{"elapsed": null, "error": ""}`, missed(silence)},
	"elapsed a string":           {`{"elapsed": "12.5"}`, missed(silence)},
	"elapsed true":               {`{"elapsed": true}`, missed(silence)},
	"elapsed an object":          {`{"elapsed": {"ms": 1}}`, missed(silence)},
	"elapsed infinite":           {`{"elapsed": 1e999}`, missed(silence)},
	"elapsed too small":          {`{"elapsed": 1e-999}`, missed(silence)},
	"no fields":                  {`{}`, missed(silence)},
	"timeout":                    {`{"elapsed": 0, "error": "timeout"}`, missed("timeout")},
	"timed out":                  {`{"error": "Request Timed Out"}`, missed("Request Timed Out")},
	"unreachable":                {`{"error": "Destination Host UNREACHABLE"}`, missed("Destination Host UNREACHABLE")},
	"no reply":                   {`{"error": "No reply from 10.1.2.3"}`, missed("No reply from 10.1.2.3")},
	"host down":                  {`{"error": "HOST DOWN"}`, missed("HOST DOWN")},
	"host is down":               {`{"error": "[Errno 112] Host is down"}`, missed("[Errno 112] Host is down")},
	"the name of a time-out":     {`{"error": "ETIMEDOUT"}`, missed("ETIMEDOUT")},
	"a joint between lines":      {`{"error": "timed\nout"}`, missed("timed out")},
	"silent despite elapsed":     {`{"elapsed": 5, "error": "timeout"}`, missed("timeout")},
	"silent far behind":          {`{"error": "` + strings.Repeat("x", 300) + ` timeout"}`, missed(strings.Repeat("x", 253) + "…")},
	"another error":              {`{"elapsed": 5, "error": "unknown device"}`, failed("unknown device")},
	"an error that only sounds":  {`{"error": "uptime out of range, reply to noreply@example.com"}`, failed("uptime out of range, reply to noreply@example.com")},
	"error a number":             {`{"elapsed": 5, "error": 17}`, failed("SpreeDB's error is not a text: 17")},
	"error true":                 {`{"elapsed": 5, "error": true}`, failed("SpreeDB's error is not a text: true")},
	"error an object":            {`{"elapsed": 5, "error": {"code": "timeout"}}`, failed(`SpreeDB's error is not a text: {"code": "timeout"}`)},
	"error with a changing port": {`{"error": "read udp 10.9.9.9:49152->10.1.2.3:161: refused"}`, failed("read udp 10.1.2.3:161: refused")},
	"error with controls":        {`{"error": " \u001b[31mbad\r\n\u0000 \u202eword\ufeff "}`, failed("[31mbad word")},
	"error in other letters":     {`{"error": "ungültig ✓"}`, failed("ungültig ✓")},
	"error in broken letters":    {"{\"error\": \"bad \xff\xfe\"}", failed("bad \uFFFD\uFFFD")},
	"poller of another type":     {`{"elapsed": 1, "poller": 3}`, success(1)},
	"a long poller":              {`{"elapsed": 1, "poller": "` + strings.Repeat("ä", 100) + `"}`, Result{Status: sample.Success, RTT: new(1.0), Poller: strings.Repeat("ä", 62) + "…"}},
	"nothing":                    {"", failed(noObject)},
	"space":                      {" \n", failed(noObject)},
	"null":                       {"null", failed(noObject)},
	"an array":                   {"[" + wellKnown + "]", failed(noObject)},
	"a string":                   {`"timeout"`, failed(noObject)},
	"a number":                   {"12.5", failed(noObject)},
	"HTML":                       {"<html>timeout</html>", failed(noObject)},
	"two objects":                {wellKnown + wellKnown, failed(noObject)},
	"garbage behind":             {wellKnown + "x", failed(noObject)},
	"cut off":                    {wellKnown[:20], failed(noObject)},
	"not quite JSON":             {`{"elapsed": NaN}`, failed(noObject)},
	"a mark before it":           {"\uFEFF" + wellKnown, failed(noObject)},
}

func success(rtt float64) Result   { return Result{Status: sample.Success, RTT: &rtt} }
func missed(message string) Result { return Result{Status: sample.Missed, Message: message} }
func failed(message string) Result { return Result{Status: sample.SystemError, Message: message} }

func TestAnswersAreClassified(t *testing.T) {
	for name, tc := range answers {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, parse([]byte(tc.body))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCleanKeepsWhatIsPlain(t *testing.T) {
	for in, want := range map[string]string{
		"":                       "",
		"plain text":             "plain text",
		" two  blanks ":          "two blanks",
		"\xff":                   "\uFFFD",
		"a\u2028b":               "a b",
		"to 10.0.0.1:80->b":      "to b",
		"a -> b":                 "a -> b",
		strings.Repeat("a", 20):  strings.Repeat("a", 20),
		strings.Repeat("a", 21):  strings.Repeat("a", 17) + "…",
		strings.Repeat("äö", 10): "äöäöäöäö…",
	} {
		if got := clean(in, 20); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, tc := range answers {
		f.Add([]byte(tc.body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := string(body)
		r := parse(body)
		if string(body) != before {
			t.Error("the body was changed")
		}
		checkInvariants(t, r)
	})
}

// checkInvariants holds for every result that is not aborted.
func checkInvariants(t *testing.T, r Result) {
	t.Helper()
	succeeded := r.Status == sample.Success
	if !succeeded && r.Status != sample.Missed && r.Status != sample.SystemError {
		t.Errorf("status %q", r.Status)
	}
	if succeeded != (r.RTT != nil) || succeeded != (r.Message == "") || r.Aborted {
		t.Errorf("contradiction: %+v", r)
	}
	if r.RTT != nil && (!(*r.RTT > 0) || math.IsInf(*r.RTT, 0)) {
		t.Errorf("RTT %v", *r.RTT)
	}
	for s, limit := range map[string]int{r.Message: messageLimit, r.Poller: max(pollerLimit, len(r.Message))} {
		if len(s) > limit || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
			t.Errorf("unfit text %q", s)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for name, body := range map[string]string{
		"success": wellKnown,
		"missed":  `{"elapsed": 0, "error": "request timed out", "expected": "<50", "ip": "10.1.2.3", "poller": "phx-3"}`,
		"html":    "<html><body>no</body></html>",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				parse([]byte(body))
			}
		})
	}
}
