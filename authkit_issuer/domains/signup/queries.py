"""The lock of a contact's holder, and what an account was used for; one statement per kind of contact."""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer.domains.base.contacts import CONTACT_KINDS
from authkit_issuer.store.predicates import ALLOWED, HAS_TWO_FACTOR, PASSWORD_FITS, live
from authkit_issuer.store.query import Query

LOCK_HOLDER = {
    kind: Query(
        str,
        f"""
        select u.id::text from profiles.users u
        where u.id = $1::uuid and {kind.lookup} = $2 and u.auth_epoch = $3 and {ALLOWED} for no key update
        """,
    )
    for kind in CONTACT_KINDS
}
"""Locks the user's row; no row if the account has another contact or epoch since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What opens an account: a password, or anything else that is attached to it or open in it."""

    username: str
    password: bool
    attached: bool


USAGE = Query(
    Usage,
    f"""
    select coalesce(u.username, '') as username,
           -- The user of a hash that opens nothing proves the contact, and then sets a password by a reset.
           exists (
               select from profiles.user_passwords p where p.user_id = u.id and {PASSWORD_FITS}
           ) as password,
           (
               exists (select from profiles.refresh_sessions s where s.user_id = u.id and {live("s")})
               or exists (
                   select from profiles.user_providers l where l.user_id = u.id and l.frozen_at is null
               )
               or exists (select from profiles.passkeys k where k.user_id = u.id and k.frozen_at is null)
               or {HAS_TWO_FACTOR}
               -- A proved contact has an owner, who alone may verify another one.
               or (u.proved_email = u.email and $2 <> 'email')
               or (u.proved_phone = u.phone_number and $2 <> 'phone')
               -- Its password has opened it before an operator gave it this contact.
               or (u.last_login is not null
                   and exists (select from profiles.user_passwords p where p.user_id = u.id))
           ) is true as attached
    from profiles.users u where u.id = $1::uuid
    """,
)
