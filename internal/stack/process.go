package stack

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"k8s.io/utils/clock"
)

// process is a child that dies with this process.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
}

// startProcess starts cmd in a process group of its own, so that Ctrl-C in a terminal reaches only this process, which
// stops its children in order. The kernel ties a child to the thread that forked it, so that thread is kept.
func startProcess(cmd *exec.Cmd) (*process, error) {
	cmd.SysProcAttr = tied(&syscall.SysProcAttr{Setpgid: true})
	p := &process{cmd: cmd, exited: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		_ = cmd.Wait()
		close(p.exited)
	}()
	return p, <-started
}

func (p *process) ended() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// stop asks and, after a while, kills.
func (p *process) stop(patience time.Duration) {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	timer := clock.RealClock{}.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.exited:
	case <-timer.C():
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
}

// inherited is the part of our environment that programs need; the rest would make a stack depend on who starts it.
func inherited() []string {
	var env []string
	for _, name := range []string{"PATH", "HOME", "LANG", "TZ"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

func freePorts() (first, second int, err error) {
	var ports [2]int
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, 0, fmt.Errorf("find a free port: %w", err)
		}
		defer func() { _ = l.Close() }() // both are held, so that they differ
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports[0], ports[1], nil
}

// FreePort returns a port of 127.0.0.1 that nobody used a moment ago.
func FreePort() (int, error) {
	port, _, err := freePorts()
	return port, err
}

// lastLine is what a program said last.
func lastLine(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	text = bytes.TrimSpace(text)
	if len(text) == 0 {
		return "it said nothing"
	}
	return string(text[bytes.LastIndexByte(text, '\n')+1:])
}
