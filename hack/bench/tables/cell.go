package tables

import (
	"cmp"
	"math"
	"strconv"
	"time"
)

type kind uint8

const (
	null kind = iota
	text
	number
	instant
)

// cell is the value of a column in a row.
type cell struct {
	kind   kind
	text   string
	number float64
	// at is an instant in microseconds since 1970.
	at int64
}

func textCell(s string) cell { return cell{kind: text, text: s} }

// optional is a text that is null when empty.
func optional(s string) cell {
	if s == "" {
		return cell{}
	}
	return textCell(s)
}

func numberCell(n float64) cell {
	if math.IsNaN(n) { // how a missing number is kept
		return cell{}
	}
	return cell{kind: number, number: n}
}

// instantCell takes microseconds; 0 is null.
func instantCell(at int64) cell {
	if at == 0 {
		return cell{}
	}
	return cell{kind: instant, at: at}
}

// compare compares a value with another of the same kind. Nulls come last.
func (c cell) compare(o cell) int {
	if c.kind == null || o.kind == null {
		return cmp.Compare(boolInt(c.kind == null), boolInt(o.kind == null))
	}
	switch c.kind {
	case number:
		return cmp.Compare(c.number, o.number)
	case instant:
		return cmp.Compare(c.at, o.at)
	default:
		return cmp.Compare(c.text, o.text)
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// parsed reads the operand of a filter as a value of the kind of c.
func (c cell) parsed(operand string) (cell, bool) {
	switch c.kind {
	case number:
		n, err := strconv.ParseFloat(operand, 64)
		return numberCell(n), err == nil
	case instant:
		at, err := time.Parse(time.RFC3339Nano, operand)
		return cell{kind: instant, at: at.UnixMicro()}, err == nil
	default:
		return textCell(operand), true
	}
}

// appendJSON writes the value as PostgREST does.
func (c cell) appendJSON(b []byte) []byte {
	switch c.kind {
	case null:
		return append(b, "null"...)
	case number:
		return strconv.AppendFloat(b, c.number, 'f', -1, 64)
	case instant:
		b = append(b, '"')
		b = time.UnixMicro(c.at).UTC().AppendFormat(b, "2006-01-02T15:04:05.999999")
		return append(b, `+00:00"`...)
	default:
		return strconv.AppendQuote(b, c.text) // what is kept here is ASCII without control characters, or ours
	}
}
