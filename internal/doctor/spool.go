package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/utils/clock"

	"github.com/soundcheck-io/latency-operator/internal/outbox"
	"github.com/soundcheck-io/latency-operator/internal/spool"
)

// waitsLong is how old a sample may get before somebody should know: an outbox that delivers holds them for a second or two.
const waitsLong = 2 * time.Minute

// Spool is where samples wait.
type Spool struct {
	// Dirs are the folders that the operator tries, in this order.
	Dirs []string
	// LimitBytes is how much disk it may take.
	LimitBytes int64
	Clock      clock.PassiveClock

	dir string
}

// Chain is what is looked at.
func (s *Spool) Chain() Chain {
	return Chain{{"spool", true, s.folder}, {"spool-samples", false, s.samples}}
}

// folder looks for the first folder that can be used, as the operator does.
func (s *Spool) folder(context.Context) Finding {
	const fix = "Give the operator a folder that it can write to, in SPOOL_DIR. Until then samples are kept in memory, and would be lost with the process."
	var problem error
	for _, dir := range s.Dirs {
		err := spool.TryWrite(dir)
		if err == nil {
			s.dir = dir
			return s.room()
		}
		if problem == nil || !errors.Is(err, os.ErrNotExist) {
			problem = err
		}
	}
	if errors.Is(problem, os.ErrNotExist) {
		return Fail("Start the operator, which makes the folder, or check SPOOL_DIR.", "there is no folder %s", s.Dirs[0])
	}
	return Fail(fix, "%s", problem)
}

// room compares what is free with what may still be taken.
func (s *Spool) room() Finding {
	var volume unix.Statfs_t
	if err := unix.Statfs(s.dir, &volume); err != nil {
		return Warn("Look at the volume.", "%s can be written to; how much is free cannot be told: %s", s.dir, err)
	}
	free := int64(volume.Bavail) * int64(volume.Bsize) //nolint:unconvert // other systems have other types
	taken := int64(0)
	if found, err := spool.Inspect(s.dir, nil); err == nil {
		taken = found.Bytes
	}
	if left := s.LimitBytes - taken; free < left {
		return Warn("Make the volume larger, or --spool-limit-mib smaller, or samples are lost sooner than they need be.",
			"%s can be written to, and has %s free; %s may still be taken", s.dir, mib(free), mib(left))
	}
	return Good("%s can be written to, and has %s free; %s of at most %s are taken", s.dir, mib(free), mib(taken), mib(s.LimitBytes))
}

func mib(n int64) string {
	if n >= 10<<30 {
		return fmt.Sprintf("%d GiB", n>>30)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

func (s *Spool) samples(context.Context) Finding {
	w, err := outbox.Inspect(s.dir)
	if err != nil {
		return Fail("Look at the volume.", "%s", err)
	}
	waiting := "nothing waits"
	if n := w.Samples + w.Gaps; n > 0 {
		waiting = fmt.Sprintf("%s and %s wait to be stored, the oldest of %s", plural(w.Samples, "sample", "samples"), plural(w.Gaps, "gap", "gaps"), w.Oldest.UTC().Format(time.RFC3339))
	}
	switch {
	case len(w.Quarantined) > 0 || w.Unreadable > 0:
		return Warn("The disk may be failing. What could be read of these files is delivered; they are kept for 30 days for somebody to look at, and may be deleted.",
			"%s; damaged files were set aside: %s", waiting, some(w.Quarantined))
	case !w.Oldest.IsZero() && s.Clock.Since(w.Oldest) > waitsLong:
		return Warn("They are sent as soon as Supabase takes them: look at what has failed above.", "%s", waiting)
	default:
		return Good("%s", waiting)
	}
}
