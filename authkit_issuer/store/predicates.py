"""What every capability must agree on about a user ``u``, written once, and the lock of a user's row."""

from __future__ import annotations

from authkit_issuer.store.query import Query

ALLOWED = "(u.deleted_at is null and (u.banned_at is null or coalesce(u.banned_until <= now(), false)))"
"""SQL that tells whether the user ``u`` may act now; a lapsed ban does not count."""

HAS_TWO_FACTOR = "exists (select from profiles.two_factor_settings t where t.user_id = u.id and t.enabled)"
"""SQL that tells whether the user ``u`` is asked for a second factor."""

LOCK_USER = Query(str, "select id::text from profiles.users where id = $1::uuid for no key update")
"""Holds a user's row until the transaction ends; everything else of that user is locked after it."""
