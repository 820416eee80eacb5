package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	eventsv1 "k8s.io/api/events/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/spreedb/spreedbtest"
	"github.com/soundcheck-io/latency-operator/internal/stack"
	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest"
)

// built is the program, compiled once for all tests.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "latency-operator-test-")
	if err != nil {
		return "", err
	}
	builtDir = dir
	return stack.Build(context.Background(), dir, "v0.0.0-test", os.Stderr)
})

var builtDir string

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard()) // envtest's
	code := m.Run()
	if builtDir != "" {
		_ = os.RemoveAll(builtDir)
	}
	os.Exit(code)
}

// system is the built operator in surroundings that are real but for SpreeDB.
type system struct {
	*WithT
	t *testing.T
	*stack.Stack
	log *buffer
}

// buffer may be read while it is written.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func startSystem(t *testing.T, opts stack.Options) *system {
	t.Helper()
	t.Parallel() // each has everything of its own, and mostly waits
	s := &system{WithT: NewWithT(t), t: t, log: &buffer{}}
	s.SetDefaultEventuallyTimeout(60 * time.Second)
	s.SetDefaultEventuallyPollingInterval(100 * time.Millisecond)
	opts.Log = os.Stderr
	opts.SpreeDB.Default = spreedbtest.Good(20 * time.Millisecond)
	around, err := stack.Start(t.Context(), opts)
	s.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(around.Close)
	s.Stack = around
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.log.String())
		}
	})
	return s
}

// operate starts the operator with nothing but the environment of the contract.
func (s *system) operate(env map[string]string) *stack.Operator {
	s.t.Helper()
	binary, err := built()
	s.Expect(err).NotTo(HaveOccurred())
	o, err := s.Operator(stack.OperatorOptions{Binary: binary, Env: env, Log: s.log})
	s.Expect(err).NotTo(HaveOccurred())
	return o
}

func (s *system) sql(statement string, args ...any) {
	s.t.Helper()
	s.Expect(s.Gateway.Exec(s.t.Context(), statement, args...)).To(Succeed())
}

// text queries for one text, for Eventually.
func (s *system) text(query string, args ...any) func() (string, error) {
	return func() (string, error) { return s.Gateway.Text(s.t.Context(), query, args...) }
}

// start inserts a real_polling job with a cadence of a second that began some seconds ago and lasts a minute.
func (s *system) start(target any, ago int) string {
	s.t.Helper()
	id, err := s.text(`insert into jobs (account_number, target_ip, cadence_seconds, duration_minutes, monitoring_mode, started_at)
		values ('A-1', $1, 1, 1, 'real_polling', now() - $2 * interval '1 s') returning id::text`, target, ago)()
	s.Expect(err).NotTo(HaveOccurred())
	return id
}

func (s *system) phases() (map[string]v1alpha1.JobPhase, error) {
	var jobs v1alpha1.LatencyJobList
	err := s.Client.List(s.t.Context(), &jobs, client.InNamespace(s.Namespace))
	phases := map[string]v1alpha1.JobPhase{}
	for i := range jobs.Items {
		phases[jobs.Items[i].Name] = jobs.Items[i].Status.Phase
	}
	return phases, err
}

func (s *system) stop(o *stack.Operator) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 40*time.Second)
	defer cancel()
	s.Expect(o.Stop(ctx)).To(Succeed())
}

// Every sample is due at a slot, no slot has two, and no number is used twice.
const flaws = `select coalesce(string_agg(flaw, '; '), 'none') from (
	select format('%s off its grid at %s', job_id, scheduled_at) from samples join jobs on jobs.id = job_id
		where extract(epoch from scheduled_at - started_at)::numeric % cadence_seconds <> 0 or scheduled_at < started_at
			or scheduled_at >= started_at + duration_minutes * interval '1 minute' or scheduled_at > recorded_at
	union all select format('%s twice at %s', job_id, scheduled_at) from samples group by job_id, scheduled_at having count(*) > 1
	union all select format('%s uses %s twice', job_id, sequence_number) from samples group by job_id, sequence_number having count(*) > 1
) f(flaw)`

func TestTheWholeSystem(t *testing.T) {
	s := startSystem(t, stack.Options{})
	answers := map[string]struct {
		behaviour spreedbtest.Behaviour
		status    string
	}{
		"10.0.0.1":    {spreedbtest.Raw(`{"elapsed": 12.5, "error": "", "expected": "", "ip": "10.0.0.1", "poller": "p1"}`), "success 12.5"},
		"10.0.0.2":    {spreedbtest.Raw(`{"elapsed": 0, "error": "Request TIMED OUT"}`), "missed -"},
		"10.0.0.3":    {spreedbtest.Raw(`{"elapsed": 3, "error": "no such source"}`), "system_error -"},
		"10.0.0.4":    {spreedbtest.Raw(`{"elapsed": -1, "error": ""}`), "missed -"},
		"10.0.0.5":    {spreedbtest.Status(500), "system_error -"},
		"10.0.0.6":    {spreedbtest.Status(302), "system_error -"},
		"2001:db8::7": {spreedbtest.Raw(`[]`), "system_error -"},
	}
	jobs := map[string]string{}
	for ip, a := range answers {
		s.SpreeDB.Set(ip, a.behaviour)
		jobs[ip] = s.start(ip, 0)
	}
	short := s.start("10.0.0.8", 57)
	noTarget := s.start(nil, 0)
	simulated, err := s.text(`insert into jobs (account_number, target_ip, cadence_seconds) values ('A-2', '10.0.0.9', 1) returning id::text`)()
	s.Expect(err).NotTo(HaveOccurred())
	op := s.operate(nil)

	for ip, id := range jobs {
		s.Eventually(s.text(`select string_agg(distinct status || ' ' || coalesce(rtt_ms::text, '-'), ', ') || ' ' || (count(*) >= 5) from samples where job_id = $1`, id)).
			Should(Equal(answers[ip].status+" true"), ip)
	}
	s.Eventually(s.text(`select status || (completed_at >= started_at + interval '1 minute') from jobs where id = $1`, short)).Should(Equal("completedtrue"))
	s.Eventually(s.phases).Should(And(HaveKeyWithValue(short, v1alpha1.PhaseCompleted), HaveKeyWithValue(noTarget, v1alpha1.PhaseWaiting)))
	s.Eventually(s.text(`select string_agg(version || ' ' || (jobs > 0) || coalesce(message, ''), ', ') from pollers`)).Should(Equal("v0.0.0-test true"))
	phases, err := s.phases()
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(phases).To(HaveLen(9))
	s.Expect(phases).NotTo(HaveKey(simulated))
	s.Expect(s.text(flaws)()).To(Equal("none"))
	s.stop(op)
	s.Expect(s.text(`select count(*)::text from samples`)()).To(Equal(fmt.Sprint(s.SpreeDB.Total().Polls)), "every poll is a sample")
	s.Expect(s.SpreeDB.MaxOverlap()).To(Equal(1))
	s.Expect(s.text(`select status || coalesce(last_ping_at::text, ' never pinged') from jobs where id = $1`, simulated)()).To(Equal("running never pinged"))
	s.Expect(s.log.String()).NotTo(ContainSubstring(s.Gateway.SecretKey()))
}

func TestAKilledOperatorGoesOnWhereItWas(t *testing.T) {
	s := startSystem(t, stack.Options{})
	id := s.start("10.0.0.1", 0)
	op := s.operate(nil)
	s.Eventually(s.text(`select (count(*) >= 3)::text from samples`)).Should(Equal("true"))
	op.Kill()
	s.sql(`update jobs set cadence_seconds = 2 where id = $1`, id) // slots have smaller numbers now
	s.operate(nil)
	s.Eventually(s.text(`select (count(*) >= 3)::text from samples join jobs on jobs.id = job_id where
		extract(epoch from scheduled_at - started_at)::int % 2 = 0 and sequence_number > extract(epoch from scheduled_at - started_at) / 2`)).Should(Equal("true"))
	s.Expect(s.text(`select (count(*) = count(distinct sequence_number) and count(*) = count(distinct scheduled_at))::text from samples`)()).To(Equal("true"))
}

func TestNothingMeasuredIsLostWhenTheOperatorIsKilledDuringAnOutage(t *testing.T) {
	s := startSystem(t, stack.Options{})
	id := s.start("10.0.0.1", 0)
	op := s.operate(nil)
	s.Eventually(s.text(`select (count(*) >= 2)::text from samples`)).Should(Equal("true"))
	outage := s.Gateway.Inject(supabasetest.Fault{Status: 503})
	for range 3 {
		polls := s.SpreeDB.Total().Polls
		s.Eventually(func() int { return s.SpreeDB.Total().Polls }).Should(BeNumerically(">=", polls+2))
		op.Kill()
		op = s.operate(nil)
	}
	outage.Remove()
	s.Eventually(s.text(`select (max(scheduled_at) > now() - interval '2 s')::text from samples`)).Should(Equal("true"))
	s.stop(op)
	var measured []string
	for _, p := range s.SpreeDB.Polls() {
		measured = append(measured, p.Arrived.UTC().Format(time.RFC3339Nano))
	}
	s.Expect(s.text(`select coalesce(string_agg(m, ', '), 'none') from unnest($2::text[]) m
		where not exists (select from samples where job_id = $1::uuid and m::timestamptz - scheduled_at between interval '-10 ms' and interval '1 s')`, id, measured)()).
		To(Equal("none"), "each slot that SpreeDB was asked about has its sample")
	s.Expect(s.text(flaws)()).To(Equal("none"))
}

func TestTheSeedsColumnsAreEnough(t *testing.T) {
	s := startSystem(t, stack.Options{WithoutMigrations: true})
	id := s.start("10.0.0.1", 42)
	s.operate(nil)
	s.Eventually(s.text(`select status || (select count(*) > 1 and count(*) = count(distinct sequence_number) from samples) from jobs where id = $1`, id)).Should(Equal("completedtrue"))
	s.Expect(s.log.String()).To(ContainSubstring("apply the migrations in config/supabase/migrations"))
	s.Eventually(s.eventReasons).Should(ContainElement("SchemaIncomplete"))

	next := s.start("10.0.0.2", 0)
	s.Eventually(s.phases).Should(HaveKeyWithValue(next, v1alpha1.PhaseRunning))
	s.Expect(s.Migrate(t.Context())).To(Succeed())
	s.Eventually(s.text(`select (count(scheduled_at) > 0)::text from samples where job_id = $1`, next), "90s").Should(Equal("true"))
}

func (s *system) eventReasons() ([]string, error) {
	var list eventsv1.EventList
	err := s.Client.List(s.t.Context(), &list)
	var reasons []string
	for i := range list.Items {
		reasons = append(reasons, list.Items[i].Reason)
	}
	return reasons, err
}

func TestARefusedKeyIsNamedAndItsSuccessorTaken(t *testing.T) {
	s := startSystem(t, stack.Options{})
	file := s.Dir + "/key"
	s.Expect(os.WriteFile(file, []byte("sb_secret_of_another_project"), 0o600)).To(Succeed())
	s.start("10.0.0.1", 0)
	s.operate(map[string]string{"SUPABASE_SERVICE_ROLE_KEY": "", "SUPABASE_SERVICE_ROLE_KEY_FILE": file})
	s.Eventually(s.eventReasons).Should(ContainElement("KeyRefused"))
	s.Eventually(s.log.String).Should(And(ContainSubstring("KeyRefused"), Not(ContainSubstring("sb_secret_of_another_project"))))
	s.Expect(os.WriteFile(file, []byte(s.Gateway.SecretKey()), 0o600)).To(Succeed())
	s.Eventually(s.text(`select (count(*) > 0)::text from samples`)).Should(Equal("true"))
	s.Eventually(s.eventReasons).Should(ContainElement("Recovered"))
}

func TestAnAnonKeyStopsNothingThatRuns(t *testing.T) {
	s := startSystem(t, stack.Options{})
	file := s.Dir + "/key"
	s.Expect(os.WriteFile(file, []byte(s.Gateway.SecretKey()), 0o600)).To(Succeed())
	id := s.start("10.0.0.1", 0)
	s.operate(map[string]string{"SUPABASE_SERVICE_ROLE_KEY": "", "SUPABASE_SERVICE_ROLE_KEY_FILE": file})
	s.Eventually(s.text(`select (count(*) > 0)::text from samples`)).Should(Equal("true"))
	s.sql(`drop policy jobs_app_select on jobs`) // as where everybody sees their own jobs only
	s.Expect(os.WriteFile(file, []byte(s.Gateway.PublishableKey()), 0o600)).To(Succeed())
	s.Eventually(s.eventReasons).Should(ContainElement("KeyRefused"))
	polls := s.SpreeDB.Total().Polls
	s.Eventually(func() int { return s.SpreeDB.Total().Polls }).Should(BeNumerically(">", polls+2))
	s.Expect(s.phases()).To(HaveKeyWithValue(id, v1alpha1.PhaseRunning))
	s.Expect(os.WriteFile(file, []byte(s.Gateway.SecretKey()), 0o600)).To(Succeed())
	s.Eventually(s.text(`select (count(*) = max(sequence_number) - min(sequence_number) + 1 and max(scheduled_at) > now() - interval '3 s')::text from samples`)).Should(Equal("true"))
}

func TestThousandsOfJobsAreMirroredAndMeasured(t *testing.T) {
	const n = 2500
	s := startSystem(t, stack.Options{Gateway: func(o *supabasetest.Options) { o.KeepRequests = 10 }})
	s.sql(`insert into jobs (account_number, target_ip, cadence_seconds, duration_minutes, monitoring_mode)
		select 'A-' || n, '10.1.' || n / 250 || '.' || n % 250, 10, 60, 'real_polling' from generate_series(1, $1::int) n`, n)
	op := s.operate(map[string]string{"POLL_INTERVAL_MS": ""})
	s.Eventually(s.text(`select count(distinct job_id)::text from samples`), "120s").Should(Equal(fmt.Sprint(n)))
	phases, err := s.phases()
	s.Expect(err).NotTo(HaveOccurred())
	s.Expect(phases).To(HaveLen(n))
	s.stop(op)
	s.Expect(s.text(flaws)()).To(Equal("none"))
	s.Expect(s.text(`select count(*)::text from samples`)()).To(Equal(fmt.Sprint(s.SpreeDB.Total().Polls)))
}

func TestWrongSettingsAreOneSentence(t *testing.T) {
	good := map[string]string{"SUPABASE_URL": "http://127.0.0.1:1", "SUPABASE_SERVICE_ROLE_KEY": "sb_secret_x"}
	for name, tc := range map[string]struct {
		env  map[string]string
		args []string
		want string
	}{
		"no URL":        {env: map[string]string{"SUPABASE_URL": ""}, want: "SUPABASE_URL is not set"},
		"bad URL":       {env: map[string]string{"SUPABASE_URL": "supabase"}, want: "SUPABASE_URL is not a project's URL"},
		"no key":        {env: map[string]string{"SUPABASE_SERVICE_ROLE_KEY": ""}, want: "SUPABASE_SERVICE_ROLE_KEY is not set"},
		"key and file":  {env: map[string]string{"SUPABASE_SERVICE_ROLE_KEY_FILE": "/x"}, want: "give one of them"},
		"interval":      {env: map[string]string{"POLL_INTERVAL_MS": "5s"}, want: `give a whole number of milliseconds from 100 to 3600000 (from envar POLL_INTERVAL_MS="5s")`},
		"timeout":       {env: map[string]string{"POLL_TIMEOUT_MS": "-1"}, want: "POLL_TIMEOUT_MS"},
		"limit":         {args: []string{"--outbox-limit=0"}, want: "--outbox-limit must be more than zero"},
		"unknown flag":  {args: []string{"--outbox"}, want: "unknown flag --outbox"},
		"key as a flag": {args: []string{"--supabase-service-role-key=x"}, want: "unknown flag --supabase-service-role-key"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, env := range []map[string]string{good, tc.env} {
				for k, v := range env {
					t.Setenv(k, v)
				}
			}
			p, _, err := parse(tc.args)
			if err == nil {
				err = p.check()
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v", err)
			}
		})
	}
}
