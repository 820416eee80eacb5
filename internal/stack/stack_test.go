package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/spreedb/spreedbtest"
)

const helper = "STACK_TEST_HELPER"

func TestMain(m *testing.M) {
	if os.Getenv(helper) != "" {
		startAndHang()
		return
	}
	os.Exit(m.Run())
}

// startAndHang is the process that TestNothingOutlivesAKilledProcess kills.
func startAndHang() {
	s, err := Start(context.Background(), Options{})
	if err != nil {
		panic(err)
	}
	_, _ = os.Stdout.WriteString(s.Dir + "\n")
	select {}
}

// recorder is a log that may be read while it is written.
type recorder struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (r *recorder) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.Write(b)
}

func (r *recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.String()
}

func TestAJobInTheDatabaseIsMeasured(t *testing.T) {
	g := NewWithT(t)
	g.SetDefaultEventuallyTimeout(30 * time.Second)
	s, err := Start(t.Context(), Options{Log: t.Output(), SpreeDB: spreedbtest.Options{Default: spreedbtest.Good(20 * time.Millisecond)}})
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(s.Close)
	binary, err := Build(t.Context(), t.TempDir(), "v0.0.0-test", t.Output())
	g.Expect(err).NotTo(HaveOccurred())
	log := &recorder{}
	operator, err := s.Operator(OperatorOptions{Binary: binary, Log: log})
	g.Expect(err).NotTo(HaveOccurred())

	etcd, apiServer, err := s.ControlPlane()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect([]error{syscall.Kill(etcd, 0), syscall.Kill(apiServer, 0)}).To(HaveEach(BeNil()))

	const id = "5b0c6f0e-0000-4000-8000-000000000001"
	g.Expect(s.Gateway.Exec(t.Context(), `insert into jobs (id, account_number, target_ip, cadence_seconds, duration_minutes, monitoring_mode)
		values ($1, 'A-1', '10.1.2.3', 1, 60, 'real_polling')`, id)).To(Succeed())
	g.Eventually(func() (string, error) {
		return s.Gateway.Text(t.Context(), `select count(*)::text from samples where status = 'success'`)
	}).Should(Equal("2"), "%s", log)
	g.Eventually(func(g Gomega) {
		var job v1alpha1.LatencyJob
		g.Expect(s.Client.Get(t.Context(), types.NamespacedName{Namespace: s.Namespace, Name: id}, &job)).To(Succeed())
		g.Expect(job.Status.Phase).To(Equal(v1alpha1.PhaseRunning))
	}).Should(Succeed())
	g.Expect(exec.Command(s.Kubectl, "--kubeconfig", s.Kubeconfig, "get", "latencyjobs").CombinedOutput()).To(ContainSubstring("10.1.2.3"))

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	g.Expect(operator.Stop(ctx)).To(Succeed(), "%s", log)
	g.Expect(operator.ExitCode()).To(BeZero())
	g.Expect(log.String()).To(ContainSubstring("v0.0.0-test"))

	s.Close()
	s.Close()
	g.Expect(s.Dir).NotTo(BeADirectory())
	g.Expect(running(s.Dir)).To(BeEmpty())
}

func TestAPlainDatabaseCanBeMigratedLater(t *testing.T) {
	g := NewWithT(t)
	s, err := Start(t.Context(), Options{WithoutMigrations: true})
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(s.Close)
	g.Expect(s.Gateway.Text(t.Context(), `select coalesce(to_regclass('pollers')::text, 'none')`)).To(Equal("none"))
	g.Expect(s.Migrate(t.Context())).To(Succeed())
	g.Expect(s.Gateway.Text(t.Context(), `select coalesce(to_regclass('pollers')::text, 'none')`)).To(Equal("pollers"))
}

func TestAnInterruptedStartLeavesNothing(t *testing.T) {
	parent := t.TempDir()
	g := NewWithT(t)
	t.Setenv("TMPDIR", parent)
	for _, after := range []time.Duration{0, 300 * time.Millisecond, 1500 * time.Millisecond, 3 * time.Second} {
		ctx, cancel := context.WithTimeout(t.Context(), after)
		began := time.Now()
		s, err := Start(ctx, Options{})
		cancel()
		if err == nil {
			s.Close()
			continue
		}
		g.Expect(errors.Is(err, context.DeadlineExceeded)).To(BeTrue(), "%v", err)
		g.Expect(time.Since(began)).To(BeNumerically("<", after+5*time.Second))
		g.Eventually(func() []string { return running(parent) }).WithTimeout(5 * time.Second).Should(BeEmpty())
		g.Expect(os.ReadDir(parent)).To(BeEmpty())
	}
}

func TestNothingOutlivesAKilledProcess(t *testing.T) {
	if _, err := os.Stat("/proc/self"); err != nil {
		t.Skip("looks into /proc")
	}
	g := NewWithT(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), helper+"=1")
	cmd.Stderr = os.Stderr
	out := &recorder{}
	cmd.Stdout = out
	g.Expect(cmd.Start()).To(Succeed())
	g.Eventually(out.String).WithTimeout(time.Minute).Should(HaveSuffix("\n"))
	dir := strings.TrimSpace(out.String())
	g.Expect(running(dir)).NotTo(BeEmpty())
	g.Expect(cmd.Process.Kill()).To(Succeed())
	_ = cmd.Wait()
	g.Eventually(func() []string { return running(dir) }).WithTimeout(10 * time.Second).Should(BeEmpty())
	g.Eventually(dir).WithTimeout(10 * time.Second).ShouldNot(BeADirectory())
}

// running are the processes whose command line names a file below dir.
func running(dir string) []string {
	var found []string
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		line, err := os.ReadFile(file)
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err == nil && bytes.Contains(line, []byte(dir)) && syscall.Kill(pid, 0) == nil {
			found = append(found, string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	return found
}

func TestWithoutSupabaseTheOperatorIsToldOfAnother(t *testing.T) {
	g := NewWithT(t)
	s, err := Start(t.Context(), Options{WithoutSupabase: true})
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(s.Close)
	g.Expect(s.Gateway).To(BeNil())
	log := &recorder{}
	operator, err := s.Operator(OperatorOptions{
		Binary: "/usr/bin/env", Log: log, Env: map[string]string{"SUPABASE_URL": "http://127.0.0.1:1"},
	})
	g.Expect(err).NotTo(HaveOccurred())
	<-operator.Done()
	g.Expect(log.String()).To(And(ContainSubstring("SUPABASE_URL=http://127.0.0.1:1\n"), Not(ContainSubstring("SUPABASE_SERVICE_ROLE_KEY"))))
}

// An etcd that finds its port taken at its first start only.
const unluckyEtcd = `#!/bin/sh
if [ "$1" != --help ] && [ ! -e '%[1]s/tried' ]; then
  touch '%[1]s/tried'
  echo 'listen tcp 127.0.0.1:2380: bind: address already in use' >&2
  exit 1
fi
exec '%[2]s/etcd' "$@"
`

func TestAPortThatIsTakenMeanwhileIsReplaced(t *testing.T) {
	g := NewWithT(t)
	assets, err := Assets(t.Context(), os.Stderr)
	g.Expect(err).NotTo(HaveOccurred())
	unlucky := t.TempDir()
	g.Expect(os.WriteFile(filepath.Join(unlucky, "etcd"), fmt.Appendf(nil, unluckyEtcd, unlucky, assets), 0o700)).To(Succeed())
	g.Expect(os.Symlink(filepath.Join(assets, "kube-apiserver"), filepath.Join(unlucky, "kube-apiserver"))).To(Succeed())
	s, err := Start(t.Context(), Options{Assets: unlucky, WithoutSupabase: true})
	g.Expect(err).NotTo(HaveOccurred())
	s.Close()
	g.Expect(filepath.Join(unlucky, "tried")).To(BeAnExistingFile())
}
