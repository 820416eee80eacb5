package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/soundcheck-io/latency-operator/internal/pgtest"
	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestExitCodes(t *testing.T) {
	s := supabasetest.New(t)
	now := time.Date(2026, time.January, 1, 0, 1, 0, 0, time.UTC)
	check := func(output string) (int, string, error) {
		var out strings.Builder
		code, err := run(t.Context(), options{DatabaseURL: s.DSN(), Output: output}, now, &out)
		return code, out.String(), err
	}
	exec := func(sql string) {
		if err := s.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	code, text, err := check("table")
	if code != cannotLook || err != nil || !strings.Contains(text, "Nothing was checked") {
		t.Errorf("an empty database: %d %v\n%s", code, err, text)
	}
	exec(`insert into jobs (account_number, cadence_seconds, duration_minutes, monitoring_mode, started_at) values ('A-1', 30, 60, 'real_polling', '2026-01-01Z');
		insert into sample_gaps select id, '2026-01-01Z', '2026-01-01Z', 1, 'Busy' from jobs`)
	if code, text, err = check("table"); code != kept || err != nil || !strings.Contains(text, "Kept: every slot has exactly one outcome. 1 job: 0 slots due") {
		t.Errorf("a sound database: %d %v\n%s", code, err, text)
	}
	now = now.Add(2 * time.Minute)
	if code, text, err = check("json"); code != broken || err != nil {
		t.Errorf("a slot is missing: %d %v\n%s", code, err, text)
	}
	var report struct {
		Verdict string
		Jobs    []struct{ WithoutOutcome int }
	}
	if err := json.Unmarshal([]byte(text), &report); err != nil || len(report.Jobs) != 1 || report.Jobs[0].WithoutOutcome != 3 || !strings.HasPrefix(report.Verdict, "BROKEN for 1 job") {
		t.Errorf("%v\n%s", err, text)
	}
	exec(`drop table sample_gaps`)
	if code, _, err = check("table"); code != cannotLook || err == nil {
		t.Errorf("a missing table: %d %v", code, err)
	}
}

func TestADatabaseThatIsNotThere(t *testing.T) {
	for _, url := range []string{"postgres://127.0.0.1:1/x?sslmode=disable", "nonsense://"} {
		if code, err := run(t.Context(), options{DatabaseURL: url}, time.Now(), &strings.Builder{}); code != cannotLook || err == nil {
			t.Errorf("%s: %d %v", url, code, err)
		}
	}
}
