package supabasetest

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	migrations "github.com/soundcheck-io/latency-operator/config/supabase"
	"github.com/soundcheck-io/latency-operator/internal/pgtest"
)

// In a hosted project the owner of the tables is no superuser.
func TestMigrationsNeedNoSuperuser(t *testing.T) {
	db := emptyDatabase(t)
	db.exec(`do $$ begin if not exists (select from pg_roles where rolname = 'supabasetest_owner') then create role supabasetest_owner createrole; end if; end $$;
		alter schema public owner to supabasetest_owner`)
	db.exec(`do $$ begin execute format('grant create on database %I to supabasetest_owner', current_database()); end $$`)
	for range 2 {
		for _, m := range slices.Concat(migrations.All(), migrations.Optional()) {
			if code := db.try("supabasetest_owner", m.SQL); code != "" {
				t.Errorf("%s: SQLSTATE %s", m.Name, code)
			}
		}
	}
	db.exec(roleJobs)
	db.asOperator(denials[:10])
	db.asOperator(work)
	if code := db.try("supabasetest_owner", `select soundcheck.roll_up_samples(), soundcheck.remove_old_samples()`); code != "" {
		t.Errorf("the owner may not run the functions: SQLSTATE %s", code)
	}
}

// A migration that has lost rights of its role, or has given it more, gives and takes them when it is applied again.
func TestTheOperatorsRightsAreRestored(t *testing.T) {
	db := emptyDatabase(t)
	db.migrate()
	db.migrateOptional()
	want := db.shape()
	db.exec(`grant all on jobs, samples to latency_operator; revoke select on pollers from latency_operator; drop policy latency_operator_only on jobs;
		alter policy latency_operator_may_update on jobs using (false)`)
	db.migrateOptional()
	if diff := cmp.Diff(want, db.shape()); diff != "" {
		t.Error(diff)
	}
}

// Roles belong to the server, which the tests share: what is changed is changed in a transaction that does not last.
func TestARoleThatMayMoreIsRefused(t *testing.T) {
	db := emptyDatabase(t)
	db.migrate()
	db.migrateOptional()
	role := migrations.Optional()[0].SQL
	for name, tc := range map[string]struct{ before, says string }{
		"as it is":                  {"", ""},
		"it may log in":             {"alter role latency_operator login", "may do more than it should"},
		"it may do what others may": {"grant service_role to latency_operator", "may do more than it should"},
		"everybody may read e-mail": {"grant select on jobs to public", "everybody may read account_number, notification_email, requester_id of public.jobs"},
	} {
		conn, err := pgx.Connect(t.Context(), db.dsn)
		if err != nil {
			t.Fatal(err)
		}
		_, err = conn.Exec(t.Context(), "begin; "+tc.before+";"+role+"; rollback")
		if (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", name, err)
		}
		if err := conn.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestRolesOfManyDatabasesAtOnce(t *testing.T) {
	var dsns []string
	for range 8 {
		server, name := pgtest.Database(t)
		dsns = append(dsns, server.URL(name))
	}
	for range 5 {
		failed := make(chan error, len(dsns))
		for _, dsn := range dsns {
			go func() { failed <- CreateRoles(t.Context(), dsn) }()
		}
		for range dsns {
			if err := <-failed; err != nil {
				t.Error(err)
			}
		}
	}
}
