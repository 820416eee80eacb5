package stack

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	"go.uber.org/zap"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

// Command is for programs that run a stack. It silences the libraries, which talk to developers, and gives a context that ends at
// Ctrl-C, or when somebody else ends the program; a second Ctrl-C ends it at once.
func Command() (context.Context, context.CancelFunc) {
	ctrl.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	zap.RedirectStdLog(zap.NewNop())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, func() { signal.Reset(os.Interrupt) })
	return ctx, stop
}
