package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// warden outlives this process by a moment: when its input ends, because this process closed it or died in whatever
// way, it kills the programs that were started through its wrappers and removes the directory.
type warden struct {
	dir   string
	input io.Closer
	cmd   *exec.Cmd
}

// A wrapper leaves the id of the program in a file, since envtest does not tell.
const (
	wardenScript = `cat >/dev/null
for f in "$1"/run/*.pid; do
  [ -f "$f" ] && kill -KILL "$(cat "$f")"
done 2>/dev/null
rm -rf "$1"
`
	wrapperScript = `#!/bin/sh
echo $$ >'%[1]s' || exit
exec '%[2]s' "$@"
`
)

func newWarden() (*warden, error) {
	dir, err := os.MkdirTemp("", fmt.Sprintf("latency-stack-%d-", os.Getpid()))
	if err != nil {
		return nil, fmt.Errorf("make a temporary directory: %w", err)
	}
	w := &warden{dir: dir}
	if err := os.Mkdir(filepath.Join(dir, "run"), 0o700); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	w.cmd = exec.CommandContext(context.Background(), "/bin/sh", "-c", wardenScript, "warden", dir)
	w.cmd.Dir = "/"
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that Ctrl-C leaves it alone
	if w.input, err = w.cmd.StdinPipe(); err == nil {
		err = w.cmd.Start()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start /bin/sh: %w", err), os.RemoveAll(dir))
	}
	return w, nil
}

// wrap returns the path of a script that runs the program.
func (w *warden) wrap(program string) (string, error) {
	if _, err := os.Stat(program); err != nil {
		return "", fmt.Errorf("no %s: run hack/assets.sh: %w", filepath.Base(program), err)
	}
	quote := func(s string) string { return strings.ReplaceAll(s, `'`, `'\''`) }
	path := filepath.Join(w.dir, "run", filepath.Base(program))
	script := fmt.Sprintf(wrapperScript, quote(path+".pid"), quote(program))
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		return "", fmt.Errorf("write a wrapper for %s: %w", program, err)
	}
	return path, nil
}

// pid is the id of a program that was started through its wrapper.
func (w *warden) pid(program string) (int, error) {
	text, err := os.ReadFile(filepath.Join(w.dir, "run", program+".pid"))
	if err != nil {
		return 0, fmt.Errorf("find the process of %s: %w", program, err)
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// killWrapped ends the programs and keeps new ones from starting.
func (w *warden) killWrapped() {
	entries, err := os.ReadDir(filepath.Join(w.dir, "run"))
	if err != nil {
		return
	}
	for _, entry := range entries { // a wrapper's name sorts before that of its pid file
		path := filepath.Join(w.dir, "run", entry.Name())
		if text, err := os.ReadFile(path); err == nil && strings.HasSuffix(path, ".pid") {
			if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		_ = os.Remove(path)
	}
}

// forgetWrapped is for programs that have ended: their ids may soon be those of others.
func (w *warden) forgetWrapped() { _ = os.RemoveAll(filepath.Join(w.dir, "run")) }

func (w *warden) close() {
	w.killWrapped()
	_ = os.RemoveAll(w.dir)
	_ = w.input.Close()
	_ = w.cmd.Wait()
}
