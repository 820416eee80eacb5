package controllers

import (
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	"k8s.io/utils/clock"

	"github.com/soundcheck-io/latency-operator/api/v1alpha1"
	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

func TestTheAppHearsThatTheOperatorIsAlive(t *testing.T) {
	w := newWorld(t)
	w.sql(`insert into pollers (id, last_seen_at, version) values ('long-gone', now() - interval '8 days', 'v0'), ('just-gone', now() - interval '1 hour', 'v0')`)
	credentials, err := supabase.NewCredentials(supabase.Source{Value: w.database.SecretKey()}, supabase.Source{}, clock.RealClock{})
	w.Expect(err).NotTo(HaveOccurred())
	table, err := supabase.New(supabase.Options{URL: w.database.URL(), Credentials: credentials, UserAgent: "test/1", Observer: nobody{}, Clock: clock.RealClock{}})
	w.Expect(err).NotTo(HaveOccurred())
	message := "KeyRefused: renew it"
	h := &Heartbeat{
		Clock: clock.RealClock{}, Log: logr.Discard(), Table: table, Board: NewBoard(clock.RealClock{}), ID: "pod-1", Version: "v1", Message: func() string { return message },
	}
	h.Board.entries["a"] = &entry{phase: v1alpha1.PhaseRunning}
	h.Board.entries["b"] = &entry{phase: v1alpha1.PhaseWaiting}
	const row = `select format('%s %s %s %s %s', id, version, jobs, coalesce(message, 'all is well'), last_seen_at > now() - interval '5 s') from pollers where id = 'pod-1'`
	h.beat(t.Context())
	w.Expect(w.text(row)).To(Equal("pod-1 v1 1 KeyRefused: renew it t"))
	message = ""
	h.beat(t.Context())
	w.Expect(w.text(row)).To(Equal("pod-1 v1 1 all is well t"))
	w.Expect(w.text(`select string_agg(id, ' ' order by id) from pollers`)).To(Equal("just-gone pod-1"))
	w.Expect(h.tidied).To(BeTemporally("~", time.Now(), time.Minute))
}
