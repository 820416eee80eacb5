package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest"
)

// errSkipped says that a fault cannot be played on this machine.
var errSkipped = errors.New("skipped")

// times is the felt of what is felt by whoever it is done to.
func times(n int) func(context.Context) (int, error) {
	return func(context.Context) (int, error) { return n, nil }
}

func outage(r *rig) *supabasetest.Injection {
	return r.Gateway.Inject(supabasetest.Fault{Status: 503})
}

func killThrice(ctx context.Context, r *rig) (*effect, error) {
	const n = 3
	for range n {
		// From before the first poll of a new process to the middle of its work.
		if err := r.wait(ctx, r.between(200*time.Millisecond, 4*time.Second)); err != nil {
			return nil, err
		}
		r.kill()
		if err := r.start(); err != nil {
			return nil, err
		}
	}
	return &effect{felt: times(n)}, nil
}

// killInOutage has each process measure something before it is killed, so that there is something to lose.
func killInOutage(ctx context.Context, r *rig) (*effect, error) {
	away := outage(r)
	defer away.Remove()
	const n = 3
	for range n {
		if err := r.measureSome(ctx); err != nil {
			return nil, err
		}
		if err := r.wait(ctx, r.between(0, 2*time.Second)); err != nil {
			return nil, err
		}
		r.kill()
		if err := r.start(); err != nil {
			return nil, err
		}
	}
	if away.Count() == 0 {
		return nil, errors.New("nobody asked Supabase during its outage")
	}
	return &effect{felt: times(n)}, nil
}

// measureSome returns when SpreeDB was asked a few times more.
func (r *rig) measureSome(ctx context.Context) error {
	enough := r.SpreeDB.Total().Polls + len(r.jobs.measurable())
	ok, err := r.await(ctx, 30*time.Second, func() (bool, error) { return r.SpreeDB.Total().Polls >= enough, nil })
	if err == nil && !ok {
		r.complain("nothing was measured for 30 s")
	}
	return err
}

func restartOperator(ctx context.Context, r *rig) (*effect, error) {
	if err := r.stop(ctx, r.operator); err != nil {
		r.complain("%s", err)
	}
	return &effect{felt: times(1)}, r.start()
}

// runTwo starts a second operator with a spool of its own, as another replica has it, and kills the first in the end. What
// that had in its spool comes with the process that has the folder next.
func runTwo(ctx context.Context, r *rig) (*effect, error) {
	settings := r.settings()
	second := filepath.Join(r.Dir, "spool-2")
	if err := os.MkdirAll(second, 0o700); err != nil {
		return nil, err
	}
	settings.Env["SPOOL_DIR"], settings.Args = second, nil
	o, err := r.Operator(settings)
	if err != nil {
		return nil, err
	}
	return &effect{
		felt: times(1),
		heal: func(ctx context.Context) error {
			if o.Ending() != "" {
				r.complain("the second operator ended by itself: %s", o.Ending())
			}
			r.kill()
			if err := r.wait(ctx, 3*time.Second); err != nil {
				return err
			}
			if err := r.start(); err != nil {
				return err
			}
			if err := r.wait(ctx, 3*time.Second); err != nil {
				return err
			}
			return r.stop(ctx, o)
		},
	}, nil
}

func freeze(d time.Duration) func(context.Context, *rig) (*effect, error) {
	return func(ctx context.Context, r *rig) (*effect, error) {
		if err := r.operator.Signal(syscall.SIGSTOP); err != nil {
			return nil, err
		}
		if err := r.wait(ctx, d); err != nil {
			return nil, err
		}
		return &effect{felt: times(1)}, r.operator.Signal(syscall.SIGCONT)
	}
}

// fillDisk gives the operator a small file system of its own for its spool, which only its process sees and which goes with
// it, and fills that while Supabase is away.
func fillDisk(ctx context.Context, r *rig) (*effect, error) {
	unshare, err := exec.LookPath("unshare")
	if err != nil || exec.CommandContext(ctx, unshare, "--mount", "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", os.TempDir()).Run() != nil { //nolint:gosec // the program is the system's
		return nil, fmt.Errorf("%w: this machine does not let us mount a file system", errSkipped)
	}
	if err := r.stop(ctx, r.operator); err != nil {
		return nil, err
	}
	settings := r.settings()
	script := `mount -t tmpfs -o size=1m tmpfs "$SPOOL_DIR" && exec "$0" "$@"`
	settings.Binary, settings.Args = unshare, append([]string{"--mount", "sh", "-c", script, r.Binary}, settings.Args...)
	if r.operator, err = r.Operator(settings); err != nil {
		return nil, err
	}
	if err := r.measureSome(ctx); err != nil {
		return nil, err
	}
	away := outage(r)
	if err := r.measureSome(ctx); err != nil {
		return nil, err
	}
	filler := fmt.Sprintf("/proc/%d/root%s/filler", r.operator.PID(), r.spool)
	if err := fill(filler); err != nil {
		return nil, err
	}
	return &effect{
		felt: func(context.Context) (int, error) { return away.Count(), nil },
		heal: func(ctx context.Context) error {
			if err := os.Remove(filler); err != nil {
				return err
			}
			away.Remove()
			if err := r.drained(ctx, time.Minute); err != nil {
				return err
			}
			return errors.Join(r.stop(ctx, r.operator), r.start())
		},
	}, nil
}

// fill writes a file until there is no more room.
func fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("fill the disk: %w", err)
	}
	defer func() { _ = f.Close() }()
	for size := 64 << 10; size > 0; size /= 2 { // to the last byte
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			return fmt.Errorf("fill the disk: %w", err)
		}
	}
	return nil
}

// drained returns when the operator holds no more samples than those on their way.
func (r *rig) drained(ctx context.Context, patience time.Duration) error {
	held := 0.0
	ok, err := r.await(ctx, patience, func() (bool, error) {
		var err error
		held, err = r.metric(ctx, "soundcheck_outbox_samples", anyLabels)
		return err == nil && held <= float64(2*len(r.jobs.measurable())), nil // it may just have been started
	})
	if err == nil && !ok {
		r.complain("the operator still holds %.0f samples %s after Supabase is back", held, patience)
	}
	return err
}

// spoilSpool kills the operator in an outage and spoils what it had on disk.
func spoilSpool(spoil func(r *rig, f *os.File, size int64) error) func(context.Context, *rig) (*effect, error) {
	return func(ctx context.Context, r *rig) (*effect, error) {
		away := outage(r)
		defer away.Remove()
		for range 3 {
			if err := r.measureSome(ctx); err != nil {
				return nil, err
			}
		}
		r.kill()
		segments, err := filepath.Glob(filepath.Join(r.spool, "*.seg"))
		if err != nil || len(segments) == 0 {
			return nil, fmt.Errorf("there is no segment in the spool to spoil: %w", errors.Join(err, os.ErrNotExist))
		}
		f, err := os.OpenFile(slices.Max(segments), os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		info, err := f.Stat()
		if err == nil {
			err = spoil(r, f, info.Size())
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("spoil the spool: %w", err)
		}
		if err := r.start(); err != nil {
			return nil, err
		}
		if err := r.measureSome(ctx); err != nil {
			return nil, err
		}
		return &effect{felt: times(1)}, nil
	}
}

// tear cuts off the end of a segment, as a loss of power does.
func tear(r *rig, f *os.File, size int64) error {
	return f.Truncate(max(0, size-1-r.random.Int64N(40)))
}

// flip changes a byte in the newer half of a segment, where nothing is acknowledged yet.
func flip(r *rig, f *os.File, size int64) error {
	at := size/2 + r.random.Int64N(max(1, size/2))
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		return err
	}
	b[0] ^= 0x10
	_, err := f.WriteAt(b[:], at)
	return err
}
