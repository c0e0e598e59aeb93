"""Assertions: the proof by a passkey that its user is present, for a sign-in or a step-up.

1. The challenge is taken out before any check.
2. Browser, authenticator, signature, user handle and backup eligibility are checked.
3. The counter rises in the statement that accepts it (``ACCEPT``). One that does not rise suspends
   the passkey.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import datetime

from authkit_issuer import errors
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.codes.one_time import on_outage
from authkit_issuer.domains.login.deleted_accounts import refusal_of
from authkit_issuer.domains.passkeys import queries as sql
from authkit_issuer.domains.passkeys.ceremonies import GET, check_client_data
from authkit_issuer.domains.passkeys.records import Challenge, Challenges, Purpose
from authkit_issuer.event_types import SessionEventType
from authkit_issuer.identifiers import ip_address
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.security.webauthn_types import Assertion, AssertionResponse, ClientData
from authkit_issuer.store.predicates import ALLOWED, HAS_TWO_FACTOR, LOCK_USER, PASSKEY_SIGNS_IN, RESTORABLE
from authkit_issuer.store.query import Query


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentedPasskey:
    """The passkey of a response, with its user, read in one statement."""

    passkey_id: str
    public_key: bytes
    backup_eligible: bool
    suspended: bool
    frozen: bool
    handle: bytes
    user_id: str
    auth_epoch: int
    allowed: bool
    two_factor: bool
    deleted_at: datetime | None
    restorable: bool


PRESENTED = Query(
    PresentedPasskey,
    f"""
    select k.id::text as passkey_id, k.public_key, k.backup_eligible, k.suspended_at is not null as suspended,
           k.frozen_at is not null as frozen, h.handle, u.id::text as user_id, u.auth_epoch,
           {ALLOWED} as allowed, {HAS_TWO_FACTOR} as two_factor, u.deleted_at, {RESTORABLE} as restorable
    from profiles.passkeys k join profiles.users u on u.id = k.user_id
         join profiles.passkey_user_handles h on h.user_id = k.user_id
    where k.credential_id = $1
    """,
)

_RISES = "(k.sign_count = 0 and $3 = 0 or $3 > k.sign_count)"

# The count rises in the statement that accepts it: of two responses with one count, one is accepted.
ACCEPT = Query(
    str,
    f"""
    update profiles.passkeys k
    set sign_count = $3, backed_up = $4, last_used_at = now(), last_used_ip = $5::text::inet
    where k.id = $1::uuid and k.user_id = $2::uuid and {PASSKEY_SIGNS_IN} and {_RISES}
    returning k.id::text
    """,
)

SUSPEND = Query(
    str,
    f"""
    with gone as (
        update profiles.passkeys k set suspended_at = now()
        where k.id = $1::uuid and k.user_id = $2::uuid and k.suspended_at is null and not {_RISES}
        returning k.name
    ),
    moved as ({sql.RAISE_EPOCH})
    select name from gone
    """,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A verified assertion of a passkey that may sign in, whose counter is not accepted yet."""

    passkey: PresentedPasskey
    assertion: Assertion

    def amr(self, *, two_factors: bool) -> tuple[str, ...]:
        """Return the authentication methods (RFC 8176 section 2); the key of a synced passkey is software."""
        key = "swk" if self.assertion.backup_eligible else "hwk"
        return (key, "user", "mfa") if two_factors else (key, "user")


async def verify(rt: Runtime, purpose: Purpose, response: AssertionResponse, *, user_id: str = "") -> Proof:
    """Return the proof of a response; ``user_id`` is the user that its challenge was issued for.

    Raises:
        PasskeyChallengeExpired: The challenge is over, of another purpose or user, or the account changed.
        PasskeyInvalid, PasskeyUnknown: A check failed, or no account has the credential.
        PasskeySuspended, LoginFrozen: The passkey is right and does not sign in.
        UserBanned, UserDeleted: The passkey is right, and the user may not act.

    """
    # The library behind it comes with an extra; the service has imported it where passkeys are configured.
    from authkit_issuer.security.webauthn_responses import verify_assertion  # noqa: PLC0415

    client_data = ClientData.of(response.client_data)
    challenges = Challenges(rt)
    record = await challenges.take(client_data.challenge)
    if record is None or record.purpose != purpose or record.user_id != user_id:
        raise errors.PasskeyChallengeExpired
    ceremony = check_client_data(rt.config, client_data, GET)
    async with on_outage(lambda: challenges.restore(client_data.challenge, record)):
        passkey = await rt.maybe(PRESENTED, response.credential_id)
    assertion = verify_assertion(response, ceremony, passkey.public_key if passkey else None)
    if passkey is None:
        raise errors.PasskeyUnknown
    _check_owner(passkey, record, response.user_handle)
    if assertion.backup_eligible != passkey.backup_eligible:
        raise errors.PasskeyInvalid
    refusal = _refusal(rt, passkey)
    if refusal is not None:
        refusal.about = passkey.user_id
        raise refusal
    return Proof(passkey=passkey, assertion=assertion)


async def accept(rt: Runtime, proof: Proof, client: Client | None) -> None:
    """Store the counter of an assertion; raises ``PasskeySuspended`` for one that does not rise.

    After a failure of storage the challenge stays used up: the authenticator has to count again.
    """
    passkey, found = proof.passkey, proof.assertion
    address = ip_address(client.ip if client else None)
    identity = (passkey.passkey_id, passkey.user_id, found.sign_count)
    if await rt.maybe(ACCEPT, *identity, found.backed_up, address) is not None:
        return
    async with rt.transaction() as tx:
        await tx.maybe(LOCK_USER, passkey.user_id)
        if await tx.maybe(SUSPEND, *identity) is not None:
            await Events(tx).record(
                SessionEventType.PASSKEY_COUNTER_REGRESSED,
                actor=None,
                user_id=passkey.user_id,
                target=passkey.passkey_id,
                client=client,
            )
    refusal = errors.PasskeySuspended()
    refusal.about = passkey.user_id
    raise refusal


def _check_owner(passkey: PresentedPasskey, record: Challenge, handle: bytes | None) -> None:
    """Refuse a passkey that is not of the user whom the response or the challenge names."""
    if record.user_id and record.user_id != passkey.user_id:
        raise errors.PasskeyInvalid
    if record.user_id and record.auth_epoch != passkey.auth_epoch:
        raise errors.PasskeyChallengeExpired
    if handle is None and record.user_id:
        return  # The options named the user's own passkeys, so the authenticator need not name the user.
    if handle is None or not hmac.compare_digest(handle, passkey.handle):
        raise errors.PasskeyInvalid


def _refusal(rt: Runtime, passkey: PresentedPasskey) -> errors.Unauthenticated | None:
    if passkey.suspended:
        return errors.PasskeySuspended()
    if passkey.frozen:
        return errors.LoginFrozen()
    return None if passkey.allowed else refusal_of(rt, passkey)
