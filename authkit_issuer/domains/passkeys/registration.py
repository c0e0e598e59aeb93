"""The registration of a passkey: the options, and the credential that an authenticator has made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.audit.service import Events
from authkit_issuer.domains.codes.one_time import on_outage
from authkit_issuer.domains.passkeys import authenticators, ceremonies
from authkit_issuer.domains.passkeys import queries as sql
from authkit_issuer.domains.passkeys.queries import Owner, Passkey
from authkit_issuer.domains.passkeys.records import Challenge, Challenges
from authkit_issuer.domains.sessions.queries import RAISE_EPOCH
from authkit_issuer.domains.sessions.service import OtherSessions, Sessions
from authkit_issuer.event_types import SessionEventType
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.security.webauthn_types import ClientData, NewCredential, RegistrationResponse
from authkit_issuer.store.predicates import ALLOWED, HAS_TWO_FACTOR, OWNS_PASSKEY
from authkit_issuer.store.query import Query


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedOwner:
    """A user whose row is locked."""

    auth_epoch: int
    allowed: bool


OWNER = Query(
    sql.Owner,
    f"""
    select u.id::text as user_id, u.auth_epoch, {ALLOWED} as allowed, {HAS_TWO_FACTOR} as two_factor,
           u.email, u.phone_number as phone, u.username
    from profiles.users u where u.id = $1::uuid
    """,
)

# The update changes nothing: it makes the statement return the handle that a concurrent request has stored.
USER_HANDLE = Query(
    bytes,
    """
    insert into profiles.passkey_user_handles (user_id, handle) values ($1::uuid, $2)
    on conflict (user_id) do update set user_id = excluded.user_id returning handle
    """,
)

LOCK_OWNER = Query(
    LockedOwner,
    f"""
    select u.auth_epoch, {ALLOWED} as allowed from profiles.users u where u.id = $1::uuid
    for no key update
    """,
)

HAS_FACTOR = Query(
    bool, f"select {HAS_TWO_FACTOR} or {OWNS_PASSKEY} from profiles.users u where u.id = $1::uuid"
)

COUNT = Query(int, "select count(*)::int from profiles.passkeys where user_id = $1::uuid")

INSERT = Query(
    sql.Passkey,
    f"""
    insert into profiles.passkeys as k
        (id, user_id, credential_id, public_key, sign_count, aaguid, name, transports, backup_eligible,
         backed_up)
    values ($1::uuid, $2::uuid, $3, $4, $5, $6::uuid, $7, $8::text[], $9, $10)
    on conflict (credential_id) do nothing returning {sql.COLUMNS}
    """,
)


MAX_NAME = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """Whose passkey it is to be, and what becomes of the other sessions; ``name`` None is a default."""

    user_id: str
    name: str | None
    others: OtherSessions
    enrolling: bool
    """It must be the first factor of the account."""
    client: Client | None


async def begin(rt: Runtime, user_id: str, *, conditional: bool) -> dict[str, Any]:
    """Return the options of ``navigator.credentials.create``; raises as ``passkeys.begin_registration``."""
    ceremonies.relying_party(rt.config)
    owner = await read_owner(rt, user_id)
    present = await rt.all(sql.LIST, owner.user_id)
    if len(present) >= rt.config.passkeys_max_per_user:
        raise errors.PasskeyLimitExceeded
    handle = await rt.one(USER_HANDLE, owner.user_id, rt.random_bytes(64))
    challenge = await Challenges(rt).issue(
        "register", user_id=owner.user_id, auth_epoch=owner.auth_epoch, conditional=conditional
    )
    return ceremonies.creation_options(rt.config, owner, handle=handle, challenge=challenge, present=present)


async def finish(rt: Runtime, request: Registration, credential: Mapping[str, object]) -> Passkey:
    """Verify and store a new credential; raises as ``passkeys.finish_registration``."""
    response = RegistrationResponse.from_json(credential)
    client_data = ClientData.of(response.client_data)
    challenges = Challenges(rt)
    record = await challenges.take(client_data.challenge)
    owner_id = identifiers.uuid_or_none(request.user_id)
    if record is None or record.purpose != "register" or record.user_id != owner_id:
        raise errors.PasskeyChallengeExpired
    found = _verify(rt, response, client_data, record)
    async with on_outage(lambda: challenges.restore(client_data.challenge, record)):
        return await _add(rt, record, request, found, response.transports)


async def read_owner(rt: Runtime, user_id: str) -> Owner:
    """Return the user of a ceremony; raises ``UserNotFound``, ``UserBanned``."""
    owner_id = identifiers.uuid_or_none(user_id)
    owner = None if owner_id is None else await rt.maybe(OWNER, owner_id)
    if owner is None:
        raise errors.UserNotFound
    if not owner.allowed:
        raise errors.UserBanned
    return owner


def passkey_name(text: str) -> str:
    """Return the name of a passkey without surrounding blanks; raises ``InvalidPasskeyName``."""
    name = text.strip()
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable() or not identifiers.storable(name):
        raise errors.InvalidPasskeyName(param="name")
    return name


def _verify(
    rt: Runtime, response: RegistrationResponse, client_data: ClientData, record: Challenge
) -> NewCredential:
    # The library behind it comes with an extra; the service has imported it where passkeys are configured.
    from authkit_issuer.security.webauthn_responses import verify_registration  # noqa: PLC0415

    ceremony = ceremonies.check_client_data(rt.config, client_data, ceremonies.CREATE)
    return verify_registration(response, ceremony, require_presence=not record.conditional)


async def _add(
    rt: Runtime, record: Challenge, request: Registration, found: NewCredential, transports: tuple[str, ...]
) -> Passkey:
    name = request.name or authenticators.name_of(found.aaguid, datetime.fromtimestamp(rt.clock(), UTC))
    passkey_id = identifiers.new_id(rt.random_bytes)
    async with rt.transaction() as tx:
        owner = await tx.maybe(LOCK_OWNER, record.user_id)
        if owner is None:
            raise errors.UserNotFound
        if not owner.allowed:
            raise errors.UserBanned
        if owner.auth_epoch != record.auth_epoch:
            raise errors.PasskeyChallengeExpired
        # Read after the lock was granted: the row that was waited for has another snapshot.
        if request.enrolling and await tx.one(HAS_FACTOR, record.user_id):
            raise errors.PasskeyChallengeExpired
        if await tx.one(COUNT, record.user_id) >= tx.config.passkeys_max_per_user:
            raise errors.PasskeyLimitExceeded
        added = await tx.maybe(
            INSERT, passkey_id, record.user_id, found.credential_id, found.public_key, found.sign_count,
            found.aaguid, name, list(transports), found.backup_eligible, found.backed_up,
        )  # fmt: skip
        if added is None:
            raise errors.PasskeyAlreadyRegistered
        if request.enrolling:
            # A token holds the epoch of its sign-in: of several tokens one adds a factor.
            await tx.execute(RAISE_EPOCH, record.user_id)
        await Events(tx).record(
            SessionEventType.PASSKEY_ADDED,
            actor=None,
            user_id=record.user_id,
            target=passkey_id,
            client=request.client,
        )
        await Sessions(tx).end_others(record.user_id, request.others, client=request.client)
    return added
