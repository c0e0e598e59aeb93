"""The start of a registration, its resends, and the account that it becomes.

A record is written whatever the address is and whether or not anything is sent. So neither the answer nor the
work shows which accounts exist, and every id that was answered can be used: with the code that the address
got last, or after a resend.
"""

from __future__ import annotations

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.accounts.service import User, Users
from authkit_issuer.domains.base.contacts import EMAIL, ContactKind, signs_in
from authkit_issuer.domains.base.messages import Messages
from authkit_issuer.domains.base.namespace import Namespace
from authkit_issuer.domains.base.sending_limits import SendingLimits
from authkit_issuer.domains.codes.one_time import Issued, Lives, OneTimeCodes, Record
from authkit_issuer.domains.credentials.service import Passwords
from authkit_issuer.domains.signup.records import PendingCode, PendingRecords, record_kind
from authkit_issuer.ports import Circumstances, Client
from authkit_issuer.runtime import Runtime
from authkit_issuer.security.hashing import StoredHash, acceptable

_TAKEN, _DELETED = "yes", "deleted"
"""What a record says of the account that has its address."""
_ATTEMPTS = {_TAKEN: "registration_attempt", _DELETED: "registration_attempt_deleted"}
"""The notice that the owner of the address gets."""


def require_sender(rt: Runtime, kind: ContactKind) -> None:
    """Raise ``EmailUnavailable`` or ``SmsUnavailable`` if a required code could not be sent."""
    if rt.config.verification_required:
        Messages(rt).require(kind)


def require_reachable(rt: Runtime, kind: ContactKind, target: str) -> None:
    """Raise ``InvalidPhoneNumber`` if a required code could not be sent to this number."""
    if rt.config.verification_required:
        Messages(rt).require_reachable(kind, target)


def require_other_login(rt: Runtime, kind: ContactKind) -> None:
    """Raise ``Invalid`` if an account without a password could never be signed in to."""
    by_passkey = rt.config.webauthn_rp_id is not None and rt.config.verification_required
    if not by_passkey and not signs_in(rt, kind):
        raise errors.Invalid("A password is required.", param="password")


async def create(  # noqa: PLR0917 - the parts of a registration
    rt: Runtime,
    kind: ContactKind,
    target: str,
    username: str,
    password_hash: str | None,
    ttl: float | None,
    client: Client | None,
) -> PendingCode:
    """Write the record and send the code; without required verification, make the account.

    A ``password_hash`` of None makes an account without a password.
    """
    target = kind.normalize(target)
    if username:
        username = identifiers.username(username, reserved=rt.config.reserved_usernames)
    if password_hash is not None and not acceptable(StoredHash(text=password_hash, algo="argon2id")):
        raise errors.InvalidPasswordHash
    if not rt.config.verification_required:
        await make_account(rt, kind, None, target, username, password_hash or "", verified=False)
        return PendingCode("", registration_id="")
    require_sender(rt, kind)
    require_reachable(rt, kind, target)
    if not rt.config.private_registration:
        # The message is waited for, and leaves before a host's transaction could commit.
        rt.refuse_joining(f"registration.create_pending_{kind.name}")
    holder = await _holder(rt, kind, target)
    taken = _TAKEN if holder else ""
    if holder is not None and holder.deleted_at is not None:
        taken = _DELETED
    if username and await _is_name_taken(rt, username):
        raise errors.UsernameInUse(param="username")
    if taken and not rt.config.private_registration:
        raise kind.in_use(param=kind.param)
    data = {"username": username, "password_hash": password_hash or "", "taken": taken}
    issued = await _issue(rt, kind, target, data, ttl, client)
    await _send(rt, kind, issued, client)
    return PendingCode("" if taken else issued.code, registration_id=issued.record.request_id)


async def conflict(rt: Runtime, kind: ContactKind, target: str, username: str) -> tuple[bool, bool]:
    """Whether an account has the address, and whether a user or an organization has the name."""
    holder = await _holder(rt, kind, kind.normalize(target))
    return holder is not None, await _is_name_taken(rt, username.strip())


async def _holder(rt: Runtime, kind: ContactKind, target: str) -> User | None:
    users = Users(rt)
    return await (users.get_by_email if kind is EMAIL else users.get_by_phone)(target)


async def _is_name_taken(rt: Runtime, name: str) -> bool:
    if not identifiers.storable(name):
        return False
    # With organizations a name needs its owner slug as well.
    slugs = [identifiers.owner_slug(name)] if rt.config.org_mode == "multi" else []
    return await Namespace(rt).is_taken(name.lower(), *slugs)


async def resend(rt: Runtime, kind: ContactKind, registration_id: str, client: Client | None) -> None:
    """Give a pending registration a new code, link and lifetime; ``TooManyRequests`` beyond the limits.

    They count by client and address, so the refusal says nothing about an account.
    """
    rt.refuse_joining("registration.resend")
    require_sender(rt, kind)
    record = await OneTimeCodes(rt).peek(record_kind(kind), registration_id)
    wait = 0.0 if record is None else await renew(rt, kind, record, client)
    if wait:
        raise errors.TooManyRequests(retry_after=wait)


async def renew(rt: Runtime, kind: ContactKind, record: Record, client: Client | None) -> float:
    """Send a new code for a record that was just read; beyond the limits return the seconds to wait."""
    wait = await SendingLimits(rt).count(kind.limit, record.target, client)
    if wait:
        return wait
    lives = _lives(rt, kind, None)
    issued = await OneTimeCodes(rt).renew(record, lives)
    if issued is not None:
        await PendingRecords(rt).point_to(issued.record, lives.record, client)
        await _send(rt, kind, issued, client)
    return 0.0


async def make_account(  # noqa: PLR0917 - the parts of an account, in the order of the record
    rt: Runtime,
    kind: ContactKind,
    user_id: str | None,
    target: str,
    username: str,
    password_hash: str,
    *,
    verified: bool,
) -> None:
    """Write user, name, password and event in one transaction; a repeated call succeeds.

    Without a user name, a free one is derived from the email address. A hash of ``""`` stores no password.

    Raises ``EmailInUse``, ``PhoneInUse``, ``UsernameInUse``, ``OwnerSlugTaken``: the index has the last word.
    """
    # The id was chosen with the record: an account under it is our own commit whose answer was lost.
    if user_id is not None and await Users(rt).get(user_id) is not None:
        return
    try:
        async with rt.transaction() as tx:
            user = await _add(tx, kind, user_id, target, username, verified=verified)
            if password_hash:
                await Passwords(tx).store_hash(user.id, password_hash)
    except errors.Conflict:
        # That commit may still have been under way a moment ago, and then this one met what it wrote.
        if user_id is None or await Users(rt).get(user_id) is None:
            raise


async def _add(
    tx: Runtime, kind: ContactKind, user_id: str | None, target: str, username: str, *, verified: bool
) -> User:
    users, method = Users(tx), "registration"
    email, phone = (target, None) if kind is EMAIL else (None, target)
    if username:
        return await users.add(
            email=email, phone=phone, username=username, verified=verified, user_id=user_id, method=method
        )
    # A name shows in public: nothing of a phone number goes into it.
    base = target.partition("@")[0] if kind is EMAIL else "user"
    return await users.add_with_free_name(
        base, email=email, phone=phone, verified=verified, user_id=user_id, method=method
    )


async def _issue(  # noqa: PLR0917 - the parts of a record
    rt: Runtime,
    kind: ContactKind,
    target: str,
    data: dict[str, str],
    ttl: float | None,
    client: Client | None,
) -> Issued:
    one_time, lives = OneTimeCodes(rt), _lives(rt, kind, ttl)
    record = Record(
        kind=record_kind(kind),
        request_id=one_time.new_request_id(),
        target=target,
        user_id=identifiers.new_id(rt.random_bytes),
        data=data,
    )
    issued = await one_time.offer(record, lives, limit=kind.limit, client=client)
    if not issued.to_be_sent and not rt.config.private_registration:
        raise errors.TooManyRequests(retry_after=rt.config.code_cooldown)
    await PendingRecords(rt).point_to(issued.record, lives.record, client)
    return issued


def _lives(rt: Runtime, kind: ContactKind, ttl: float | None) -> Lives:
    record = ttl or kind.pending_ttl(rt.config)
    links = kind is EMAIL and rt.senders.verification_links
    return Lives(
        code=min(rt.config.code_ttl, record),
        record=record,
        link=min(rt.config.link_ttl, record) if links else 0.0,
    )


async def _send(rt: Runtime, kind: ContactKind, issued: Issued, client: Client | None) -> None:
    """Send the code, or a notice to the owner of a taken address.

    A private registration sends in the background, so that the time of the answer shows nothing.
    """
    messages = Messages(rt)
    circumstances = messages.circumstances(client)

    async def work() -> None:
        await _message(messages, kind, issued, circumstances)

    if not rt.config.private_registration:
        async with SendingLimits(rt).sending(kind.limit, issued.record.target, client):
            await messages.send(kind, work())
    elif issued.to_be_sent:
        life = issued.record.code_expires_at - rt.clock()
        await messages.send_in_background(work, name="registration message", life=life)


async def _message(
    messages: Messages, kind: ContactKind, issued: Issued, circumstances: Circumstances
) -> None:
    record = issued.record
    if not record.data["taken"]:
        await messages.verification(kind, record.target, record.data["username"], issued.code, issued.link)
    elif kind is EMAIL:
        await messages.notice(record.target, "", _ATTEMPTS[record.data["taken"]], circumstances)
