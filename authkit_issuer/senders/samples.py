"""A sample of every kind of mail, for the preview and to try templates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from authkit_issuer.ports import Circumstances
from authkit_issuer.senders.content import Content

_BASE = "https://app.example.com"
_TOKEN = "sample-token-sample-token-sample-token-sample"
_LINKS = {
    "email_verification": f"{_BASE}/verify-email#token={_TOKEN}",
    "email_verification_link": f"{_BASE}/verify-email#token={_TOKEN}",
    "password_reset_link": f"{_BASE}/reset-password#token={_TOKEN}",
    "recovery_requested": f"{_BASE}/cancel-recovery#token={_TOKEN}",
    "recovery_waiting": f"{_BASE}/cancel-recovery#token={_TOKEN}",
    "sign_in_link": f"{_BASE}/sign-in#token={_TOKEN}",
    "org_invite": f"{_BASE}/invite#invite=018f3c5e-0000-7000-8000-000000000000",
}
_CODES = frozenset(
    {
        "email_verification", "email_verification_code", "login_code", "password_reset_code", "sign_in_code",
        "sign_in_link",
    }
)  # fmt: skip
_WAITING = frozenset({"recovery_requested", "recovery_waiting"})
_PLAIN = frozenset({*_LINKS, *_CODES, "test", "welcome"} - _WAITING)
"""The kinds that are no notices of an event."""


def sample(kind: str) -> Content:
    """Return what a mail of a kind may hold."""
    notice = kind not in _PLAIN
    return Content(
        kind=kind,
        username="" if kind == "test" else "ada_lovelace",
        code="482915" if kind in _CODES else "",
        link=_LINKS.get(kind, ""),
        org="acme" if kind == "org_invite" else "",
        inviter="grace_hopper" if kind == "org_invite" else "",
        circumstances=_CIRCUMSTANCES if notice else None,
        account_url=f"{_BASE}/account" if notice or kind == "welcome" else "",
        completes_at=_CIRCUMSTANCES.at + timedelta(days=3) if kind in _WAITING else None,
    )


_CIRCUMSTANCES = Circumstances(
    at=datetime(2027, 3, 9, 14, 5, tzinfo=UTC), network="2001:db8:85a3:8d3::/64", browser="Firefox"
)
