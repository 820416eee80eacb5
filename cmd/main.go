// Command cmd is the operator. See `latency-operator --help`.
package main

import (
	"fmt"
	"os"
	"runtime/debug"

	"github.com/go-logr/logr"
	"go.uber.org/zap/zapcore"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

// version is set when the binary is linked.
var version string

func main() {
	if err := execute(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "latency-operator:", err)
		os.Exit(1)
	}
}

func execute(args []string) error {
	opts, err := parse(args)
	if err != nil {
		return err
	}
	log := newLogger(opts)
	ctrl.SetLogger(log)
	klog.SetLogger(log.WithName("client-go").V(1))
	return run(ctrl.SetupSignalHandler(), opts, log)
}

func newLogger(opts *options) logr.Logger {
	level := zapcore.InfoLevel
	if opts.LogLevel == "debug" {
		level = zapcore.DebugLevel
	}
	return zap.New(zap.UseDevMode(opts.LogFormat == "console"), zap.Level(level), zap.StacktraceLevel(zapcore.PanicLevel))
}

// buildVersion is the version that was linked in, else that of the module, else dev.
func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}
