-- When every contact of a recovery was last sent its notice: without that, no recovery completes.
-- readable by: 17

alter table profiles.recovery_requests add column noticed_at timestamptz;
