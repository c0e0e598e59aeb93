"""The account that a right code or link opens: the one that has the contact, or a new one.

A contact that its owner has proved already opens its account, and nothing about the account changes. The
first proof may come after another person's registration, also where an operator vouches for the contact: it
takes from the account what that person may have attached, as a reset of the password does. Where a second
factor is asked for as well, ``login.second_factor`` notes the proof, and nothing is taken, unless a recovery
drops that factor (``take_unproved``). An unverified contact that resets no password needs a proof by the user
of an account in use, as in ``signup.verification``.
"""

from __future__ import annotations

from authkit_issuer import errors
from authkit_issuer.domains.accounts.contact_proof import ContactProof
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base.contacts import EMAIL, ContactKind, kind_of
from authkit_issuer.domains.codes.one_time import Record
from authkit_issuer.domains.credentials.password_update import PasswordUpdater
from authkit_issuer.domains.login.deleted_accounts import refusal_of
from authkit_issuer.domains.login.passwordless import queries as sql
from authkit_issuer.domains.login.passwordless.queries import Holder
from authkit_issuer.domains.signup.queries import LOCK_HOLDER, USAGE
from authkit_issuer.domains.signup.registration import make_account
from authkit_issuer.event_types import SessionEventType
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime

METHOD = "passwordless_login"
NEW = "new"
"""The data of a record whose contact had no account when the sign-in began."""
_UNCHANGED = 0
"""The epoch of an account since it was made, while no change has raised it."""


async def account_of(rt: Runtime, record: Record, client: Client | None) -> tuple[Holder, bool] | None:
    """Return the account of a redeemed record, and whether it was made here.

    None if the record is about no account, or the account has changed since. Raises ``UserBanned``,
    ``UserDeleted``, ``AccountProofRequired``.
    """
    contact = kind_of(record.target)
    created = bool(record.data[NEW]) and await _make(rt, contact, record)
    holder = await rt.maybe(sql.HOLDER[contact], record.target)
    if holder is None or not _is_meant(record, holder):
        return None
    if not holder.allowed:
        if not _resets_password(rt, contact, holder):
            # Another person's address, perhaps: its reader must not restore or erase the account.
            return None
        refusal = refusal_of(rt, holder)
        refusal.about = holder.user_id
        raise refusal
    if holder.verified and (holder.proved or _asks_factor(rt, holder)):
        return holder, created
    proved = await _prove(rt, contact, record, holder, client)
    return None if proved is None else (proved, created)


async def take_unproved(tx: Runtime, user_id: str, target: str, client: Client | None) -> None:
    """Take from the account what another person may have attached, if this is the first proof of its contact.

    For a sign-in by a message to ``target`` that goes on without the second factor it was asked for; the
    caller has locked the user's row.
    """
    contact = kind_of(target)
    holder = await tx.maybe(sql.HOLDER[contact], target)
    if holder is not None and holder.user_id == user_id and not holder.proved:
        await _take(tx, contact, user_id, client)


async def _make(rt: Runtime, contact: ContactKind, record: Record) -> bool:
    """Make the account; False if another one has taken the contact since the sign-in began."""
    try:
        await make_account(rt, contact, record.user_id, record.target, "", "", verified=True)
    except contact.in_use:
        return False
    return True


def _is_meant(record: Record, holder: Holder) -> bool:
    """True if the proof is one for this account as it is now.

    An account that was made while the code was on its way is its owner's as well, who has just proved the
    contact. A change of that account since ends the proof, as it does for any other account.
    """
    if record.data[NEW]:
        return holder.auth_epoch == _UNCHANGED
    return (holder.user_id, holder.auth_epoch) == (record.user_id, record.auth_epoch)


def _asks_factor(rt: Runtime, holder: Holder) -> bool:
    """True if the sign-in asks for a second factor as well; a remembered device counts as asked."""
    return holder.two_factor and METHOD not in rt.config.two_factor_exempt_methods


def _resets_password(rt: Runtime, contact: ContactKind, holder: Holder) -> bool:
    """True if this contact resets the password of the account."""
    unverified = contact is EMAIL and not rt.config.verification_required and not holder.frozen
    return holder.verified or unverified


async def _prove(
    rt: Runtime, contact: ContactKind, record: Record, holder: Holder, client: Client | None
) -> Holder | None:
    """Mark the contact as proved for the first time, and return the account as it is then."""
    async with rt.transaction() as tx:
        user_id = await tx.maybe(LOCK_HOLDER[contact], holder.user_id, record.target, holder.auth_epoch)
        if user_id is None:
            return None
        if not _resets_password(rt, contact, holder):
            await _require_unused(tx, contact, user_id)
        await _take(tx, contact, user_id, client)
        return await tx.maybe(sql.HOLDER[contact], record.target)


async def _take(tx: Runtime, contact: ContactKind, user_id: str, client: Client | None) -> None:
    await ContactProof(tx).mark(user_id, contact, by_user=False, client=client)
    await PasswordUpdater(tx).remove_unproved(user_id, client=client)
    await Events(tx).record(
        SessionEventType.CONTACT_VERIFIED, actor=None, user_id=user_id, method=contact.name, client=client
    )


async def _require_unused(tx: Runtime, contact: ContactKind, user_id: str) -> None:
    usage = await tx.one(USAGE, user_id, contact.name)
    open_before = not tx.config.verification_required or tx.config.verification_enforced_since
    if usage.attached or (usage.password and open_before):
        raise errors.AccountProofRequired(metadata={"username": usage.username})
