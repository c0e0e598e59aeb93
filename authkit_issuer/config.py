"""The configuration of a service: one frozen value, checked when it is built.

This module alone touches ``os.environ`` (``process_environment``); everything else takes a mapping.
Durations are seconds; a ``timedelta`` is accepted and converted.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

from authkit_issuer.errors import ConfigError
from authkit_issuer.identifiers import DEFAULT_RESERVED_USERNAMES

if TYPE_CHECKING:
    from typing import Self

    from authkit_issuer.security.keys import KeySource

OrgMode = Literal["single", "multi"]

MAX_ARGON2_MEMORY_KIB = 512 * 1024
MAX_ARGON2_TIME = 10
MAX_ARGON2_LANES = 16
"""Beyond these a stored password hash is refused, not computed."""

_DAY = 86_400.0
_DEVELOPMENT = frozenset({"", "dev", "development", "local", "test"})
_ENVIRONMENT_NAMES = ("AUTHKIT_ENVIRONMENT", "ENV", "APP_ENV", "ENVIRONMENT")
_ALIASES = {"AUTHKIT_AUDIENCES": "AUTHKIT_ISSUED_AUDIENCES"}
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")


def process_environment() -> Mapping[str, str]:
    """Return a copy of the environment of this process."""
    return dict(os.environ)


def environment_name(env: Mapping[str, str] | None = None) -> str:
    """Return the name of the environment, trimmed and lower case; ``""`` when nothing says."""
    source = process_environment() if env is None else env
    for name in _ENVIRONMENT_NAMES:
        value = source.get(name, "").strip().lower()
        if value:
            return value
    return ""


def is_dev_environment(env: Mapping[str, str] | None = None) -> bool:
    """Tell whether this is a development environment.

    Read first to last: ``AUTHKIT_ENVIRONMENT``, ``ENV``, ``APP_ENV``, ``ENVIRONMENT``. Unset, ``dev``,
    ``development``, ``local`` and ``test`` are development; every other word, typos included, is production.
    """
    return environment_name(env) in _DEVELOPMENT


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
    code_ttl: float = 600.0
    link_ttl: float = 1800.0
    pending_email_ttl: float = _DAY
    pending_phone_ttl: float = 900.0
    max_code_attempts: int = 5
    max_codes_per_hour: int = 5
    max_codes_per_target_hour: int = 20
    code_cooldown: float = 60.0
    send_timeout: float = 15.0

    argon2_memory_kib: int = 19_456
    argon2_time: int = 2
    argon2_lanes: int = 1
    hash_threads: int | None = None
    hash_queue: int = 64
    hash_deadline: float = 5.0
    hash_memory_mib: int = 256

    trusted_proxies: tuple[str, ...] = ()
    """Networks whose ``X-Forwarded-For`` is believed, read from the right."""
    event_retention: float = 365 * _DAY
    session_retention: float = 30 * _DAY

    def __post_init__(self) -> None:
        """Normalise, then check."""
        for name, value in _normalised(self).items():
            object.__setattr__(self, name, value)
        _check(self)

    @property
    def is_production(self) -> bool:
        """Tell whether generated keys and the memory store are refused."""
        return not self.dev and self.environment not in _DEVELOPMENT

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None, **overrides: Any) -> Self:
        """Build from ``AUTHKIT_<FIELD>`` settings; ``overrides`` win.

        Lists are separated by commas, maps are JSON, ``none`` is None. ``AUTHKIT_AUDIENCES`` is another name
        for ``AUTHKIT_ISSUED_AUDIENCES``. An unreadable value raises ``ConfigError`` naming the setting.
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
                values[entry.name] = _parse(setting, source[setting], hints[entry.name])
        values.update(overrides)
        for required, setting in (("issuer", "AUTHKIT_ISSUER"), ("issued_audiences", "AUTHKIT_AUDIENCES")):
            if required not in values:
                raise ConfigError(f"{setting} is not set.")
        return cls(**values)


Options = Config
"""The normalised configuration a service runs with: ``Config`` normalises itself when it is built."""


def _normalised(config: Config) -> dict[str, Any]:
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
    out["trusted_proxies"] = _words("trusted_proxies", config.trusted_proxies)
    return out


def _words(name: str, value: object) -> tuple[str, ...]:
    """Return a list of texts without repeats; a blank entry or a bare string is a mistake."""
    if isinstance(value, str) or not isinstance(value, list | tuple | set | frozenset):
        raise ConfigError(f"{name} must be a list of texts.")
    words = [word.strip() for word in value]
    if not all(words):
        raise ConfigError(f"{name} has a blank entry.")
    return tuple(dict.fromkeys(words))


def _check(config: Config) -> None:
    """Refuse what cannot work, field by field."""
    if not config.issuer:
        raise ConfigError("issuer is empty.")
    if not config.issued_audiences:
        raise ConfigError("issued_audiences is empty.")
    if config.org_mode not in get_args(OrgMode):
        raise ConfigError("org_mode must be single or multi.")
    if not _SCHEMA.fullmatch(config.database_schema):
        raise ConfigError("database_schema must be a plain lower-case identifier.")
    if config.dev and config.environment not in _DEVELOPMENT:
        raise ConfigError(f"dev is set although the environment is {config.environment!r}.")
    if config.base_url is not None and not _is_web_address(config.base_url):
        raise ConfigError("base_url must be an absolute http or https address.")
    for network in config.trusted_proxies:
        _check_network(network)
    _check_numbers(config)


def _check_numbers(config: Config) -> None:
    positive = (
        "access_token_duration", "code_ttl", "link_ttl", "pending_email_ttl", "pending_phone_ttl",
        "send_timeout", "max_code_attempts", "max_codes_per_hour", "max_codes_per_target_hour",
        "database_pool_size", "hash_queue", "hash_deadline", "hash_memory_mib", "event_retention",
        "session_retention", "key_reload_interval",
    )  # fmt: skip
    for name in positive:
        if not getattr(config, name) > 0:
            raise ConfigError(f"{name} must be greater than zero.")
    for entry in dataclasses.fields(config):
        value = getattr(config, entry.name)
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{entry.name} must be a finite number.")
    for name in ("refresh_token_duration", "refresh_idle_duration", "session_max_per_user", "hash_threads"):
        value = getattr(config, name)
        if value is not None and not value > 0:
            raise ConfigError(f"{name} must be greater than zero, or None.")
    for name in ("refresh_rotation_grace", "code_cooldown"):
        if getattr(config, name) < 0:
            raise ConfigError(f"{name} must not be negative.")
    if not 0 <= config.access_token_jitter < 1:
        raise ConfigError("access_token_jitter must be at least 0 and below 1.")
    _check_hashing(config)


def _check_hashing(config: Config) -> None:
    """Refuse parameters under which hashes could be made that are then refused, or not be made at all."""
    if not 1 <= config.argon2_time <= MAX_ARGON2_TIME:
        raise ConfigError(f"argon2_time must be 1 to {MAX_ARGON2_TIME}.")
    if not 1 <= config.argon2_lanes <= MAX_ARGON2_LANES:
        raise ConfigError(f"argon2_lanes must be 1 to {MAX_ARGON2_LANES}.")
    if not 8 * config.argon2_lanes <= config.argon2_memory_kib <= MAX_ARGON2_MEMORY_KIB:
        raise ConfigError(f"argon2_memory_kib must be 8 a lane to {MAX_ARGON2_MEMORY_KIB}.")


def _check_network(network: str) -> None:
    try:
        ipaddress.ip_network(network)
    except ValueError as error:
        raise ConfigError(f"trusted_proxies: {network!r} is not a network address.") from error


def _is_web_address(text: str) -> bool:
    parts = urlsplit(text)
    return parts.scheme in {"http", "https"} and bool(parts.netloc)


def _parse(setting: str, text: str, hint: Any) -> Any:
    """Read one setting as its field's type."""
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415 - hosts that build Config in code skip it

    value: Any = text.strip()
    if value.lower() == "none" and type(None) in get_args(hint):
        return None
    origin = get_origin(hint)
    try:
        if origin in {tuple, frozenset}:
            value = [part.strip() for part in value.split(",") if part.strip()]
        elif origin in {dict, Mapping}:
            return TypeAdapter(hint).validate_json(value)
        return TypeAdapter(hint).validate_python(value)
    except ValidationError as error:
        # Not chained: the library's text quotes the value, which may be a secret.
        raise ConfigError(f"{setting}: {error.errors()[0]['msg'].lower()}.") from None
