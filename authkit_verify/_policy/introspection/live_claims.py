"""The claims of a token as its issuer states them: they are checked as those of a JWT are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from authkit_verify.errors import TokenError, shown

_ACCESS_TOKENS = frozenset({
    "bearer", "dpop", "access_token", "urn:ietf:params:oauth:token-type:access_token",
})  # fmt: skip
_NAMING = ("sub", "jti", "cnf")


def opaque_claims(answer: Mapping[str, Any], issuer: str) -> dict[str, Any]:
    """Return the claims of an opaque token. Raises TokenError if the answer is not about an access token.

    An answer without ``iss`` is about a token of the issuer that gives it.
    """
    _check_answer(answer, issuer)
    return {**answer, "iss": issuer}


def confirmed_claims(answer: Mapping[str, Any], payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return the claims of a JWT with those of the answer, which count where both have one.

    Of two times of expiry the earlier one counts. Raises TokenError if the answer is about another token.
    """
    _check_answer(answer, payload["iss"])
    for name in _NAMING:
        if name in answer and name in payload and answer[name] != payload[name]:
            raise TokenError("invalid_token", f"the issuer's answer has another {name} than the token")
    claims = {**payload, **answer}
    if type(claims["exp"]) in {int, float}:  # any other value is refused with the claims
        claims["exp"] = min(claims["exp"], payload["exp"])
    return claims


def _check_answer(answer: Mapping[str, Any], issuer: str) -> None:
    if "iss" in answer and answer["iss"] != issuer:
        raise TokenError(
            "bad_issuer",
            "the issuer's answer is about a token of another issuer",
            detail=shown(answer["iss"]),
        )
    # How the token is used (RFC 6749, 7.1), and not the typ of a header. A refresh token may be active too.
    kind = answer.get("token_type", "bearer")
    if type(kind) is not str or kind.lower() not in _ACCESS_TOKENS:
        raise TokenError(
            "invalid_token", "the token is not an access token", detail=f"token_type is {shown(kind)}"
        )
    if "refresh" in str(answer.get("token_use", "")):  # as Ory Hydra names the kind of a token
        raise TokenError("invalid_token", "the token is not an access token", detail="see token_use")
    if kind.lower() == "dpop" and "cnf" not in answer:
        raise TokenError("invalid_token", "the token is bound to a DPoP key, and the answer does not name it")
