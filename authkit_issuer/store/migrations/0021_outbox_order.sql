-- The order in which a sink receives events: a sequence gives numbers ahead on some servers, and in any order.
-- Taken after the locks of the change, so that the events of one user are in the order of their changes.
-- readable by: 17

alter table profiles.event_outbox add column queued_at timestamptz not null default clock_timestamp();
