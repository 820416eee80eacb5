// Package doctor finds out what is wrong around the operator, step by step along each way that it needs, and says what to do about it.
// It changes nothing.
package doctor

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// Status is how a check ended.
type Status string

// How checks end.
const (
	// OK: as it should be.
	OK Status = "ok"
	// Warning: it works, and somebody should look at it.
	Warning Status = "warning"
	// Failed: something does not work.
	Failed Status = "failed"
	// Skipped: it was not looked at, because of something before it.
	Skipped Status = "skipped"
)

// Finding is what a check found.
type Finding struct {
	// Name says what was looked at: one word, which never changes.
	Name string `json:"name"`
	// Status is how it ended.
	Status Status `json:"status"`
	// Found is what was found, in a line.
	Found string `json:"found"`
	// Fix is what to do about it, in a sentence or two; empty where there is nothing to do.
	Fix string `json:"fix,omitempty"`
}

// Check looks at one thing.
type Check struct {
	// Name is the finding's.
	Name string
	// Essential tells that what follows in the chain cannot work if this fails.
	Essential bool
	// Look gives the finding, without its name. It ends when ctx does.
	Look func(ctx context.Context) Finding
}

// Chain is checks along one way, each after the one before. Chains do not depend on each other.
type Chain []Check

// Run runs the chains at the same time and hands over their findings in the order of chains and checks, each as soon as it is its turn.
// When ctx ends, what has not begun has failed.
func Run(ctx context.Context, chains []Chain, found func(Finding)) {
	var all []chan Finding
	var running sync.WaitGroup
	for _, chain := range chains {
		out := make(chan Finding, len(chain))
		all = append(all, out)
		running.Go(func() {
			defer close(out)
			chain.run(ctx, out)
		})
	}
	for _, out := range all {
		for f := range out {
			found(f)
		}
	}
	running.Wait()
}

func (c Chain) run(ctx context.Context, out chan<- Finding) {
	broken := ""
	for _, check := range c {
		var f Finding
		switch {
		case broken != "":
			f = Finding{Status: Skipped, Found: "not looked at, because " + broken + " failed"}
		case ctx.Err() != nil:
			broken = check.Name
			f = Fail("Mend first what has failed above, or give it more time with --timeout.", "not looked at, because the time was over")
		default:
			f = check.Look(ctx)
		}
		f.Name = check.Name
		if f.Status == Failed && check.Essential {
			broken = check.Name
		}
		out <- f
	}
}

// Skip is a chain of the same names of which nothing is looked at.
func (c Chain) Skip(why string) Chain {
	out := make(Chain, len(c))
	for i, check := range c {
		out[i] = Check{Name: check.Name, Look: func(context.Context) Finding { return Finding{Status: Skipped, Found: why} }}
	}
	return out
}

// Without is a chain that ends with a finding at its first check.
func (c Chain) Without(first Finding) Chain {
	out := slices.Clone(c)
	out[0] = Check{Name: c[0].Name, Essential: true, Look: func(context.Context) Finding { return first }}
	return out
}

// Good is the finding that all is as it should be.
func Good(format string, args ...any) Finding {
	return Finding{Status: OK, Found: fmt.Sprintf(format, args...)}
}

// Warn is the finding of something that works and that somebody should look at, with what to do.
func Warn(fix, format string, args ...any) Finding {
	return Finding{Status: Warning, Found: fmt.Sprintf(format, args...), Fix: fix}
}

// Fail is the finding of something that does not work, with what to do.
func Fail(fix, format string, args ...any) Finding {
	return Finding{Status: Failed, Found: fmt.Sprintf(format, args...), Fix: fix}
}
