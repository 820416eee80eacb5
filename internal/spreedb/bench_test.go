package spreedb

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/sample"
	"github.com/soundcheck-io/latency-operator/internal/spreedb/spreedbtest"
)

// delayOfServer is set where this program is to be the SpreeDB of a benchmark, which has to run in another process so as
// not to be counted: how long an answer takes.
const delayOfServer = "SPREEDB_BENCHMARK_DELAY"

func TestMain(m *testing.M) {
	delay, err := time.ParseDuration(os.Getenv(delayOfServer))
	if err != nil {
		os.Exit(m.Run())
	}
	db := spreedbtest.New(spreedbtest.Options{Default: spreedbtest.Slow(delay), Keep: -1})
	server, err := db.Listen("127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	_, _ = os.Stdout.WriteString(server.URL + "\n")
	_, _ = bufio.NewReader(os.Stdin).ReadByte() // until the benchmark is over
}

func serverProcess(b *testing.B, delay time.Duration) (url string) {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), delayOfServer+"="+delay.String())
	cmd.Stderr = os.Stderr
	stdin, _ := cmd.StdinPipe()
	stdout, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	url, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(url)
}

// BenchmarkPoll also reports how much CPU a poll takes in this process, which is what counts, and how much more than by the
// direct transport that is: under way are as many polls as at 5,000 a second, or one.
func BenchmarkPoll(b *testing.B) {
	for _, load := range []struct {
		name     string
		delay    time.Duration
		inFlight int
	}{{"one", 0, 1}, {"100 of 20 ms", 20 * time.Millisecond, 100}} {
		url := serverProcess(b, load.delay)
		spent := map[string]float64{}
		for _, name := range []string{"direct", "net/http"} {
			b.Run(load.name+"/"+name, func(b *testing.B) {
				c := over(name)(b, url)
				pollAll(b, c, load.inFlight, load.inFlight) // makes the connections
				b.ReportAllocs()
				b.ResetTimer()
				before := cpu()
				pollAll(b, c, b.N, load.inFlight)
				spent[name] = float64(cpu()-before) / float64(b.N)
				b.ReportMetric(spent[name], "cpu-ns/op")
				b.ReportMetric(spent[name]/spent["direct"], "x-direct")
			})
		}
	}
}

// pollAll polls n times, so many at once.
func pollAll(b *testing.B, c *Client, n, atOnce int) {
	results := make(chan Result, atOnce)
	turns := make(chan struct{}, atOnce)
	go func() {
		for range n {
			turns <- struct{}{}
			go func() {
				ctx, cancel := context.WithTimeout(b.Context(), 10*time.Second)
				defer cancel()
				results <- c.Poll(ctx, target)
			}()
		}
	}()
	for range n {
		r := <-results
		<-turns
		if r.Status != sample.Success {
			b.Fatal(r)
		}
	}
}

// cpu is how much of it this process has taken.
func cpu() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
