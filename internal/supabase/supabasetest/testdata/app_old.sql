-- An early version of the app's schema, with data: none of the later columns, grants as old projects gave them to
-- everybody, policies of the app's own, and sequence numbers that occur twice.
create table public.jobs (
  id                 uuid primary key default gen_random_uuid(),
  account_number     text not null,
  target_ip          text,
  target_mac         text,
  cadence_seconds    integer not null,
  duration_minutes   integer not null,
  status             text not null default 'running' check (status in ('running', 'completed', 'cancelled', 'failed')),
  started_at         timestamptz not null default now(),
  completed_at       timestamptz,
  notification_email text,
  requester_id       uuid,
  created_at         timestamptz not null default now(),
  notes              json
);
create table public.samples (
  id              uuid primary key default gen_random_uuid(),
  job_id          uuid not null references public.jobs (id) on delete cascade,
  sequence_number integer not null,
  status          text not null,
  rtt_ms          numeric
);
alter table public.jobs enable row level security;
alter table public.samples enable row level security;
grant all on public.jobs, public.samples to anon, authenticated, service_role;
create policy "Anyone can read jobs" on public.jobs for select using (true);
create policy "Anyone can start jobs" on public.jobs for insert with check (true);
create policy "Anyone can change jobs" on public.jobs for update using (true);
create policy "Anyone can read samples" on public.samples for select using (true);
create policy "Anyone can write samples" on public.samples for insert with check (true);

insert into public.jobs (id, account_number, target_ip, cadence_seconds, duration_minutes, status, notes) values
  ('00000000-0000-4000-8000-000000000001', 'A-1', '10.0.0.1', 10, 60, 'running', '{"b": 1, "a": [2]}'),
  ('00000000-0000-4000-8000-000000000002', 'A-2', null, 5, 1440, 'running', null),
  ('00000000-0000-4000-8000-000000000003', 'A-3', '10.0.0.3', 10, 60, 'completed', null);
insert into public.samples (job_id, sequence_number, status, rtt_ms)
  select '00000000-0000-4000-8000-000000000003', n % 50, 'success', n from generate_series(0, 99) n;
