"""The rows and the SQL of reauthentication, and of wallets, which are external logins."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from authkit_issuer.domains.base.contacts import EMAIL, PHONE, ContactKind
from authkit_issuer.domains.tokens.service import TokenFacts, fact_columns
from authkit_issuer.store.predicates import (
    ALLOWED,
    HAS_PASSKEY,
    HAS_TWO_FACTOR,
    NO_AMR,
    RESTORABLE,
    awake,
    is_of_message,
    live,
)
from authkit_issuer.store.query import Query, Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class AvailableMethods:
    """What a user can authenticate with again, read in one statement."""

    user_id: str
    auth_epoch: int
    allowed: bool
    username: str
    email: str | None
    phone: str | None
    has_password: bool
    two_factor: bool
    has_passkey: bool
    has_wallet: bool
    providers: list[str]
    message_amr: list[str]
    """The authentication methods of a session that codes of a message alone have proved; else empty."""

    @property
    def proved_contact(self) -> str:
        """The contact whose codes are all that the session has proved; ``""`` if it has proved more."""
        if not self.message_amr:
            return ""
        return (self.phone if "sms" in self.message_amr else self.email) or ""

    @property
    def code_destination(self) -> tuple[ContactKind, str] | None:
        """The verified contact for a code; None for a user who must use a second factor or the password."""
        if self.two_factor or self.has_password:
            return None
        if self.email:
            return EMAIL, self.email
        return (PHONE, self.phone) if self.phone else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReauthenticatedSession(TokenFacts):
    """A session whose ``auth_time`` was just set."""

    auth_time: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletUser:
    """The user of a linked wallet, with all that a login needs, read in one statement."""

    user_id: str
    auth_epoch: int
    allowed: bool
    two_factor: bool
    frozen: bool
    deleted_at: datetime | None
    restorable: bool


AVAILABLE_METHODS = Query(
    AvailableMethods,
    f"""
    select u.id::text as user_id, u.auth_epoch, {ALLOWED} as allowed, coalesce(u.username, '') as username,
           case when u.email_verified then u.email end as email,
           case when u.phone_verified then u.phone_number end as phone,
           exists (select from profiles.user_passwords p where p.user_id = u.id) as has_password,
           {HAS_TWO_FACTOR} as two_factor,
           {HAS_PASSKEY} as has_passkey,
           exists (
               select from profiles.user_providers l
               where l.user_id = u.id and l.issuer = $2 and l.frozen_at is null
           ) as has_wallet,
           array(
               select l.provider_slug from profiles.user_providers l
               where l.user_id = u.id and l.provider_slug = any($3::text[]) and l.frozen_at is null
               order by l.provider_slug
           ) as providers,
           coalesce((
               select s.amr from profiles.refresh_sessions s
               where s.id = $4::uuid and s.user_id = u.id and {is_of_message("s")}
           ), {NO_AMR}) as message_amr
    from profiles.users u where u.id = $1::uuid
    """,
)
# The statement does not lock the user's row: what ends sessions raises the epoch, and ends this one too.
REAUTHENTICATE = Query(
    ReauthenticatedSession,
    f"""
    with stepped as (
        update profiles.refresh_sessions s
        set auth_time = now(), amr = $5::text[], last_used_at = now()
        from profiles.users u
        where s.id = $1::uuid and s.user_id = $2::uuid and s.issuer = $3 and {live("s")}
          and {awake("s", 6)}
          and u.id = s.user_id and u.auth_epoch = $4 and {ALLOWED}
        returning s.user_id, s.auth_time, s.expires_at
    )
    select {fact_columns("$5::text[]")}, s.auth_time, s.expires_at
    from stepped s join profiles.users u on u.id = s.user_id
    """,
)
WALLET_USER = Query(
    WalletUser,
    f"""
    select u.id::text as user_id, u.auth_epoch, {ALLOWED} as allowed,
           {HAS_TWO_FACTOR} as two_factor, l.frozen_at is not null as frozen,
           u.deleted_at, {RESTORABLE} as restorable
    from profiles.user_providers l join profiles.users u on u.id = l.user_id
    where l.issuer = $1 and l.subject = $2
    """,
)
WALLET_ADDRESS = Query(
    str, "select subject from profiles.user_providers where user_id = $1::uuid and issuer = $2"
)
LOCK_WALLET_USER = Query(
    bool, f"select {ALLOWED} from profiles.users u where u.id = $1::uuid for no key update"
)

# The account as the password proved it, which its owner deleted; whatever changed since raised the epoch.
_DELETED_BY_OWNER = f"u.id = $1::uuid and u.auth_epoch = $2 and {RESTORABLE}"
LOCK_RESTORABLE = Query(
    str, f"select u.id::text from profiles.users u where {_DELETED_BY_OWNER} for no key update"
)
REQUEST_ERASURE = Statement(
    f"""
    update profiles.users u set erase_requested = true, auth_epoch = auth_epoch + 1, updated_at = now()
    where {_DELETED_BY_OWNER} and not {HAS_TWO_FACTOR}
    """
)
