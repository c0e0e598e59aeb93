"""What differs between a change of the email address and one of the phone number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from authkit_issuer import errors, identifiers
from authkit_issuer.config import Config
from authkit_issuer.domains.base import messages
from authkit_issuer.store.predicates import ALLOWED
from authkit_issuer.store.query import Query, Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The account as a change finds it; ``current`` is the contact that is to be replaced."""

    user_id: str
    auth_epoch: int
    allowed: bool
    username: str | None
    email: str | None
    two_factor: bool
    """Tells that sign-in codes go to the email address."""
    current: str | None
    verified: bool


_OWNER = f"""
    select u.id::text as user_id, u.auth_epoch, {ALLOWED} as allowed, u.username, u.email,
           exists (
               select from profiles.two_factor_settings t
               where t.user_id = u.id and t.enabled and t.method = 'email'
           ) as two_factor,
"""
_BY_EMAIL = (
    _OWNER + "u.email as current, u.email_verified as verified from profiles.users u where u.id = $1::uuid"
)
_BY_PHONE = (
    _OWNER
    + "u.phone_number as current, u.phone_verified as verified from profiles.users u where u.id = $1::uuid"
)
OWNER_BY_EMAIL = Query(Owner, _BY_EMAIL)
OWNER_BY_PHONE = Query(Owner, _BY_PHONE)
HOLD_BY_EMAIL = Query(Owner, _BY_EMAIL + " for no key update of u")
HOLD_BY_PHONE = Query(Owner, _BY_PHONE + " for no key update of u")
EMAIL_TAKEN = Query(bool, "select exists (select from profiles.users where lower(email) = $1)")
PHONE_TAKEN = Query(bool, "select exists (select from profiles.users where phone_number = $1)")
CHANGE_EMAIL = Statement(
    "update profiles.users set email = $2, email_verified = true, updated_at = now() where id = $1::uuid"
)
CHANGE_PHONE = Statement(
    """
    update profiles.users set phone_number = $2, phone_verified = true, updated_at = now()
    where id = $1::uuid
    """
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """One kind of contact of an account."""

    name: messages.Channel
    kind: str
    limit: str
    param: str
    normal: Callable[[str], str]
    owner: Query[Owner]
    hold: Query[Owner]
    taken: Query[bool]
    change: Statement
    in_use: type[errors.AuthError]
    unchanged: type[errors.AuthError]
    nothing_pending: type[errors.AuthError]
    life: Callable[[Config], float]
    """Seconds in which a code may be sent again."""


EMAIL = Contact(
    name="email",
    kind="change_email",
    limit="email_code",
    param="email",
    normal=identifiers.email,
    owner=OWNER_BY_EMAIL,
    hold=HOLD_BY_EMAIL,
    taken=EMAIL_TAKEN,
    change=CHANGE_EMAIL,
    in_use=errors.EmailInUse,
    unchanged=errors.EmailUnchanged,
    nothing_pending=errors.NoPendingEmailChange,
    life=lambda config: config.pending_email_ttl,
)
PHONE = Contact(
    name="phone",
    kind="change_phone",
    limit="phone_code",
    param="phone_number",
    normal=identifiers.phone,
    owner=OWNER_BY_PHONE,
    hold=HOLD_BY_PHONE,
    taken=PHONE_TAKEN,
    change=CHANGE_PHONE,
    in_use=errors.PhoneInUse,
    unchanged=errors.PhoneUnchanged,
    nothing_pending=errors.NoPendingPhoneChange,
    life=lambda config: config.pending_phone_ttl,
)
