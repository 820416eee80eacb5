-- What the operator needs of jobs and samples. Only adds, and may be applied again at any time.
--
-- Each "add column" takes an exclusive lock for an instant; none rewrites the table.

-- Columns that some versions of the app already have.
alter table public.jobs add column if not exists monitoring_mode text not null default 'simulated'
  constraint jobs_monitoring_mode_check check (monitoring_mode in ('simulated', 'real_polling'));
alter table public.jobs add column if not exists last_ping_at timestamptz;
alter table public.jobs add column if not exists avg_rtt_ms numeric;
alter table public.jobs add column if not exists packet_loss_percent numeric;
alter table public.jobs add column if not exists total_samples integer default 0;
alter table public.samples add column if not exists jitter_ms numeric;
-- The default comes second so that rows older than the column stay null: nobody knows when they were recorded.
alter table public.samples add column if not exists recorded_at timestamptz;
alter table public.samples alter column recorded_at set default now();

-- For the technician: what the operator is doing about the job.
alter table public.jobs add column if not exists monitor_state text
  constraint jobs_monitor_state_check check (monitor_state in ('waiting', 'measuring', 'not_measuring'));
alter table public.jobs add column if not exists monitor_message text;
comment on column public.jobs.monitor_state is 'Written by the operator: waiting, measuring or not_measuring; null before it has seen the job';
comment on column public.jobs.monitor_message is 'Written by the operator: one sentence that says why';

-- When the app last changed the row. Whoever reads changes by it has to look back a little: now() is when the
-- transaction began, so that a row may appear after one with a later time.
alter table public.jobs add column if not exists updated_at timestamptz not null default now();
-- A column of the app's own may lack it, and then a new row would not count as a change.
alter table public.jobs alter column updated_at set default now();
comment on column public.jobs.updated_at is 'When something other than the operator''s own columns last changed';

create or replace function public.touch_job() returns trigger
  language plpgsql set search_path = '' as $$
declare
  -- The operator writes these every few seconds. Counting them as changes would make every job look changed always.
  own constant text[] := '{last_ping_at,monitor_state,monitor_message,avg_rtt_ms,packet_loss_percent,total_samples,updated_at}';
begin
  -- As jsonb (some 30 µs a row), because columns that the app adds later count too, also those of types that have no
  -- equality.
  -- Whoever writes the row has no say in it: one time of a clock that is ahead would hide the changes after it.
  if tg_op = 'INSERT' or to_jsonb(new) - own is distinct from to_jsonb(old) - own then
    new.updated_at := now();
  else
    new.updated_at := old.updated_at;
  end if;
  return new;
end
$$;

-- Triggers fire in the order of their names. This one is to be the last, because the app may have one that sets
-- updated_at whatever was changed, as Supabase's guides have it.
create or replace trigger zz_touch_job before insert or update on public.jobs for each row execute function public.touch_job();

-- The instant at which a sample was due. With the job it makes writing a sample twice harmless. Writers that know no
-- schedule leave it null, and nulls never collide.
alter table public.samples add column if not exists scheduled_at timestamptz;
comment on column public.samples.scheduled_at is 'When the sample was due; null if its writer keeps no schedule';

-- Building the index reads the whole table and holds up writers meanwhile: about a second for a million rows. On a
-- table where that hurts, run these two by themselves first, outside a transaction; the rest of this file then finds
-- the index and is quick:
--   alter table public.samples add column if not exists scheduled_at timestamptz;
--   create unique index concurrently if not exists samples_job_id_scheduled_at_key on public.samples (job_id, scheduled_at);
-- If the second one is interrupted it leaves an invalid index: drop index concurrently, and run it again.
--
-- What it costs: at 500 rows/s it is the only index beside the primary key, and the rows of one job go to one leaf page
-- after another, so that 5,000 running jobs keep some 40 MB of pages warm. It also serves "the samples of a job", for the
-- chart and for on delete cascade; an index of its own for the chart's order would cost as much again and saves only the sort.
create unique index if not exists samples_job_id_scheduled_at_key on public.samples (job_id, scheduled_at);

do $$
begin
  if exists (select from pg_index where indexrelid = 'public.samples_job_id_scheduled_at_key'::regclass and not indisvalid) then
    raise exception 'the index samples_job_id_scheduled_at_key is invalid'
      using hint = 'Run: drop index concurrently public.samples_job_id_scheduled_at_key; and apply this migration again.';
  end if;
  if not exists (select from pg_constraint where conrelid = 'public.samples'::regclass and conname = 'samples_job_id_scheduled_at_key') then
    alter table public.samples add constraint samples_job_id_scheduled_at_key unique using index samples_job_id_scheduled_at_key;
  end if;
end
$$;

-- The operator's list, "running and real_polling, by id, after the last id seen". Not a partial index: PostgREST sends
-- the values as parameters, which the planner cannot match with a condition.
create index if not exists jobs_status_monitoring_mode_id_idx on public.jobs (status, monitoring_mode, id);
-- "What has the app changed since": only as many rows as changed are read.
create index if not exists jobs_updated_at_id_idx on public.jobs (updated_at, id);
-- Neither index holds a column that the operator writes often, so those updates stay on their page (HOT) and touch no
-- index at all. For the same reason never index last_ping_at.

grant usage on schema public to service_role;
grant select, insert, update, delete on public.jobs, public.samples to service_role;

notify pgrst, 'reload schema';
