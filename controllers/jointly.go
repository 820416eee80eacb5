package controllers

import (
	"slices"

	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

// jointly does something about several at once. Where that fails for what one of them is, it is done about each by itself, so
// that only that one goes without. The error is that of one, or one that would be the same for all: see goesOn.
func jointly[T any](list []T, do func([]T) error) error {
	err := do(list)
	if !supabase.Particular(err) || len(list) == 1 {
		return err
	}
	var failed error
	for one := range slices.Chunk(list, 1) {
		if err := do(one); err != nil {
			failed = err
		}
		if !goesOn(failed) {
			break
		}
	}
	return failed
}

// goesOn tells whether there is any point in going on with others: there was no error, or one about what it was about.
func goesOn(err error) bool { return err == nil || supabase.Particular(err) }
