package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/soundcheck-io/latency-operator/internal/stack"
	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest"
)

// secretVolume is a Secret that is mounted as a folder. The kubelet replaces all files at once: they are links into a folder that is
// itself a link, which it points to another one.
type secretVolume struct {
	*system
	dir string
	n   int
}

func (s *system) mount(files map[string]string) *secretVolume {
	s.t.Helper()
	v := &secretVolume{system: s, dir: s.t.TempDir()}
	v.renew(files)
	for name := range files {
		s.Expect(os.Symlink(filepath.Join("..data", name), v.file(name))).To(Succeed())
	}
	return v
}

func (v *secretVolume) file(name string) string { return filepath.Join(v.dir, name) }

// renew gives the volume what is in the Secret now.
func (v *secretVolume) renew(files map[string]string) {
	v.t.Helper()
	before := fmt.Sprintf("..%d", v.n)
	v.n++
	now := fmt.Sprintf("..%d", v.n)
	v.Expect(os.Mkdir(v.file(now), 0o700)).To(Succeed())
	for name, content := range files {
		v.Expect(os.WriteFile(filepath.Join(v.file(now), name), []byte(content), 0o600)).To(Succeed())
	}
	v.Expect(os.Symlink(now, v.file("..data_tmp"))).To(Succeed())
	v.Expect(os.Rename(v.file("..data_tmp"), v.file("..data"))).To(Succeed())
	v.Expect(os.RemoveAll(v.file(before))).To(Succeed())
}

// refusals counts the requests that were answered 401.
func (s *system) refusals() (n int) {
	for _, r := range s.Gateway.Requests() {
		if r.Status == http.StatusUnauthorized {
			n++
		}
	}
	return n
}

// uses tells, for Eventually, whether the newest request was sent with a secret.
func (s *system) uses(header, secret string) func() bool {
	return func() bool {
		all := s.Gateway.Requests()
		return len(all) > 0 && strings.TrimPrefix(all[len(all)-1].Header.Get(header), "Bearer ") == secret
	}
}

// goesOn waits for some more polls.
func (s *system) goesOn() {
	s.t.Helper()
	polls := s.SpreeDB.Total().Polls
	s.Eventually(func() int { return s.SpreeDB.Total().Polls }).Should(BeNumerically(">=", polls+4))
}

// nothingIsMissing ends the operator, which must be the one that was started, and looks whether each slot since its first has a sample.
func (s *system) nothingIsMissing(op *stack.Operator) {
	s.t.Helper()
	s.Expect(op.ExitCode()).To(Equal(-1), "it still runs")
	s.Expect(strings.Count(s.log.String(), `"msg":"Starting"`)).To(Equal(1))
	s.stop(op)
	s.Expect(s.text(`select count(*)::text from samples`)()).To(Equal(fmt.Sprint(s.SpreeDB.Total().Polls)), "every poll is a sample")
	s.Expect(s.text(`select count(*)::text from (select from samples group by job_id having count(*) <> max(sequence_number) - min(sequence_number) + 1) incomplete`)()).To(Equal("0"))
	s.Expect(s.text(`select count(*)::text from sample_gaps g where exists (select from samples s where s.job_id = g.job_id and s.scheduled_at < g.from_at)`)()).To(Equal("0"), "no slot was given up")
	s.Expect(s.text(flaws)()).To(Equal("none"))
}

func TestAKeyIsRotatedWithoutLossOrRestart(t *testing.T) {
	const name = "SUPABASE_SERVICE_ROLE_KEY"
	s := startSystem(t, stack.Options{})
	first := s.Gateway.SecretKey()
	volume := s.mount(map[string]string{name: first})
	s.start("10.0.0.1", 0)
	s.start("10.0.0.2", 0)
	op := s.operate(map[string]string{name: "", name + "_FILE": volume.file(name)})
	s.Eventually(s.text(`select (count(*) >= 4)::text from samples`)).Should(Equal("true"))

	// As it should be: the old one is revoked when nobody uses it any more.
	second := s.Gateway.AddSecretKey()
	volume.renew(map[string]string{name: second})
	s.Eventually(s.uses("apikey", second)).Should(BeTrue())
	s.goesOn() // whatever was under way with the old one has ended
	s.Gateway.RevokeKey(first)
	s.goesOn()
	s.Expect(s.refusals()).To(BeZero())

	// The wrong way round: samples wait until the kubelet has brought the new one.
	third := s.Gateway.AddSecretKey()
	s.Gateway.RevokeKey(second)
	s.Eventually(s.eventReasons).Should(ContainElement("KeyRefused"))
	s.goesOn()
	volume.renew(map[string]string{name: third})
	s.Eventually(s.eventReasons).Should(ContainElement("Recovered"))
	s.Eventually(s.text(`select (max(scheduled_at) > now() - interval '3 s')::text from samples`)).Should(Equal("true"))
	s.Expect(s.refusals()).NotTo(BeZero())
	for _, key := range []string{first, second, third} {
		s.Expect(s.log.String()).NotTo(ContainSubstring(key))
	}
	s.nothingIsMissing(op)
}

func TestAnAccessTokenIsRenewedInTimeOrLate(t *testing.T) {
	const key, token = "SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_ACCESS_TOKEN"
	var ahead atomic.Int64 // of the server's clock
	s := startSystem(t, stack.Options{Gateway: func(o *supabasetest.Options) {
		o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	}})
	lasting := func(d time.Duration) string {
		return s.Gateway.Token(map[string]any{"role": "service_role", "exp": time.Now().Add(d).Unix()})
	}
	secret := func(content string) map[string]string {
		return map[string]string{key: s.Gateway.PublishableKey(), token: content}
	}
	volume := s.mount(secret(lasting(time.Minute)))
	s.start("10.0.0.1", 0)
	s.start("10.0.0.2", 0)
	op := s.operate(map[string]string{key: "", key + "_FILE": volume.file(key), token + "_FILE": volume.file(token)})
	s.Eventually(s.text(`select (count(*) >= 4)::text from samples`)).Should(Equal("true"))

	next := lasting(time.Hour)
	volume.renew(secret(next))
	s.Eventually(s.uses("Authorization", next)).Should(BeTrue())
	s.goesOn()
	s.Expect(s.refusals()).To(BeZero())
	s.Expect(s.eventReasons()).NotTo(ContainElement("KeyRefused"))

	ahead.Store(int64(2 * time.Hour)) // and nobody has renewed it
	s.Eventually(s.eventReasons).Should(ContainElement("KeyRefused"))
	s.goesOn()
	last := lasting(4 * time.Hour)
	volume.renew(secret(last))
	s.Eventually(s.eventReasons).Should(ContainElement("Recovered"))
	ahead.Store(0)
	s.Eventually(s.text(`select (max(scheduled_at) > now() - interval '3 s')::text from samples`)).Should(Equal("true"))
	s.Expect(s.log.String()).NotTo(Or(ContainSubstring(next), ContainSubstring(last)))
	s.nothingIsMissing(op)
}
