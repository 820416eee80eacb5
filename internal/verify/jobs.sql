-- The real_polling jobs to look at: $1 are their ids, or null for all; $2 is the earliest start, or null.
-- What ended is judged until it ended: a job whose row does not say when, until its newest outcome.
select
  id::text,
  status,
  started_at,
  cadence_seconds,
  duration_minutes,
  coalesce(completed_at, case when status in ('cancelled', 'failed') then (
    select max(at) from (
      select max(scheduled_at) + interval '1 microsecond' from samples where job_id = jobs.id
      union all
      select max(to_at) + interval '1 microsecond' from sample_gaps where job_id = jobs.id
    ) newest (at)
  ) end),
  last_ping_at,
  avg_rtt_ms::float8,
  packet_loss_percent::float8,
  total_samples
from jobs
where monitoring_mode = 'real_polling'
  and ($1::uuid[] is null or id = any ($1))
  and ($2::timestamptz is null or started_at >= $2)
order by started_at, id
