-- Deleting old events looks for their outbox rows, which the primary key does not find by event.
create index event_outbox_event_idx on profiles.event_outbox (event_id);
