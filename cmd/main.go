// Command cmd is the operator. See `latency-operator --help`.
package main

import (
	"fmt"
	"os"

	"github.com/go-logr/logr"
	"go.uber.org/zap/zapcore"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/soundcheck-io/latency-operator/internal/build"
)

// version is set when the binary is linked.
var version string

func main() {
	code, err := execute(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "latency-operator:", err)
	}
	os.Exit(code)
}

// execute does what the arguments say, and gives the exit code.
func execute(args []string) (int, error) {
	p, command, err := parse(args)
	if command == "doctor" {
		ctrl.SetLogger(logr.Discard())
		klog.SetLogger(logr.Discard())
		return diagnose(ctrl.SetupSignalHandler(), p, err, os.Stdout)
	}
	if err == nil {
		err = p.check()
	}
	if err != nil {
		return 1, err
	}
	log := newLogger(&p.options)
	ctrl.SetLogger(log)
	klog.SetLogger(log.WithName("client-go").V(1))
	if err := run(ctrl.SetupSignalHandler(), &p.options, log); err != nil {
		return 1, err
	}
	return 0, nil
}

func newLogger(opts *options) logr.Logger {
	level := zapcore.InfoLevel
	if opts.LogLevel == "debug" {
		level = zapcore.DebugLevel
	}
	return zap.New(zap.UseDevMode(opts.LogFormat == "console"), zap.Level(level), zap.StacktraceLevel(zapcore.PanicLevel))
}

func buildVersion() string { return build.Version(version) }
