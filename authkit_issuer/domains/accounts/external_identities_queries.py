"""The rows and the SQL of external logins."""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer.store.predicates import PASSKEY_SIGNS_IN, PASSWORD_FITS
from authkit_issuer.store.query import Query, Statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Whose login it is, the address the provider gave for it, and whether it is frozen."""

    user_id: str
    email: str | None
    frozen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedProvider:
    """One login of a user, as its owner may see it. ``username`` is what the provider calls the person.

    ``frozen`` is true for a login from before the owner's first proof of a contact: it signs in again after
    ``providers.confirm``.
    """

    issuer: str
    provider_slug: str | None
    subject: str
    email: str | None
    username: str
    frozen: bool


# A login that is taken away takes with it what was proved by it and is not finished: the epoch moves.
_MOVE_EPOCH = """
    update profiles.users set auth_epoch = auth_epoch + 1 where id = $1::uuid and exists (select from gone)
"""
REPLACE_LOGIN = Query(
    str,
    f"""
    with gone as (
        delete from profiles.user_providers
        where user_id = $1::uuid and issuer = $2 and subject <> $3 returning provider_slug
    ),
    moved as ({_MOVE_EPOCH})
    select coalesce(provider_slug, '') from gone
    """,
)
# The owner never changes here: a login of somebody else moves no column and returns no row.
LINK_LOGIN = Query(
    bool,
    """
    insert into profiles.user_providers (user_id, issuer, provider_slug, subject, email_at_provider)
    values ($1::uuid, $2, $3, $4, $5)
    on conflict (issuer, subject) do update
        set provider_slug = coalesce(excluded.provider_slug, user_providers.provider_slug),
            email_at_provider = excluded.email_at_provider, frozen_at = null
        where user_providers.user_id = excluded.user_id
    returning xmax = 0
    """,
)
LOGIN_BY_ISSUER = Query(
    Link,
    """
    select user_id::text, email_at_provider as email, frozen_at is not null as frozen
    from profiles.user_providers
    where issuer = $1 and subject = $2
    """,
)
LOGINS_BY_SLUG = Query(
    Link,
    """
    select user_id::text, email_at_provider as email, frozen_at is not null as frozen
    from profiles.user_providers
    where provider_slug = $1 and subject = $2 limit 2
    """,
)
LOGINS_OF_USER = Query(
    LinkedProvider,
    """
    select issuer, provider_slug, subject, email_at_provider as email,
           coalesce(profile ->> 'username', '') as username, frozen_at is not null as frozen
    from profiles.user_providers where user_id = $1::uuid order by created_at, id
    """,
)
COUNT_LOGINS = Query(int, "select count(*)::int from profiles.user_providers where user_id = $1::uuid")
# What stays usable once a provider ($2) or a passkey ($4) is gone: a password, a link that this deployment
# can still log in with, a passkey, where passkeys are on ($5), or a message to a verified address ($6) or
# number ($7).
HAS_OTHER_LOGIN = Query(
    bool,
    f"""
    select exists (select from profiles.user_passwords p
                   where p.user_id = $1::uuid and {PASSWORD_FITS})
        or exists (select from profiles.user_providers l
                   where l.user_id = $1::uuid and l.provider_slug is distinct from $2
                     and l.frozen_at is null
                     and l.issuer = any($3::text[]))
        or $5 and exists (select from profiles.passkeys k
                          where k.user_id = $1::uuid and k.id is distinct from $4::uuid
                            and {PASSKEY_SIGNS_IN})
        or exists (select from profiles.users u
                   where u.id = $1::uuid and ($6 and u.email_verified or $7 and u.phone_verified))
    """,
)
HAS_LOGIN = Query(
    bool,
    "select exists (select from profiles.user_providers where user_id = $1::uuid and provider_slug = $2)",
)
CONFIRM_LOGINS = Statement(
    """
    update profiles.user_providers set frozen_at = null
    where user_id = $1::uuid and provider_slug = $2 and frozen_at is not null
    """
)
UNLINK_LOGINS = Statement(
    f"""
    with gone as (
        delete from profiles.user_providers where user_id = $1::uuid and provider_slug = $2 returning 1
    )
    {_MOVE_EPOCH}
    """
)
SET_LOGIN_USERNAME = Query(
    str,
    """
    update profiles.user_providers
    set profile = profile || jsonb_build_object('username', $4::text)
    where user_id = $1::uuid and issuer = $2 and subject = $3 returning subject
    """,
)
LOGIN_USERNAME = Query(
    str,
    """
    select coalesce(profile ->> 'username', '') from profiles.user_providers
    where user_id = $1::uuid and provider_slug = $2 order by created_at desc limit 1
    """,
)
DISCORD_USERNAME = Query(
    str,
    """
    select coalesce(u.discord_username, (
        select p.profile ->> 'username' from profiles.user_providers p
        where p.user_id = u.id and p.provider_slug = 'discord' and p.frozen_at is null
        order by p.created_at desc limit 1
    ), '') from profiles.users u where u.id = $1::uuid
    """,
)
