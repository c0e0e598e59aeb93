"""The configuration of a service: one frozen value, checked when it is built.

Durations are seconds; a ``timedelta`` is accepted and converted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

from authkit_issuer.config.checks import (
    MAX_ARGON2_LANES,
    MAX_ARGON2_MEMORY_KIB,
    MAX_ARGON2_TIME,
    check,
)
from authkit_issuer.config.environment import (
    DEVELOPMENT,
    environment_name,
    is_dev_environment,
    parse,
    process_environment,
)
from authkit_issuer.config.providers import ProviderConfig, issuer_of
from authkit_issuer.errors import ConfigError
from authkit_issuer.identifiers import DEFAULT_RESERVED_USERNAMES

if TYPE_CHECKING:
    from typing import Self

    from authkit_issuer.security.keys import KeySource

__all__ = [
    "MAX_ARGON2_LANES",
    "MAX_ARGON2_MEMORY_KIB",
    "MAX_ARGON2_TIME",
    "Config",
    "Options",
    "OrgMode",
    "ProviderConfig",
    "environment_name",
    "is_dev_environment",
    "process_environment",
]

OrgMode = Literal["single", "multi"]
SameSite = Literal["lax", "strict", "none"]

_DAY = 86_400.0
_ALIASES = {
    "AUTHKIT_AUDIENCES": "AUTHKIT_ISSUED_AUDIENCES",
    "SOLANA_NETWORK": "AUTHKIT_SOLANA_NETWORK",
}
_NETWORKS = {"mainnet-beta": "mainnet"}
"""Other names of Solana's networks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything a ``Service`` needs to know. ``ConfigError`` names the field that cannot work."""

    issuer: str
    """The ``iss`` of every token (RFC 7519 section 4.1.1); compared byte for byte, never rewritten."""
    issued_audiences: tuple[str, ...]
    """The ``aud`` of every access token."""
    expected_audiences: tuple[str, ...] = ()
    """Audiences this service's own routes accept; empty means the issued ones."""
    client_id: str = ""
    """The ``client_id`` claim (RFC 9068 section 2.2); empty means the first issued audience."""
    environment: str | None = None
    """``production``, ``development`` and so on; None asks the environment of the process, once."""
    dev: bool = False
    """Opens the development inbox, codes in logs and loose limits; refused in production."""
    base_url: str | None = None
    org_mode: OrgMode = "single"
    providers: Mapping[str, ProviderConfig] = field(
        default_factory=dict[str, ProviderConfig], repr=False, hash=False
    )
    """External logins by name: ``google``, ``apple``, ``discord``, ``github``, or any with an ``issuer``."""
    login_callback_url: str | None = None
    """The app's page that external logins end on; None is ``/login/callback`` of ``link_base_url``, else of
    ``base_url``."""
    oidc_fragment_tokens: bool = False
    """Hands that page the tokens themselves in place of a one-time code, as older apps expect."""

    database_url: str | None = field(default=None, repr=False)
    database_schema: str = "profiles"
    database_pool_size: int = 16
    database_statement_cache: bool = True
    """Off behind a connection pooler in transaction mode that knows no prepared statements."""
    redis_url: str | None = field(default=None, repr=False)
    key_prefix: str = "auth:"
    keys: KeySource | None = field(default=None, repr=False)
    """Where signing keys come from; None looks in the environment, then in ``keys.json``, then makes some."""
    keys_dir: str | None = None
    """The folder of ``keys.json`` and of generated development keys."""
    key_reload_interval: float = 10.0
    """Seconds between two looks at ``keys.json``."""

    access_token_duration: float = 900.0
    access_token_jitter: float = 0.05
    """Up to this share is taken off each token's life, so that clients do not refresh in step."""
    refresh_token_duration: float | None = 30 * _DAY
    """Absolute life of a session; None, spelled out, means for ever."""
    refresh_idle_duration: float | None = None
    refresh_rotation_grace: float = 30.0
    """A just-rotated refresh token is forgiven this long; 0 switches forgiveness off."""
    session_max_per_user: int | None = 3

    verification_required: bool = True
    private_registration: bool = True
    """Registration answers alike for free and taken addresses; promised only with verification required."""
    reserved_usernames: frozenset[str] = DEFAULT_RESERVED_USERNAMES
    rename_cooldown: float | None = None
    """Seconds a user keeps a new name before changing it again; None lets them at once."""
    code_ttl: float = 600.0
    link_ttl: float = 1800.0
    pending_email_ttl: float = _DAY
    pending_phone_ttl: float = 900.0
    max_code_attempts: int = 5
    max_codes_per_hour: int = 5
    max_codes_per_target_hour: int = 20
    code_cooldown: float = 60.0
    contact_change_ends_sessions: bool = False
    """Whether a new email address or phone number ends the user's other sessions."""
    send_timeout: float = 15.0
    smtp_url: str | None = field(default=None, repr=False)
    """Where mails are handed over when no sender is passed in: ``smtps://user:password@host``."""
    smtp_from: str = ""
    """The sender of those mails: an address, or ``Name <address>``."""
    link_base_url: str | None = None
    """The site that has the pages mailed links lead to; without it mails carry codes alone."""

    two_factor_ttl: float = 600.0
    """Seconds a sign-in may wait for its second factor."""
    two_factor_exempt_methods: tuple[str, ...] = ()
    """Sign-in methods, such as ``solana_login``, after which no second factor is asked for."""
    two_factor_remember: float | None = None
    """Seconds for which a device may be asked for no second factor, if its user wants that; None is never."""
    solana_domains: tuple[str, ...] = ()
    """Domains wallets may sign in on, ports included; in development ``localhost:<port>`` when empty."""
    solana_network: str | None = None
    """Part of every wallet's identity; None is ``testnet`` in development, else ``mainnet``."""
    solana_challenge_ttl: float = 900.0

    verification_enforced_since: datetime | None = None
    """Accounts made before this moment may sign in with an unverified contact; None asks it of all."""
    refuse_common_passwords: bool = True
    login_failure_limit: int = 10
    """Wrong passwords for one identifier, and for one user, before logins are refused for a while."""
    login_failure_window: float = 900.0
    """Seconds in which they are counted, and for which logins are then refused."""

    device_cookie: bool = True
    """Keeps a token in the browser that tells it from others at the next sign-in; it opens nothing."""
    device_duration: float = 180 * _DAY
    """Seconds for which a device is known."""
    new_device_notices: bool = True
    """Tells a user by mail of a sign-in from a device or place that was not used before."""

    argon2_memory_kib: int = 19_456
    argon2_time: int = 2
    argon2_lanes: int = 1
    hash_threads: int | None = None
    """Hashes computed at once; None leaves one core to the rest."""
    hash_queue: int = 64
    """Callers that may wait for a lane."""
    hash_deadline: float = 5.0
    """Seconds one may wait before hearing that the server is busy."""
    hash_memory_mib: int = 256
    """Memory for all hashes at once."""

    trusted_proxies: tuple[str, ...] = ()
    """Networks whose ``X-Forwarded-For`` is believed, read from the right."""
    rate_limits: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)
    """Other rates for named buckets, such as ``{"auth_password_login": "20/1h"}``."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may call from a browser, such as ``https://app.example``."""
    refresh_cookie: bool = False
    """Keeps refresh tokens in a cookie that no script can read, and out of every body."""
    refresh_cookie_same_site: SameSite = "lax"
    languages: tuple[str, ...] = ()
    """Languages that mails are written in, such as ``de``; empty takes whatever a browser prefers."""
    introspection_clients: Mapping[str, str] = field(default_factory=dict[str, str], repr=False, hash=False)
    """Secrets of the services that may introspect tokens, by client id; none closes that operation."""
    step_up_max_age: float = 900.0
    """Seconds for which a proof of identity opens what is sensitive."""
    clickhouse_url: str | None = field(default=None, repr=False)
    """Where the audit trail goes as well, unless a sink of that name is passed in:
    ``https://user:password@host:8443``."""
    clickhouse_table: str = "session_events"
    """The table there, as ``database.table`` where its database is not ``default``."""
    event_retention: float = 365 * _DAY
    session_retention: float = 30 * _DAY
    deleted_user_retention: float | None = 30 * _DAY
    """After this a deleted account is gone for good; None keeps it until the host purges it itself."""

    def __post_init__(self) -> None:
        """Normalize, then check."""
        for name, value in _normalized(self).items():
            object.__setattr__(self, name, value)
        check(self)

    @property
    def is_production(self) -> bool:
        """Tell whether generated keys and the memory store are refused."""
        return not self.dev and self.environment not in DEVELOPMENT

    @property
    def solana_chain(self) -> str:
        """Return the network that wallets of this service belong to."""
        return self.solana_network or ("testnet" if self.dev else "mainnet")

    @property
    def provider_issuers(self) -> dict[str, str]:
        """Return the issuer of each configured provider by its name."""
        return {slug: issuer_of(slug, provider) for slug, provider in self.providers.items()}

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None, **overrides: Any) -> Self:
        """Build from ``AUTHKIT_<FIELD>`` settings; ``overrides`` win.

        Lists are separated by commas, maps are JSON, ``none`` is None. ``AUTHKIT_AUDIENCES`` is another name
        for ``AUTHKIT_ISSUED_AUDIENCES``, ``SOLANA_NETWORK`` for ``AUTHKIT_SOLANA_NETWORK``. An unreadable
        value raises ``ConfigError`` naming the setting.
        """
        source = dict(process_environment() if env is None else env)
        for alias, name in _ALIASES.items():
            if alias in source:
                source.setdefault(name, source[alias])
        values: dict[str, Any] = {"environment": environment_name(source)}
        hints = get_type_hints(cls, localns={"KeySource": object})
        for entry in dataclasses.fields(cls):
            setting = f"AUTHKIT_{entry.name.upper()}"
            if entry.name not in {"keys", "environment"} and setting in source:
                values[entry.name] = parse(setting, source[setting], hints[entry.name])
        values.update(overrides)
        for required, setting in (("issuer", "AUTHKIT_ISSUER"), ("issued_audiences", "AUTHKIT_AUDIENCES")):
            if required not in values:
                raise ConfigError(f"{setting} is not set.")
        return cls(**values)


Options = Config
"""The normalized configuration a service runs with: ``Config`` normalizes itself when it is built."""


def _normalized(config: Config) -> dict[str, Any]:
    """Return the fields whose stored form differs from what a caller may write."""
    out: dict[str, Any] = {
        entry.name: getattr(config, entry.name).total_seconds()
        for entry in dataclasses.fields(config)
        if isinstance(getattr(config, entry.name), timedelta)
    }
    issued = _words("issued_audiences", config.issued_audiences)
    out["issuer"] = config.issuer.strip()
    out["issued_audiences"] = issued
    out["expected_audiences"] = _words("expected_audiences", config.expected_audiences) or issued
    out["client_id"] = config.client_id.strip() or (issued[0] if issued else "")
    named = environment_name() if config.environment is None else config.environment
    out["environment"] = named.strip().lower()
    out["org_mode"] = config.org_mode.strip().lower() or "single"
    out["reserved_usernames"] = frozenset(name.strip().lower() for name in config.reserved_usernames)
    out["providers"] = MappingProxyType(dict(config.providers))
    out["rate_limits"] = MappingProxyType(dict(config.rate_limits))
    out["introspection_clients"] = MappingProxyType(dict(config.introspection_clients))
    out["cors_origins"] = _words("cors_origins", config.cors_origins)
    out["languages"] = tuple(tag.lower() for tag in _words("languages", config.languages))
    out["trusted_proxies"] = _words("trusted_proxies", config.trusted_proxies)
    out["two_factor_exempt_methods"] = _words("two_factor_exempt_methods", config.two_factor_exempt_methods)
    domains = _words("solana_domains", config.solana_domains)
    out["solana_domains"] = tuple(domain.lower() for domain in domains)
    network = (config.solana_network or "").strip().lower()
    out["solana_network"] = _NETWORKS.get(network, network) or None
    return out


def _words(name: str, value: object) -> tuple[str, ...]:
    """Return a list of texts without repeats; a blank entry or a bare string is a mistake."""
    if isinstance(value, str) or not isinstance(value, list | tuple | set | frozenset):
        raise ConfigError(f"{name} must be a list of texts.")
    words = [word.strip() for word in value]
    if not all(words):
        raise ConfigError(f"{name} has a blank entry.")
    return tuple(dict.fromkeys(words))
