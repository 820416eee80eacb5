package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/pgtest"
	"github.com/soundcheck-io/latency-operator/internal/stack"
	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestPostgresHoldsTheJobsAndCountsTheirSamples(t *testing.T) {
	project := supabasetest.New(t)
	now := time.Now()
	jobs := populate(load{Jobs: 3, Phases: phasesSpread}, &options{Cadence: 10 * time.Second, Seed: 1}, now)
	db, err := newPostgres(t.Context(), &stack.Stack{DSN: project.DSN()}, jobs.rows)
	if err != nil {
		t.Fatal(err)
	}
	before, err := db.cpu()
	if err != nil {
		t.Fatal(err)
	}
	if err := project.Exec(t.Context(), `select count(*) from generate_series(1, 2000000)`); err != nil {
		t.Fatal(err)
	}
	if after, err := db.cpu(); err != nil || after <= before { // the server is that of all tests, and has other children too
		t.Errorf("PostgreSQL has used %s before and %s after a large query, %v", before, after, err)
	}
	gateway, err := throughGateway(project.URL())
	if err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequest(http.MethodGet, "/rest/v1/jobs?select=target_ip&status=eq.running&monitoring_mode=eq.real_polling", nil)
	req.Header.Set("Apikey", project.SecretKey())
	answer := httptest.NewRecorder()
	gateway.ServeHTTP(answer, req)
	if answer.Code != http.StatusOK || strings.Count(answer.Body.String(), "target_ip") != 3 {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
	start := jobs.rows[0].StartedAt
	insert := `insert into samples (job_id, sequence_number, status, scheduled_at) select $1::uuid, n, 'missed', $2::timestamptz + n * interval '10 s' from generate_series(0, 9) n`
	if err := project.Exec(t.Context(), insert, jobs.rows[0].ID, start); err != nil {
		t.Fatal(err)
	}
	if n, err := db.stored(t.Context(), start.Add(10*time.Second), start.Add(30*time.Second)); n != 2 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
}
