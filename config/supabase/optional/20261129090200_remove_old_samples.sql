-- Optional: removes the samples of jobs that have been over for long, once their rollups hold what they come to. Apply it after
-- sample_rollups. Only adds, and may be applied again at any time.
--
-- soundcheck.remove_old_samples(keep, most) removes samples of jobs that have been over for at least keep, 30 days unless told
-- otherwise, at most so many at once. It is run once a minute by pg_cron where that is enabled. To keep them for longer, change the schedule; applying
-- this file again leaves it as you made it:
--   select cron.alter_job(jobid, command := $$select soundcheck.remove_old_samples('90 days')$$) from cron.job where jobname = 'soundcheck-remove-old-samples';
-- What would be removed, without removing it:
--   select * from soundcheck.jobs_to_empty('30 days');
--
-- It never removes
--   * a sample of a job that runs, however old: the operator reads all of them when the job is over, and would take a slot without
--     its sample for one that nobody measured;
--   * a sample of a job whose books the operator has not closed yet, however long ago it was over;
--   * a sample that its rollup does not count;
--   * a job, its summary, its rollups or its gaps.
-- A job that is started anew after that has the figures of its new samples only.

create schema if not exists soundcheck; -- not exposed by the API, which offers public only
revoke all on schema soundcheck from public;

do $$
begin
  if to_regprocedure('soundcheck.roll_up_samples(integer)') is null then
    raise exception 'there are no rollups, without which nothing would be left of the samples that are removed'
      using hint = 'Apply the migration sample_rollups first.';
  end if;
end
$$;

create table if not exists soundcheck.emptied_jobs (
  job_id     uuid primary key references public.jobs (id) on delete cascade,
  emptied_at timestamptz not null,
  removed    bigint not null,
  kept       bigint not null
);
comment on table soundcheck.emptied_jobs is 'Jobs whose samples were removed, as far as their rollups count them';
comment on column soundcheck.emptied_jobs.kept is 'How many samples are left because no rollup counts them; they are looked at again after a day';

-- The jobs whose turn it is, those first that were over first; those of which something was left before, after all others. A job is
-- over when nothing has happened to it any more. The operator has closed its books when it has said how it ended; a job that it never
-- saw has none.
create or replace function soundcheck.jobs_to_empty(keep interval) returns table (job_id uuid, over_since timestamptz)
  language sql stable set search_path = '' as $$
  select o.id, o.since
    from (
      select j.id, j.monitoring_mode, j.monitor_state, j.monitor_message,
          greatest(coalesce(j.completed_at, j.updated_at), j.last_ping_at, j.started_at) as since
        from public.jobs j where j.status in ('completed', 'cancelled', 'failed')
    ) o
    left join soundcheck.emptied_jobs e on e.job_id = o.id
    where o.since < now() - keep
      and (e.job_id is null or e.emptied_at < o.since or e.kept > 0 and e.emptied_at < now() - interval '1 day')
      and (o.monitoring_mode = 'simulated'
        or o.monitor_state = 'not_measuring' and o.monitor_message ~ '^(Over|Cancelled|Failed)(;|$)'
        or o.monitor_state is null and not exists (select from public.samples s where s.job_id = o.id and s.scheduled_at is not null))
    order by e.job_id is not null, o.since
$$;
revoke all on function soundcheck.jobs_to_empty(interval) from public;

-- Returns how many samples it has removed, which may be 5000 more than asked for. It reads no more than that either, in the order of the
-- indexes, also where it can remove nothing.
create or replace function soundcheck.remove_old_samples(keep interval default '30 days', most integer default 50000) returns integer
  language plpgsql set search_path = '' as $$
declare
  job uuid;
  portion integer;
  looked integer;
  removed integer;
  read integer := 0;
  done integer := 0;
begin
  if keep is null or keep < interval '1 day' then
    raise invalid_parameter_value using message = 'samples have to be kept for a day at least';
  end if;
  -- Not beside roll_up_samples, which might count what is about to go.
  perform pg_advisory_xact_lock(hashtext('soundcheck.roll_up_samples'));
  for job in select t.job_id from soundcheck.jobs_to_empty(keep) t limit 1000 loop
    -- The list is as old as this run. Until it ends nobody starts the job anew or deletes it; who is about to, comes first.
    perform from public.jobs j where j.id = job and j.status in ('completed', 'cancelled', 'failed') for share skip locked;
    continue when not found;
    portion := greatest(most - read, 5000); -- a rollup of more samples than that would never go
    -- The oldest samples of the job go, in whole rollups, as far as the rollup counts as many as are there. The last rollup may be cut
    -- off by the limit, and then waits for the next time.
    with old as materialized (
      (select s.ctid as place, soundcheck.bucket_of(s.scheduled_at, null) as bucket
        from public.samples s where s.job_id = job and s.scheduled_at is not null order by s.scheduled_at limit portion)
      union all
      (select s.ctid, soundcheck.bucket_of(null, s.recorded_at)
        from public.samples s where s.job_id = job and s.scheduled_at is null order by s.recorded_at limit portion)
    ), whole as (
      select b.bucket from (select o.bucket, count(*) as n from old o group by o.bucket) b
        join public.sample_rollups r on r.job_id = job and r.bucket_start = b.bucket and r.sample_count = b.n
    ), gone as (
      delete from public.samples s
        where s.ctid = any (array(select o.place from old o join whole w on w.bucket = o.bucket))
        returning 1
    )
    select (select count(*) from old), (select count(*) from gone) into looked, removed;
    read := read + looked;
    done := done + removed;
    exit when removed > 0 and looked >= portion; -- there may be more of this job
    insert into soundcheck.emptied_jobs as e (job_id, emptied_at, removed, kept) values (job, now(), removed, looked - removed)
      on conflict (job_id) do update set emptied_at = excluded.emptied_at, removed = e.removed + excluded.removed, kept = excluded.kept;
    exit when read >= most;
  end loop;
  return done;
end
$$;
revoke all on function soundcheck.remove_old_samples(interval, integer) from public;

-- A schedule of that name that exists is left as it is, with the days that it was given.
do $$
declare
  scheduled boolean;
begin
  if not exists (select from pg_catalog.pg_extension where extname = 'pg_cron') then
    raise notice 'pg_cron is not enabled: enable it and apply this migration again, or have something else run "select soundcheck.remove_old_samples()" once a minute';
    return;
  end if;
  execute 'select exists (select from cron.job where jobname = $1)' into scheduled using 'soundcheck-remove-old-samples';
  if not scheduled then
    execute 'select cron.schedule($1, $2, $3)' using 'soundcheck-remove-old-samples', '* * * * *', 'select soundcheck.remove_old_samples(''30 days'')';
  end if;
end
$$;
