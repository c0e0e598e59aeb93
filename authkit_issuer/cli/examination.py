"""The checks of ``authkit doctor``: each finding has its cause, and a remedy where there is one."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from urllib.parse import urlsplit

from authkit_issuer.config import Config
from authkit_issuer.config.providers import WITHOUT_ID_TOKENS
from authkit_issuer.ephemeral.redis import RedisStore
from authkit_issuer.errors import AuthError, ConfigError, StartupError
from authkit_issuer.federation.http import ProviderHttp
from authkit_issuer.federation.metadata import Metadata
from authkit_issuer.ports import SendFailure
from authkit_issuer.security import key_file, key_rotation
from authkit_issuer.security.key_sources import DEFAULT_KEYS_DIR
from authkit_issuer.senders.configured import mail_sender, mails
from authkit_issuer.store.dialect import OLDEST
from authkit_issuer.store.inspection import DatabaseFacts, OtherEngine, inspect
from authkit_issuer.store.migrate import pending
from authkit_verify.doctor import Finding

MAX_KEY_AGE = 365.0
"""Days after which a signing key should be replaced."""
MAX_CLOCK_DIFFERENCE = 2.0
_DAY = 86_400.0


def error(code: str, sentence: str, advice: str | None = None) -> Finding:
    """Return a finding that stops the service, or a part of it."""
    return Finding("error", code, sentence, advice)


def warning(code: str, sentence: str, advice: str | None = None) -> Finding:
    """Return a finding about something unsafe or surprising."""
    return Finding("warning", code, sentence, advice)


async def examine(config: Config, env_has_keys: bool) -> AsyncIterator[Finding]:  # noqa: FBT001 - one caller
    """Yield the findings about everything that the settings name."""
    async for finding in _database(config):
        yield finding
    async for finding in _redis(config):
        yield finding
    for finding in _keys(config, env_has_keys=env_has_keys):
        yield finding
    async for finding in _mail(config):
        yield finding
    async for finding in _providers(config):
        yield finding
    for finding in (*_addresses(config), *_cookies(config), *_unsafe(config)):
        yield finding


async def _database(config: Config) -> AsyncIterator[Finding]:
    if config.database_url is None:
        return
    try:
        facts = await inspect(config.database_url, schema=config.database_schema)
    except ConfigError as failure:
        yield error("database_url", str(failure), "Write postgresql://user:password@host/database.")
        return
    except OtherEngine as found:
        sentence = f"The server is {found}, which refuses a migration."
        yield error("database_engine", sentence, "Use PostgreSQL 15 or newer.")
        return
    except AuthError as failure:
        yield error(
            "database_unreachable", f"{failure.reason}.", "Check AUTHKIT_DATABASE_URL and the server."
        )
        return
    yield Finding("ok", "database", f"{facts.engine} {facts.version} answers as {facts.role}.")
    for finding in _about_database(config, facts):
        yield finding
    try:
        missing = await pending(config.database_url, schema=config.database_schema)
    except StartupError as failure:
        yield error("database_schema", str(failure))
        return
    if missing:
        yield error("database_schema", f"{len(missing)} migrations are pending.", "Run `authkit migrate`.")


def _about_database(config: Config, facts: DatabaseFacts) -> Iterator[Finding]:
    yield from _about_engine(facts)
    if facts.standby:
        advice = "Name the primary, or add target_session_attrs=read-write to AUTHKIT_DATABASE_URL."
        yield error("database_standby", "The server is a standby, which accepts no changes.", advice)
    elif facts.read_only:
        advice = "Unset default_transaction_read_only of the role and the database."
        yield error("database_read_only", "Transactions are read-only.", advice)
    if not facts.may_write:
        sentence = f"{facts.role} may not read and change every table of {config.database_schema}."
        yield error("database_privileges", sentence, "Grant select, insert, update and delete.")
    if facts.superuser:
        sentence = f"{facts.role} is a superuser."
        yield warning("database_superuser", sentence, "Give the service a role of its own.")
    if not facts.fsync:
        yield warning("database_fsync", "fsync is off: a crash may lose or damage data.", "Turn it on.")
    if facts.remote and not facts.encrypted:
        advice = "Add sslmode=verify-full to AUTHKIT_DATABASE_URL."
        yield warning("database_not_encrypted", "The connection is not encrypted.", advice)
    if config.database_pool_size > facts.max_connections:
        sentence = f"A process may open {config.database_pool_size} of {facts.max_connections} connections."
        yield error("database_connections", sentence, "Lower AUTHKIT_DATABASE_POOL_SIZE.")
    difference = facts.now - time.time()
    if abs(difference) > MAX_CLOCK_DIFFERENCE:
        sentence = f"The clock of the database is {difference:+.0f} s from this machine's."
        yield warning("clock", sentence, "Synchronize both by NTP: tokens may be refused.")


def _about_engine(facts: DatabaseFacts) -> Iterator[Finding]:
    if facts.engine != "PostgreSQL":
        sentence = f"The server is {facts.engine}: this program is tested on PostgreSQL alone."
        advice = "Read its column in docs/guides/database.md, and run the tests of the repository against it."
        yield warning("database_engine", sentence, advice)
    elif facts.release < OLDEST:
        sentence = f"PostgreSQL {facts.version} is too old."
        yield error("database_engine", sentence, f"Use version {OLDEST} or newer.")
    if facts.citus:
        advice = "Distribute none: unique indexes would have to contain the distribution column."
        yield warning("database_citus", "Citus may distribute tables of this database.", advice)


async def _redis(config: Config) -> AsyncIterator[Finding]:
    if config.redis_url is None:
        return
    try:
        store = await RedisStore.connect(
            config.redis_url, prefix=config.key_prefix, timeout=config.redis_timeout
        )
    except (ConfigError, StartupError) as failure:
        yield error("redis", str(failure))
        return
    except AuthError as failure:
        yield error("redis_unreachable", f"{failure.reason}.", "Check AUTHKIT_REDIS_URL and the server.")
        return
    try:
        facts = await store.inspect()
    finally:
        await store.aclose()
    yield Finding("ok", "redis", "Redis answers, and keeps records when memory is short.")
    if facts.persistent is False:
        sentence = "Redis keeps nothing on disk: a restart forgets codes, failed logins and rate limits."
        yield warning("redis_not_persistent", sentence, "Set appendonly yes.")


def _keys(config: Config, *, env_has_keys: bool) -> Iterator[Finding]:
    if env_has_keys:
        return
    path = Path(config.keys_dir or DEFAULT_KEYS_DIR) / key_file.FILE_NAME
    try:
        loaded = key_rotation.read(path)
        mode = path.stat().st_mode & 0o077
        written = path.stat().st_mtime
    except ConfigError as failure:
        yield error("keys", str(failure), "`authkit keys generate` writes new ones.")
        return
    if mode:
        yield warning("keys_readable", f"Other users may read {path}.", f"Run `chmod 600 {path}`.")
    # The last change of the signing key; before the first one, the age of the file.
    since = max([*loaded.retired.values(), loaded.switch_at]) or written
    age = (time.time() - since) / _DAY
    if age > MAX_KEY_AGE:
        sentence = f"The signing key is {age:.0f} days old."
        yield warning(
            "key_age", sentence, "Run `authkit keys rotate`, or `keys announce` for a secret store."
        )
    else:
        yield Finding("ok", "keys", f"{path} has a signing key of {max(age, 0):.0f} days.")


async def _mail(config: Config) -> AsyncIterator[Finding]:
    if config.smtp_url is None:
        return
    try:
        templates = await asyncio.to_thread(mails, config)
        sender = mail_sender(config, templates, time.time, os.urandom)
    except ConfigError as failure:
        yield error("mail", str(failure))
        return
    try:
        async with aclosing(sender):
            await sender.check()
    except SendFailure as failure:
        advice = "Check AUTHKIT_SMTP_URL; 535 is a wrong user name or password."
        yield error("mail", f"The mail server cannot be used: {failure}.", advice)
    else:
        yield Finding("ok", "mail", "The mail server accepts the login.")


async def _providers(config: Config) -> AsyncIterator[Finding]:
    http = ProviderHttp()
    try:
        for slug, issuer in config.provider_issuers.items():
            if slug in WITHOUT_ID_TOKENS:
                continue
            loopback = config.providers[slug].allow_http_loopback
            metadata = Metadata(slug, issuer, http, time.time, http_loopback=loopback)
            try:
                await metadata.endpoint("authorization_endpoint")
            except AuthError:
                sentence = f"The metadata of {slug} cannot be used: {issuer}."
                yield error("provider", sentence, "The line of the log above has the cause.")
            else:
                yield Finding("ok", "provider", f"{slug} has metadata.")
    finally:
        await http.aclose()


def _addresses(config: Config) -> Iterator[Finding]:
    wide = [text for text in config.trusted_proxies if text != "unix" and _is_everyone(text)]
    if wide:
        sentence = f"trusted_proxies has {wide[0]}: every client may choose its address, and avoid limits."
        yield error("proxies", sentence, "Name the addresses of your proxies.")
    elif not config.trusted_proxies and urlsplit(config.base_url or config.issuer).scheme == "https":
        sentence = "trusted_proxies is empty: behind a proxy that ends TLS, all clients share one address."
        yield warning("proxies", sentence, "Set AUTHKIT_TRUSTED_PROXIES to the proxy's address.")


def _is_everyone(text: str) -> bool:
    network = ipaddress.ip_network(text, strict=False)
    return network.prefixlen < (8 if network.version == 4 else 16)


def _cookies(config: Config) -> Iterator[Finding]:
    if not config.refresh_cookie:
        return
    own = urlsplit(config.base_url or config.issuer)
    if own.scheme != "https":
        sentence = "refresh_cookie is on, and the service is not https: browsers refuse the cookie."
        yield error("cookie", sentence, "Set an https URL as AUTHKIT_BASE_URL.")
    if config.refresh_cookie_same_site == "none":
        return
    for origin in config.cors_origins:
        host = urlsplit(origin).hostname or ""
        if _site(host) != _site(own.hostname or ""):
            sentence = f"Pages of {origin} are of another site than {own.hostname}: browsers send no cookie."
            yield warning("cookie", sentence, "Serve both below one domain, or set same_site to none.")


def _site(host: str) -> str:
    """Return the last two labels of a host name: nearly always the domain that was registered."""
    return ".".join(host.split(".")[-2:])


def _unsafe(config: Config) -> Iterator[Finding]:
    found = {
        "verification_required": not config.verification_required,
        "private_registration": not config.private_registration,
        "refuse_common_passwords": not config.refuse_common_passwords,
        "oidc_fragment_tokens": config.oidc_fragment_tokens,
        "access_token_duration": config.access_token_duration > 3600,
        "login_failure_limit": config.login_failure_limit > 100,
        "argon2_memory_kib": config.argon2_memory_kib * config.argon2_time < 19_456 * 2,
    }
    reasons = {
        "verification_required": "accounts are created for unproved addresses",
        "private_registration": "sign-up reveals which addresses have an account",
        "refuse_common_passwords": "users may choose the passwords that attackers try first",
        "oidc_fragment_tokens": "tokens are in the URL of a page",
        "access_token_duration": "a stolen token is valid for more than an hour",
        "login_failure_limit": "more than a hundred passwords may be tried for an account",
        "argon2_memory_kib": "hashes are cheaper to attack than OWASP advises",
    }
    for field, unsafe in found.items():
        if unsafe:
            value = getattr(config, field)
            yield warning("unsafe_setting", f"{field} is {value}: {reasons[field]}.", "Use the default.")
