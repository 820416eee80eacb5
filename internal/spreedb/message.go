package spreedb

import (
	"errors"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"
)

const (
	messageLimit = 256
	pollerLimit  = 128
)

// localEnd is the near end of a connection in an error's text; its port is another one at every try.
var localEnd = regexp.MustCompile(`\S+:\d+->`)

// wrapping is what net/http's transport, and not direct, puts before what the parser says.
var wrapping = strings.NewReplacer("net/http: ", "", "HTTP/1.x transport connection broken: ", "")

// describe says why the network brought no answer. Addresses are left out: a name may stand for several, and the message
// has to stay the same while the cause does.
func describe(err error) string {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		if dns.IsTimeout { // its text tells which of the name servers was asked last
			return "SpreeDB's name " + dns.Name + " cannot be resolved: the name servers do not answer"
		}
		return "SpreeDB's name " + dns.Name + " cannot be resolved: " + dns.Err
	}
	for _, hangUp := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE, net.ErrClosed} {
		if errors.Is(err, hangUp) { // which of them it is, is a race
			return "SpreeDB closed the connection before its answer was complete"
		}
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	if call, ok := errors.AsType[*os.SyscallError](err); ok {
		err = call.Err
	}
	return "SpreeDB cannot be asked: " + wrapping.Replace(err.Error())
}

// clean makes text from outside fit for a status, a log and a terminal: printable characters in valid UTF-8, no run of
// blanks, at most limit bytes, and no port that changes at every try.
func clean(s string, limit int) string {
	if strings.Contains(s, "->") {
		s = localEnd.ReplaceAllString(s, "")
	}
	if plain(s) && len(s) <= limit {
		return s
	}
	s = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "\uFFFD"), blank), " ")
	return clip(s, limit)
}

// blank holds also for what moves the cursor or turns the direction of writing.
func blank(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }

// plain tells whether clean has nothing to do but clip, which is so nearly always.
func plain(s string) bool {
	previous := byte(' ')
	for i := range len(s) {
		c := s[i]
		if c < ' ' || c > '~' || (c == ' ' && previous == ' ') {
			return false
		}
		previous = c
	}
	return s == "" || previous != ' '
}

func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	end := limit - len("…")
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}
