-- What the operator tells beside samples: that it is alive, and where samples are missing and why.
-- The app reads both, service_role writes them. Only adds, and may be applied again at any time.

create table if not exists public.pollers (
  id           text primary key,
  last_seen_at timestamptz not null,
  version      text not null,
  jobs         integer not null default 0,
  message      text
);
comment on table public.pollers is 'One row per running operator, written every few seconds';
comment on column public.pollers.jobs is 'How many jobs it is measuring';
comment on column public.pollers.message is 'What is wrong, in one sentence; null when all is well';

-- A slot of a job has one outcome, so at most one gap begins at it: that makes writing a gap again, or a longer one in
-- its place, harmless. The primary key is the only index, and gaps are rare.
create table if not exists public.sample_gaps (
  job_id  uuid not null references public.jobs (id) on delete cascade,
  from_at timestamptz not null,
  to_at   timestamptz not null,
  slots   integer not null constraint sample_gaps_slots_check check (slots > 0),
  reason  text not null,
  primary key (job_id, from_at),
  constraint sample_gaps_order_check check (from_at <= to_at)
);
comment on table public.sample_gaps is 'Stretches of a job in which nobody asked; they are neither samples nor loss';
comment on column public.sample_gaps.from_at is 'When the first unmeasured slot was due';
comment on column public.sample_gaps.to_at is 'When the last unmeasured slot was due';
comment on column public.sample_gaps.slots is 'How many slots are missing';

alter table public.pollers enable row level security;
alter table public.sample_gaps enable row level security;

do $$
begin
  create policy pollers_app_select on public.pollers for select to anon, authenticated using (true);
exception when duplicate_object then
  null; -- applied before
end
$$;

-- Whoever may see a job may see its gaps: the app's own policies on jobs decide.
do $$
begin
  create policy sample_gaps_app_select on public.sample_gaps for select to anon, authenticated
    using (exists (select from public.jobs where jobs.id = sample_gaps.job_id));
exception when duplicate_object then
  null; -- applied before
end
$$;

grant select on public.pollers, public.sample_gaps to anon, authenticated;
grant select, insert, update, delete on public.pollers, public.sample_gaps to service_role;

notify pgrst, 'reload schema';
