-- Optional: sample_rollups, five minutes of a job in one row, for charts of long jobs. Apply it after the files in migrations/. Only
-- adds, and may be applied again at any time. A table sample_rollups that the app has already keeps its columns, policies and
-- grants; what else fills it should be switched off, because both would write the same rows.
--
-- How it works: a trigger notes which five minutes of which jobs have got samples, in the transaction that stores them, so that
-- none is missed, however late it comes. soundcheck.roll_up_samples() takes these notes and computes each of these rows anew from
-- its samples. It is run once a minute by pg_cron where that is enabled; on Supabase: Integrations, Cron, then apply this file again.
-- Without pg_cron let anything else run it once a minute as the owner of the tables:
--   select soundcheck.roll_up_samples();
-- As long as nothing does, the notes grow by some 20 bytes a sample.
--
-- Samples that were stored before this file was applied are rolled up when they are noted, which reads them once:
--   select count(soundcheck.queue_job(id)) from public.jobs;

create schema if not exists soundcheck; -- not exposed by the API, which offers public only
revoke all on schema soundcheck from public;

do $$
begin
  if to_regclass('public.sample_rollups') is null then
    create table public.sample_rollups (
      job_id             uuid not null references public.jobs (id) on delete cascade,
      bucket_start       timestamptz not null,
      bucket_end         timestamptz not null,
      sample_count       integer not null,
      success_count      integer not null,
      missed_count       integer not null,
      system_error_count integer not null,
      avg_rtt_ms         numeric,
      max_rtt_ms         numeric,
      min_rtt_ms         numeric,
      p95_rtt_ms         numeric,
      avg_jitter_ms      numeric,
      max_jitter_ms      numeric,
      constraint sample_rollups_job_id_bucket_start_key unique (job_id, bucket_start)
    );
    alter table public.sample_rollups enable row level security;
    -- Whoever may see a job may see its rollups: the app's own policies on jobs decide.
    create policy sample_rollups_app_select on public.sample_rollups for select to anon, authenticated
      using (exists (select from public.jobs where jobs.id = sample_rollups.job_id));
    grant select on public.sample_rollups to anon, authenticated;
    grant select, insert, update, delete on public.sample_rollups to service_role;
  end if;

  alter table public.sample_rollups add column if not exists bucket_end timestamptz;
  alter table public.sample_rollups add column if not exists sample_count integer;
  alter table public.sample_rollups add column if not exists success_count integer;
  alter table public.sample_rollups add column if not exists missed_count integer;
  alter table public.sample_rollups add column if not exists system_error_count integer;
  alter table public.sample_rollups add column if not exists avg_rtt_ms numeric;
  alter table public.sample_rollups add column if not exists max_rtt_ms numeric;
  alter table public.sample_rollups add column if not exists min_rtt_ms numeric;
  alter table public.sample_rollups add column if not exists p95_rtt_ms numeric;
  alter table public.sample_rollups add column if not exists avg_jitter_ms numeric;
  alter table public.sample_rollups add column if not exists max_jitter_ms numeric;
  if not exists (
    select from pg_catalog.pg_index i where i.indrelid = 'public.sample_rollups'::regclass and i.indisunique and i.indpred is null
      and (select array_agg(a.attname::text order by a.attname) from pg_catalog.pg_attribute a
        where a.attrelid = i.indrelid and a.attnum = any (i.indkey)) = array['bucket_start', 'job_id']
  ) then
    alter table public.sample_rollups add constraint sample_rollups_job_id_bucket_start_key unique (job_id, bucket_start);
  end if;
end
$$;
comment on table public.sample_rollups is 'Five minutes of a job each, by when the samples were due';

-- Samples of other writers do not say when they were due; they count by when they were recorded. The operator's are not in this index.
-- Building it reads the whole table and holds up writers meanwhile. On a large table run it by itself first, outside a transaction:
--   create index concurrently if not exists samples_job_id_recorded_at_idx on public.samples (job_id, recorded_at) where scheduled_at is null;
-- If that is interrupted it leaves an invalid index: drop index concurrently, and run it again.
create index if not exists samples_job_id_recorded_at_idx on public.samples (job_id, recorded_at) where scheduled_at is null;
do $$
begin
  if exists (select from pg_catalog.pg_index where indexrelid = 'public.samples_job_id_recorded_at_idx'::regclass and not indisvalid) then
    raise exception 'the index samples_job_id_recorded_at_idx is invalid'
      using hint = 'Run: drop index concurrently public.samples_job_id_recorded_at_idx; and apply this file again.';
  end if;
end
$$;

-- One row says which jobs have got samples in the same five minutes by one statement.
create table if not exists soundcheck.rollup_queue (
  id           bigint generated always as identity primary key,
  bucket_start timestamptz not null,
  job_ids      uuid[] not null
);
create index if not exists rollup_queue_bucket_start_idx on soundcheck.rollup_queue (bucket_start);
comment on table soundcheck.rollup_queue is 'Which five minutes of which jobs soundcheck.roll_up_samples() has to compute';

-- When a sample counts; null for one that no row can be made for, which must not keep it from being stored. Its body is parsed now, not
-- by whoever calls it, and so needs no search_path of its own, which would take ten times as long as all it does.
create or replace function soundcheck.bucket_of(scheduled_at timestamptz, recorded_at timestamptz) returns timestamptz
  language sql immutable
  return case when coalesce(scheduled_at, recorded_at) between timestamptz '1970-01-01Z' and timestamptz '9999-01-01Z'
    then date_bin(interval '5 minutes', coalesce(scheduled_at, recorded_at), timestamptz '2000-01-01Z') end;
revoke all on function soundcheck.bucket_of(timestamptz, timestamptz) from public;

-- It runs as its owner, because those who write samples need not write notes.
create or replace function soundcheck.note_samples() returns trigger
  language plpgsql security definer set search_path = '' as $$
begin
  insert into soundcheck.rollup_queue (bucket_start, job_ids)
    select b.bucket, array_agg(distinct b.job_id)
      from (select soundcheck.bucket_of(added.scheduled_at, added.recorded_at) as bucket, added.job_id from added) b
      where b.bucket is not null group by b.bucket;
  return null;
end
$$;
revoke all on function soundcheck.note_samples() from public;
create or replace trigger note_samples after insert on public.samples
  referencing new table as added for each statement execute function soundcheck.note_samples();

-- Notes all samples of a job, for those that were stored before there was the trigger. Returns how many rows it comes to.
create or replace function soundcheck.queue_job(job uuid) returns bigint
  language sql set search_path = '' as $$
  with noted as (
    insert into soundcheck.rollup_queue (bucket_start, job_ids)
      select b.bucket, array[job]
        from (select distinct soundcheck.bucket_of(s.scheduled_at, s.recorded_at) as bucket from public.samples s where s.job_id = job) b
        where b.bucket is not null
      returning 1
  )
  select count(*) from noted
$$;
revoke all on function soundcheck.queue_job(uuid) from public;

-- Computes what is noted, oldest first, at most so many rows, and returns how many. Five minutes are computed when they are over, for
-- half a minute at least: nearly all rows are written once, and again only if samples come late. A row never counts fewer samples
-- than before: then some were removed, and it is all that is left of them.
create or replace function soundcheck.roll_up_samples(most integer default 10000) returns integer
  language plpgsql set search_path = '' as $$
declare
  bucket timestamptz;
  computed integer;
  done integer := 0;
begin
  -- One at a time: of two, the one that has seen less may write last.
  perform pg_advisory_xact_lock(hashtext('soundcheck.roll_up_samples'));
  while done < most loop
    -- Not from the beginning each time, where the index still has what this run has taken.
    select min(q.bucket_start) into bucket from soundcheck.rollup_queue q
      where q.bucket_start > coalesce(bucket, '-infinity') and q.bucket_start <= now() - interval '5 minutes 30 seconds';
    exit when bucket is null;

    with taken as (
      delete from soundcheck.rollup_queue q where q.bucket_start = bucket returning q.job_ids
    ), noted as (
      select j.job_id, row_number() over () <= most - done as chosen from (select distinct unnest(t.job_ids) as job_id from taken t) j
    ), left_over as (
      insert into soundcheck.rollup_queue (bucket_start, job_ids)
        select bucket, array_agg(n.job_id) from noted n where not n.chosen having count(*) > 0
    ), sums as (
      select n.job_id,
          count(*) as samples,
          count(*) filter (where s.status = 'success') as success,
          count(*) filter (where s.status = 'missed') as missed,
          count(*) filter (where s.status = 'system_error') as system_error,
          avg(s.rtt) filter (where s.status = 'success') as avg_rtt,
          max(s.rtt) filter (where s.status = 'success') as max_rtt,
          min(s.rtt) filter (where s.status = 'success') as min_rtt,
          percentile_disc(0.95) within group (order by s.rtt) filter (where s.status = 'success') as p95_rtt, -- nearest rank
          avg(s.jitter) as avg_jitter,
          max(s.jitter) as max_jitter
        from noted n cross join lateral (
          -- NaN and infinity, which are not less than infinity, are no measurements.
          select t.status, case when t.rtt_ms < 'infinity' then t.rtt_ms::numeric end as rtt,
              case when t.jitter_ms < 'infinity' then t.jitter_ms::numeric end as jitter
            from (
              select d.status, d.rtt_ms, d.jitter_ms from public.samples d
                where d.job_id = n.job_id and d.scheduled_at >= bucket and d.scheduled_at < bucket + interval '5 minutes'
              union all
              select d.status, d.rtt_ms, d.jitter_ms from public.samples d
                where d.job_id = n.job_id and d.scheduled_at is null and d.recorded_at >= bucket and d.recorded_at < bucket + interval '5 minutes'
            ) t
        ) s
        where n.chosen
        group by n.job_id
    ), written as (
      insert into public.sample_rollups as r (job_id, bucket_start, bucket_end, sample_count, success_count, missed_count, system_error_count,
          avg_rtt_ms, max_rtt_ms, min_rtt_ms, p95_rtt_ms, avg_jitter_ms, max_jitter_ms)
        select s.job_id, bucket, bucket + interval '5 minutes', s.samples, s.success, s.missed, s.system_error,
            trim_scale(round(s.avg_rtt, 6)), s.max_rtt, s.min_rtt, s.p95_rtt, trim_scale(round(s.avg_jitter, 6)), s.max_jitter
          from sums s
        on conflict (job_id, bucket_start) do update set bucket_end = excluded.bucket_end, sample_count = excluded.sample_count,
          success_count = excluded.success_count, missed_count = excluded.missed_count, system_error_count = excluded.system_error_count,
          avg_rtt_ms = excluded.avg_rtt_ms, max_rtt_ms = excluded.max_rtt_ms, min_rtt_ms = excluded.min_rtt_ms,
          p95_rtt_ms = excluded.p95_rtt_ms, avg_jitter_ms = excluded.avg_jitter_ms, max_jitter_ms = excluded.max_jitter_ms
        where excluded.sample_count >= coalesce(r.sample_count, 0)
    )
    select count(*) into computed from noted n where n.chosen;
    done := done + computed;
  end loop;
  return done;
end
$$;
revoke all on function soundcheck.roll_up_samples(integer) from public;

-- A schedule of that name that exists is left as it is.
do $$
declare
  scheduled boolean;
begin
  if not exists (select from pg_catalog.pg_extension where extname = 'pg_cron') then
    raise notice 'pg_cron is not enabled: enable it and apply this migration again, or have something else run "select soundcheck.roll_up_samples()" once a minute';
    return;
  end if;
  execute 'select exists (select from cron.job where jobname = $1)' into scheduled using 'soundcheck-roll-up-samples';
  if not scheduled then
    execute 'select cron.schedule($1, $2, $3)' using 'soundcheck-roll-up-samples', '* * * * *', 'select soundcheck.roll_up_samples()';
  end if;
end
$$;

notify pgrst, 'reload schema';
