-- readable by: 17
-- outside a transaction

drop index concurrently if exists profiles.webhook_deliveries_order_idx;
create index concurrently webhook_deliveries_order_idx on profiles.webhook_deliveries (endpoint_id, queued_at, event_id)
    where ended_at is null;
