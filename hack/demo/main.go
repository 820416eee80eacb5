// Command demo runs the whole system on this machine, with no cluster and no containers: a few jobs of different fates are
// put into the database, and the terminal shows what becomes of them. `make demo` runs it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/alecthomas/kong"

	"github.com/soundcheck-io/latency-operator/internal/stack"
)

// version is set when the binary is linked. The operator that the demo compiles gets it too.
var version string

// shortest is what the jobs' fates need to show themselves.
const shortest = 20 * time.Second

type options struct {
	Page   string        `default:"127.0.0.1:0" placeholder:"ADDRESS" help:"Where the page of Sound Check is served; port 0 takes a free one."`
	Open   bool          `default:"true" negatable:"" help:"Open the page in a browser, where there is one."`
	SignIn bool          `env:"DEMO_SIGN_IN" help:"Have the page ask for a sign-in, with an account that is printed."`
	For    time.Duration `env:"DEMO_FOR" placeholder:"DURATION" help:"End after this time, such as 60s, with a summary; the exit code tells whether every sample arrived. Default: go on until Ctrl-C."`
}

// Validate is called by kong.
func (o *options) Validate() error {
	if o.For != 0 && o.For < shortest {
		return fmt.Errorf("DEMO_FOR must be at least %s, such as 60s", shortest)
	}
	return nil
}

func main() {
	var opts options
	kong.Parse(&opts, kong.Name("demo"), kong.Description("Runs the latency operator with all that surrounds it on this machine."))
	if err := execute(opts); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// execute runs the demo until it is over or somebody ends it.
func execute(opts options) error {
	ctx, stop := stack.Command()
	defer stop()
	stopWithParent()
	err := run(ctx, opts, newScreen(os.Stdout))
	if errors.Is(err, context.Canceled) {
		fmt.Println("Stopped before everything had started.")
		return nil
	}
	return err
}
