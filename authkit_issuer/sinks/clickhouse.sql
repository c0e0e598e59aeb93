-- The audit trail in ClickHouse, one row per event. Rows with equal keys are one event, delivered twice: the
-- engine drops the repeats when it merges parts, and queries use FINAL.
-- Events stay until you add a limit, for example: ttl toDateTime(occurred_at) + interval 365 day

create table if not exists session_events (
    id          Int64,
    occurred_at DateTime64(6, 'UTC'),
    issuer      LowCardinality(String),
    user_id     String,
    session_id  String,
    event       LowCardinality(String),
    method      LowCardinality(Nullable(String)),
    reason      LowCardinality(Nullable(String)),
    ip_addr     Nullable(String),
    user_agent  Nullable(String),
    actor       Nullable(String),
    target      Nullable(String),
    data        String
)
engine = ReplacingMergeTree
partition by toYYYYMM(occurred_at)
order by (user_id, occurred_at, id, issuer)
