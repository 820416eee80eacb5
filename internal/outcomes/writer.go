package outcomes

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxError is how much of a sentence is sent, in characters.
const maxError = 500

// Writer writes lines, and counts them for the last one. It buffers: Flush, End and Fail send what there is.
type Writer struct {
	buffer *bufio.Writer
	lines  *json.Encoder
	end    End
}

// NewWriter gives a Writer that begins with the job.
func NewWriter(to io.Writer, job Job) (*Writer, error) {
	w := &Writer{buffer: bufio.NewWriterSize(to, 32<<10)}
	w.lines = json.NewEncoder(w.buffer)
	return w, w.write(Line{Job: &job})
}

// Sample writes a sample. One whose numbers are no numbers is an error, and nothing is written.
func (w *Writer) Sample(s Sample) error {
	w.end.Samples++
	return w.write(Line{Sample: &s})
}

// Gap writes a gap.
func (w *Writer) Gap(g Gap) error {
	w.end.Gaps++
	return w.write(Line{Gap: &g})
}

// End writes the last line of what is complete.
func (w *Writer) End() error { return errors.Join(w.write(Line{End: &w.end}), w.Flush()) }

// Fail writes the last line of what is not, with one sentence that says why.
func (w *Writer) Fail(sentence string) error {
	return errors.Join(w.write(Line{Error: bounded(sentence)}), w.Flush())
}

// Flush sends what is buffered.
func (w *Writer) Flush() error { return w.buffer.Flush() }

func (w *Writer) write(l Line) error {
	if err := w.lines.Encode(l); err != nil {
		return fmt.Errorf("write a line: %w", err)
	}
	return nil
}

// bounded makes one line of at most maxError characters of a text that may hold anything, and never none.
func bounded(text string) string {
	text = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "\uFFFD"), func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r)
	}), " ")
	if utf8.RuneCountInString(text) > maxError {
		text = string([]rune(text)[:maxError-1]) + "…"
	}
	if text == "" {
		return "something went wrong, and nothing says what"
	}
	return text
}
