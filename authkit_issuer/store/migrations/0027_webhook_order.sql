-- The order in which an endpoint receives events, as that of a sink: a sequence gives numbers ahead on some servers,
-- and in any order. Taken after the locks of the change.
-- readable by: 17
-- split: programs of before write no such value themselves, and go on to deliver in the order of the numbers

alter table profiles.webhook_deliveries alter column queued_at set default clock_timestamp();
