package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/util/exec"
)

// managerProgram is where the operator's program is in its container.
const managerProgram = "/manager"

func (c *cli) newDoctor() *cobra.Command {
	output := ""
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Find out what is wrong with the operator, and what to do",
		Long: `Find out what is wrong with the operator, and what to do: whether Supabase and SpreeDB can be reached, the role and the expiry of the
key, the database's schema and rights, the operator's rights in the cluster, its leases and its spool.

It runs inside a pod of the operator, with what the operator has, so that nothing secret leaves it. That takes the right to create
pods/exec. The exit code is 0 if all is well, and 1 otherwise.`,
		Example: examples(`
			# Look after the operator
			%[1]s doctor -n latency-operator-system

			# For a script
			%[1]s doctor -o json`),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf(output, "text", "json"); err != nil {
				return err
			}
			pod, err := c.cluster.operatorPod(cmd.Context(), false)
			if err != nil {
				return err
			}
			return c.exec(cmd.Context(), pod, managerProgram, "doctor", "--output", output)
		},
	}
	outputFlag(cmd, &output, "text", "json")
	return cmd
}

// exec runs a program in the operator's container, and ends as it ends.
func (c *cli) exec(ctx context.Context, pod *operator, command ...string) error {
	executor, err := pod.executor(command...)
	if err != nil {
		return err
	}
	// What the program says about itself is only worth passing on if it is the program that says it.
	var said strings.Builder
	err = executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: c.streams.Out, Stderr: io.MultiWriter(c.streams.ErrOut, &said)})
	if code, ok := errors.AsType[exec.CodeExitError](err); ok {
		if strings.Contains(said.String(), "unexpected argument") {
			return fmt.Errorf("the operator in pod %s is older than this program and has no doctor: update it", pod.pod.Name)
		}
		return exitError(code.Code)
	}
	switch {
	case err == nil:
		return nil
	case strings.Contains(err.Error(), "forbidden"):
		return fmt.Errorf("you may not run programs in the pods of the namespace %s, which doctor needs: ask its administrator for the right to create pods/exec, or to run %s doctor for you", pod.pod.Namespace, program)
	default:
		return fmt.Errorf("doctor could not be run in pod %s: %w", pod.pod.Name, err)
	}
}

// executor is kubectl's: WebSockets, and SPDY where something between does not let them through.
func (o *operator) executor(command ...string) (remotecommand.Executor, error) {
	where := o.execRequest(command...).URL()
	spdy, err := remotecommand.NewSPDYExecutor(o.config, "POST", where)
	if err != nil {
		return nil, err
	}
	websockets, err := remotecommand.NewWebSocketExecutor(o.config, "GET", where.String())
	if err != nil {
		return nil, err
	}
	return remotecommand.NewFallbackExecutor(websockets, spdy, upgradeFailed)
}
