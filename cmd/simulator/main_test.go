package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
)

func parse(t *testing.T, args ...string) (*options, error) {
	t.Helper()
	opts := new(options)
	parser, err := kong.New(opts, kong.DefaultEnvars("SIMULATOR"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(args)
	return opts, err
}

func TestOptionsComeFromFlagsAndEnvironment(t *testing.T) {
	g := NewWithT(t)
	t.Setenv("SIMULATOR_MEDIAN", "35ms")
	opts, err := parse(t, "--loss", "0.1", "--dead=0.25", "--hang=0.75", "--seed=9")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(*opts).To(Equal(options{
		Listen: ":4402", Median: 35 * time.Millisecond, Spread: 0.3, Patience: 2 * time.Second,
		Loss: 0.1, Dead: 0.25, Hang: 0.75, Seed: 9, projectOptions: projectOptions{Database: 5432},
	}))
}

func TestOptionsAreChecked(t *testing.T) {
	for _, arg := range []string{"--loss=1.1", "--dead=-0.1", "--hang=NaN", "--dead=0.6 --hang=0.6", "--median=0s", "--patience=-1s", "--median=soon",
		"--jobs", "--data=x", "--supabase=:0 --template=x", "--supabase=:0 --database=0"} {
		if _, err := parse(t, strings.Fields(arg)...); err == nil {
			t.Errorf("%s was taken", arg)
		}
	}
}

func TestHandlerAnswersPollsAndProbes(t *testing.T) {
	opts, err := parse(t, "--dead=1", "--patience=0s")
	if err != nil {
		t.Fatal(err)
	}
	ill := errors.New("ill")
	health := func(r *http.Request) error {
		if r.URL.RawQuery != "" {
			return ill
		}
		return nil
	}
	h := handler(opts.spreedb(), health)
	for path, want := range map[string]string{
		"/healthz":                         "ok",
		"/healthz?ill":                     "ill",
		"/latency/Sound%20Check/10.1.2.3/": `"error": "timeout"`,
		"/other":                           "not found",
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %s", path, w.Body)
		}
	}
}

func TestRunServesUntilItIsStopped(t *testing.T) {
	g := NewWithT(t)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	g.Expect(err).NotTo(HaveOccurred())
	addr := free.Addr().String()
	opts, err := parse(t, "--listen", addr, "--median=1ms")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(run(t.Context(), *opts, logr.Discard())).NotTo(Succeed(), "the address is taken")
	g.Expect(free.Close()).To(Succeed())

	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, *opts, logr.Discard()) }()
	g.Eventually(func(g Gomega) {
		resp, err := http.Get("http://" + addr + "/latency/Sound%20Check/10.1.2.3/")
		g.Expect(err).NotTo(HaveOccurred())
		defer resp.Body.Close()
		g.Expect(io.ReadAll(resp.Body)).To(ContainSubstring(`"ip": "10.1.2.3"`))
	}).WithTimeout(10 * time.Second).Should(Succeed())
	stop()
	g.Eventually(ended).WithTimeout(10 * time.Second).Should(Receive(BeNil()))
}
