-- The app's own tables, for a database that does not have them yet (a new project, the demo, tests).
-- A table that exists is left exactly as it is: its columns, its policies and its grants are the app's.
--
-- Who may do what on a new database. The app runs in the browser and holds the publishable (anon) key; with a login it
-- acts as authenticated, without one as anon. Both may
--   * read jobs and samples;
--   * start a job and change it (stop it, fill in a target; the simulator also keeps its summary columns);
--   * write samples of simulated jobs, which is what the browser's simulator does, but not of real_polling jobs:
--     those only come from the operator.
-- Nobody but service_role deletes. If your app signs people in, take the writing away from anon:
--   revoke insert, update on public.jobs from anon;
--   revoke insert on public.samples from anon;
-- Otherwise whoever knows the publishable key can have addresses inside your network measured.

grant usage on schema public to anon, authenticated, service_role;

do $$
begin
  if to_regclass('public.jobs') is null then
    create table public.jobs (
      id                  uuid primary key default gen_random_uuid(),
      account_number      text not null,
      target_ip           text,
      target_mac          text,
      cadence_seconds     integer not null default 10,
      duration_minutes    integer not null default 60,
      status              text not null default 'running'
                          constraint jobs_status_check check (status in ('running', 'completed', 'cancelled', 'failed')),
      monitoring_mode     text not null default 'simulated'
                          constraint jobs_monitoring_mode_check check (monitoring_mode in ('simulated', 'real_polling')),
      started_at          timestamptz not null default now(),
      completed_at        timestamptz,
      last_ping_at        timestamptz,
      notification_email  text,
      requester_id        uuid,
      created_at          timestamptz not null default now(),
      avg_rtt_ms          numeric,
      packet_loss_percent numeric,
      total_samples       integer default 0
    );
    alter table public.jobs enable row level security;
    grant select, insert, update on public.jobs to anon, authenticated;
    create policy jobs_app_select on public.jobs for select to anon, authenticated using (true);
    create policy jobs_app_insert on public.jobs for insert to anon, authenticated with check (true);
    create policy jobs_app_update on public.jobs for update to anon, authenticated using (true) with check (true);
  end if;

  if to_regclass('public.samples') is null then
    create table public.samples (
      id              uuid primary key default gen_random_uuid(),
      job_id          uuid not null references public.jobs (id) on delete cascade,
      sequence_number integer not null,
      status          text not null
                      constraint samples_status_check check (status in ('success', 'missed', 'system_error')),
      rtt_ms          numeric,
      jitter_ms       numeric,
      recorded_at     timestamptz default now()
    );
    alter table public.samples enable row level security;
    grant select, insert on public.samples to anon, authenticated;
    create policy samples_app_select on public.samples for select to anon, authenticated using (true);
    create policy samples_app_insert on public.samples for insert to anon, authenticated with check (
      exists (select from public.jobs where jobs.id = samples.job_id and jobs.monitoring_mode = 'simulated')
    );
  end if;
end
$$;

notify pgrst, 'reload schema';
