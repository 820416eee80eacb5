-- Starts a job as Sound Check does: an hour of one poll every 10 seconds. Run it in Supabase's SQL editor or with psql;
-- it prints the id, which is also the name of the LatencyJob.
insert into jobs (account_number, target_ip, cadence_seconds, duration_minutes, status, monitoring_mode, started_at, notification_email)
values ('000000000', '10.1.2.3', 10, 60, 'running', 'real_polling', now(), 'noc@example.com')
returning id;

-- Stop it early:
-- update jobs set status = 'cancelled', completed_at = now() where id = '...' and status = 'running';
