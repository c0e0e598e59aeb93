"""Setting passwords: the new hash, the end of the sessions and the event are one transaction.

Whoever sets one locks the user's row first and raises its epoch, so that a login which has read the old hash
can no longer open anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.credentials.password_verifier import Proving, prefix
from authkit_issuer.domains.credentials.policy import check_policy
from authkit_issuer.domains.credentials.queries import BY_ID, Credential
from authkit_issuer.domains.sessions.queries import LOCK_USER, RAISE_EPOCH, LockedUser
from authkit_issuer.domains.sessions.service import Sessions
from authkit_issuer.event_types import SessionEventType, SessionRevokeReason
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.security.hashing import RESET_REQUIRED, StoredHash, acceptable
from authkit_issuer.store.predicates import live
from authkit_issuer.store.query import Query, Statement

MAX_HASH_CHARS = 512
MAX_PARAMS_BYTES = 4096

SET_HASH = Statement(
    """
    insert into profiles.user_passwords (user_id, password_hash, hash_algo, hash_params, must_change)
    values ($1::uuid, $2, $3, $4::text::jsonb, $5)
    on conflict (user_id) do update
    set password_hash = excluded.password_hash, hash_algo = excluded.hash_algo,
        hash_params = excluded.hash_params, must_change = excluded.must_change, password_updated_at = now()
    """
)
OWNS_SESSION = Query(
    bool,
    f"""
    select exists (
        select from profiles.refresh_sessions s where s.id = $1::uuid and s.user_id = $2::uuid and {live("s")}
    )
    """,
)


@dataclass(frozen=True, slots=True)
class Setting:
    """Sets passwords."""

    rt: Runtime

    async def change(
        self, user_id: str, current: str, new: str, keep: str | None, client: Client | None
    ) -> None:
        """Set the password if ``current`` is right, or if there is none yet."""
        found = await self._changeable(user_id)
        await check_policy(self.rt, new)
        if found.stored is not None:
            await self._check_current(found, current, client)
        new_hash = await self.rt.hasher.hash(new, client=prefix(client))
        async with self.rt.transaction() as tx:
            gate = await lock(tx, found.user_id)
            if not gate.allowed:
                raise errors.UserBanned
            if gate.auth_epoch != found.auth_epoch:
                # Something changed the account since its password was looked at: look again.
                raise errors.InvalidCredentials
            if keep is not None and not await tx.one(OWNS_SESSION, keep, found.user_id):
                raise errors.SessionNotFound
            await Setting(tx).store(
                found.user_id, new_hash, reason=SessionRevokeReason.PASSWORD_CHANGE, keep=keep, client=client
            )

    async def _changeable(self, user_id: str) -> Credential:
        """Return the credential of a user who may act, or raise ``UserNotFound`` or ``UserBanned``."""
        known = identifiers.user_id(user_id)
        found = await self.rt.maybe(BY_ID, known) if known else None
        if found is None:
            raise errors.UserNotFound
        if not found.allowed:
            raise errors.UserBanned
        return found

    async def _check_current(self, found: Credential, current: str, client: Client | None) -> None:
        if found.hash_algo == RESET_REQUIRED:
            raise errors.PasswordResetRequired
        if not current:
            raise errors.CurrentPasswordRequired(param="current_password")
        if not await Proving(self.rt).fits(found, found.user_id, current, client):
            raise errors.InvalidCredentials

    async def store(
        self,
        user_id: str,
        new_hash: str,
        *,
        reason: SessionRevokeReason,
        keep: str | None = None,
        must_change: bool = False,
        actor: str | None = None,
        client: Client | None = None,
    ) -> None:
        """Write the hash, end the sessions and record it, in the transaction that has locked the user."""
        await self.rt.execute(SET_HASH, user_id, new_hash, "argon2id", None, must_change)
        await Sessions(self.rt).revoke_all(user_id, keep, reason=reason, client=client)
        await Events(self.rt).record(
            SessionEventType.PASSWORD_CHANGED,
            user_id=user_id,
            session_id=keep or "",
            reason=reason.value,
            actor=actor,
            client=client,
        )

    async def import_hash(
        self, user_id: str, stored: StoredHash, params: Mapping[str, object] | None, *, revoke_sessions: bool
    ) -> None:
        """Store a hash made elsewhere."""
        known = identifiers.user_id(user_id)
        if known is None:
            raise errors.UserNotFound
        written = None if params is None else _written(params)
        async with self.rt.transaction() as tx:
            await lock(tx, known)
            await tx.execute(SET_HASH, known, stored.text, stored.algo, written, False)
            if revoke_sessions:
                await Sessions(tx).revoke_all(known, reason=SessionRevokeReason.PASSWORD_CHANGE)
            else:
                await tx.execute(RAISE_EPOCH, known)
            await Events(tx).record(SessionEventType.PASSWORD_CHANGED, user_id=known, method="import")


async def lock(tx: Runtime, user_id: str) -> LockedUser:
    """Lock the user's row for this transaction, or raise ``UserNotFound``."""
    gate = await tx.maybe(LOCK_USER, user_id)
    if gate is None:
        raise errors.UserNotFound
    return gate


def _written(params: Mapping[str, object]) -> str:
    """Return the parameters as the JSON to store, or raise ``InvalidPasswordHash``."""
    try:
        written = msgspec.json.encode(params).decode()
    except (TypeError, ValueError, RecursionError) as error:
        raise errors.InvalidPasswordHash(param="params") from error
    # PostgreSQL holds no NUL, escaped or not.
    if len(written) > MAX_PARAMS_BYTES or "\\u0000" in written:
        raise errors.InvalidPasswordHash(param="params")
    return written


def readable(text: str, algo: str) -> StoredHash:
    """Return a hash made elsewhere in the form it is stored in, or raise ``InvalidPasswordHash``.

    Algorithms are ``argon2id``, ``bcrypt``, ``""`` (bcrypt by its prefix) and ``legacy-reset-required``,
    whose text is kept and never compared with.
    """
    stored = StoredHash(text=text, algo=algo.strip().lower())
    if len(text) > MAX_HASH_CHARS or not identifiers.storable(text):
        raise errors.InvalidPasswordHash(param="hash")
    if stored.algo == RESET_REQUIRED or acceptable(stored):
        return stored
    raise errors.InvalidPasswordHash(param="hash")
