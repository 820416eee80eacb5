package supabase

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Error is an answer that is not a success, or the lack of one.
type Error struct {
	// Op is the operation that failed, one of the Op constants.
	Op string
	// Status is the HTTP status; 0 when there was no answer.
	Status int
	// Code is the SQLSTATE or PostgREST's own code, such as 23503 or PGRST204; empty when the gateway or nobody answered.
	Code string
	// Message is what the answer says, or the network error; one line, at most 300 characters.
	Message string
	// Details is PostgREST's second sentence, if it is a text.
	Details string
	// RetryAfter is how long the server asks to wait; 0 when it does not.
	RetryAfter time.Duration

	cause error
}

func (e *Error) Error() string {
	switch {
	case e.Status == 0:
		return fmt.Sprintf("%s: Supabase did not answer: %s", e.Op, e.Message)
	case e.Code == "":
		return fmt.Sprintf("%s: Supabase answered %d: %s", e.Op, e.Status, e.Message)
	default:
		return fmt.Sprintf("%s: Supabase answered %d (%s): %s", e.Op, e.Status, e.Code, e.Message)
	}
}

// Unwrap gives the network error behind it, if there is one.
func (e *Error) Unwrap() error { return e.cause }

// Class says what an error means for whoever has something to deliver.
type Class int

// The classes, from facts about PostgREST, PostgreSQL and Supabase's gateway: the SQLSTATE decides, then the status.
const (
	// OK: no error.
	OK Class = iota
	// Unavailable: the same request may go through later. Everything that is not known to be otherwise is this.
	Unavailable
	// KeyRefused: the key or token is wrong, expired or may not do this; it may be replaced.
	KeyRefused
	// SchemaNotReady: a table, column or constraint is missing, so a migration has to be applied.
	SchemaNotReady
	// TooLarge: a smaller request may go through.
	TooLarge
	// JobGone: a sample's job does not exist.
	JobGone
	// RowRejected: a row is not acceptable, and never will be.
	RowRejected
)

// String is the name of the class in logs.
func (c Class) String() string {
	return [...]string{"ok", "unavailable", "key refused", "schema not ready", "too large", "job gone", "row rejected"}[c]
}

// Classify says what an error means. An error that is not an *Error is Unavailable.
func Classify(err error) Class {
	var e *Error
	switch {
	case err == nil:
		return OK
	case errors.As(err, &e):
		return e.class()
	default:
		return Unavailable
	}
}

func (e *Error) class() Class {
	if class, ok := classByCode[e.Code]; ok {
		return class
	}
	switch {
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden: // also 22023, a role that does not exist
		return KeyRefused
	case strings.HasPrefix(e.Code, "22") && len(e.Code) == 5: // data exception
		return RowRejected
	case e.Status == http.StatusRequestEntityTooLarge:
		return TooLarge
	default:
		return Unavailable
	}
}

var classByCode = map[string]Class{
	"PGRST301": KeyRefused, "PGRST302": KeyRefused, "PGRST303": KeyRefused, // token refused, missing, expired
	"42501": KeyRefused, // no grant, or a policy says no
	"28000": KeyRefused, "28P01": KeyRefused,

	"PGRST106": SchemaNotReady,                                                         // schema not exposed
	"PGRST202": SchemaNotReady, "PGRST204": SchemaNotReady, "PGRST205": SchemaNotReady, // function, column, table
	"42P01": SchemaNotReady, "42703": SchemaNotReady, // table, column
	"42P10": SchemaNotReady, // no unique constraint for on_conflict

	"57014": TooLarge, // statement timeout
	"54000": TooLarge,

	"23503": JobGone,

	"23502": RowRejected, "23505": RowRejected, "23514": RowRejected, "PGRST102": RowRejected,
}

// answerError reads the body of an answer that is not a success. It may be anything: JSON of PostgREST or of the gateway,
// null, a page of HTML, nothing.
func answerError(op string, res *http.Response, body []byte) *Error {
	e := &Error{Op: op, Status: res.StatusCode, RetryAfter: retryAfter(res.Header)}
	var answer struct {
		Code    string          `json:"code"`
		Message string          `json:"message"`
		Details json.RawMessage `json:"details"`
		Hint    string          `json:"hint"`
		Error   string          `json:"error"`
		Msg     string          `json:"msg"`
	}
	// A field of another type than expected leaves the others readable, so the error is of no interest.
	_ = json.Unmarshal(body, &answer)
	e.Code = oneLine(answer.Code)
	_ = json.Unmarshal(answer.Details, &e.Details)
	e.Details = oneLine(e.Details)
	for _, text := range []string{answer.Message, answer.Msg, answer.Error} {
		if e.Message == "" {
			e.Message = oneLine(text)
		}
	}
	if hint := oneLine(answer.Hint); hint != "" {
		e.Message = oneLine(e.Message + " (" + hint + ")")
	}
	if e.Code == "" { // the body of a HEAD, or one that a proxy replaced
		if _, code, ok := strings.Cut(res.Header.Get("Proxy-Status"), "error="); ok {
			e.Code = strings.TrimSpace(code)
		}
	}
	if e.Message == "" {
		e.Message = http.StatusText(res.StatusCode)
	}
	if e.Message == "" {
		e.Message = "no explanation"
	}
	return e
}

// networkError is the error of a request without an answer. It drops the URL, which is long and full of ids.
func networkError(op string, err error) *Error {
	message := oneLine(err.Error())
	if errors.Is(err, context.DeadlineExceeded) {
		message = "no answer in time"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		message = "its certificate comes from an authority that is not known here: where a proxy or the company's own authority signs it, give the authority's certificate in the file that SUPABASE_CA_FILE names"
	}
	return &Error{Op: op, Message: message, cause: err}
}

func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, 5*time.Minute)
}

// oneLine bounds a text from outside for logs and messages.
func oneLine(s string) string {
	s = strings.ToValidUTF8(s, "�")
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	if runes := []rune(s); len(runes) > 300 {
		s = string(runes[:299]) + "…"
	}
	return s
}

// Away tells whether an error says that there was no answer, or none from the database: then other requests would fail too.
func Away(err error) bool {
	answer, ok := errors.AsType[*Error](err)
	return err != nil && (!ok || answer.Status == 0 || answer.Status >= http.StatusInternalServerError)
}

// Particular tells whether an error is about what this very request was about, so that others may well succeed. A key that is
// refused, a limit that is reached and a database that is away are not that.
func Particular(err error) bool {
	switch Classify(err) {
	case RowRejected, JobGone, TooLarge:
		return true
	case SchemaNotReady:
		return false
	}
	answer, ok := errors.AsType[*Error](err)
	return ok && (answer.Status == http.StatusOK || answer.Status == http.StatusBadRequest)
}

// LacksRight tells whether an error says that the role has no right to what it asked for, and will not unless somebody grants
// it. Where the key is not accepted at all, the answer has another status, and nothing may be concluded.
func LacksRight(err error) bool {
	answer, ok := errors.AsType[*Error](err)
	return ok && answer.Code == "42501" && answer.Status == http.StatusForbidden
}
