package supabasetest

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/soundcheck-io/latency-operator/internal/pgtest"
)

// benchDatabase has 5,000 jobs with a cadence of 10 s, which are 500 samples a second, and the first hour of their samples.
func benchDatabase(b *testing.B, run func(sql string)) {
	b.Helper()
	run(`insert into jobs (account_number, target_ip, monitoring_mode) select 'A', '10.0.0.1', 'real_polling' from generate_series(1, 5000);
		create table numbered as select id, row_number() over (order by id) as n from jobs; grant select on numbered to latency_operator, service_role;
		alter table samples disable trigger note_samples`)
	storeFrom(run, time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC), 360)
	run(`alter table samples enable trigger note_samples`)
	run(`vacuum analyze samples`)
}

// storeFrom stores as many rounds of samples of all jobs, 10 s apart, in statements of 1,000 samples as the operator's.
func storeFrom(run func(sql string), begin time.Time, rounds int) {
	for round := range rounds {
		for part := range 5 {
			run(fmt.Sprintf(`insert into samples (job_id, status, rtt_ms, scheduled_at, sequence_number, jitter_ms, recorded_at)
				select id, case when random() < 0.99 then 'success' else 'missed' end, round((10 + random() * 20)::numeric, 3), '%[1]s', %[2]d, round(random()::numeric, 3), '%[1]s'
				from numbered where n > %[3]d and n <= %[3]d + 1000
				on conflict (job_id, scheduled_at) do nothing`, begin.Add(time.Duration(round)*10*time.Second).Format(time.RFC3339), round, part*1000))
		}
	}
}

// What the optional migrations cost at 500 samples a second. One run is:
//
//   - store: three times five minutes of samples, as service_role without the trigger of the rollups, with it, and as the operator's own
//     role with it;
//
//   - roll-up: what soundcheck.roll_up_samples() has to do every five minutes, for all jobs;
//
//   - remove: one run of soundcheck.remove_old_samples(), 50,000 samples.
//
//     go test ./internal/supabase/supabasetest -run XXX -bench Optional -benchtime 3x -timeout 60m
func BenchmarkOptional(b *testing.B) {
	server, name := pgtest.Database(b)
	dsn := server.URL(name)
	for _, prepare := range []func() error{
		func() error { return CreateRoles(b.Context(), dsn) }, func() error { return Migrate(b.Context(), dsn) }, func() error { return MigrateOptional(b.Context(), dsn) },
	} {
		if err := prepare(); err != nil {
			b.Fatal(err)
		}
	}
	conn, err := pgx.Connect(b.Context(), dsn)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close(b.Context()) }()
	run := func(sql string) {
		if _, err := conn.Exec(b.Context(), sql); err != nil {
			b.Fatal(err)
		}
	}
	benchDatabase(b, run)
	next := time.Date(2026, time.November, 2, 0, 0, 0, 0, time.UTC)
	b.Run("store", func(b *testing.B) {
		took := map[string]time.Duration{}
		for b.Loop() {
			for range 30 { // in turn, so that all have the same share of whatever else there is to do
				for _, writer := range []struct{ name, role, trigger string }{
					{"service_role", "service_role", "disable"}, {"with-rollups", "service_role", "enable"}, {"own-role-too", "latency_operator", "enable"},
				} {
					run(`alter table samples ` + writer.trigger + ` trigger note_samples; set role ` + writer.role)
					began := time.Now()
					storeFrom(run, next, 1)
					took[writer.name] += time.Since(began)
					run(`reset role`)
					next = next.Add(10 * time.Second)
				}
			}
		}
		for name, d := range took {
			b.ReportMetric(float64(d.Microseconds())/float64(b.N)/150_000, name+"-µs/sample")
		}
	})
	run(`vacuum analyze samples`)
	b.Run("roll-up", func(b *testing.B) {
		pages := 0
		for b.Loop() {
			pages += explainPages(b, conn, `select soundcheck.roll_up_samples(5000)`)
		}
		b.ReportMetric(float64(pages)/float64(b.N), "pages/op")
	})
	run(`select count(soundcheck.queue_job(id)) from jobs; select soundcheck.roll_up_samples(10000000);
		update jobs set status = 'completed', started_at = now() - interval '100 days', completed_at = now() - interval '99 days', monitor_state = 'not_measuring', monitor_message = 'Over'`)
	b.Run("remove", func(b *testing.B) {
		pages := 0
		for b.Loop() {
			pages += explainPages(b, conn, `select soundcheck.remove_old_samples('1 day')`)
		}
		b.ReportMetric(float64(pages)/float64(b.N), "pages/op")
	})
}

// explainPages runs a query and gives how many pages it looked at, each time it did.
func explainPages(b testing.TB, conn *pgx.Conn, sql string) int {
	b.Helper()
	var raw []byte
	if err := conn.QueryRow(b.Context(), `explain (analyze, buffers, format json) `+sql).Scan(&raw); err != nil {
		b.Fatal(err)
	}
	var plans []struct{ Plan plan }
	if err := json.Unmarshal(raw, &plans); err != nil {
		b.Fatal(err)
	}
	return plans[0].Plan.Hits + plans[0].Plan.Reads
}
