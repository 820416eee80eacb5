package spreedb

import (
	"bytes"
	"encoding/json"
	"math"
	"regexp"
	"strconv"
	"unicode/utf8"

	"github.com/soundcheck-io/latency-operator/internal/sample"
)

// answer is the part of SpreeDB's answer that means something. The fields are taken as they come, since one of an
// unexpected type must not spoil the others.
type answer struct {
	Elapsed json.RawMessage `json:"elapsed"`
	Error   json.RawMessage `json:"error"`
	Poller  json.RawMessage `json:"poller"`
}

// parse reads the body of an answer with a status of 2xx:
//
//   - not exactly one JSON object: system_error;
//   - an error that says that the device is silent: missed;
//   - any other error: system_error;
//   - elapsed is a positive number: success;
//   - elapsed is anything else, a number beyond float64 included: missed.
func parse(body []byte) Result {
	var a answer
	// null is the one other value that fits into a struct.
	if err := json.Unmarshal(body, &a); err != nil || bytes.TrimLeft(body, " \t\r\n")[0] != '{' {
		return systemError("SpreeDB's answer is not a JSON object")
	}
	poller := clean(text(a.Poller), pollerLimit)
	if message, known := complaint(a.Error); message != "" {
		status := sample.SystemError
		if known && silent.MatchString(message) {
			status = sample.Missed
		}
		return Result{Status: status, Message: clean(message, messageLimit), Poller: poller}
	}
	if rtt, ok := positive(a.Elapsed); ok {
		return Result{Status: sample.Success, RTT: &rtt, Poller: poller}
	}
	return Result{Status: sample.Missed, Message: "SpreeDB measured no round trip", Poller: poller}
}

// silent matches what SpreeDB says of a device that does not answer. It takes the joints that such words come with, but
// not "time out" in two words, which is also in "uptime out of range".
var silent = regexp.MustCompile(`(?i)time[-_]?out|timed[-_ ]?out|unreachable|no[-_ ]reply|host[-_ ]?(is[-_ ])?down`)

// complaint is what the field error says, empty if it says nothing: absent, null, blank, or a value that programs
// write for "none". Any other value that is no text is an error in a form that nobody documented: it is quoted but not
// known, because a word in it must not count as packet loss.
func complaint(raw json.RawMessage) (message string, known bool) {
	if len(raw) > 0 && raw[0] == '"' {
		return clean(text(raw), bodyLimit), true
	}
	switch string(raw) {
	case "", "null", "false", "0", "{}", "[]":
		return "", true
	}
	return "SpreeDB's error is not a text: " + string(raw), false
}

// text is the string that raw holds, empty if it holds something else.
func text(raw json.RawMessage) string {
	if n := len(raw); n >= 2 && raw[0] == '"' && bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw) {
		return string(raw[1 : n-1]) // nothing in it stands for something else: nearly always
	}
	var s string
	_ = json.Unmarshal(raw, &s) // leaves s empty
	return s
}

// positive is the number that raw holds if it is a finite number above zero.
func positive(raw json.RawMessage) (float64, bool) {
	if len(raw) == 0 || raw[0] < '0' || raw[0] > '9' { // a JSON number above zero begins with a digit
		return 0, false
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	return f, err == nil && f > 0 && !math.IsInf(f, 0)
}
