// Command kubectl-soundcheck shows what the operator measures: `kubectl soundcheck --help`, or `oc soundcheck --help`.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/go-logr/logr"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/klog/v2"

	"github.com/soundcheck-io/latency-operator/internal/build"
)

// version is set when the binary is linked.
var version string

func main() {
	// What client-go has to say about a connection comes back as an error too, and is said once.
	klog.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, args(os.Args), genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr})
	stop()
	os.Exit(code)
}

// args are the arguments. Under the name kubectl_complete-soundcheck, or oc_complete-soundcheck, the program completes a command
// line, which is how kubectl and oc ask a plugin.
func args(argv []string) []string {
	if strings.Contains(filepath.Base(argv[0]), "_complete-soundcheck") {
		return append([]string{"__complete"}, argv[1:]...)
	}
	return argv[1:]
}

// interrupted is the exit code after Ctrl-C, as shells have it.
const interrupted = 130

// exitError ends the program with a code, without a further word.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// run returns the exit code: 0, 1 after an error, 130 after Ctrl-C, or what doctor says.
func run(ctx context.Context, args []string, streams genericiooptions.IOStreams) int {
	root := newRoot(streams)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if code, ok := errors.AsType[exitError](err); ok {
		return int(code)
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return interrupted
	}
	if err != nil {
		fmt.Fprintln(streams.ErrOut, "error:", printable(err.Error()))
		return 1
	}
	return 0
}

func buildVersion() string { return build.Version(version) }
