package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

const module = "module github.com/soundcheck-io/latency-operator"

// Root is the repository that the working directory is in.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		gomod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		first, _, _ := strings.Cut(string(gomod), "\n")
		if err == nil && strings.TrimSpace(first) == module {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("this is not a folder of the repository latency-operator: change into it")
		}
	}
}

// Assets returns the folder with kube-apiserver, etcd and kubectl. The first time on a machine that takes minutes, and log
// is told.
func Assets(ctx context.Context, log io.Writer) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	out, err := output(ctx, root, log, filepath.Join(root, "hack", "assets.sh"))
	if err != nil {
		return "", fmt.Errorf("get kube-apiserver and etcd with hack/assets.sh: %w", err)
	}
	return strings.TrimSpace(out), nil
}

// Build compiles the operator into dir and returns the path of the program. An empty version leaves it to the program.
func Build(ctx context.Context, dir, version string, log io.Writer) (string, error) {
	binary := filepath.Join(dir, "manager")
	return binary, Compile(ctx, "./cmd", binary, log, "-ldflags", "-X main.version="+version)
}

// Compile compiles a program of the repository, such as ./cmd, into the file binary.
func Compile(ctx context.Context, program, binary string, log io.Writer, flags ...string) error {
	root, err := Root()
	if err != nil {
		return err
	}
	args := append([]string{"build", "-trimpath", "-o", binary}, flags...)
	if _, err := output(ctx, root, log, "go", append(args, program)...); err != nil {
		return fmt.Errorf("compile with go build %s: %w", program, err)
	}
	return nil
}

// output runs a program and, when ctx ends, stops it with all that it started.
func output(ctx context.Context, dir string, log io.Writer, name string, args ...string) (string, error) {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = stopPatience
	if err := cmd.Run(); err != nil {
		return "", errors.Join(ctx.Err(), err)
	}
	return out.String(), nil
}
