package outbox

import (
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/utils/clock"

	"github.com/soundcheck-io/latency-operator/internal/supabase"
)

func TestARoleThatMayOnlyWriteSamplesIsEnough(t *testing.T) {
	b := newBench(t, 1, nil)
	// Roles belong to the server, which other tests share.
	b.sql(`do $$ begin create role sample_writer noinherit; exception when duplicate_object then null; end $$`)
	b.sql(`grant sample_writer to authenticator`)
	b.sql(`grant usage on schema public to sample_writer`)
	b.sql(`grant select on jobs to sample_writer`)
	b.sql(`grant update (last_ping_at) on jobs to sample_writer`)
	b.sql(`create policy writer_jobs on jobs to sample_writer using (true)`)
	b.sql(`grant insert, select (job_id, scheduled_at) on samples to sample_writer`) // the key's columns, for on conflict
	b.sql(`create policy writer_samples on samples to sample_writer using (true) with check (true)`)
	credentials, err := supabase.NewCredentials(supabase.Source{Value: b.db.PublishableKey()},
		supabase.Source{Value: b.db.Token(map[string]any{"role": "sample_writer"})}, clock.RealClock{})
	b.Expect(err).NotTo(HaveOccurred())
	b.box.Store, err = supabase.New(supabase.Options{URL: b.db.URL(), Credentials: credentials, UserAgent: "test/1", Observer: deaf{}, Clock: clock.RealClock{}})
	b.Expect(err).NotTo(HaveOccurred())
	b.put(b.jobs[0], 0, 1)
	b.run()
	b.settled()
	b.Expect(b.text(rows, b.jobs[0])).To(Equal("0 success 10, 1 success 11"))
}
