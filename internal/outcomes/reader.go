package outcomes

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// MaxLine is how long a line may be, in bytes. Those of the operator have 200 or so, and 2,000 at most.
const MaxLine = 64 << 10

var (
	// ErrCutOff says that the answer ended before its last line, so that what was read of it is not everything.
	ErrCutOff = errors.New("the answer was cut off before its end, so that samples are missing: ask again")
	// ErrNotOutcomes says that whatever answered is not the operator's list of samples.
	ErrNotOutcomes = errors.New("this is not an answer of the operator's samples")
)

// FailedError is what the operator says about an answer that it could not finish.
type FailedError struct {
	// Sentence is the operator's, one line of at most 500 characters.
	Sentence string
}

func (e *FailedError) Error() string {
	return "the operator could not read all of the job's samples: " + e.Sentence
}

// Reader reads lines, one at a time.
type Reader struct {
	lines *bufio.Scanner
	// number is that of the line that was read last.
	number int
	// began tells that the job has come, and seen counts what came after it.
	began bool
	seen  End
	// done is what Next returns from now on.
	done error
}

// NewReader gives a Reader of an answer with status 200.
func NewReader(from io.Reader) *Reader {
	r := &Reader{lines: bufio.NewScanner(from)}
	r.lines.Buffer(make([]byte, 0, 4<<10), MaxLine)
	return r
}

// Next gives the next line: first the job, then samples and gaps. It returns
//   - io.EOF after the end, and then everything was read;
//   - a *FailedError where the operator says that it could not go on;
//   - ErrCutOff where the answer ends without either, or its end counts other lines than came;
//   - ErrNotOutcomes, with the number of the line, where it is something else.
//
// Kinds of lines that this version does not know are skipped. After an error every call returns it again.
func (r *Reader) Next() (Line, error) {
	for r.done == nil {
		var line Line
		line, r.done = r.next()
		if r.done == nil && (line.Job != nil || line.Sample != nil || line.Gap != nil) {
			return line, nil
		}
	}
	return Line{}, r.done
}

func (r *Reader) next() (Line, error) {
	if !r.lines.Scan() {
		return Line{}, r.ended()
	}
	r.number++
	var line Line
	if err := json.Unmarshal(r.lines.Bytes(), &line); err != nil {
		return Line{}, r.unreadable(err)
	}
	if kinds := line.kinds(); kinds > 1 {
		return Line{}, r.notOutcomes("it is of several kinds at once")
	}
	if !r.began && line.Job == nil && line.Error == "" {
		return Line{}, r.notOutcomes("it does not begin with the job")
	}
	switch {
	case line.Job != nil && r.began:
		return Line{}, r.notOutcomes("the job comes twice")
	case line.Job != nil:
		r.began = true
	case line.Sample != nil:
		r.seen.Samples++
	case line.Gap != nil:
		r.seen.Gaps++
	case line.Error != "":
		return Line{}, &FailedError{Sentence: bounded(line.Error)}
	case line.End != nil && *line.End != r.seen:
		return Line{}, fmt.Errorf("%w (%d samples and %d gaps came of %d and %d)", ErrCutOff,
			r.seen.Samples, r.seen.Gaps, line.End.Samples, line.End.Gaps)
	case line.End != nil:
		return Line{}, r.last()
	}
	return line, nil
}

// unreadable tells a line that was cut off from one that is something else.
func (r *Reader) unreadable(why error) error {
	var half json.RawMessage
	err := json.NewDecoder(bytes.NewReader(r.lines.Bytes())).Decode(&half)
	if errors.Is(err, io.ErrUnexpectedEOF) && !r.lines.Scan() {
		return r.ended()
	}
	return r.notOutcomes(why.Error())
}

// last makes sure that nothing comes after the end.
func (r *Reader) last() error {
	if r.lines.Scan() {
		r.number++
		return r.notOutcomes("it goes on after its end")
	}
	if err := r.lines.Err(); err != nil {
		return r.ended()
	}
	return io.EOF
}

// ended says why there is no further line although the end has not come.
func (r *Reader) ended() error {
	switch err := r.lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		r.number++
		return r.notOutcomes(fmt.Sprintf("it is longer than %d bytes", MaxLine))
	case err != nil:
		return fmt.Errorf("%w (%w)", ErrCutOff, err)
	default:
		return ErrCutOff
	}
}

func (r *Reader) notOutcomes(why string) error {
	return fmt.Errorf("%w: line %d: %s", ErrNotOutcomes, r.number, bounded(why))
}

func (l *Line) kinds() (n int) {
	for _, set := range []bool{l.Job != nil, l.Sample != nil, l.Gap != nil, l.End != nil, l.Error != ""} {
		if set {
			n++
		}
	}
	return n
}
