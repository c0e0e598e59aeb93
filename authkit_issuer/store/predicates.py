"""SQL predicates of users and sessions that several domains share, and the lock of a user's row."""

from __future__ import annotations

from authkit_issuer.store.query import Query

NOT_BANNED = "(u.banned_at is null or coalesce(u.banned_until <= now(), false))"
"""SQL that is true if the user ``u`` is not banned now; a lapsed ban does not count."""

ALLOWED = f"(u.deleted_at is null and {NOT_BANNED})"
"""SQL that is true if the user ``u`` may act now: neither deleted nor banned."""

RESTORABLE = f"(u.deleted_at is not null and u.deleted_by_owner and not u.erase_requested and {NOT_BANNED})"
"""SQL that is true if the user ``u`` has deleted the account and may restore it."""

FACTOR_ON = "(t.enabled and t.frozen_at is null)"
"""SQL that is true if the second factor ``t`` counts: a frozen one awaits its owner's confirmation."""

HAS_TWO_FACTOR = f"exists (select from profiles.two_factor_settings t where t.user_id = u.id and {FACTOR_ON})"
"""SQL that is true if the user ``u`` must prove a second factor."""

PASSWORD_FITS = "(p.hash_algo <> 'legacy-reset-required')"
"""SQL that is true if some password fits the stored hash ``p``: one that must be reset fits none."""

PASSKEY_SIGNS_IN = "(k.suspended_at is null and k.frozen_at is null)"
"""SQL that is true if the passkey ``k`` signs in."""

HAS_PASSKEY = f"exists (select from profiles.passkeys k where k.user_id = u.id and {PASSKEY_SIGNS_IN})"
"""SQL that is true if the user ``u`` has a passkey that signs in."""

OWNS_PASSKEY = "exists (select from profiles.passkeys k where k.user_id = u.id and k.frozen_at is null)"
"""SQL that is true if the user ``u`` has a passkey that is not frozen, suspended or not.

A password must not do to add a second factor because somebody used a copy of the passkey.
"""

NO_AMR = "'{}'::text[]"
"""SQL of the authentication methods without a session."""


def has_second_factor(amr: str) -> str:
    """Return SQL that is true if the user ``u`` has what policies require.

    That is a second factor, which every sign-in asks for, or a passkey, which a sign-in by password does not:
    it counts in sessions alone whose authentication methods, the SQL ``amr``, say that it was two factors.
    Where a code to a contact was all of a sign-in, codes to the same contact are no second factor.
    """
    return f"""(
        {HAS_TWO_FACTOR} and (not {_by_code(amr)} or {_other_factor(amr, "second_factors")})
        or 'mfa' = any({amr}) and {HAS_PASSKEY}
    )"""


IN_STRICT_ORG = """exists (
    select from profiles.org_members m join profiles.orgs o on o.id = m.org_id
    where m.user_id = u.id and o.two_factor_required and o.deleted_at is null
)"""
"""SQL that is true if an organization of the user ``u`` requires a second factor."""


def is_of_message(session: str) -> str:
    """Return SQL that is true if codes to one contact are all that the session of this alias has proved."""
    methods = "'passwordless_login', 'passwordless_login_2fa'"
    return f"({session}.auth_method in ({methods}) and {_by_code(f'{session}.amr')})"


def has_same_contact_alone(session: str) -> str:
    """Return SQL that is true if the user ``u`` has no second factor but codes to the contact of the session.

    A message opened the session then, and nothing else was proved in it.
    """
    other = _other_factor(f"{session}.amr", "user_factors")
    return f"({is_of_message(session)} and {HAS_TWO_FACTOR} and not {other})"


def _by_code(amr: str) -> str:
    return f"({amr} <@ '{{otp,sms}}' and cardinality({amr}) > 0)"


def _other_factor(amr: str, relation: str) -> str:
    sent_alike = f"case when 'sms' = any({amr}) then 'sms' else 'email' end"
    return f"""exists (
        select from profiles.{relation} f
        where f.user_id = u.id and (f.kind <> {sent_alike} or f.phone_number <> u.phone_number)
    )"""


def live(session: str) -> str:
    """Return SQL that is true if the session of this alias is neither revoked nor expired.

    The idle time is ``not_idle``'s part.
    """
    return (
        f"({session}.revoked_at is null and ({session}.expires_at is null or {session}.expires_at > now()))"
    )


def not_idle(session: str, parameter: int) -> str:
    """Return SQL that is true if the session was used within the seconds of ``$parameter``.

    Null is no limit.
    """
    used = f"{session}.last_used_at > now() - ${parameter} * interval '1 second'"
    return f"(${parameter}::float8 is null or {used})"


LOCK_USER = Query(str, "select id::text from profiles.users where id = $1::uuid for no key update")
"""Holds a user's row until the transaction ends; everything else of that user is locked after it."""
