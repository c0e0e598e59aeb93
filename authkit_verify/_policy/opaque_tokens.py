"""Tokens that are not JWTs, and the issuer that each belongs to."""

from __future__ import annotations

import binascii
import re
from base64 import urlsafe_b64decode
from collections.abc import Iterable
from typing import Self

from authkit_verify._jose.compact import MAX_TOKEN
from authkit_verify._policy.introspection.introspector import Introspector
from authkit_verify._policy.issuer_policy import IssuerPolicy
from authkit_verify.errors import TokenError

_VISIBLE = re.compile(r"[!-~]+")
_BEFORE_JSON = b"\xef\xbb\xbf \t\r\n"


def is_opaque(token: object) -> bool:
    """True for a text that may be a token, and does not begin as a JWT, not even as a malformed one."""
    if type(token) is not str or len(token) > MAX_TOKEN or not _VISIBLE.fullmatch(token):
        return False
    first, dot, _ = token.partition(".")
    return not dot or not _is_header(first)


def _is_header(segment: str) -> bool:
    """True if a segment may be meant as a JOSE header: a JSON object, however it is encoded."""
    try:
        text = urlsafe_b64decode(segment + "A" * (-len(segment) % 4))
    except binascii.Error:
        return False
    return text.lstrip(_BEFORE_JSON).startswith(b"{")


class OpaqueIssuers:
    """The issuers that take opaque tokens, by the prefixes of their tokens."""

    def __init__(self, policies: Iterable[IssuerPolicy]) -> None:
        found = [(policy, policy.opaque_introspector) for policy in policies]
        self._issuers = [(policy, asked) for policy, asked in found if asked is not None]

    @classmethod
    def among(cls, policies: Iterable[IssuerPolicy]) -> Self | None:
        """Return the issuers among these that take opaque tokens; None if none does."""
        made = cls(policies)
        return made if made._issuers else None

    def issuer_of(self, token: str) -> tuple[IssuerPolicy, Introspector]:
        """Return the issuer of an opaque token, and whom to ask. Raises TokenError; makes no request."""
        for policy, asked in self._issuers:
            prefixes = asked.settings.token_prefixes
            if not prefixes or token.startswith(tuple(prefixes)):
                return policy, asked
        raise TokenError(
            "invalid_token",
            "the token is not a JWT, and no issuer has opaque tokens like it",
            detail="see token_prefixes",
        )
