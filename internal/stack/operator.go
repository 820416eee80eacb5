package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/child"
)

// operatorPatience is how long Close waits for an operator that nobody stopped before.
const operatorPatience = 10 * time.Second

// OperatorOptions say how to run the operator.
type OperatorOptions struct {
	// Binary is the program; empty is the stack's.
	Binary string
	// Args come after its name.
	Args []string
	// Env adds to the environment, which leads to this stack, and wins over it. An empty value takes a variable away.
	Env map[string]string
	// Log receives what it prints; nil drops it.
	Log io.Writer
}

// Operator is the operator as a child process.
type Operator struct {
	process *child.Process
}

// Operator starts the operator and returns without waiting for it to do anything. Its environment is what the contract
// names and nothing more.
func (s *Stack) Operator(opts OperatorOptions) (*Operator, error) {
	tmp, spool := filepath.Join(s.Dir, "tmp"), filepath.Join(s.Dir, "spool")
	if err := errors.Join(os.MkdirAll(tmp, 0o700), os.MkdirAll(spool, 0o700)); err != nil {
		return nil, err
	}
	env := map[string]string{
		"POLLER_BASE_URL":  s.SpreeDBServer.URL,
		"POLL_INTERVAL_MS": "1000",
		"POD_NAMESPACE":    s.Namespace,
		"KUBECONFIG":       s.Kubeconfig,
		"SPOOL_DIR":        spool,
		"TMPDIR":           tmp,
	}
	if s.Gateway != nil {
		env["SUPABASE_URL"], env["SUPABASE_SERVICE_ROLE_KEY"] = s.Gateway.URL(), s.Gateway.SecretKey()
	}
	maps.Copy(env, opts.Env)
	binary := opts.Binary
	if binary == "" {
		binary = s.Binary
	}
	cmd := exec.CommandContext(context.Background(), binary, opts.Args...)
	cmd.Dir = s.Dir
	cmd.Stdout, cmd.Stderr = opts.Log, opts.Log
	cmd.Env = inherited()
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if env[name] != "" {
			cmd.Env = append(cmd.Env, name+"="+env[name])
		}
	}
	p, err := child.Start(cmd, syscall.SIGKILL)
	if err != nil {
		return nil, fmt.Errorf("start the operator: %w", err)
	}
	o := &Operator{process: p}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.operators = append(s.operators, o)
	return o, nil
}

// Stop sends SIGTERM and waits until the operator has ended. It kills it when ctx ends before that, and returns an error
// unless the operator ended well.
func (o *Operator) Stop(ctx context.Context) error {
	_ = o.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-o.process.Done():
	case <-ctx.Done():
		o.Kill()
		return fmt.Errorf("the operator did not stop in time and was killed: %w", ctx.Err())
	}
	if o.ExitCode() != 0 {
		return fmt.Errorf("the operator ended with %s", o.Ending())
	}
	return nil
}

// Kill sends SIGKILL and waits until the operator is gone.
func (o *Operator) Kill() {
	_ = o.process.Process.Kill()
	<-o.process.Done()
}

// Signal sends any other signal, such as SIGSTOP.
func (o *Operator) Signal(sig os.Signal) error { return o.process.Process.Signal(sig) }

// PID is the id of the process.
func (o *Operator) PID() int { return o.process.Process.Pid }

// Done is closed when the operator has ended.
func (o *Operator) Done() <-chan struct{} { return o.process.Done() }

// ExitCode is -1 while it runs and after a signal ended it.
func (o *Operator) ExitCode() int {
	if !o.process.Ended() {
		return -1
	}
	return o.process.ProcessState.ExitCode()
}

// Ending says how it ended, such as "exit status 1" or "signal: killed"; it is empty while it runs.
func (o *Operator) Ending() string {
	if !o.process.Ended() {
		return ""
	}
	return o.process.ProcessState.String()
}

func (o *Operator) giveUp() { o.process.Stop(operatorPatience, syscall.SIGTERM) }
