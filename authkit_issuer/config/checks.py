"""The checks of a configuration; each error is one sentence with setting, value and remedy.

``resources`` refuses a store of one process in production, and single mode over shared organizations.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import math
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from authkit_issuer.config.environment import DEVELOPMENT
from authkit_issuer.config.limits import check_rate_limits
from authkit_issuer.config.messages import check_messages, sends_by_verify_alone
from authkit_issuer.config.passkeys import check_passkeys
from authkit_issuer.config.providers import check_provider
from authkit_issuer.config.trusted_proxies import TrustedProxies
from authkit_issuer.errors import ConfigError

if TYPE_CHECKING:
    from authkit_issuer.config import Config

MAX_ARGON2_MEMORY_KIB = 512 * 1024
MAX_ARGON2_TIME = 10
MAX_ARGON2_LANES = 16
"""A stored password hash beyond these is refused, not computed."""

MIN_RECOVERY_DELAY = 86_400
ORG_MODES = ("single", "multi")
MIN_CLIENT_SECRET = 16
# The form that browsers send (RFC 6454 section 6.2): lower case, no path, no slash at the end.
_ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?")
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[a-z0-9]{1,8})*")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9_-][A-Za-z0-9._~-]*)*")
_LOCAL = (".test", ".localhost", ".local", ".internal", ".home.arpa", ".invalid")
"""The ends of names that no public DNS resolves (RFC 6761, 6762, 8375, and ``.internal`` of ICANN)."""
_URLS = ("issuer", "base_url", "link_base_url", "login_callback_url", "brand_logo_url", "brand_support")
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")


def check(config: Config) -> None:
    """Raise ``ConfigError`` for the first field that cannot work."""
    _check_types(config)
    if not config.issuer:
        raise ConfigError("issuer is empty: set the URL that tokens carry as iss.")
    if not config.issued_audiences:
        raise ConfigError("issued_audiences is empty: set at least one audience.")
    if config.org_mode not in ORG_MODES:
        raise ConfigError(f"org_mode is {config.org_mode!r}: set single or multi.")
    if not _SCHEMA.fullmatch(config.database_schema):
        raise ConfigError(f"database_schema is {config.database_schema!r}: use a-z, 0-9 and _.")
    if config.dev and config.environment not in DEVELOPMENT:
        raise ConfigError(f"dev is set although the environment is {config.environment!r}: unset one.")
    if config.dev and is_public(config.issuer):
        raise ConfigError(
            f"dev is set although the issuer {config.issuer!r} is on the Internet: unset dev, "
            "or use an issuer such as http://127.0.0.1:8000."
        )
    _check_addresses(config)
    check_messages(config)
    _check_providers(config)
    TrustedProxies(config.trusted_proxies)
    _check_networks(config)
    check_rate_limits(config)
    _check_browsers(config)
    check_passkeys(config)
    for client, secret in config.introspection_clients.items():
        _check_client(client, secret)
    since = config.verification_enforced_since
    if since is not None and since.tzinfo is None:
        raise ConfigError(f"verification_enforced_since is {since}, without a time zone: add one.")
    _check_numbers(config)
    _check_two_factor_policy(config)
    _check_passwordless(config)


def warnings(config: Config, *, sends_mail: bool) -> list[str]:
    """Return a sentence about each setting that works and will surprise."""
    found = []
    if not config.issuer.startswith(("https://", "http://")):
        found.append("issuer is not a web address: verifiers cannot find the keys by themselves")
    if not config.is_production:
        return found
    if config.issuer.startswith("http://"):
        found.append("issuer begins with http://: verifiers on other machines refuse it; set an https URL")
    if config.issuer.endswith("/"):
        found.append("issuer ends with a slash: verifiers must name it with the slash, or set it without one")
    if config.smtp_allow_plain and (config.smtp_url or "").startswith("smtp+plain://"):
        found.append(
            "smtp_allow_plain is set and smtp_url has no TLS: every machine on the way to the mail server "
            "can read codes and links; use smtps:// or smtp:// for mails to users"
        )
    if not sends_mail:
        found.append(
            "there is no mail sender: sign-up by email and password resets respond with 501; "
            "set AUTHKIT_SMTP_URL and AUTHKIT_SMTP_FROM, or pass email_sender"
        )
    if sends_by_verify_alone(config):
        found.append(
            "sms_url sends by Verify alone, which takes no long code: after ten wrong guesses at codes of a "
            "number, by any client, its owner gets none; add from= or messaging_service="
        )
    return found


def _check_networks(config: Config) -> None:
    for network in config.webhook_networks:
        try:
            ipaddress.ip_network(network)
        except ValueError:
            raise ConfigError(
                f"webhook_networks: {network!r} is not a network; write one such as 10.1.0.0/16."
            ) from None


def _check_providers(config: Config) -> None:
    for slug, provider in config.providers.items():
        check_provider(slug, provider)
    if len(set(config.provider_issuers.values())) < len(config.providers):
        # A login is identified by issuer and subject: the client it came through must not matter.
        raise ConfigError("providers: two of them have the same issuer; keep one of the two.")
    if config.providers and config.is_production and config.base_url is None:
        raise ConfigError("base_url is not set: set the public URL that providers send browsers back to.")


def check_urls(config: Config) -> None:
    """Refuse a URL that cannot be split: what reads it later would raise an error without its name."""
    texts = {name: getattr(config, name) for name in _URLS}
    texts |= {f"providers: the issuer of {slug}": found.issuer for slug, found in config.providers.items()}
    for name, text in texts.items():
        try:
            _ = urlsplit(text or "").port
        except ValueError as error:
            raise ConfigError(f"{name} is {text!r}: correct its host or port ({error}).") from None


def _check_addresses(config: Config) -> None:
    for name in ("base_url", "link_base_url", "login_callback_url"):
        address = getattr(config, name)
        if address is not None and not _is_web_address(address):
            raise ConfigError(f"{name} is {address!r}: set an absolute http or https URL.")
    if not _PREFIX.fullmatch(config.route_prefix):
        raise ConfigError(f'route_prefix is {config.route_prefix!r}: set a path such as /auth, or "".')
    if "#" in (config.login_callback_url or ""):
        raise ConfigError("login_callback_url has a fragment, where the result goes: remove it.")


def _check_types(config: Config) -> None:
    """Refuse text where a number is meant: a comparison would fail without a name."""
    for entry in dataclasses.fields(config):
        value = getattr(config, entry.name)
        unset = value is None and str(entry.type).endswith("| None")
        if str(entry.type).startswith(("int", "float")) and not (unset or isinstance(value, int | float)):
            unit = "seconds or a timedelta" if str(entry.type).startswith("float") else "a number"
            raise ConfigError(f"{entry.name} is {value!r}: set {unit}.")


def _check_two_factor_policy(config: Config) -> None:
    if config.two_factor_policy not in {"off", "optional", "required"}:
        raise ConfigError(
            f"two_factor_policy is {config.two_factor_policy!r}: set off, optional or required."
        )
    delay = config.recovery_delay
    if delay is not None and config.is_production and delay < MIN_RECOVERY_DELAY:
        raise ConfigError(
            f"recovery_delay is {delay:g}: it must be {MIN_RECOVERY_DELAY} seconds (a day) or more, "
            "so that the owner can read the notice and cancel; 259200 (72 hours) is recommended."
        )


def _check_passwordless(config: Config) -> None:
    if config.passwordless not in {"off", "code", "link", "both"}:
        raise ConfigError(f"passwordless is {config.passwordless!r}: set off, code, link or both.")
    if config.passwordless_registration and config.passwordless == "off":
        raise ConfigError("passwordless_registration is set although passwordless is off: set code or link.")


def _check_numbers(config: Config) -> None:
    positive = (
        "access_token_duration", "code_ttl", "link_ttl", "pending_email_ttl", "pending_phone_ttl",
        "send_timeout", "max_code_attempts", "max_codes_per_hour", "max_codes_per_target_hour",
        "database_pool_size", "database_connect_timeout", "database_command_timeout", "redis_timeout",
        "hash_queue", "hash_deadline", "hash_memory_mib", "event_retention",
        "login_failure_limit", "login_failure_window",
        "sms_max_per_number_hour", "sms_max_per_prefix_hour", "sms_max_per_hour",
        "session_retention", "key_reload_interval", "two_factor_ttl", "solana_challenge_ttl",
        "step_up_max_age", "device_duration",
    )  # fmt: skip
    for name in positive:
        if not getattr(config, name) > 0:
            raise ConfigError(f"{name} is {getattr(config, name)}: it must be greater than zero.")
    for entry in dataclasses.fields(config):
        value = getattr(config, entry.name)
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{entry.name} is {value}: it must be a finite number.")
    optional = (
        "refresh_token_duration", "refresh_idle_duration", "session_max_per_user", "hash_threads",
        "rename_cooldown", "deleted_user_retention", "two_factor_remember", "database_lock_timeout",
        "database_statement_timeout", "recovery_delay",
    )  # fmt: skip
    for name in optional:
        value = getattr(config, name)
        if value is not None and not value > 0:
            raise ConfigError(f"{name} is {value}: it must be greater than zero, or None.")
    for name in ("refresh_rotation_grace", "code_cooldown"):
        if getattr(config, name) < 0:
            raise ConfigError(f"{name} is {getattr(config, name)}: it must not be negative.")
    if not 0 <= config.access_token_jitter < 1:
        raise ConfigError(
            f"access_token_jitter is {config.access_token_jitter}: it must be at least 0 and below 1."
        )
    _check_pool(config)
    _check_hashing(config)


def _check_pool(config: Config) -> None:
    if not 0 <= config.database_pool_min <= config.database_pool_size:
        raise ConfigError(
            f"database_pool_min is {config.database_pool_min}: it must be 0 to {config.database_pool_size}, "
            "the database_pool_size."
        )


def _check_hashing(config: Config) -> None:
    """Refuse parameters whose hashes fail, or are refused once they are stored."""
    if not 1 <= config.argon2_time <= MAX_ARGON2_TIME:
        raise ConfigError(f"argon2_time is {config.argon2_time}: it must be 1 to {MAX_ARGON2_TIME}.")
    if not 1 <= config.argon2_lanes <= MAX_ARGON2_LANES:
        raise ConfigError(f"argon2_lanes is {config.argon2_lanes}: it must be 1 to {MAX_ARGON2_LANES}.")
    if not 8 * config.argon2_lanes <= config.argon2_memory_kib <= MAX_ARGON2_MEMORY_KIB:
        raise ConfigError(
            f"argon2_memory_kib is {config.argon2_memory_kib}: it must be {8 * config.argon2_lanes}"
            f" (8 for each lane) to {MAX_ARGON2_MEMORY_KIB}."
        )


def _check_browsers(config: Config) -> None:
    for origin in config.cors_origins:
        if not _ORIGIN.fullmatch(origin):
            raise ConfigError(f"cors_origins: {origin!r} is not an origin such as https://app.example.")
    if config.refresh_cookie_same_site not in {"lax", "strict", "none"}:
        raise ConfigError(
            f"refresh_cookie_same_site is {config.refresh_cookie_same_site!r}: set lax, strict or none."
        )
    if config.refresh_cookie_same_site == "none" and config.dev:
        raise ConfigError("refresh_cookie_same_site is none, which needs https, and dev has none: set lax.")
    for tag in config.languages:
        if not _LANGUAGE.fullmatch(tag):
            raise ConfigError(f"languages: {tag!r} is not a language tag; write one such as de or pt-br.")


def _check_client(client: str, secret: str) -> None:
    """Refuse ids that HTTP Basic cannot carry, and secrets that could be guessed."""
    if not client or ":" in client or not client.isascii() or not client.isprintable():
        raise ConfigError(
            f"introspection_clients: {client!r} is not a client id; use printable ASCII without a colon."
        )
    if len(secret) < MIN_CLIENT_SECRET or not secret.isascii() or not secret.isprintable():
        raise ConfigError(
            f"introspection_clients: {client} needs a secret of {MIN_CLIENT_SECRET} or more ASCII characters."
        )


def is_public(address: str) -> bool:
    """True if the host of a URL is a name or an address of the public Internet."""
    try:
        host = (urlsplit(address).hostname or "").rstrip(".")
    except ValueError:
        return False
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host and not host.endswith(_LOCAL)


def _is_web_address(text: str) -> bool:
    parts = urlsplit(text)
    return parts.scheme in {"http", "https"} and bool(parts.netloc)
