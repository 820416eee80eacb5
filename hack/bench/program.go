package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/child"
	"github.com/soundcheck-io/latency-operator/internal/stack"
)

// stopPatience is longer than the operator takes to end.
const stopPatience = 60 * time.Second

// operatorName is the name of the program that makes the first samples.
const operatorName = "operator"

// program is what is measured: the operator, in one process or several, or the floor.
type program struct {
	name      string
	processes []*child.Process
	began     time.Time
	// profiles are the host:port of each process for profiles, if it has one.
	profiles []string
}

// binaries are the compiled programs.
type binaries struct {
	operator, floor string
	// profiles tells whether the operator can serve profiles.
	profiles bool
}

// compile makes the programs in dir.
func compile(ctx context.Context, dir string, opts *options, r *reporter) (b binaries, err error) {
	r.say("Compiling the operator and the floor.")
	if b.operator, err = filepath.Abs(opts.Binary); opts.Binary == "" {
		b.operator, err = stack.Build(ctx, dir, "", r.progress)
	}
	if err != nil {
		return b, err
	}
	help, err := exec.CommandContext(ctx, b.operator, "--help").Output()
	if err != nil {
		return b, fmt.Errorf("run %s --help: %w", b.operator, err)
	}
	b.profiles = strings.Contains(string(help), "--pprof-bind-address")
	if !opts.Floor {
		return b, nil
	}
	b.floor = filepath.Join(dir, "floor")
	return b, stack.Compile(ctx, "./hack/bench/floor", b.floor, r.progress)
}

// startOperator starts the operator with its defaults, as often as there are replicas.
func (t *trial) startOperator() (*program, error) {
	p := &program{name: operatorName, began: time.Now()}
	for i := range t.load.Replicas {
		name := fmt.Sprintf("latency-operator-%d", i)
		dir := filepath.Join(t.Dir, name)
		if err := os.MkdirAll(filepath.Join(dir, "tmp"), 0o700); err != nil {
			return p, err
		}
		env := t.environment()
		env["KUBECONFIG"], env["POD_NAMESPACE"], env["POD_NAME"] = t.Kubeconfig, t.Namespace, name
		env["SPOOL_DIR"], env["TMPDIR"] = filepath.Join(dir, "spool"), filepath.Join(dir, "tmp")
		maps.Copy(env, t.opts.env)
		var args []string
		if t.opts.Profile != "" && t.programs.profiles {
			port, err := stack.FreePort()
			if err != nil {
				return p, err
			}
			address := fmt.Sprintf("127.0.0.1:%d", port)
			p.profiles = append(p.profiles, address)
			args = append(args, "--pprof-bind-address="+address)
		}
		if err := p.start(t.surroundings, t.programs.operator, env, args...); err != nil {
			return p, err
		}
	}
	return p, nil
}

func (t *trial) startFloor() (*program, error) {
	p := &program{name: "floor", began: time.Now()}
	return p, p.start(t.surroundings, t.programs.floor, t.environment())
}

// environment leads to what surrounds the program.
func (s *surroundings) environment() map[string]string {
	return map[string]string{
		"SUPABASE_URL": s.project.URL, "SUPABASE_SERVICE_ROLE_KEY": s.key, "POLLER_BASE_URL": s.spreedb.URL,
		"PATH": os.Getenv("PATH"), "HOME": os.Getenv("HOME"),
	}
}

func (p *program) start(s *surroundings, binary string, env map[string]string, args ...string) error {
	cmd := exec.CommandContext(context.Background(), binary, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.Dir, s.log, s.log
	cmd.Env = []string{} // nothing of ours
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	process, err := child.Start(cmd, syscall.SIGKILL)
	if err != nil {
		return fmt.Errorf("start the %s: %w", p.name, err)
	}
	p.processes = append(p.processes, process)
	return nil
}

// ended is the error of a process that ended although nobody stopped it.
func (p *program) ended() error {
	for _, process := range p.processes {
		if process.Ended() {
			return fmt.Errorf("the %s ended by itself: %s", p.name, process.ProcessState)
		}
	}
	return nil
}

// stop ends the processes in good order. Its error is one line.
func (p *program) stop(ctx context.Context) error {
	for _, process := range p.processes {
		_ = process.Process.Signal(syscall.SIGTERM)
	}
	ctx, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	var badly []string
	for _, process := range p.processes {
		select {
		case <-process.Done():
		case <-ctx.Done():
			_ = process.Process.Kill()
			<-process.Done()
		}
		if code := process.ProcessState.ExitCode(); code != 0 {
			badly = append(badly, process.ProcessState.String())
		}
	}
	if len(badly) > 0 {
		return fmt.Errorf("did not end well: %s", strings.Join(badly, ", "))
	}
	return nil
}

// kill ends what still runs.
func (p *program) kill() {
	for _, process := range p.processes {
		_ = process.Process.Kill()
		<-process.Done()
	}
}

// cpu is how much processor time each process has used.
func (p *program) cpu() ([]time.Duration, error) {
	used := make([]time.Duration, len(p.processes))
	for i, process := range p.processes {
		var err error
		if used[i], err = cpuOf(process.Process.Pid); err != nil {
			return nil, err
		}
	}
	return used, nil
}

// memory is the sum over the processes.
func (p *program) memory() (total memory, err error) {
	for _, process := range p.processes {
		m, err := memoryOf(process.Process.Pid)
		if err != nil {
			return total, err
		}
		total.rss += m.rss
		total.peak += m.peak
	}
	return total, nil
}
