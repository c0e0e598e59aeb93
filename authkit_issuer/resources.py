"""What a service opens for itself, what it refuses to open, and how it lets go of it."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Any

import httpx

from authkit_issuer import cancellation, errors
from authkit_issuer.config import Config
from authkit_issuer.config.checks import warnings
from authkit_issuer.config.messages import require_countries
from authkit_issuer.config.settings import missing
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base.sms_reports import reachable_url
from authkit_issuer.domains.orgs.queries import SHARED_ORGS
from authkit_issuer.domains.webhooks.delivery import WebhookWorker
from authkit_issuer.ephemeral.memory import MemoryStore
from authkit_issuer.errors.causes import cause
from authkit_issuer.event_types import SessionEventType
from authkit_issuer.federation import IdentityProvider, ProviderHttp, identity_providers
from authkit_issuer.keys import KeySource
from authkit_issuer.outbox import Outbox
from authkit_issuer.ports import (
    AuthEventLogger,
    Clock,
    EmailSender,
    EphemeralStore,
    RandomBytes,
    Senders,
    SMSSender,
)
from authkit_issuer.ports.telemetry import Telemetry
from authkit_issuer.runtime import Background, Runtime
from authkit_issuer.sampling import Sampling
from authkit_issuer.security.hashing import PasswordHasher
from authkit_issuer.senders.configured import (
    development_inbox,
    mail_sender,
    require_sign_in_links,
    sms_sender,
)
from authkit_issuer.senders.inbox import Inbox
from authkit_issuer.senders.mails import Mails
from authkit_issuer.senders.measured import measured
from authkit_issuer.store import migrate, postgres
from authkit_issuer.store.connecting import Connector
from authkit_issuer.store.connection import Store, translated
from authkit_issuer.store.measured import MeasuredStore, Statements, WatchedPoolStore
from authkit_issuer.store.pooler import recognize
from authkit_issuer.store.readiness import DatabaseReadiness
from authkit_issuer.store.replica import ReplicaStore

CLOSE_TIMEOUT = 10.0
CLICKHOUSE = "clickhouse"
"""What the outbox calls the sink of ``clickhouse_url``: events that wait for it are kept under this name."""

logger = logging.getLogger("authkit.keys")
startup = logging.getLogger("authkit.service")


class Resources:
    """What a service opened itself, in order, and how to let go of it."""

    def __init__(self) -> None:
        """Start with nothing opened."""
        self.background = Background()
        self._closers: list[Any] = []
        self._loops: list[asyncio.Task[None]] = []
        self.readiness: DatabaseReadiness | None = None
        self._pool: postgres.Pool | None = None
        self._statements: Statements | None = None

    async def database(
        self, config: Config, given: postgres.Pool | None, telemetry: Telemetry | None = None
    ) -> tuple[postgres.Pool | None, Store]:
        """Return the pool and its store, opened unless the host brought a pool; the schema is checked."""
        pool, connector = given, None
        if pool is None:
            if config.database_url is None:
                return None, postgres.NoStore()
            connector = _connector(config, config.database_url)
            self._closers.append(connector.close)
            await recognize(connector)
            pool = await postgres.open_pool(
                connector, min_size=config.database_pool_min, max_size=config.database_pool_size
            )
            self._closers.append(partial(_close_pool, pool))
        with translated():
            async with pool.acquire(timeout=postgres.ACQUIRE_TIMEOUT) as connection:
                await migrate.check(connection, schema=config.database_schema)
                if config.org_mode == "single":
                    await _refuse_downgrade(connection, config.database_schema)
        if telemetry is None:
            store = postgres.PoolStore(pool, config.database_schema, connector)
            self.readiness = DatabaseReadiness(store, connector)
            return pool, store
        self._pool, self._statements = pool, Statements(telemetry)
        watched = WatchedPoolStore(pool, config.database_schema, connector, self._statements)
        self.readiness = DatabaseReadiness(watched, connector)
        return pool, MeasuredStore(watched, self._statements)

    async def replica(self, config: Config, primary: Store) -> Store:
        """Return the store for reads that may be old; a replica that is away stops nothing."""
        if config.database_read_url is None:
            return primary
        connector = _connector(config, config.database_read_url)
        self._closers.append(connector.close)
        pool = await postgres.open_pool(connector, min_size=0, max_size=config.database_pool_size)
        self._closers.append(partial(_close_pool, pool))
        return ReplicaStore(postgres.PoolStore(pool, config.database_schema, connector), primary)

    async def database_problem(self) -> errors.Unavailable | None:
        """Return what keeps the database from taking writes; None if it takes them."""
        return errors.DatabaseUnavailable() if self.readiness is None else await self.readiness.problem()

    async def clock(self, clock: Clock) -> None:
        """Refuse a clock that is far from the database's."""
        if self.readiness is not None:
            await self.readiness.refuse_wrong_clock(clock)

    async def ephemeral(self, config: Config, given: EphemeralStore | None, clock: Clock) -> EphemeralStore:
        """Return the store for short-lived records; outside of development it must be a shared one."""
        store = given
        if store is None:
            if config.redis_url is not None:
                # The client comes with an extra; who works in memory need not have it.
                try:
                    from authkit_issuer.ephemeral.redis import RedisStore  # noqa: PLC0415
                except ImportError as error:
                    raise errors.ConfigError(
                        'redis_url needs the Redis client: install "asgi-authkit[redis]".'
                    ) from error
                store = await RedisStore.connect(
                    config.redis_url, prefix=config.key_prefix, timeout=config.redis_timeout
                )
            else:
                store = MemoryStore(clock=clock)
            self._closers.append(store.aclose)
        if config.is_production and store.mode != "redis":
            raise errors.ConfigError(f"redis_url: {missing('redis_url')}")
        return store

    def identity(
        self,
        config: Config,
        client: httpx.AsyncClient | None,
        clock: Clock,
        telemetry: Telemetry | None = None,
    ) -> dict[str, IdentityProvider]:
        """Return the external login providers; nothing is asked of them yet."""
        http = ProviderHttp(client, telemetry)
        providers = identity_providers(config.providers, http=http, clock=clock)
        self._closers.append(http.aclose)
        self._closers.extend(provider.aclose for provider in providers.values())
        return providers

    def passkeys(self, config: Config) -> None:
        """Import the library of passkeys where they are configured, so that no request has to."""
        if config.webauthn_rp_id is None:
            return
        try:
            import_module("authkit_issuer.security.webauthn_responses")
        except ImportError as error:
            raise errors.ConfigError(
                'webauthn_rp_id needs the library of passkeys: install "asgi-authkit[passkeys]".'
            ) from error

    def sinks(self, config: Config, given: Sequence[AuthEventLogger]) -> tuple[AuthEventLogger, ...]:
        """Return the host's sinks and the one of ``clickhouse_url``; nothing is opened yet."""
        if config.clickhouse_url is None or any(sink.name == CLICKHOUSE for sink in given):
            return tuple(given)
        # Its refusals are no answers of this service: who has no such sink need not know them.
        from authkit_issuer.sinks import ClickHouse, ClickHouseLogger  # noqa: PLC0415

        server = ClickHouse.from_url(config.clickhouse_url)
        self._closers.append(server.aclose)
        return (*given, ClickHouseLogger(server, table=config.clickhouse_table, name=CLICKHOUSE))

    def senders(  # noqa: PLR0917 - each part of a service has one place here
        self,
        config: Config,
        templates: Mails,
        given: tuple[EmailSender | None, SMSSender | None],
        clock: Clock,
        random_bytes: RandomBytes,
        telemetry: Telemetry | None = None,
    ) -> tuple[Senders, Inbox | None]:
        """Return the host's senders, or those of the settings, or in development an inbox in their place."""
        email, sms = given
        if email is None and config.smtp_url is not None:
            sender = mail_sender(config, templates, clock, random_bytes)
            self._closers.append(sender.aclose)
            email = sender
        if sms is None and config.sms_url is not None:
            provider = sms_sender(config, clock, random_bytes)
            self._closers.append(provider.aclose)
            sms = provider
        if sms is not None:
            require_countries(config)
        inbox = development_inbox(config, templates, clock) if config.dev and email is None else None
        senders = Senders.of(
            measured(email or inbox, "email", telemetry),
            measured(sms or (inbox.texts if inbox else None), "sms", telemetry),
        )
        require_sign_in_links(config, senders)
        return senders.reporting_to(reachable_url(config)), inbox

    def hasher(self, config: Config) -> PasswordHasher:
        """Start the hashing pool."""
        hasher = PasswordHasher(config)

        async def close() -> None:
            hasher.close()

        self._closers.append(close)
        return hasher

    def start(self, rt: Runtime, keys: KeySource, sinks: Sequence[AuthEventLogger]) -> Runtime:
        """Start the loops that run beside the requests; returns the Runtime that wakes them."""
        checked = "production" if rt.config.is_production else "development"
        startup.info("environment %s, checked as %s", rt.config.environment or "unset", checked)
        for warning in warnings(rt.config, sends_mail=rt.email_sender is not None):
            startup.warning("%s", warning)
        self._loops.append(
            asyncio.create_task(_watch(keys, rt.config.key_reload_interval), name="authkit keys")
        )
        self._closers.append(lambda: rt.hooks.close(timeout=CLOSE_TIMEOUT))
        if rt.telemetry is not None:
            statements = self._statements or Statements(rt.telemetry)
            sampling = Sampling(rt, rt.telemetry, self._pool, statements)
            self._loops.append(asyncio.create_task(sampling.run(), name="authkit sampling"))
        if not rt.has_storage:
            return rt
        webhooks = WebhookWorker(rt)
        self._loops.append(asyncio.create_task(webhooks.run(), name="authkit webhooks"))
        self._closers.append(webhooks.close)
        rt = dataclasses.replace(rt, wake_webhooks=webhooks.wake)
        if sinks:
            outbox = Outbox(rt, sinks)
            self._loops.extend(outbox.start())
            self._closers.append(outbox.release)
            rt = outbox.rt
        record = partial(Events(rt).record, SessionEventType.SMS_UNUSED, actor=None)
        return dataclasses.replace(rt, report_unused_sms=record)

    async def close(self) -> None:
        """Stop the loops, drain the background, close the rest in reverse order, each once.

        A part that fails to close keeps no other one open. After a cancellation the next call goes on.
        """
        for task in self._loops:
            task.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        self.background.drop_postponed()
        await self.background.drain(timeout=CLOSE_TIMEOUT)
        while self._closers:
            closer = self._closers.pop()
            try:
                await closer()
            except Exception as error:  # noqa: BLE001 - a host's own part may raise anything
                startup.error("a part of the service was not closed: %s", cause(error))


def _connector(config: Config, address: str) -> Connector:
    limits = {
        "lock_timeout": config.database_lock_timeout,
        "statement_timeout": config.database_statement_timeout,
    }
    return Connector(
        address,
        timeout=config.database_connect_timeout,
        command_timeout=config.database_command_timeout,
        statement_cache=config.database_statement_cache,
        settings={
            name: f"{round(seconds * 1000)}ms" for name, seconds in limits.items() if seconds is not None
        },
    )


async def _refuse_downgrade(connection: Any, schema: str) -> None:
    """Refuse to run without organizations over data that has them: their roles would be read as nothing."""
    found = await connection.fetch(SHARED_ORGS.text(schema))
    if len(found) > 1:
        raise errors.OrgModeDowngradeRefused(
            "org_mode is single, and this database has organizations with several members "
            "(org_mode_downgrade_refused); set org_mode to multi."
        )


async def _watch(keys: KeySource, interval: float) -> None:
    while True:
        await asyncio.sleep(interval)
        try:
            with cancellation.as_failure():
                await keys.refresh()
        except Exception as error:  # noqa: BLE001 - a host's own source may raise anything; look again later
            logger.error("keys not refreshed: %s", type(error).__name__)  # noqa: TRY400


async def _close_pool(pool: postgres.Pool) -> None:
    """Close gracefully, then by force: a query that hangs must not keep the process alive."""
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await pool.close()
            return
    pool.terminate()
