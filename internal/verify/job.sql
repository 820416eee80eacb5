-- What the tables hold of one job, $1. Instants are whole microseconds since 1970, so that no time zone and no rounding
-- comes between a slot and its outcome.
--
-- $2, $3, $4: first slot, last slot and cadence of each stretch of slots that must have an outcome.
-- $5, $6, $7: the same of each grid that an outcome may lie on.
-- $8: of the stretches, only what is due after the newest outcome that lies on no grid counts.
-- $9: how many instants of each kind to name.
with stored as materialized (
  select
    case when isfinite(scheduled_at) then (extract(epoch from scheduled_at) * 1000000)::bigint end as at,
    sequence_number, status, rtt_ms, recorded_at
  from samples where job_id = $1
), gap as (
  select
    (extract(epoch from from_at) * 1000000)::bigint as from_at,
    (extract(epoch from to_at) * 1000000)::bigint as to_at,
    slots, reason
  from sample_gaps where job_id = $1
), unmeasured as (
  select from_at + (to_at - from_at) * k / greatest(slots - 1, 1) as at, reason
  from gap, generate_series(0, slots::bigint - 1) k
), outcome as (
  select at, count(*) as n
  from (select distinct at from stored where at is not null union all select at from unmeasured) one
  group by at
), grid as (
  select * from unnest($5::bigint[], $6::bigint[], $7::bigint[]) g (first, last, cadence)
), off as (
  select at from outcome
  where not exists (select from grid where at between first and last and (at - first) % cadence = 0)
), required as (
  select at
  from unnest($2::bigint[], $3::bigint[], $4::bigint[]) s (first, last, cadence), generate_series(first, last, cadence) at
  where not $8 or at > coalesce((select max(at) from off), at - 1)
), missing as (
  select at from required where not exists (select from outcome where outcome.at = required.at)
), twice as (
  select at from outcome where n > 1
)
select
  (select count(*) from required),
  (select count(*) from stored),
  (select count(*) from stored where at is null),
  (select coalesce(jsonb_object_agg(reason, n), '{}') from (select reason, count(*) as n from unmeasured group by reason) r),
  (select count(*) from missing),
  (select coalesce(array_agg(at order by at), '{}') from (select at from missing order by at limit $9) m),
  (select count(*) from twice),
  (select coalesce(array_agg(at order by at), '{}') from (select at from twice order by at limit $9) t),
  (select count(at) - count(distinct at) from stored),
  (select count(*) - count(distinct sequence_number) from stored),
  (select coalesce(array_agg(at order by at), '{}') from (
    select at from (select at, row_number() over (partition by sequence_number order by at) as use from stored) used where use > 1 and at is not null order by at limit $9
  ) n),
  (select count(*) from off),
  (select coalesce(array_agg(at order by at), '{}') from (select at from off order by at limit $9) o),
  (select max(recorded_at) from stored),
  (select avg(rtt_ms)::float8 from stored where status = 'success'),
  (select 100 * count(*) filter (where status = 'missed')::float8 / nullif(count(*) filter (where status <> 'system_error'), 0) from stored)
