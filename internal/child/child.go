// Package child runs programs that end with this process: the servers of tests and of the demo, and the operator beside
// them.
package child

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Process is a program that runs, or ran.
type Process struct {
	*exec.Cmd
	done chan struct{}
}

// Start starts cmd in a process group of its own, so that Ctrl-C in a terminal reaches only this process, which stops its
// children in order. When this process dies in whatever way, the program is sent the signal, where the system can do that.
func Start(cmd *exec.Cmd, orphaned syscall.Signal) (*Process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	tie(cmd.SysProcAttr, orphaned)
	p := &Process{Cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel looks at the thread that forked, not at the process, so that thread is kept until the child is gone.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		_ = cmd.Wait()
		close(p.done)
	}()
	return p, <-started
}

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Ended tells whether the program has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Stop sends one signal after the other, each when the program has not ended within patience, at last SIGKILL, and returns
// when it has ended.
func (p *Process) Stop(patience time.Duration, signals ...os.Signal) {
	for _, signal := range append(signals, syscall.SIGKILL) {
		_ = p.Process.Signal(signal)
		select {
		case <-p.done:
			return
		case <-time.After(patience): //nolint:forbidigo // what it waits for is another process, which no clock of ours moves
		}
	}
	<-p.done
}
