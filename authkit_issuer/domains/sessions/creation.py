"""Opening a session: who is let in, what it is told, and what its owner hears of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base.devices import Devices
from authkit_issuer.domains.base.messages import Messages
from authkit_issuer.domains.sessions import queries as sql
from authkit_issuer.domains.sessions.revocation import Ending
from authkit_issuer.domains.sessions.rows import Opened
from authkit_issuer.domains.tokens.service import OrgGrant, TokenFacts, Tokens
from authkit_issuer.event_types import SessionEventType
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.security import refresh_token
from authkit_issuer.security.refresh_token import NONCE_BYTES, token_key

NEW_DEVICE, FACTOR_REMEMBERED = "new_device", "factor_remembered"


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedSession:
    """A new session and its first refresh token."""

    session_id: str
    refresh_token: str = field(repr=False)
    expires_at: datetime | None
    facts: TokenFacts
    auth_time: datetime
    amr: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A session about to be opened.

    ``signs_in`` tells a login of ours, whose device counts, from a host that vouches for the user; ``spared``
    that the second factor was not asked for, because the device remembers it.
    """

    rt: Runtime
    user_id: str
    method: str | None
    auth_epoch: int | None
    amr: Sequence[str]
    client: Client
    signs_in: bool
    spared: bool = False

    async def run(self) -> IssuedSession:
        """Open it in one transaction, under the lock of the user's row; raises as ``sessions.issue``."""
        rt, nonce = self.rt, self.rt.random_bytes(NONCE_BYTES)
        known = identifiers.user_id(self.user_id)
        if known is None:
            raise errors.UserNotFound
        session_id = identifiers.new_id(rt.random_bytes)
        async with rt.transaction() as tx:
            await _let_in(tx, known, self.auth_epoch)
            opened = await tx.one(
                sql.INSERT,
                known,
                session_id,
                tx.config.issuer,
                token_key(nonce),
                tx.config.refresh_token_duration,
                self.method,
                list(self.amr),
                identifiers.user_agent(self.client.user_agent),
                identifiers.ip_address(self.client.ip),
            )
            await self._tell(tx, session_id, opened)
        token = refresh_token.encode(
            rt.keys.current(), rt.config.issuer, session_id=session_id, generation=0, nonce=nonce
        )
        return IssuedSession(
            session_id=session_id,
            refresh_token=token,
            expires_at=opened.expires_at,
            facts=opened,
            auth_time=opened.auth_time,
            amr=tuple(self.amr),
        )

    async def run_for(self, org: str) -> tuple[IssuedSession, OrgGrant]:
        """Open it together with a grant of an organization; who is no member leaves no session behind."""
        async with self.rt.transaction() as tx:
            return await replace(self, rt=tx).run(), await Tokens(tx).org_grant(self.user_id, org)

    async def _tell(self, tx: Runtime, session_id: str, opened: Opened) -> None:
        new = self.signs_in and self._is_new(opened)
        if self.method is not None:
            await Events(tx).record(
                SessionEventType.SESSION_CREATED,
                user_id=opened.user_id,
                session_id=session_id,
                method=self.method,
                client=self.client,
                data={NEW_DEVICE: True} if new else {FACTOR_REMEMBERED: True} if self.spared else None,
            )
        if new and tx.config.new_device_notices and opened.email_verified:
            await Messages(tx).notify(opened.email, opened.username, NEW_DEVICE, by_owner=False)

    def _is_new(self, opened: Opened) -> bool:
        """Tell whether the sign-in is from where the account was not signed in to before.

        Clients that keep no device token are spared where one of the last 30 days had the same user agent and
        network. Of a caller who is not told apart by anything nothing can be said.
        """
        if opened.first or opened.familiar or not (self.client.ip or self.client.user_agent):
            return False
        device = Devices(self.rt).of(self.client)
        return device is None or not device.is_of(opened.user_id)


async def _let_in(tx: Runtime, user_id: str, auth_epoch: int | None) -> None:
    """Lock the user's row, refuse who may not act or whose proof is too old, and make room for a session."""
    gate = await tx.maybe(sql.LOCK_USER, user_id)
    if gate is None:
        raise errors.UserNotFound
    if not gate.allowed:
        raise errors.UserBanned
    if auth_epoch is not None and auth_epoch != gate.auth_epoch:
        raise errors.InvalidCredentials
    if tx.config.session_max_per_user is not None:
        await Ending(tx).oldest(user_id, tx.config.session_max_per_user - 1)
