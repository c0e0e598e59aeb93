"""Recovery by an operator: an account goes back to an owner who lost every way in, or to whom it was taken.

Everything that signs in is dropped, the password too: it may be what the account was taken by. The contact
that the operator vouches for is then the only way in, by a reset of the password. The other contact needs a
proof again.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from authkit_issuer import errors
from authkit_issuer.domains.accounts.contact_proof import ContactProof
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.base.contacts import EMAIL, PHONE, ContactKind
from authkit_issuer.domains.base.messages import Messages
from authkit_issuer.domains.codes.guesses import Guesses
from authkit_issuer.domains.sessions.service import Sessions
from authkit_issuer.event_types import SessionEventType, SessionRevokeReason
from authkit_issuer.ports import Client, RecoveryNotice
from authkit_issuer.runtime import Runtime
from authkit_issuer.store.predicates import ALLOWED
from authkit_issuer.store.query import Query


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldContacts:
    """The contacts of a user whose row is locked."""

    allowed: bool
    email: str | None
    phone: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """What signed in until a recovery."""

    password: bool
    logins: int
    passkeys: int
    factors: int


HOLD_CONTACTS = Query(
    HeldContacts,
    f"""
    select {ALLOWED} as allowed, u.email, u.phone_number as phone from profiles.users u
    where u.id = $1::uuid for no key update
    """,
)

# Wallets are among the logins. The caller raises the epoch, which ends what devices remember.
DROP_WAYS_IN = Query(
    Dropped,
    """
    with password as (
        delete from profiles.user_passwords where user_id = $1::uuid returning 1
    ), logins as (
        delete from profiles.user_providers where user_id = $1::uuid returning 1
    ), passkeys as (
        delete from profiles.passkeys where user_id = $1::uuid returning 1
    ), factors as (
        delete from profiles.second_factors where user_id = $1::uuid returning 1
    ), settings as (
        delete from profiles.two_factor_settings where user_id = $1::uuid
    )
    select exists (select from password) as password, (select count(*)::int from logins) as logins,
           (select count(*)::int from passkeys) as passkeys, (select count(*)::int from factors) as factors
    """,
)


def contact_of(email: str | None, phone: str | None) -> tuple[ContactKind, str]:
    """Return the one contact that was given, in its normal form.

    Raises ``Invalid`` for none or two, ``InvalidEmail``, ``InvalidPhoneNumber``.
    """
    if (email is None) == (phone is None):
        raise errors.Invalid("A recovery takes one new contact: email or phone_number.", param="email")
    kind, text = (PHONE, phone) if email is None else (EMAIL, email)
    return kind, kind.normalize(text or "")


async def give_back(
    rt: Runtime,
    user_id: str,
    kind: ContactKind,
    target: str,
    *,
    actor: str,
    reason: str,
    client: Client | None,
) -> None:
    """Drop every way in and store the new contact, in one transaction with the event.

    Raises ``UserNotFound``, ``AccountNotActive``, ``EmailInUse``, ``PhoneInUse``.
    """
    async with rt.transaction() as tx:
        held = await tx.maybe(HOLD_CONTACTS, user_id)
        if held is None:
            raise errors.UserNotFound
        if not held.allowed:
            raise errors.AccountNotActive
        dropped = await tx.one(DROP_WAYS_IN, user_id)
        await Guesses(tx).forget_user(user_id)
        await ContactProof(tx).vouch(user_id, kind, target)
        await Sessions(tx).revoke_all(
            user_id, reason=SessionRevokeReason.RECOVERED, actor=actor, client=client
        )
        before = held.email if kind is EMAIL else held.phone
        await Events(tx).record(
            SessionEventType.USER_RECOVERED,
            user_id=user_id,
            method=kind.name,
            actor=actor,
            reason=reason,
            target=user_id,
            client=client,
            data={"before": before, "after": target, "former_email": held.email, **asdict(dropped)},
        )
        if held.phone is not None:
            await Messages(tx).notify_phone(held.phone, RecoveryNotice(kind="account_recovered"))
