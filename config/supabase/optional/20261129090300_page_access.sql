-- Optional: who may do what on the page of Sound Check, for a project where people sign in. Apply it after the files in migrations/. It may
-- be applied again at any time, which also brings grants, policies and triggers back to what is here.
--
-- Whoever can make an account is somebody who is signed in: switch sign-ups off in Supabase Auth, which switches anonymous sign-ins off
-- too, and make the accounts of your people yourself.
--
-- Nobody without a sign-in (anon)   nothing
-- Whoever is signed in              read all jobs, samples, gaps, pollers and rollups
--   (authenticated)                 start jobs, in their own name; the database says when they begin
--                                   cancel those that run
--                                   for simulated jobs of their own, what the simulator in their browser does: add samples while
--                                   the job runs, write its figures, complete it
-- A supervisor                      also cancel jobs of others. It is whoever has {"sound_check": "supervisor"} in app_metadata, which
--                                   only the project's owner can set: Supabase Auth puts it into the token.
-- Nobody of these                   adds samples of real_polling jobs, changes what a job is about, starts one that is over anew,
--                                   or deletes anything
--
-- A user is the claim "sub" of a token. Row-level security that the app has beside this goes on to count, and cannot allow more: the
-- policies here whose names end in _only are restrictive. service_role and the operator's own role are not touched.

create schema if not exists soundcheck; -- not exposed by the API, which offers public only
revoke all on schema soundcheck from public;
grant usage on schema soundcheck to authenticated; -- as whom the triggers below call these functions

-- The user of a request. Supabase's auth.uid() does the same, and is not there in a database without Supabase Auth.
create or replace function soundcheck.user_id() returns uuid
  language sql stable set search_path = '' as $$
  select nullif(nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub', '')::uuid
$$;

create or replace function soundcheck.is_supervisor() returns boolean
  language sql stable set search_path = '' as $$
  select coalesce(nullif(current_setting('request.jwt.claims', true), '')::jsonb #>> '{app_metadata,sound_check}' = 'supervisor', false)
$$;

revoke all on function soundcheck.user_id(), soundcheck.is_supervisor() from public;
grant execute on function soundcheck.user_id(), soundcheck.is_supervisor() to authenticated;

do $$
declare
  unprotected text;
  tab text;
begin
  select string_agg(c.relname, ', ') into unprotected from pg_catalog.pg_class c
    where c.oid in ('public.jobs'::regclass, 'public.samples'::regclass, 'public.sample_gaps'::regclass, 'public.pollers'::regclass)
      and not c.relrowsecurity;
  if unprotected is not null then
    raise exception 'row-level security is off on %: no policy would hold anybody back there', unprotected
      using hint = 'Enable row-level security on it, and apply this migration again.';
  end if;
  if not exists (select from pg_catalog.pg_attribute where attrelid = 'public.jobs'::regclass and attname = 'requester_id' and not attisdropped) then
    raise exception 'jobs has no column requester_id, which says whose a job is'
      using hint = 'Run: alter table public.jobs add column requester_id uuid; and apply this migration again.';
  end if;

  -- Grants: which columns. Those of a table are taken away with it.
  foreach tab in array array['jobs', 'samples', 'sample_gaps', 'pollers', 'sample_rollups'] loop
    if to_regclass('public.' || tab) is not null then
      execute format('revoke all on public.%I from anon, authenticated', tab);
      execute format('grant select on public.%I to authenticated', tab);
      execute format('drop policy if exists page_select on public.%I', tab);
      execute format('create policy page_select on public.%I for select to authenticated using (true)', tab);
    end if;
  end loop;
  grant insert (id, account_number, target_ip, cadence_seconds, duration_minutes, monitoring_mode, notification_email, requester_id)
    on public.jobs to authenticated;
  grant update (status, completed_at, avg_rtt_ms, packet_loss_percent, total_samples, last_ping_at) on public.jobs to authenticated;
  grant insert (job_id, sequence_number, scheduled_at, recorded_at, status, rtt_ms, jitter_ms) on public.samples to authenticated;
  if exists (select from pg_catalog.pg_attribute where attrelid = 'public.jobs'::regclass and attname = 'target_mac' and not attisdropped) then
    grant insert (target_mac) on public.jobs to authenticated;
  end if;

  select string_agg(c.relname, ', ') into unprotected from pg_catalog.pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relname in ('jobs', 'samples', 'sample_gaps', 'pollers', 'sample_rollups')
      and (has_table_privilege('anon', c.oid, 'delete, truncate') or has_any_column_privilege('anon', c.oid, 'select, insert, update'));
  if unprotected is not null then
    raise exception 'everybody may read or change %, and so anon may', unprotected
      using hint = 'Revoke what is granted to public on it, grant it to those who need it, and apply this migration again.';
  end if;
end
$$;

-- Policies: which rows.
drop policy if exists page_insert on public.jobs;
drop policy if exists page_insert_only on public.jobs;
drop policy if exists page_update on public.jobs;
drop policy if exists page_update_only on public.jobs;
drop policy if exists page_delete_only on public.jobs;
create policy page_insert on public.jobs for insert to authenticated with check (true);
create policy page_insert_only on public.jobs as restrictive for insert to authenticated
  with check (requester_id = (select soundcheck.user_id()));
create policy page_update on public.jobs for update to authenticated using (true);
create policy page_update_only on public.jobs as restrictive for update to authenticated
  using (status = 'running' and (requester_id = (select soundcheck.user_id()) or (select soundcheck.is_supervisor()))) with check (true);
create policy page_delete_only on public.jobs as restrictive for delete to authenticated using (false);

drop policy if exists page_insert on public.samples;
drop policy if exists page_insert_only on public.samples;
drop policy if exists page_update_only on public.samples;
drop policy if exists page_delete_only on public.samples;
create policy page_insert on public.samples for insert to authenticated with check (true);
create policy page_insert_only on public.samples as restrictive for insert to authenticated
  with check (exists (select from public.jobs where jobs.id = samples.job_id and jobs.monitoring_mode = 'simulated' and jobs.status = 'running'
    and jobs.requester_id = (select soundcheck.user_id())
    -- NaN and the infinities, which are above and below all else, are refused: few who read a sample could do so.
    and (rtt_ms is null or rtt_ms between 0 and 86400000) and (jitter_ms is null or jitter_ms between 0 and 86400000)
    and (scheduled_at is null or scheduled_at >= jobs.started_at and scheduled_at < jobs.started_at + make_interval(mins => jobs.duration_minutes))
    and (recorded_at is null or recorded_at between jobs.started_at - interval '1 day' and now() + interval '1 day')));
create policy page_update_only on public.samples as restrictive for update to authenticated using (false);
create policy page_delete_only on public.samples as restrictive for delete to authenticated using (false);

-- What no policy can say. A job that is started gets its user and begins now, also where the table has no defaults for that because the
-- app's own page wrote them; and what is wrong with it is said in a sentence, where a policy would only say that the row violates it.
create or replace function soundcheck.start_job() returns trigger
  language plpgsql set search_path = '' as $$
begin
  new.requester_id := coalesce(new.requester_id, soundcheck.user_id());
  new.status := 'running';
  new.started_at := now();
  if new.account_number is null or btrim(new.account_number) = '' or length(new.account_number) > 64 then
    raise check_violation using message = 'the account number has to have from 1 to 64 characters';
  elsif new.cadence_seconds is null or new.cadence_seconds not between 1 and 86400 then
    raise check_violation using message = 'the cadence has to be from 1 to 86400 seconds';
  elsif new.duration_minutes is null or new.duration_minutes not between 1 and 525600 then
    raise check_violation using message = 'the duration has to be from 1 to 525600 minutes';
  elsif new.monitoring_mode is null or new.monitoring_mode not in ('simulated', 'real_polling') then
    raise check_violation using message = 'the monitoring mode has to be simulated or real_polling';
  elsif length(new.target_ip) > 45 then
    raise check_violation using message = 'the target IP is longer than any address';
  elsif length(new.notification_email) > 254 then
    raise check_violation using message = 'the e-mail address is longer than any address';
  end if;
  return new;
end
$$;
revoke all on function soundcheck.start_job() from public;
create or replace trigger page_starts_job before insert on public.jobs for each row
  when (current_user = 'authenticated') execute function soundcheck.start_job();

create or replace function soundcheck.change_job() returns trigger
  language plpgsql set search_path = '' as $$
begin
  if new.status = 'cancelled' then
    new.completed_at := now(); -- not what a browser's clock says
  elsif old.monitoring_mode <> 'simulated' then
    raise insufficient_privilege using message = 'a job that is really polled can be cancelled here, and nothing else';
  elsif new.status = 'completed' then
    new.completed_at := now();
  elsif new.status <> 'running' or new.completed_at is distinct from old.completed_at then
    raise insufficient_privilege using message = format('a simulated job can be cancelled or completed here, and not %s', new.status);
  end if;
  if (new.avg_rtt_ms, new.packet_loss_percent, new.total_samples, new.last_ping_at)
      is distinct from (old.avg_rtt_ms, old.packet_loss_percent, old.total_samples, old.last_ping_at) then
    if not (old.monitoring_mode = 'simulated' and old.requester_id is not distinct from soundcheck.user_id()) then
      raise insufficient_privilege using message = 'the figures of a job are for whoever measures it';
    end if;
    -- Everybody's list shows them. NaN and the infinities are above and below all else.
    if not (coalesce(new.avg_rtt_ms between 0 and 86400000, true) and coalesce(new.packet_loss_percent between 0 and 100, true)
        and coalesce(new.total_samples >= 0, true)
        and coalesce(new.last_ping_at between old.started_at - interval '1 day' and now() + interval '1 day', true)) then
      raise check_violation using message = 'the figures of a job have to be ones that can be measured';
    end if;
  end if;
  if new.status = 'completed' and old.requester_id is distinct from soundcheck.user_id() then
    raise insufficient_privilege using message = 'a job of somebody else can be cancelled here, and not completed';
  end if;
  return new;
end
$$;
revoke all on function soundcheck.change_job() from public;
create or replace trigger page_changes_job before update on public.jobs for each row
  when (current_user = 'authenticated') execute function soundcheck.change_job();

-- Realtime: the page hears at once of what is new. Where hundreds of samples come in a second, take samples out again; that
-- stays so when this is applied again, and the page asks every few seconds as it does without Realtime:
--   alter publication supabase_realtime drop table public.samples;
do $$
begin
  if exists (select from pg_catalog.pg_publication where pubname = 'supabase_realtime' and not puballtables)
    and not exists (select from pg_catalog.pg_publication_tables where pubname = 'supabase_realtime' and schemaname = 'public' and tablename in ('jobs', 'samples')) then
    alter publication supabase_realtime add table public.jobs, public.samples;
  end if;
end
$$;

notify pgrst, 'reload schema';
