"""Password updates: the new hash, the end of the sessions and the event are one transaction.

An update locks the user's row first and raises its epoch, so that a login which has read the old hash can no
longer open anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.credentials import queries as sql
from authkit_issuer.domains.credentials.identifier import Identifier
from authkit_issuer.domains.credentials.obstacles import login_obstacle, refusal_of
from authkit_issuer.domains.credentials.password_verifier import PasswordVerifier, prefix
from authkit_issuer.domains.credentials.policy import check_policy
from authkit_issuer.domains.credentials.queries import Credential
from authkit_issuer.domains.sessions.queries import LOCK_USER, RAISE_EPOCH, LockedUser
from authkit_issuer.domains.sessions.service import Sessions
from authkit_issuer.event_types import SessionEventType, SessionRevokeReason
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.security.foreign_hashes import canonical
from authkit_issuer.security.hashing import RESET_REQUIRED, StoredHash, acceptable
from authkit_issuer.security.password_length import normalized
from authkit_issuer.security.stored_hashes import algorithm_of
from authkit_issuer.store.predicates import live
from authkit_issuer.store.query import Query

REMOVE = Query(str, "delete from profiles.user_passwords where user_id = $1::uuid returning user_id::text")

OWNS_SESSION = Query(
    bool,
    f"""
    select exists (
        select from profiles.refresh_sessions s where s.id = $1::uuid and s.user_id = $2::uuid and {live("s")}
    )
    """,
)


MAX_HASH_CHARS = 512
MAX_PARAMS_BYTES = 4096


@dataclass(frozen=True, slots=True)
class PasswordUpdater:
    """Sets passwords."""

    rt: Runtime

    async def change(
        self, user_id: str, current: str, new: str, keep: str | None, client: Client | None
    ) -> None:
        """Set the password if ``current`` is right, or if there is no password yet."""
        found = await self._changeable(user_id)
        await check_policy(self.rt, new)
        if found.stored is not None:
            await self._check_current(found, current, client)
        new_hash = await self.rt.hasher.hash(new, client=prefix(client))
        async with self.rt.transaction() as tx:
            user = await lock(tx, found.user_id)
            if not user.allowed:
                raise errors.UserBanned
            if user.auth_epoch != found.auth_epoch:
                # The account changed since its password was verified: verify again.
                raise errors.InvalidCredentials
            if keep is not None and not await tx.one(OWNS_SESSION, keep, found.user_id):
                raise errors.SessionNotFound
            await PasswordUpdater(tx).store(
                found.user_id, new_hash, reason=SessionRevokeReason.PASSWORD_CHANGE, keep=keep, client=client
            )

    async def replace_temporary(
        self, identifier: Identifier, current: str, new: str, client: Client | None
    ) -> None:
        """Set the password if ``current`` is right and must be changed."""
        await check_policy(self.rt, new)
        if normalized(new) == normalized(current):
            raise errors.Invalid("The new password must differ from the temporary one.", param="new_password")
        found = await PasswordVerifier(self.rt).check(identifier, current, client)
        obstacle = login_obstacle(found, self.rt.config, identifier.by)
        if obstacle in {"deleted", "banned"}:
            raise refusal_of(obstacle, found, self.rt.config)
        if not found.must_change:
            raise errors.Conflict("This password is not temporary: sign in, and change it there.")
        new_hash = await self.rt.hasher.hash(new, client=prefix(client))
        async with self.rt.transaction() as tx:
            user = await lock(tx, found.user_id)
            if not user.allowed or user.auth_epoch != found.auth_epoch:
                raise errors.InvalidCredentials
            await PasswordUpdater(tx).store(
                found.user_id, new_hash, reason=SessionRevokeReason.PASSWORD_CHANGE, client=client
            )

    async def _changeable(self, user_id: str) -> Credential:
        """Return the credential of a user who may act, or raise ``UserNotFound`` or ``UserBanned``."""
        owner = identifiers.uuid_or_none(user_id)
        found = await self.rt.maybe(sql.BY_ID, owner) if owner else None
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
        if not await PasswordVerifier(self.rt).matches(found, found.user_id, current, client):
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
        """Write the hash, end the sessions and record the event; the caller has locked the user's row."""
        await self.rt.execute(sql.SET_HASH, user_id, new_hash, "argon2id", None, must_change)
        await Sessions(self.rt).revoke_all(user_id, keep, reason=reason, actor=actor, client=client)
        await Events(self.rt).record(
            SessionEventType.PASSWORD_CHANGED,
            user_id=user_id,
            session_id=keep or "",
            reason=reason.value,
            actor=actor,
            client=client,
        )

    async def remove_unproved(self, user_id: str, *, client: Client | None) -> None:
        """Delete the password and end the sessions, which may be another person's.

        For an account whose contact was proved for the first time; the caller has locked the user's row.
        """
        removed = await self.rt.maybe(REMOVE, user_id)
        reason = SessionRevokeReason.CONTACT_PROVED
        await Sessions(self.rt).revoke_all(user_id, reason=reason, client=client)
        if removed is not None:
            await Events(self.rt).record(
                SessionEventType.PASSWORD_REMOVED,
                user_id=user_id,
                actor=None,
                reason=reason.value,
                client=client,
            )

    async def import_hash(
        self,
        user_id: str,
        stored: StoredHash,
        params: Mapping[str, object] | None,
        *,
        revoke_sessions: bool,
        actor: str | None,
    ) -> None:
        """Store an imported hash."""
        owner = identifiers.uuid_or_none(user_id)
        if owner is None:
            raise errors.UserNotFound
        written = None if params is None else _written(params)
        async with self.rt.transaction() as tx:
            await lock(tx, owner)
            await tx.execute(sql.SET_HASH, owner, stored.text, stored.algo, written, False)
            if revoke_sessions:
                await Sessions(tx).revoke_all(owner, reason=SessionRevokeReason.PASSWORD_CHANGE, actor=actor)
            else:
                await tx.execute(RAISE_EPOCH, owner)
            await Events(tx).record(
                SessionEventType.PASSWORD_CHANGED, actor=actor, user_id=owner, method="import"
            )


async def lock(tx: Runtime, user_id: str) -> LockedUser:
    """Lock the user's row for this transaction, or raise ``UserNotFound``."""
    user = await tx.maybe(LOCK_USER, user_id)
    if user is None:
        raise errors.UserNotFound
    return user


def _written(params: Mapping[str, object]) -> str:
    """The parameters as JSON to store; raises ``InvalidPasswordHash``."""
    try:
        written = msgspec.json.encode(params).decode()
    except (TypeError, ValueError, RecursionError) as error:
        raise errors.InvalidPasswordHash(param="params") from error
    # PostgreSQL holds no NUL, escaped or not.
    if len(written) > MAX_PARAMS_BYTES or "\\u0000" in written:
        raise errors.InvalidPasswordHash(param="params")
    return written


def readable(text: str, algo: str) -> StoredHash:
    """The form of an imported hash that is stored; raises ``InvalidPasswordHash``.

    Algorithms are ``argon2id``, ``argon2i``, ``bcrypt``, ``pbkdf2``, ``scrypt``, ``""`` (by the hash itself)
    and ``legacy-reset-required``, whose text is kept and never compared with.
    """
    stored = StoredHash(text=text, algo=algo.strip().lower())
    if len(text) > MAX_HASH_CHARS or not identifiers.storable(text):
        raise errors.InvalidPasswordHash(param="hash")
    if stored.algo != RESET_REQUIRED:
        form = canonical(text) or text
        stored = StoredHash(text=form, algo=stored.algo or algorithm_of(form))
    if stored.algo == RESET_REQUIRED or acceptable(stored):
        return stored
    raise errors.InvalidPasswordHash(param="hash")
