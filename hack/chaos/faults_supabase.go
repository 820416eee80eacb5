package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/soundcheck-io/latency-operator/internal/supabase/supabasetest"
)

// injected is the effect of a fault of the gateway, which counts by itself.
func injected(i *supabasetest.Injection) *effect {
	return &effect{
		heal: func(context.Context) error { i.Remove(); return nil },
		felt: func(context.Context) (int, error) { return i.Count(), nil },
	}
}

// answer has the gateway do the same with every request.
func answer(f supabasetest.Fault) func(context.Context, *rig) (*effect, error) {
	return func(_ context.Context, r *rig) (*effect, error) { return injected(r.Gateway.Inject(f)), nil }
}

// failing is the effect of what makes requests fail without the gateway's doing: the operator itself counts them.
func failing(ctx context.Context, r *rig, heal func(context.Context) error) (*effect, error) {
	before, err := r.failures(ctx)
	if err != nil {
		return nil, err
	}
	return &effect{heal: heal, felt: func(ctx context.Context) (int, error) {
		now, err := r.failures(ctx)
		return max(0, now-before), err
	}}, nil
}

func cutSupabase(ctx context.Context, r *rig) (*effect, error) {
	e, err := failing(ctx, r, func(context.Context) error { return r.supabase.Mend() })
	r.supabase.Cut()
	return e, err
}

func writes(r *http.Request, table string) bool {
	return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/"+table)
}

func loseAnswers(_ context.Context, r *rig) (*effect, error) {
	return injected(r.Gateway.Inject(supabasetest.Fault{AfterCommit: true, Times: 6, Match: func(r *http.Request) bool { return r.Method != http.MethodGet }})), nil
}

func refuseLargeBatches(_ context.Context, r *rig) (*effect, error) {
	return injected(r.Gateway.Inject(supabasetest.Fault{
		Status: http.StatusInternalServerError, ContentType: "application/json",
		Body: `{"code":"57014","details":null,"hint":null,"message":"canceling statement due to statement timeout"}`,
		Match: func(r *http.Request) bool {
			body, err := io.ReadAll(r.Body)
			return err == nil && writes(r, "samples") && bytes.Count(body, []byte(`"job_id"`)) > 20
		},
	})), nil
}

func emptyLists(_ context.Context, r *rig) (*effect, error) {
	return injected(r.Gateway.Inject(supabasetest.Fault{
		Status: http.StatusOK, ContentType: "application/json", Body: "[]",
		Match: func(r *http.Request) bool {
			return r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/jobs")
		},
	})), nil
}

// revokeKey makes the operator's key invalid; the next one comes into the file where it looks for it.
func revokeKey(ctx context.Context, r *rig) (*effect, error) {
	old, err := os.ReadFile(r.keyFile)
	if err != nil {
		return nil, err
	}
	e, err := failing(ctx, r, func(context.Context) error {
		return os.WriteFile(r.keyFile, []byte(r.Gateway.AddSecretKey()), 0o600)
	})
	r.Gateway.RevokeKey(string(old))
	return e, err
}

func makeReadOnly(ctx context.Context, r *rig) (*effect, error) {
	set := func(ctx context.Context, how string) error {
		if err := r.exec(ctx, `alter database `+databaseOf(r.DSN)+` `+how); err != nil {
			return err
		}
		// The gateway's next sessions begin with it.
		return r.exec(ctx, `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`)
	}
	e, err := failing(ctx, r, func(ctx context.Context) error { return set(ctx, `reset default_transaction_read_only`) })
	if err != nil {
		return nil, err
	}
	return e, set(ctx, `set default_transaction_read_only = on`)
}

func databaseOf(dsn string) string {
	name, _, _ := strings.Cut(dsn[strings.LastIndexByte(dsn, '/')+1:], "?")
	return name
}

func crashPostgres(ctx context.Context, r *rig) (*effect, error) {
	e, err := failing(ctx, r, r.Postgres.Restart)
	r.Postgres.Kill()
	return e, err
}

// dropIndex takes away what makes writing a sample twice harmless, as where somebody forgot a migration.
func dropIndex(ctx context.Context, r *rig) (*effect, error) {
	e, err := failing(ctx, r, r.Migrate)
	if err != nil {
		return nil, err
	}
	return e, r.exec(ctx, `alter table samples drop constraint samples_job_id_scheduled_at_key; notify pgrst, 'reload schema'`)
}

// poisonJob has the database refuse a third of the samples of one job. The sequence counts refusals, since what a sequence
// gives is not rolled back with them.
func poisonJob(ctx context.Context, r *rig) (*effect, error) {
	j, err := r.jobs.lend()
	if err != nil {
		return nil, err
	}
	err = r.exec(ctx, fmt.Sprintf(`
		create sequence chaos_poison;
		create function chaos_poison() returns trigger language plpgsql security definer as $$
		begin
			if new.job_id = '%s' and extract(epoch from new.scheduled_at)::bigint %% 3 = 0 then
				perform nextval('public.chaos_poison');
				raise exception 'poison' using errcode = 'check_violation';
			end if;
			return new;
		end $$;
		create trigger chaos_poison before insert on samples for each row execute function chaos_poison()`, j.id))
	if err != nil {
		return nil, err
	}
	refused := 0
	return &effect{
		of: j,
		heal: func(ctx context.Context) error {
			return r.exec(ctx, `drop trigger chaos_poison on samples; drop function chaos_poison; drop sequence chaos_poison`)
		},
		felt: func(ctx context.Context) (int, error) {
			if there, err := r.count(ctx, `select count(*) from pg_class where relname = 'chaos_poison'`); err != nil || there == 0 {
				return refused, err
			}
			refused, err = r.count(ctx, `select case when is_called then last_value else 0 end from chaos_poison`)
			return refused, err
		},
	}, nil
}
