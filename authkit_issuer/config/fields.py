"""The fields of ``Config`` as keywords, for type checkers and editors; a test compares the two."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal, TypedDict

from authkit_issuer.config.providers import ProviderConfig
from authkit_issuer.keys import KeySource


class ConfigFields(TypedDict, total=False):
    """The keywords of ``Config.from_env``."""

    issuer: str
    issued_audiences: tuple[str, ...]
    expected_audiences: tuple[str, ...]
    client_id: str
    environment: str | None
    dev: bool
    base_url: str | None
    route_prefix: str
    org_mode: Literal["single", "multi"]
    providers: Mapping[str, ProviderConfig]
    login_callback_url: str | None
    oidc_fragment_tokens: bool
    database_url: str | None
    database_read_url: str | None
    database_schema: str
    database_pool_size: int
    database_pool_min: int
    database_connect_timeout: float | timedelta
    database_command_timeout: float | timedelta
    database_lock_timeout: float | timedelta | None
    database_statement_timeout: float | timedelta | None
    database_statement_cache: bool
    redis_url: str | None
    redis_timeout: float | timedelta
    key_prefix: str
    keys: KeySource | None
    keys_dir: str | None
    key_reload_interval: float | timedelta
    access_token_duration: float | timedelta
    access_token_jitter: float
    refresh_token_duration: float | timedelta | None
    refresh_idle_duration: float | timedelta | None
    refresh_rotation_grace: float | timedelta
    session_max_per_user: int | None
    verification_required: bool
    private_registration: bool
    reserved_usernames: frozenset[str]
    rename_cooldown: float | timedelta | None
    code_ttl: float | timedelta
    link_ttl: float | timedelta
    pending_email_ttl: float | timedelta
    pending_phone_ttl: float | timedelta
    max_code_attempts: int
    max_codes_per_hour: int
    max_codes_per_target_hour: int
    code_cooldown: float | timedelta
    contact_change_ends_sessions: bool
    factor_change_ends_sessions: bool
    sms_countries: tuple[str, ...]
    sms_url: str | None
    sms_secret: str | None
    sms_max_per_number_hour: int
    sms_max_per_prefix_hour: int
    sms_max_per_hour: int
    sms_min_used_share: float
    send_timeout: float | timedelta
    smtp_url: str | None
    smtp_from: str
    smtp_allow_plain: bool
    link_base_url: str | None
    mail_templates: str | None
    mail_language: str
    brand_name: str
    brand_logo_url: str
    brand_color: str
    brand_support: str
    brand_footer: str
    two_factor_policy: Literal["off", "optional", "required"]
    two_factor_required_roles: tuple[str, ...]
    two_factor_ttl: float | timedelta
    two_factor_exempt_methods: tuple[str, ...]
    two_factor_remember: float | timedelta | None
    recovery_delay: float | timedelta | None
    totp_issuer: str
    passwordless: Literal["off", "code", "link", "both"]
    passwordless_registration: bool
    solana_domains: tuple[str, ...]
    solana_network: str | None
    solana_challenge_ttl: float | timedelta
    webauthn_rp_id: str | None
    webauthn_rp_name: str
    webauthn_origins: tuple[str, ...]
    webauthn_related_origins: tuple[str, ...]
    passkeys_max_per_user: int
    passkey_counts_as_two_factors: bool
    verification_enforced_since: datetime | None
    refuse_common_passwords: bool
    login_failure_limit: int
    login_failure_window: float | timedelta
    device_cookie: bool
    device_duration: float | timedelta
    new_device_notices: bool
    argon2_memory_kib: int
    argon2_time: int
    argon2_lanes: int
    hash_threads: int | None
    hash_queue: int
    hash_deadline: float | timedelta
    hash_memory_mib: int
    trusted_proxies: tuple[str, ...]
    rate_limits: Mapping[str, str]
    cors_origins: tuple[str, ...]
    refresh_cookie: bool
    refresh_cookie_same_site: Literal["lax", "strict", "none"]
    languages: tuple[str, ...]
    introspection_clients: Mapping[str, str]
    step_up_max_age: float | timedelta
    webhook_networks: tuple[str, ...]
    clickhouse_url: str | None
    clickhouse_table: str
    event_retention: float | timedelta
    session_retention: float | timedelta
    deleted_user_retention: float | timedelta | None
