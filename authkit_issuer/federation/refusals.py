"""Refusals of what a provider answers: each leaves one line in the log with the check that failed.

The line names the provider, the check, what was expected and what was found. It never holds a token, a code
or a secret. The caller learns the name of the check alone.
"""

from __future__ import annotations

import logging
from typing import TypeVar

from authkit_issuer import identifiers
from authkit_issuer.errors import AuthError, ProviderRefused, ProviderUnavailable

MAX_TEXT = 200
"""Characters of a provider's own text that a log line quotes."""
MAX_SUBJECT = 255
"""OpenID Connect Core section 2."""

logger = logging.getLogger("authkit.providers")

Refusal = TypeVar("Refusal", bound=AuthError)


def refused(provider: str, check: str, *, expected: str, found: str) -> ProviderRefused:
    """Log a failed check and return the refusal of what the provider answered."""
    return _logged(ProviderRefused(), provider, check, expected, found)


def unavailable(provider: str, check: str, *, expected: str, found: str) -> ProviderUnavailable:
    """Log a failed check and return the outage of a provider whose answer cannot be used."""
    return _logged(ProviderUnavailable(), provider, check, expected, found)


def quoted(value: object) -> str:
    """Return a value of a provider on one line of ASCII, cut short; nothing is ``nothing``."""
    if value is None:
        return "nothing"
    if not isinstance(value, str):
        return cut(ascii(value))
    return ascii(value[:MAX_TEXT]) + ("..." if len(value) > MAX_TEXT else "")


def cut(text: str) -> str:
    """Return a text that is already on one line, cut short."""
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}..."


def subject_of(provider: str, value: object) -> str:
    """Return the subject of a login, a text that the database can hold; raises ``ProviderRefused``."""
    if isinstance(value, str) and 0 < len(value) <= MAX_SUBJECT and identifiers.storable(value):
        return value
    # A subject names a person: the log says what is wrong with it and not what it is.
    found = f"a text of {len(value)} characters" if isinstance(value, str) else quoted(type(value).__name__)
    raise refused(
        provider,
        "subject",
        expected=f"a text of 1 to {MAX_SUBJECT} characters without NUL and lone surrogates",
        found=found,
    )


def _logged(refusal: Refusal, provider: str, check: str, expected: str, found: str) -> Refusal:
    logger.warning("provider %s: check %s failed: expected %s; found %s", provider, check, expected, found)
    refusal.metadata["check"] = check
    return refusal
