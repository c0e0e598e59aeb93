-- readable by: 17
-- outside a transaction

drop index concurrently if exists profiles.event_outbox_order_idx;
create index concurrently event_outbox_order_idx on profiles.event_outbox (sink, queued_at, event_id);
