"""The ``Service``: every capability over one Runtime.

``async with await Service.open(config) as service`` opens what it needs and closes it; a pool, a store and
senders that a host passes in stay the host's to close.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any, get_type_hints

from authkit_issuer import errors
from authkit_issuer.config import Config, process_environment
from authkit_issuer.details import Details, details
from authkit_issuer.domains.accounts.external_identities import Providers
from authkit_issuer.domains.accounts.roles import Roles
from authkit_issuer.domains.accounts.service import Users
from authkit_issuer.domains.accounts.usernames import Usernames
from authkit_issuer.domains.admin.service import Admin
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base.devices import Devices
from authkit_issuer.domains.base.entitlements import Entitlements
from authkit_issuer.domains.base.rate_limits import RateLimits
from authkit_issuer.domains.base.sms_reports import SmsReports, reachable_url
from authkit_issuer.domains.codes.guesses import Guesses
from authkit_issuer.domains.credentials.service import Passwords
from authkit_issuer.domains.factors.second_factors import SecondFactors
from authkit_issuer.domains.factors.service import TwoFactor
from authkit_issuer.domains.factors.totp import Totp
from authkit_issuer.domains.lifecycle.service import BeforePurge, Lifecycle
from authkit_issuer.domains.login.deleted_accounts import DeletedAccounts
from authkit_issuer.domains.login.external.service import OidcLogin
from authkit_issuer.domains.login.passwordless.service import Passwordless
from authkit_issuer.domains.login.service import Logins
from authkit_issuer.domains.login.solana.service import Solana
from authkit_issuer.domains.orgs.invites import OrgInvites
from authkit_issuer.domains.orgs.members import OrgMembers
from authkit_issuer.domains.orgs.service import Orgs
from authkit_issuer.domains.passkeys.logins import PasskeyLogins
from authkit_issuer.domains.passkeys.service import Passkeys
from authkit_issuer.domains.recovery.service import Recovery
from authkit_issuer.domains.sessions.service import Sessions
from authkit_issuer.domains.signup.contact_changes import ContactChanges
from authkit_issuer.domains.signup.service import Registration
from authkit_issuer.domains.signup.verification import Verification
from authkit_issuer.domains.tokens.service import Tokens
from authkit_issuer.domains.webhooks.service import Webhooks
from authkit_issuer.ephemeral.measured import measured
from authkit_issuer.errors import NotJoinable
from authkit_issuer.hooks import Hook
from authkit_issuer.ports import (
    AuthEventLogger,
    BreachCheck,
    Clock,
    EmailSender,
    EntitlementsProvider,
    EphemeralMode,
    EphemeralStore,
    RandomBytes,
    SMSSender,
)
from authkit_issuer.ports.telemetry import Telemetry
from authkit_issuer.resources import Resources
from authkit_issuer.runtime import Runtime, run_each
from authkit_issuer.security.access_token_signer import AccessTokenSigner
from authkit_issuer.security.hashing import HashingLoad
from authkit_issuer.security.key_sources import load_keys
from authkit_issuer.security.own_tokens import OwnTokens
from authkit_issuer.security.own_verifier import own_verifier
from authkit_issuer.senders.configured import mails
from authkit_issuer.senders.inbox import Inbox
from authkit_issuer.store import postgres
from authkit_issuer.store.batched import BatchedStatements
from authkit_issuer.store.connection import Connection, ConnectionStore
from authkit_issuer.store.measured import MeasuredTransaction
from authkit_verify import EnrichmentSource, Verifier

if TYPE_CHECKING:
    from typing import Self

    import httpx


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The whole issuer, as a library. Made by ``Service.open``.

    The fields are the one list of capabilities: each is made of the service's Runtime.
    """

    rt: Runtime = field(repr=False)
    pool: postgres.Pool | None = field(repr=False)
    inbox: Inbox | None = None
    """The development inbox, which takes every message; None outside of development."""
    resources: Resources = field(repr=False)

    users: Users
    usernames: Usernames
    lifecycle: Lifecycle
    registration: Registration
    verification: Verification
    contact_changes: ContactChanges
    passwords: Passwords
    org_invites: OrgInvites
    org_members: OrgMembers
    orgs: Orgs
    providers: Providers
    roles: Roles
    tokens: Tokens
    sessions: Sessions
    two_factor: TwoFactor
    second_factors: SecondFactors
    totp: Totp
    recovery: Recovery
    logins: Logins
    deleted_accounts: DeletedAccounts
    devices: Devices
    limits: RateLimits
    sms_reports: SmsReports
    passwordless: Passwordless
    oidc_login: OidcLogin
    solana: Solana
    passkeys: Passkeys
    passkey_logins: PasskeyLogins
    entitlements: Entitlements
    events: Events
    admin: Admin
    webhooks: Webhooks

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
        breach_check: BreachCheck | None = None,
        http_client: httpx.AsyncClient | None = None,
        telemetry: Telemetry | None = None,
        clock: Clock = time.time,
        random_bytes: RandomBytes = os.urandom,
    ) -> Self:
        """Check everything, connect, and return a service that is ready.

        ``pool=None`` opens one from ``config.database_url``; without that, only what needs no database works.
        The database must have been migrated. ``http_client`` asks login providers, and stays the host's to
        close. ``telemetry`` receives numbers and spans, such as ``prometheus.ServiceCollector``.
        Raises ``ConfigError``, ``StartupError``, ``DatabaseUnavailable``,
        ``EphemeralStoreUnavailable``.
        """
        keys = load_keys(config, process_environment(), clock=clock, random_bytes=random_bytes)
        templates = await asyncio.to_thread(mails, config)
        resources = Resources()
        try:
            given = (email_sender, sms_sender)
            senders, inbox = resources.senders(config, templates, given, clock, random_bytes, telemetry)
            sinks = resources.sinks(config, event_loggers)
            resources.passkeys(config)
            pool, database = await resources.database(config, pool, telemetry)
            await resources.clock(clock)
            store = await resources.ephemeral(config, ephemeral_store, clock)
            rt = Runtime(
                config=config,
                clock=clock,
                random_bytes=random_bytes,
                store=database,
                replica=await resources.replica(config, database),
                batched=BatchedStatements(database),
                ephemeral=store if telemetry is None else measured(store, telemetry),
                keys=keys,
                access_tokens=AccessTokenSigner(keys),
                own_tokens=OwnTokens(config, keys, clock),
                hasher=resources.hasher(config),
                identity=resources.identity(config, http_client, clock, telemetry),
                background=resources.background,
                senders=senders,
                entitlements_provider=entitlements_provider,
                breach_check=breach_check,
                sinks=tuple(sink.name for sink in sinks),
                telemetry=telemetry,
            )
            rt = resources.start(rt, keys, sinks)
        except BaseException:
            await resources.close()
            raise
        return cls._over(rt, pool=pool, inbox=inbox, resources=resources)

    @classmethod
    def _over(
        cls, rt: Runtime, *, pool: postgres.Pool | None, inbox: Inbox | None, resources: Resources
    ) -> Self:
        made = {name: capability(rt) for name, capability in capabilities().items()}
        return cls(rt=rt, pool=pool, inbox=inbox, resources=resources, **made)

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
    async def transaction(self, *, connection: Connection | None = None) -> AsyncGenerator[Self, None]:
        """Yield a service whose calls are one transaction; mails and events wait for its commit.

        Methods that leave a mark when they refuse, or that hash a password, raise ``NotJoinable`` inside.

        Args:
            connection: An asyncpg connection with an open transaction of the host, which the calls join: a
                failure undoes the block alone, and mails and events wait for the host's commit. Default
                None: a transaction of their own.

        Raises:
            NotJoinable: No transaction is open on ``connection``, it is not ``read committed``, or the
                service itself is inside a transaction.
            TypeError: ``connection`` is not asyncpg's.
        """
        begun = self.rt.transaction() if connection is None else self.rt.join(connection)
        async with begun as tx:
            yield self._over(tx, pool=self.pool, inbox=self.inbox, resources=self.resources)

    @property
    def connection(self) -> Connection:
        """The asyncpg connection of this transaction, for statements of the host.

        Raises ``NotJoinable`` outside of a transaction. The host neither ends the transaction by it nor
        changes the state of its session.
        """
        if not isinstance(self.rt.store, ConnectionStore | MeasuredTransaction):
            raise NotJoinable("connection is only there inside service.transaction(): use the yielded one")
        return self.rt.store.lend()

    async def deliver(self) -> None:
        """Send the mails of a block in ``transaction(connection=...)`` now, after the host's commit.

        Without this call the service notices the end of the transaction by itself, within a second. After a
        rollback nothing is sent. Raises ``NotJoinable`` while the transaction is open, and for a service that
        joined none.
        """
        if self.rt.host is None:
            raise NotJoinable(
                "deliver() is for transaction(connection=...): other transactions deliver alone"
            )
        await self.rt.host.deliver()

    def on(self, event: str, hook: Hook) -> None:
        """Call ``hook(event)`` after the commit with every event of a type, of this process alone.

        A hook is called beside the requests, one event at a time, in the order of the commits. Its failure is
        counted and logged. What waits for it is lost with the process: for every event, at least once, use
        ``event_loggers`` or ``webhooks``.

        Args:
            event: A ``SessionEventType``, or ``"*"`` for every type.
            hook: A coroutine function that takes an ``AuthSessionEvent``; it has thirty seconds.

        Raises:
            ValueError: The type does not exist.
        """
        self.rt.hooks.add(event, hook)

    def at_prefix(self, prefix: str) -> Self:
        """Return this service with another ``route_prefix``: links to its own routes begin with it.

        Raises ``ConfigError``.
        """
        config = replace(self.config, route_prefix=prefix)
        rt = replace(self.rt, config=config, senders=self.rt.senders.reporting_to(reachable_url(config)))
        return self._over(rt, pool=self.pool, inbox=self.inbox, resources=self.resources)

    def verifier(self, *, audiences: Sequence[str] | None = None) -> Verifier:
        """Return a verifier of this service's access tokens, for ``AuthMiddleware`` and the like.

        It reads the keys from memory: no request leaves the process, and a key that signs is known at once.

        Args:
            audiences: The audiences of which a token needs one. Default None: ``expected_audiences``.
        """
        return own_verifier(self.config, self.rt.keys, self.rt.clock, audiences)

    def enrichment(self) -> EnrichmentSource:
        """Return the source that ``AuthMiddleware(enrichment=...)`` asks, for a host that has both."""
        return self.tokens

    @property
    def config(self) -> Config:
        """The configuration, normalized."""
        return self.rt.config

    @property
    def options(self) -> Config:
        """The configuration, normalized."""
        return self.rt.config

    @property
    def ephemeral_mode(self) -> EphemeralMode:
        """``"redis"`` when other processes share the one-time records, else ``"memory"``."""
        return self.rt.ephemeral.mode

    @property
    def has_email_sender(self) -> bool:
        """True if mails can be sent."""
        return self.rt.email_sender is not None

    @property
    def has_sms_sender(self) -> bool:
        """True if SMS messages can be sent."""
        return self.rt.sms_sender is not None

    @property
    def telemetry(self) -> Telemetry | None:
        """What receives the numbers and spans of this service, or None."""
        return self.rt.telemetry

    @property
    def hashing(self) -> HashingLoad:
        """How busy the password-hashing pool of this process is, and how long callers waited."""
        return self.rt.hasher.load

    @property
    def failures(self) -> dict[str, int]:
        """How often parts of the host failed in this process, such as ``entitlements`` and ``sink <name>``.

        ``background`` is what ran beside requests, such as mails, and failed unseen.
        """
        return {
            **self.rt.failures,
            **self.rt.hooks.failures,
            "background": self.rt.background.failures,
        }

    async def health(self) -> dict[str, bool]:
        """Tell for ``database`` and ``ephemeral_store`` whether they take writes within two seconds."""
        return {part: problem is None for part, problem in (await self.readiness()).items()}

    async def readiness(self) -> dict[str, errors.Unavailable | None]:
        """Return the parts of ``health``; what is wrong with one has a ``cause`` and a ``reason``."""
        # At once: a probe waits for two seconds, and each may be silent that long.
        asked = (self.resources.database_problem(), self._ephemeral_problem())
        database, ephemeral = await asyncio.gather(*asked)
        return {"database": database, "ephemeral_store": ephemeral}

    async def details(self) -> Details:
        """Return what this process runs on, for operators: role and schema of the database, keys, version."""
        return await details(self.rt)

    async def _ephemeral_problem(self) -> errors.Unavailable | None:
        try:
            await self.rt.ephemeral.ping()
        except errors.EphemeralStoreUnavailable as error:
            return error
        return None

    async def maintain(self, *, before_purge: BeforePurge | None = None) -> None:
        """Delete what has outlived its retention; safe to run from any number of processes.

        The secrets of authenticator apps are sealed under the newest sealing key. A part that fails keeps no
        other one from its turn; the first failure is raised then.

        ``before_purge(user_id)`` is called before a soft-deleted user goes for good; a host that has to clean
        up without calling this sets ``deleted_user_retention=None`` and purges itself.
        """
        parts: list[Callable[[], Awaitable[object]]] = [self.recovery.remind, self.sessions.purge]
        parts += [self.webhooks.purge, self.events.purge, Guesses(self.rt).purge, self.devices.purge]
        parts += [self.totp.reseal, self.lifecycle.lift_lapsed_bans]
        if self.resources.readiness is not None:
            parts.append(partial(self.resources.readiness.compare_clocks, self.rt.clock))
        if self.config.deleted_user_retention is not None:
            parts += [partial(self.lifecycle.purge_deleted, before=before_purge), self.orgs.purge_deleted]
        await run_each(parts)


Provider = Service
"""``Service`` by the name for routes of a host; a stand-in in their tests is a ``typing.cast``."""


@cache
def capabilities() -> dict[str, Callable[[Runtime], Any]]:
    """Return the class of each capability by the name of its field."""
    return {
        name: kind
        for name, kind in get_type_hints(Service).items()
        if getattr(kind, "__module__", "").startswith("authkit_issuer.domains.")
    }
