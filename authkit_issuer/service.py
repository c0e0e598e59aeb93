"""The ``Service``: every capability over one Runtime.

``async with await Service.open(config) as service`` opens what it needs and closes it; a pool, a store and
senders that a host passes in stay the host's to close.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from authkit_issuer import errors
from authkit_issuer.capabilities.entitlements import Entitlements
from authkit_issuer.capabilities.events import Events
from authkit_issuer.capabilities.logins import Logins
from authkit_issuer.capabilities.passwords import Passwords
from authkit_issuer.capabilities.registration import Registration
from authkit_issuer.capabilities.sessions import Sessions
from authkit_issuer.capabilities.tokens import Tokens
from authkit_issuer.capabilities.users import Users
from authkit_issuer.config import Config, process_environment
from authkit_issuer.ports import (
    AuthEventLogger,
    Clock,
    EmailSender,
    EntitlementsProvider,
    EphemeralMode,
    EphemeralStore,
    RandomBytes,
    SMSSender,
)
from authkit_issuer.resources import Resources
from authkit_issuer.runtime import Runtime
from authkit_issuer.security.key_sources import load_keys
from authkit_issuer.security.minting import Minter
from authkit_issuer.security.own_tokens import OwnTokens
from authkit_issuer.senders.inbox import Inbox
from authkit_issuer.store import postgres
from authkit_verify import EnrichmentSource

if TYPE_CHECKING:
    from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The whole issuer, as a library. Made by ``Service.open``."""

    rt: Runtime = field(repr=False)
    pool: postgres.Pool | None = field(repr=False)
    inbox: Inbox | None = None
    """The development inbox, which takes every message; None outside of development."""
    resources: Resources = field(repr=False)

    users: Users
    registration: Registration
    passwords: Passwords
    tokens: Tokens
    sessions: Sessions
    logins: Logins
    entitlements: Entitlements
    events: Events

    @classmethod
    async def open(  # noqa: PLR0917 - the contract: every part may be passed by position
        cls,
        config: Config,
        pool: postgres.Pool | None = None,
        ephemeral_store: EphemeralStore | None = None,
        email_sender: EmailSender | None = None,
        sms_sender: SMSSender | None = None,
        entitlements_provider: EntitlementsProvider | None = None,
        event_loggers: Sequence[AuthEventLogger] = (),
        *,
        clock: Clock = time.time,
        random_bytes: RandomBytes = os.urandom,
    ) -> Self:
        """Check everything, connect, and return a service that is ready.

        ``pool=None`` opens one from ``config.database_url``; without that, only what needs no database works.
        The database must have been migrated. Raises ``ConfigError``, ``StartupError``,
        ``DatabaseUnavailable``, ``EphemeralStoreUnavailable``.
        """
        _check_config(config)
        keys = load_keys(config, process_environment(), clock=clock, random_bytes=random_bytes)
        inbox = Inbox(clock) if config.dev and email_sender is None else None
        resources = Resources()
        try:
            pool = await resources.database(config, pool)
            store = await resources.ephemeral(config, ephemeral_store, clock)
            rt = Runtime(
                config=config,
                clock=clock,
                random_bytes=random_bytes,
                store=postgres.NoStore()
                if pool is None
                else postgres.PoolStore(pool, config.database_schema),
                ephemeral=store,
                keys=keys,
                minter=Minter(keys),
                own_tokens=OwnTokens(config, keys, clock),
                hasher=resources.hasher(config),
                background=resources.background,
                email_sender=email_sender or inbox,
                sms_sender=sms_sender or (inbox.texts if inbox else None),
                entitlements_provider=entitlements_provider,
                sinks=tuple(logger.name for logger in event_loggers),
            )
            rt = resources.start(rt, keys, event_loggers)
        except BaseException:
            await resources.close()
            raise
        return cls._over(rt, pool=pool, inbox=inbox, resources=resources)

    @classmethod
    def _over(
        cls, rt: Runtime, *, pool: postgres.Pool | None, inbox: Inbox | None, resources: Resources
    ) -> Self:
        return cls(
            rt=rt,
            pool=pool,
            inbox=inbox,
            resources=resources,
            users=Users(rt),
            registration=Registration(rt),
            passwords=Passwords(rt),
            tokens=Tokens(rt),
            sessions=Sessions(rt),
            logins=Logins(rt),
            entitlements=Entitlements(rt),
            events=Events(rt),
        )

    async def __aenter__(self) -> Self:
        """Return the service itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.close()

    async def close(self) -> None:
        """Finish background work within ten seconds, then close what ``open`` opened."""
        await self.resources.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Self, None]:
        """Yield a service whose calls are one transaction; mails and events wait for its commit.

        Methods that leave a mark when they refuse, or that hash a password, raise ``NotJoinable`` inside.
        """
        async with self.rt.transaction() as tx:
            yield self._over(tx, pool=self.pool, inbox=self.inbox, resources=self.resources)

    def enrichment(self) -> EnrichmentSource:
        """Return the source that ``AuthMiddleware(enrichment=...)`` asks, for a host that has both."""
        return self.tokens

    @property
    def config(self) -> Config:
        """The configuration, normalised."""
        return self.rt.config

    @property
    def options(self) -> Config:
        """The configuration, normalised."""
        return self.rt.config

    @property
    def ephemeral_mode(self) -> EphemeralMode:
        """``"redis"`` when other processes share the one-time records, else ``"memory"``."""
        return self.rt.ephemeral.mode

    @property
    def has_email_sender(self) -> bool:
        """Tell whether mails can be sent."""
        return self.rt.email_sender is not None

    @property
    def has_sms_sender(self) -> bool:
        """Tell whether text messages can be sent."""
        return self.rt.sms_sender is not None

    async def health(self) -> dict[str, bool]:
        """Tell for ``database`` and ``ephemeral_store`` whether they answer within two seconds."""
        database = self.pool is not None and await postgres.healthy(self.pool)
        return {"database": database, "ephemeral_store": await self._ephemeral_healthy()}

    async def _ephemeral_healthy(self) -> bool:
        try:
            await self.rt.ephemeral.ping()
        except errors.EphemeralStoreUnavailable:
            return False
        return True

    async def maintain(self) -> None:
        """Delete what has outlived its retention; safe to run from any number of processes."""
        await self.sessions.purge()
        await self.events.purge()


def _check_config(config: Config) -> None:
    if config.org_mode != "single":
        raise errors.ConfigError("org_mode multi is not available in this version.")
