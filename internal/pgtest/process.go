package pgtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/child"
)

// crashSignal makes PostgreSQL stop at once without writing anything. SIGKILL would do so too, but then its
// children outlive it for a moment and keep the next server from starting on the same data.
const crashSignal = syscall.SIGQUIT

const stopPatience = 5 * time.Second

// command prepares one of PostgreSQL's programs: as the server's user, in a directory that it can enter, and free
// of the settings that PG* variables of the caller would bring in.
func (s *Server) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, program), args...)
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	cmd.Stdout, cmd.Stderr = s.log, s.log
	if s.user != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: s.user.uid, Gid: s.user.gid}}
	}
	cmd.WaitDelay = stopPatience
	return cmd
}

// init makes the data directory's contents unless an earlier server left them.
func (s *Server) init(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(s.dir, "PG_VERSION")); err == nil {
		return nil
	}
	cmd := s.command(ctx, "initdb", "-D", s.dir, "-U", superuser, "--auth=trust", "--no-sync", "--no-instructions",
		"--locale=C", "--encoding=UTF8")
	p, err := child.Start(cmd, crashSignal)
	if err != nil {
		return fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	<-p.Done()
	if !cmd.ProcessState.Success() {
		return fmt.Errorf("initdb in %s: %s", s.dir, s.log.last())
	}
	return nil
}

// tail passes on what PostgreSQL prints and remembers the last line that tells why it failed.
type tail struct {
	next io.Writer

	mu   sync.Mutex
	line string
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for line := range bytes.Lines(b) {
		text := strings.TrimSpace(string(line))
		if strings.Contains(text, "FATAL") || strings.Contains(strings.ToLower(text), "error") || t.line == "" {
			t.line = text
		}
	}
	if t.next == nil {
		return len(b), nil
	}
	return t.next.Write(b)
}

func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.line
}
