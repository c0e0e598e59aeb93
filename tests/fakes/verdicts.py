"""The verdict of a verifier on a token, as one code, and that of the doctor on an issuer, as several."""

from __future__ import annotations

from typing import Any

from authkit_verify import Proof, TokenError, Verifier
from authkit_verify.doctor import Report
from authkit_verify.testing import FakeIssuer


async def code(issuer: FakeIssuer, token: str, **terms: Any) -> str | None:
    """Return the code of the refusal, which ``explain`` must agree with; None for an accepted token."""
    async with issuer.verifier(**terms) as verifier:
        explained = (await verifier.explain(token)).code
        assert explained == await outcome(verifier, token)
        return explained


async def outcome(verifier: Verifier, token: str) -> str | None:
    """Return the code of the refusal; None for an accepted token."""
    try:
        await verifier.verify(token)
    except TokenError as error:
        return error.code
    return None


async def accepted_or_code(verifier: Verifier, token: str) -> str:
    """Return ``accepted``, or the code of the refusal."""
    return await outcome(verifier, token) or "accepted"


async def identity_or_code(verifier: Verifier, token: str, proof: Proof | None = None) -> str:
    """Return the user of an accepted token, or the code of the refusal."""
    try:
        return (await verifier.verify(token, proof)).user_id
    except TokenError as error:
        return error.code


def complaints(report: Report) -> set[tuple[str, str]]:
    """Return the level and the code of every finding that is not in order."""
    return {(finding.level, finding.code) for finding in report.findings if finding.level != "ok"}
