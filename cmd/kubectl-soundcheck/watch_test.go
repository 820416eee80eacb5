package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	. "github.com/onsi/gomega"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/utils/clock"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/outcomes"
	"github.com/soundcheck-io/latency-operator/internal/sample"
)

// screenBuffer is what a command has written by now.
type screenBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *screenBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *screenBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// end ends the job now.
func (w *world) end() {
	w.t.Helper()
	w.sql(`update jobs set status = 'cancelled', completed_at = now() where id = $1`, idA)
}

// live makes a job that began 100 slots ago, with samples up to now.
func (w *world) live() {
	w.t.Helper()
	w.cadence = 2 // a look every two seconds
	w.begun = time.Now().UTC().Truncate(time.Second).Add(-200 * time.Second)
	w.job(idA, "10.1.2.3", "running", v1alpha1.LatencyJobStatus{Phase: v1alpha1.PhaseRunning})
	w.measured(idA, 0, 79, 10)
	w.gap(80, 82, "Busy")
	w.measured(idA, 83, 96, 1)
	w.measured(idA, 97, 100, 0)
}

func TestWithoutATerminalEachOutcomeIsALine(t *testing.T) {
	w := newWorld(t).withDatabase()
	w.live()
	user := w.everything()
	var out, errOut screenBuffer
	code := make(chan int, 1)
	go func() {
		code <- run(t.Context(), append(user, "watch", "10.1.2.3"), genericiooptions.IOStreams{Out: &out, ErrOut: &errOut})
	}()
	at := func(slot int) string { return stamp(w.due(slot)) }
	w.Eventually(out.String, patience).Should(HaveSuffix(at(99) + " success 21.0 ms\n" + at(100) + " success 22.0 ms\n"))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	w.Expect(lines).To(ContainElements(at(70)+" missed", at(71)+" success 21.0 ms"))
	w.Expect(lines).To(ContainElement(at(80) + " not polled, 3 slots to " + at(82) + ": the poll before was still running"))
	w.Expect(len(lines)).To(BeNumerically("<=", plainSlots))

	// What comes is added, in whatever order, and nothing is said twice.
	w.measured(idA, 101, 101, 0)
	w.Eventually(out.String, patience).Should(HaveSuffix(at(101) + " success 23.0 ms\n"))
	w.Expect(strings.Count(out.String(), at(100)+" success")).To(Equal(1))
	w.end()
	w.Eventually(code, patience).Should(Receive(BeZero()))
	w.Expect(errOut.String()).To(Equal("The job is cancelled. For all of it: kubectl soundcheck report " + idA + "\n"))
}

// After an outage of hours there are more outcomes than a window shows.
func TestEachOutcomeIsALineAfterAnOutageToo(t *testing.T) {
	w := project(t)
	w.row(idA, "10.1.2.3", "running")
	w.measured(idA, 0, 359, 0)
	var out bytes.Buffer
	screen := &lines{out: &out, errOut: io.Discard}
	at := &watcher{cli: &cli{clock: clock.RealClock{}}, id: idA, screen: screen, from: w.source()}
	w.Expect(screen.show(&view{job: outcomes.Job{Status: "running"}, samples: []outcomes.Sample{{ScheduledAt: w.due(10), Status: sample.Success}}})).To(Succeed())
	v, err := at.look(t.Context())
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(screen.show(v)).To(Succeed())
	w.Expect(strings.Count(out.String(), "\n")).To(Equal(350))
	w.Expect(out.String()).To(And(HavePrefix(stamp(w.due(10))+" success\n"+stamp(w.due(11))+" success 24.0 ms\n"), HaveSuffix(stamp(w.due(359))+" success 22.0 ms\n")))
}

// patience is for what has to happen at one of the next looks, on a machine that does much else.
const patience = 40 * time.Second

// terminal runs a command on a terminal of 100 by 30.
func terminal(t *testing.T, ctx context.Context, args ...string) (screen *screenBuffer, code chan int) { //nolint:revive // the test comes first
	t.Helper()
	controller, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = controller.Close() })
	if err := pty.Setsize(tty, &pty.Winsize{Rows: 30, Cols: 100}); err != nil {
		t.Fatal(err)
	}
	screen, code = &screenBuffer{}, make(chan int, 1)
	read := make(chan struct{})
	go func() {
		defer close(read)
		if _, err := io.Copy(screen, controller); err != nil && !errors.Is(err, os.ErrClosed) {
			return // a terminal whose other side is closed ends with an error
		}
	}()
	go func() {
		exit := run(ctx, args, genericiooptions.IOStreams{In: tty, Out: tty, ErrOut: tty})
		_ = tty.Close()
		<-read
		code <- exit
	}()
	return screen, code
}

func TestATerminalShowsALivePlot(t *testing.T) {
	t.Setenv("TERM", "xterm-256color")
	t.Setenv("NO_COLOR", "")
	w := newWorld(t).withDatabase()
	w.live()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	user := w.everything()
	screen, code := terminal(t, ctx, append(user, "watch", idA)...)
	w.Eventually(screen.String, patience).Should(ContainSubstring("Ctrl-C ends"))
	frame := screen.String()
	w.Expect(frame).To(And(ContainSubstring("every 2s"), ContainSubstring("success, 22.0 ms"), ContainSubstring("missed"), ContainSubstring("no poll"),
		ContainSubstring("RTT of each poll, every 2s"), ContainSubstring("ms ┤"), HavePrefix(enterScreen)))
	cancel() // as Ctrl-C does
	w.Eventually(code, patience).Should(Receive(BeZero()))
	_, after, left := strings.Cut(screen.String(), leaveScreen)
	w.Expect(left).To(BeTrue(), "the terminal is as it was")
	w.Expect(after).To(ContainSubstring("ms ┤"), "and the last picture stays")

	w.end()
	screen, code = terminal(t, t.Context(), append(user, "watch", idA)...)
	w.Eventually(code, patience).Should(Receive(BeZero()), "a job that is over is shown once")
	w.Expect(screen.String()).To(ContainSubstring("The job is cancelled."))
}

func TestWatchingGoesOnWhenTheOperatorIsReplaced(t *testing.T) {
	w := newWorld(t).withDatabase()
	w.live()
	user := w.everything()
	var out, errOut screenBuffer
	code := make(chan int, 1)
	go func() {
		code <- run(t.Context(), append(user, "watch", idA, "--plain", "--window", "5m"), genericiooptions.IOStreams{Out: &out, ErrOut: &errOut})
	}()
	w.Eventually(out.String, patience).ShouldNot(BeEmpty())
	was := w.kubelet.listener
	w.kubelet.setListener("")
	w.samples.CloseClientConnections()
	w.Eventually(errOut.String, patience).Should(ContainSubstring("Trying again: the operator does not serve samples"))
	w.kubelet.setListener(was)
	w.measured(idA, 101, 101, 0)
	w.Eventually(out.String, patience).Should(ContainSubstring(stamp(w.due(101)) + " success"))

	// Between one pod and the next there is none, and then one that is not ready.
	w.removeOperators()
	w.kubelet.setListener("")
	w.samples.CloseClientConnections()
	w.Eventually(errOut.String, patience).Should(ContainSubstring("Trying again: no operator runs in the namespace " + w.namespace))
	w.operator("latency-operator-1", "ContainerCreating")
	w.Eventually(errOut.String, patience).Should(ContainSubstring("Trying again: the operator is not ready: pod latency-operator-1"))
	w.kubelet.setListener(was)
	w.operator("latency-operator-2", "")
	w.measured(idA, 102, 102, 0)
	w.Eventually(out.String, patience).Should(ContainSubstring(stamp(w.due(102)) + " success"))
	w.end()
	w.Eventually(code, patience).Should(Receive(BeZero()))
}

// A token of the reader is good for ten minutes, and a job takes hours.
func TestWatchingGoesOnWhenItsTokenEnds(t *testing.T) {
	w := newWorld(t).withDatabase()
	w.live()
	serving, tokens := w.samples.Config.Handler, map[string]int{}
	w.serve(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		token := r.Header.Get("Authorization")
		if tokens[token]++; tokens[token] > 2 { // which is a look
			http.Error(rw, "Say who you are.", http.StatusUnauthorized)
			return
		}
		serving.ServeHTTP(rw, r)
	}))
	user := w.everything()
	var out, errOut screenBuffer
	code := make(chan int, 1)
	go func() {
		code <- run(t.Context(), append(user, "watch", idA, "--plain"), genericiooptions.IOStreams{Out: &out, ErrOut: &errOut})
	}()
	for slot := 101; slot < 103; slot++ {
		w.Eventually(out.String, patience).Should(HaveSuffix(fmt.Sprintf("%s success %d.0 ms\n", stamp(w.due(slot-1)), 20+(slot-1)%7)))
		w.measured(idA, slot, slot, 0)
	}
	w.Eventually(out.String, patience).Should(ContainSubstring(stamp(w.due(102)) + " success"))
	w.end()
	w.Eventually(code, patience).Should(Receive(BeZero()))
	w.Expect(errOut.String()).To(HavePrefix("The job is cancelled."), "nobody need know")
	w.Expect(len(tokens)).To(BeNumerically(">", 1))

	// One that is refused from the start is not asked for again and again.
	w.serve(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		http.Error(rw, "Say who you are.", http.StatusUnauthorized)
	}))
	w.Expect(w.do(user, "report", idA)).To(Equal(result{code: 1, err: "error: the operator does not know you: Say who you are.\n"}))
}

func TestDoctorIsThatOfTheOperator(t *testing.T) {
	w := newWorld(t)
	user := w.asAccount("patient", maySee, mayExec)
	var asked []string
	w.kubelet.run = func(command []string, out, errOut io.Writer) int {
		asked = command
		_, _ = io.WriteString(out, "Supabase: the key is refused.\n")
		_, _ = io.WriteString(errOut, "1 problem\n")
		return 1
	}
	w.Expect(w.do(user, "doctor", "-o", "json")).To(Equal(result{code: 1, out: "Supabase: the key is refused.\n", err: "1 problem\n"}))
	w.Expect(asked).To(Equal([]string{"/manager", "doctor", "--output", "json"}))
	w.kubelet.run = func(_ []string, out, _ io.Writer) int { _, _ = io.WriteString(out, "All is well.\n"); return 0 }
	w.Expect(w.do(user, "doctor")).To(Equal(result{out: "All is well.\n"}))
	w.kubelet.run = func(_ []string, _, errOut io.Writer) int {
		_, _ = io.WriteString(errOut, "latency-operator: unexpected argument doctor\n")
		return 1
	}
	w.Expect(w.do(user, "doctor").err).To(ContainSubstring("is older than this program and has no doctor: update it"))

	got := w.do(user, "version")
	w.Expect(got.out).To(And(HavePrefix("Client:   "), HaveSuffix("Operator: ghcr.io/soundcheck-io/latency-operator:v9\n")), got.err)
	got = do(t.Context(), "version", "--client", "-o", "json", "--kubeconfig=/dev/null")
	w.Expect(got.code).To(BeZero(), got.err)
	w.Expect(got.out).To(ContainSubstring(`"client": "`))
}
