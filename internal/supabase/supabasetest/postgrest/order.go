package postgrest

import (
	"strconv"
	"strings"
)

// term is one column of order.
type term struct {
	column, direction, nulls string
}

func parseOrder(text string) ([]term, *apiError) {
	var out []term
	for part := range strings.SplitSeq(text, ",") {
		words := strings.Split(part, ".")
		if strings.ContainsAny(words[0], "(>") {
			return nil, unsupported("ordering by " + words[0])
		}
		t := term{column: words[0]}
		column := len(words[0]) + 2
		for i, word := range words[1:] {
			switch {
			case i == 0 && (word == "asc" || word == "desc"):
				t.direction = " " + word
			case t.nulls == "" && (word == "nullsfirst" || word == "nullslast"):
				t.nulls = " nulls " + strings.TrimPrefix(word, "nulls")
			default:
				return nil, cannotParse("order", text, column, `unexpected "`+firstRune(word)+`" expecting "asc", "desc", "nullsfirst" or "nullslast"`)
			}
			column += len(word) + 1
		}
		out = append(out, t)
	}
	return out, nil
}

// window is the part of the rows that is asked for, from the row with number lower on; no limit is -1.
type window struct {
	lower, limit int64
}

// parseWindow joins limit and offset with the Range header, which counts for GET only.
func parseWindow(limit, offset, header string) (window, *apiError) {
	const end = int64(1) << 62
	lower, upper := int64(0), end
	if n, err := strconv.ParseInt(offset, 10, 64); err == nil && n > 0 {
		lower = n
	}
	count, err := strconv.ParseInt(limit, 10, 64)
	limited := err == nil
	if limited {
		if count < 0 {
			return window{}, badRange("Limit should be greater than or equal to zero.")
		}
		upper = lower + count
	}
	if from, to, ok := parseRange(header); ok {
		if to >= 0 && to < from {
			return window{}, badRange("The lower boundary must be lower than or equal to the upper boundary in the Range header.")
		}
		lower = max(lower, from)
		if to >= 0 {
			upper = min(upper, to+1)
		}
	}
	switch {
	case upper == end:
		return window{lower: lower, limit: -1}, nil
	case upper <= lower && (!limited || count != 0):
		return window{}, badRange("Limit should be greater than or equal to zero.")
	}
	return window{lower: lower, limit: max(0, upper-lower)}, nil
}

// parseRange reads "5-9" or "5-", whose end is -1. Anything else is ignored, as PostgREST does.
func parseRange(header string) (from, to int64, ok bool) {
	first, last, found := strings.Cut(header, "-")
	from, err := strconv.ParseInt(first, 10, 64)
	if !found || err != nil || from < 0 {
		return 0, 0, false
	}
	if last == "" {
		return from, -1, true
	}
	to, err = strconv.ParseInt(last, 10, 64)
	return from, to, err == nil && to >= 0
}
