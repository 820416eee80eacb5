package supabase

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/pgtest"
	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// t0 is when the samples of tests begin.
var t0 = time.Date(2026, time.November, 23, 10, 0, 0, 123456000, time.UTC)

// project is a project with the operator's migrations, its database and a client of it.
type project struct {
	*supabasetest.Server
	t *testing.T
	c *Client
}

func newProject(t *testing.T, opts ...supabasetest.Option) *project {
	t.Helper()
	p := &project{Server: supabasetest.New(t, opts...), t: t}
	p.c = p.client(p.SecretKey())
	return p
}

func (p *project) client(key string) *Client {
	p.t.Helper()
	c, _ := clientOf(p.t, p.URL(), Source{Value: key})
	return c
}

func (p *project) exec(sql string, args ...any) {
	p.t.Helper()
	if err := p.Exec(p.t.Context(), sql, args...); err != nil {
		p.t.Fatal(err)
	}
}

// stamp runs SQL that sets updated_at, which is nobody's to set.
func (p *project) stamp(sql string, args ...any) {
	p.t.Helper()
	p.exec(`alter table jobs disable trigger user`)
	p.exec(sql, args...)
	p.exec(`alter table jobs enable trigger user`)
}

func (p *project) text(sql string, args ...any) string {
	p.t.Helper()
	out, err := p.Text(p.t.Context(), sql, args...)
	if err != nil {
		p.t.Fatal(err)
	}
	return out
}

func (p *project) reload() {
	p.t.Helper()
	if err := p.ReloadSchema(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
}

// job makes the row of a job, running and real_polling.
func (p *project) job(id string) {
	p.t.Helper()
	p.exec(`insert into jobs (id, account_number, target_ip, monitoring_mode) values ($1, 'A', '10.1.2.3', 'real_polling')`, id)
}

// samples makes n samples of a job, one a second from t0, with their numbers as rtt_ms.
func (p *project) samples(id string, n int) {
	p.t.Helper()
	p.exec(`insert into samples (job_id, sequence_number, scheduled_at, recorded_at, status, rtt_ms, jitter_ms)
		select $1::uuid, i, $2::timestamptz + i * interval '1 s', $2::timestamptz + i * interval '1 s', 'success', i, 0.5
		from generate_series(0, $3::int - 1) i`, id, t0, n)
}

// unscheduled makes n samples of a job without a due time.
func (p *project) unscheduled(id string, n int) {
	p.t.Helper()
	p.exec(`insert into samples (job_id, sequence_number, status) select $1::uuid, i, 'missed' from generate_series(1, $2::int) i`, id, n)
}

// sent counts the requests that read a table since they were last forgotten.
func (p *project) sent(table string) int {
	n := 0
	for _, r := range p.Requests() {
		if r.Method == "GET" && r.Path == "/rest/v1/"+table {
			n++
		}
	}
	return n
}

func maxRows(n int) supabasetest.Option {
	return supabasetest.WithOptions(func(o *supabasetest.Options) { o.MaxRows = n })
}

// jobID is an id that ends with n, so that ids are in the order of their numbers.
func jobID(n int) string { return fmt.Sprintf("0b9c3f0e-5a54-4c6e-9d0c-%012x", n) }

// show writes samples as job, second after t0 and RTT, so that a comparison is short.
func show(stored []Stored) []string {
	out := make([]string, len(stored))
	for i, s := range stored {
		due := "unscheduled"
		if !s.ScheduledAt.IsZero() {
			due = s.ScheduledAt.Sub(t0).String()
		}
		rtt, _ := json.Marshal(s.RTT)
		out[i] = fmt.Sprintf("%s %s %s %s", s.JobID[len(s.JobID)-1:], due, s.Status, rtt)
	}
	return out
}
