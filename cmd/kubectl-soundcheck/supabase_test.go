package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"

	. "github.com/onsi/gomega"
	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/render"
	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest"
)

// project is a Supabase project, and nothing else: no cluster.
func project(t *testing.T) *world {
	t.Helper()
	w := emptyWorld(t)
	w.database = supabasetest.New(t)
	t.Setenv(keyVariable, w.database.PublishableKey())
	t.Setenv(tokenVariable, w.database.Token(map[string]any{"role": "authenticated", "sub": "5d1c", "exp": time.Now().Add(time.Hour).Unix()}))
	t.Setenv("KUBECONFIG", "/dev/null")
	return w
}

func TestAUserReadsTheirJobsFromSupabase(t *testing.T) {
	w := project(t)
	w.row(idA, "10.1.2.3", "completed")
	w.row(idB, "10.1.2.4", "completed")
	w.measured(idA, 0, 349, 10)
	w.gap(350, 359, "Suspended")
	w.sql(`insert into jobs (id, account_number, notification_email, target_ip, cadence_seconds, duration_minutes, monitoring_mode, status, started_at)
		values ($1, 'A-1', 'a@b.c', '10.1.2.3', 10, 60, 'real_polling', 'running', $2::timestamptz - interval '1 day')`, idC, w.begun)
	for _, name := range []string{idA, "0b9c3f0e-5", "0B9C3F0E-5a54", "10.1.2.3"} {
		got := w.do(nil, "report", name, "--supabase-url", w.database.URL())
		w.Expect(got.code).To(BeZero(), "%s: %s", name, got.err)
		w.Expect(strings.Join(strings.Fields(got.out), " ")).To(And(ContainSubstring(idA+" (completed)"), ContainSubstring("35 of 350 polls were missed"),
			ContainSubstring("350 of 360 slots"), ContainSubstring("10 slots the job was suspended")), name)
	}
	for _, r := range w.database.Requests() {
		w.Expect(r.Header.Get("Authorization")).To(HavePrefix("Bearer eyJ"), "it is the user who asks")
	}
	// Whom a policy shows only some jobs sees no others.
	w.sql(`drop policy jobs_app_select on jobs; create policy own on jobs for select to authenticated using (target_ip = '10.1.2.4')`)
	for _, c := range []struct{ name, says string }{
		{idA, "there is no job " + idA + " that you may see"}, {"10.1.2.3", "there is no job for 10.1.2.3 that you may see"},
		{"0b9c3f0e-5", `there is no job that begins with "0b9c3f0e-5" and that you may see`},
	} {
		w.Expect(w.do(nil, "report", c.name, "--supabase-url", w.database.URL()).err).To(Equal("error: " + c.says + "\n"))
	}
}

func TestWhatIsWrongWithTheWayToSupabaseIsSaid(t *testing.T) {
	w := project(t)
	w.row(idA, "10.1.2.3", "completed")
	w.row(idB, "10.1.2.4", "completed")
	good, token := w.database.PublishableKey(), w.database.Token(map[string]any{"role": "authenticated", "exp": time.Now().Add(time.Hour).Unix()})
	for name, c := range map[string]struct {
		key, token, url, job string
		says                 string
	}{
		"no key":           {"", token, w.database.URL(), idA, "SUPABASE_PUBLISHABLE_KEY is not set"},
		"a secret key":     {w.database.SecretKey(), token, w.database.URL(), idA, "SUPABASE_PUBLISHABLE_KEY holds a service key, which may do everything to the database: it belongs into the operator's Secret"},
		"a service_role":   {w.database.LegacyKey("service_role"), "", w.database.URL(), idA, "SUPABASE_PUBLISHABLE_KEY holds a service key"},
		"a service token":  {good, w.database.LegacyKey("service_role"), w.database.URL(), idA, "SUPABASE_ACCESS_TOKEN holds a service key"},
		"an unknown key":   {"sb_publishable_x", token, w.database.URL(), idA, "error: the key or the token is refused: check SUPABASE_PUBLISHABLE_KEY and SUPABASE_ACCESS_TOKEN"},
		"an expired token": {good, w.database.Token(map[string]any{"role": "authenticated", "exp": time.Now().Add(-time.Hour).Unix()}), w.database.URL(), idA, "log in to Sound Check again"},
		"no URL":           {good, token, "abcdefgh", idA, "--supabase-url is not a project's URL"},
		"nobody there":     {good, token, "http://127.0.0.1:1", idA, "Supabase did not answer"},
		"two jobs":         {good, token, w.database.URL(), "0b9", `several jobs begin with "0b9": give more of the id. Some are ` + idA + " (10.1.2.3, completed), " + idB},
		"no name":          {good, token, w.database.URL(), "modem 7", "is neither the id of a job, nor the beginning of one, nor an IP address"},
		"nothing to see":   {good, "", w.database.URL(), idA, "Without a token in SUPABASE_ACCESS_TOKEN you ask as nobody in particular"},
	} {
		t.Setenv(keyVariable, c.key)
		t.Setenv(tokenVariable, c.token)
		got := w.do(nil, "report", c.job, "--supabase-url", c.url)
		if got.code != 1 || !strings.Contains(got.err, c.says) || strings.Count(got.err, "\n") != 1 {
			t.Errorf("%s: exit code %d: %s", name, got.code, got.err)
		}
		for _, secret := range []string{c.key, c.token} {
			if secret != "" && strings.Contains(got.err, secret) {
				t.Errorf("%s: a secret is shown", name)
			}
		}
	}
}

// A job that is started anew keeps the end of the time before, and whoever cancels one need not say when.
func TestTheEndOfAJobIsKnown(t *testing.T) {
	w := project(t)
	slots := func(id string) render.SlotDocument {
		t.Helper()
		var document render.Document
		got := w.do(nil, "report", id, "-o", "json", "--supabase-url", w.database.URL())
		w.Expect(json.Unmarshal([]byte(got.out), &document)).To(Succeed(), got.err)
		return document.Slots
	}
	w.begun = time.Now().UTC().Truncate(time.Second).Add(-20 * time.Minute)
	w.row(idA, "10.1.2.3", "running")
	w.sql(`update jobs set completed_at = started_at - interval '1 h' where id = $1`, idA)
	w.measured(idA, 0, 59, 0)
	w.Expect(slots(idA).Open).To(BeNumerically("~", 58, 1), "half of what was due until half a minute ago")
	v, err := (&watcher{cli: &cli{clock: clock.RealClock{}}, id: idA, window: time.Hour, screen: &lines{}, from: w.source()}).look(t.Context())
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(v.progress()).To(HaveSuffix(" of 1h"))
	w.Expect(v.quiet()).To(BeNumerically("~", 10*time.Minute, 30*time.Second))

	w.row(idB, "10.1.2.4", "cancelled")
	w.sql(`update jobs set completed_at = null where id = $1`, idB)
	w.Expect(slots(idB).Open).To(Equal(int64(1)), "the one that was due at once")
	w.measured(idB, 0, 59, 0)
	w.Expect(slots(idB)).To(Equal(render.SlotDocument{Measured: 60}))
	w.sql(`insert into sample_gaps (job_id, from_at, to_at, slots, reason) values ($1, $2, $3, 2, 'Busy')`, idB, w.due(60), w.due(61))
	w.Expect(slots(idB).Open).To(BeZero())
}

// A laptop whose clock is off by minutes says the same.
func TestTheTimeIsThatOfWhoeverAnswers(t *testing.T) {
	w := newWorld(t).withDatabase()
	w.begun = time.Now().UTC().Truncate(time.Second).Add(-20 * time.Minute)
	w.job(idA, "10.1.2.3", "running", v1alpha1.LatencyJobStatus{Phase: v1alpha1.PhaseRunning})
	w.measured(idA, 0, 120, 0)
	t.Setenv(keyVariable, w.database.PublishableKey())
	t.Setenv(tokenVariable, w.database.Token(map[string]any{"role": "authenticated", "exp": time.Now().Add(time.Hour).Unix()}))
	user := w.everything()
	for _, off := range []time.Duration{0, -10 * time.Minute, 10 * time.Minute} {
		for _, url := range []string{"", w.database.URL()} {
			flags := genericclioptions.NewConfigFlags(true)
			set := pflag.NewFlagSet("", pflag.ContinueOnError)
			flags.AddFlags(set)
			w.Expect(set.Parse(user)).To(Succeed())
			c := &cli{cluster: &cluster{flags: flags}, supabaseURL: url, clock: clocktesting.NewFakeClock(time.Now().Add(off))}
			from, err := c.source()
			w.Expect(err).NotTo(HaveOccurred())
			s, err := c.subject(t.Context(), from, idA)
			w.Expect(err).NotTo(HaveOccurred())
			w.Expect(s.AsOf).To(BeTemporally("~", time.Now(), 10*time.Second))
			w.Expect(s.Report.Open(s.AsOf)).To(BeZero())
			v, err := (&watcher{cli: c, id: idA, window: time.Hour, screen: &lines{}, from: from}).look(t.Context())
			from.close()
			w.Expect(err).NotTo(HaveOccurred())
			w.Expect(v.quiet()).To(BeZero())
			w.Expect(v.samples).To(HaveLen(121))
		}
	}
}

// source reads from the project, as its user.
func (w *world) source() source {
	w.t.Helper()
	from, err := newSupabaseSource(w.database.URL(), clock.RealClock{})
	w.Expect(err).NotTo(HaveOccurred())
	return from
}

// Whoever may write a row must not be able to write to the terminal of who reads it.
func TestTextOfTheDatabaseCannotSteerATerminal(t *testing.T) {
	w := project(t)
	const evil = "10.1.2.3\x1b]0;owned\a\x1b[2J\u009b31m\u202e\t\nerror: all is lost"
	w.row(idA, evil, "completed")
	w.row(idB, "10.1.2.4", "completed")
	w.measured(idA, 0, 29, 0)
	w.gap(30, 32, "Odd\x1b[5m\nreason")
	for _, args := range [][]string{{"report", idA}, {"report", idA, "-o", "json"}, {"report", idA, "-o", "html"}, {"compare", idA, idB}, {"watch", idA}, {"report", "0b9"}} {
		got := w.do(nil, append(args, "--supabase-url", w.database.URL())...)
		for line := range strings.SplitSeq(got.out+got.err, "\n") {
			if i := strings.IndexFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 || strings.HasPrefix(line, "error: all is lost") || strings.HasPrefix(line, "reason") {
				t.Errorf("%v: %q", args, line)
			}
		}
		if args[0] != "watch" && !strings.Contains(got.out+got.err, "10.1.2.3\ufffd") {
			t.Errorf("%v says nothing of the target: %s%s", args, got.out, got.err)
		}
	}
}
