-- Optional: a role for the operator that may do what the operator does, and nothing else. Apply it after the files in
-- migrations/. It may be applied again at any time, which also brings the role's grants and policies back to what is here.
--
-- Without it the operator works as service_role, which bypasses row-level security and may read and change everything. With
-- it, it sends a token of this role beside the publishable key; docs/database.md says how to make one and renew it.
--
-- What the role may do:
--   jobs         of real_polling jobs: read all but the customer's data; write the summary, the report, last_ping_at; end one
--                that runs as completed or failed
--   samples      read; add, for real_polling jobs
--   sample_gaps  read; add, change and remove, for real_polling jobs
--   pollers      read; add and change; remove rows whose last_seen_at is more than a day ago
--
-- Functions of the schema public are for everybody unless the app takes them away from public: this role may call those that anon may.
-- Applying this names those among them that act with the rights of their owner.
--
-- Samples of simulated jobs can be read: a browser made them up, and a policy would have to look into jobs for every row that is
-- read. Triggers of the app's own on these tables run as this role: if one does what the role may not, make its function
-- security definer.

create schema if not exists soundcheck; -- not exposed by the API, which offers public only
revoke all on schema soundcheck from public;

do $$
declare
  unprotected text;
begin
  select string_agg(c.relname, ', ') into unprotected from pg_catalog.pg_class c
    where c.oid in ('public.jobs'::regclass, 'public.samples'::regclass, 'public.sample_gaps'::regclass, 'public.pollers'::regclass)
      and not c.relrowsecurity;
  if unprotected is not null then
    raise exception 'row-level security is off on %: no policy would hold the operator back there', unprotected
      using hint = 'Enable row-level security on it, with policies for what the app does, and apply this migration again.';
  end if;

  begin
    create role latency_operator nologin noinherit;
  exception when duplicate_object or unique_violation then
    null; -- applied before, maybe to another database of the server
  end;
  if exists (select from pg_catalog.pg_roles where rolname = 'latency_operator'
      and (rolsuper or rolbypassrls or rolcreaterole or rolcreatedb or rolreplication or rolcanlogin))
    or exists (select from pg_catalog.pg_auth_members where member = 'latency_operator'::regrole) then
    raise exception 'the role latency_operator exists and may do more than it should'
      using hint = 'Drop the role, or take its attributes (superuser, bypassrls, createrole, createdb, replication, login) and its memberships in other roles away from it, and apply this migration again.';
  end if;
  grant latency_operator to authenticator;
  alter role latency_operator set statement_timeout = '8s'; -- the operator gives up after 15 s
end
$$;

-- Grants: which columns. Those that the database does not have are left out, as the operator leaves them out.
do $$
declare
  want record;
  columns text;
begin
  revoke all on public.jobs, public.samples, public.sample_gaps, public.pollers from latency_operator;
  grant usage on schema public to latency_operator;
  for want in
    select * from (values
      ('select', 'jobs', 'id target_ip cadence_seconds duration_minutes status monitoring_mode started_at completed_at last_ping_at updated_at monitor_state monitor_message avg_rtt_ms packet_loss_percent total_samples'),
      ('update', 'jobs', 'status completed_at last_ping_at monitor_state monitor_message avg_rtt_ms packet_loss_percent total_samples'),
      ('select', 'samples', 'id job_id scheduled_at sequence_number status rtt_ms jitter_ms recorded_at'),
      ('insert', 'samples', 'job_id scheduled_at sequence_number status rtt_ms jitter_ms recorded_at'),
      ('select', 'sample_gaps', 'job_id from_at to_at slots reason'),
      ('insert', 'sample_gaps', 'job_id from_at to_at slots reason'),
      ('update', 'sample_gaps', 'job_id from_at to_at slots reason'),
      ('select', 'pollers', 'id last_seen_at version jobs message'),
      ('insert', 'pollers', 'id last_seen_at version jobs message'),
      ('update', 'pollers', 'id last_seen_at version jobs message')
    ) w (privilege, tab, list)
  loop
    select string_agg(quote_ident(a.attname), ', ') into columns from pg_catalog.pg_attribute a
      where a.attrelid = format('public.%I', want.tab)::regclass and a.attnum > 0 and not a.attisdropped
        and a.attname = any (string_to_array(want.list, ' '));
    execute format('grant %s (%s) on public.%I to latency_operator', want.privilege, columns, want.tab);
  end loop;
  grant delete on public.sample_gaps, public.pollers to latency_operator;

  select string_agg(a.attname, ', ') into columns from pg_catalog.pg_attribute a
    where a.attrelid = 'public.jobs'::regclass and a.attnum > 0 and not a.attisdropped
      and a.attname in ('account_number', 'notification_email', 'requester_id')
      and has_column_privilege('latency_operator', 'public.jobs', a.attname, 'select');
  if columns is not null then
    raise exception 'everybody may read % of public.jobs, and so the operator may', columns
      using hint = 'Revoke select on public.jobs from public, grant it to those who need it, and apply this migration again.';
  end if;

  -- Functions are for everybody unless somebody takes them away, and these run with the rights of their owner.
  select string_agg(p.oid::regprocedure::text, ', ' order by p.proname) into columns from pg_catalog.pg_proc p
    where p.pronamespace = 'public'::regnamespace and p.prosecdef and p.prorettype <> 'trigger'::regtype
      and has_function_privilege('latency_operator', p.oid, 'execute');
  if columns is not null then
    raise notice 'like everybody with the publishable key, the operator may call these functions, which act for their owners: %', columns
      using hint = 'Revoke execute on them from public, and grant it to those who need it.';
  end if;
end
$$;

-- Says why the operator may not write rows of a job that it does not see. A policy that just refused such a row would answer with
-- SQLSTATE 42501 as for a wrong key, and the row would hold up all others of its request for ever. This is the error that makes the
-- operator drop what it holds of a job that is gone (23503), or set that row aside (23514).
-- It runs as its owner, who sees all jobs.
create or replace function soundcheck.refuse_row(job uuid) returns boolean
  language plpgsql stable security definer set search_path = '' as $$
declare
  mode text;
begin
  select j.monitoring_mode into mode from public.jobs j where j.id = job;
  if not found then
    raise foreign_key_violation using
      message = format('there is no job %s', job),
      detail = format('Key (job_id)=(%s) is not present in table "jobs".', job);
  elsif mode is distinct from 'real_polling' then
    raise check_violation using message = format('job %s is not measured by the operator: its monitoring_mode is %s', job, mode);
  end if;
  return false;
end
$$;
revoke all on function soundcheck.refuse_row(uuid) from public;
grant execute on function soundcheck.refuse_row(uuid) to latency_operator;

-- Policies: which rows. "may" lets the role in. "only" holds it back, also from what the app's own policies allow to everybody:
-- a policy without "to" is for this role too. What they say about jobs is about those that the role sees: the real_polling ones.
drop policy if exists latency_operator_may_select on public.jobs;
drop policy if exists latency_operator_may_update on public.jobs;
drop policy if exists latency_operator_only on public.jobs;
create policy latency_operator_may_select on public.jobs for select to latency_operator using (true);
create policy latency_operator_may_update on public.jobs for update to latency_operator using (true);
create policy latency_operator_only on public.jobs as restrictive to latency_operator using (monitoring_mode = 'real_polling');

drop policy if exists latency_operator_may_select on public.samples;
drop policy if exists latency_operator_may_insert on public.samples;
drop policy if exists latency_operator_only_insert on public.samples;
create policy latency_operator_may_select on public.samples for select to latency_operator using (true);
create policy latency_operator_may_insert on public.samples for insert to latency_operator with check (true);
create policy latency_operator_only_insert on public.samples as restrictive for insert to latency_operator
  with check (exists (select from public.jobs where jobs.id = samples.job_id) or soundcheck.refuse_row(job_id));

drop policy if exists latency_operator_may on public.sample_gaps;
drop policy if exists latency_operator_only_insert on public.sample_gaps;
drop policy if exists latency_operator_only_update on public.sample_gaps;
drop policy if exists latency_operator_only_delete on public.sample_gaps;
create policy latency_operator_may on public.sample_gaps to latency_operator using (true);
create policy latency_operator_only_insert on public.sample_gaps as restrictive for insert to latency_operator
  with check (exists (select from public.jobs where jobs.id = sample_gaps.job_id) or soundcheck.refuse_row(job_id));
create policy latency_operator_only_update on public.sample_gaps as restrictive for update to latency_operator
  using (exists (select from public.jobs where jobs.id = sample_gaps.job_id));
create policy latency_operator_only_delete on public.sample_gaps as restrictive for delete to latency_operator
  using (exists (select from public.jobs where jobs.id = sample_gaps.job_id));

drop policy if exists latency_operator_may on public.pollers;
drop policy if exists latency_operator_only_delete on public.pollers;
create policy latency_operator_may on public.pollers to latency_operator using (true);
create policy latency_operator_only_delete on public.pollers as restrictive for delete to latency_operator
  using (last_seen_at < now() - interval '1 day');

-- What no policy can say, because it sees the row before or after the change, never both: a job that is over stays what it is.
create or replace function soundcheck.refuse_end() returns trigger
  language plpgsql set search_path = '' as $$
begin
  raise insufficient_privilege using
    message = format('the operator may only end a running job, as completed or failed: job %s is %s and would be %s', old.id, old.status, new.status);
end
$$;
revoke all on function soundcheck.refuse_end() from public;
create or replace trigger latency_operator_ends_what_runs before update on public.jobs for each row
  when (current_user = 'latency_operator'
    and (old.status, old.completed_at) is distinct from (new.status, new.completed_at)
    and not (old.status = 'running' and new.status in ('completed', 'failed')))
  execute function soundcheck.refuse_end();

notify pgrst, 'reload config'; -- the role's statement_timeout
notify pgrst, 'reload schema';
