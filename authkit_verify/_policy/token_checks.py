"""The checks on the header and claims of a genuine token. Each raises TokenError or returns.

``accepted_issuers`` checks ``iss``, ``tenancy`` the tenant, ``required_claims`` further claims, and
``_jose.compact`` ``crit``. ``AcceptConfig.skew`` is the tolerance of the times.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from authkit_verify.errors import TokenError, shown

_DEFAULT_TYPES = ("", "JWT", "at+jwt")
_TEXT = frozenset({str})
_MAX_TIME = 2**53  # beyond this a float no longer holds whole seconds


def token_types(types: Sequence[str] | None) -> frozenset[str]:
    """Return accepted types in the form in which they are compared; None means the default types."""
    return frozenset(_media_type(typ) for typ in (_DEFAULT_TYPES if types is None else types))


def check_algorithm(alg: str, accepted: frozenset[str]) -> None:
    """Refuse an algorithm that is not accepted; names are compared exactly (RFC 8725, 3.1)."""
    if alg not in accepted:
        raise TokenError(
            "disallowed_alg",
            "the token's algorithm is not accepted",
            detail=f"{shown(alg)}; algorithms lists {', '.join(sorted(accepted))}",
        )


def check_type(typ: str | None, accepted: frozenset[str]) -> None:
    """Refuse a token of another type, such as a logout token (RFC 8725, 3.11).

    An ID token without a type passes the default types: ``token_types`` refuses it, as the audience does.
    """
    if (typ or "") not in accepted and _media_type(typ or "") not in accepted:
        raise TokenError(
            "invalid_token",
            "the token's type is not accepted",
            detail=f"typ is {shown(typ)}; see token_types",
        )


def check_times(
    claims: Mapping[str, Any], now: float, skew: float, max_lifetime: float | None
) -> tuple[float, float]:
    """Return the Unix times between which a token is valid, the skew included.

    Refuses a token that is expired, not valid yet, issued in the future, or with too long a lifetime.
    """
    if "exp" not in claims:
        raise TokenError("missing_exp", "the token has no exp")
    starts, ends = -math.inf, _time(claims, "exp") + skew
    if now >= ends:
        raise TokenError("token_expired", "the token has expired", detail=f"{now - ends + skew:.0f} s ago")
    if "nbf" in claims:
        starts = _time(claims, "nbf") - skew
        if now < starts:
            raise TokenError(
                "invalid_token", "the token is not valid yet", detail=_ahead("nbf", starts + skew - now)
            )
    if "iat" in claims:
        issued = _time(claims, "iat") - skew
        if now < issued:
            raise TokenError(
                "invalid_token",
                "the token was issued in the future",
                detail=_ahead("iat", issued - now + skew),
            )
        if issued > starts:  # noqa: PLR1730 - max() takes as long as the rest of this check
            starts = issued
    if max_lifetime is not None:
        check_lifetime(claims, max_lifetime)
    return starts, ends


def check_lifetime(claims: Mapping[str, Any], longest: float) -> None:
    """Refuse a token with too long a lifetime, or without ``iat``. Its times were checked before."""
    if "iat" not in claims or claims["exp"] - claims["iat"] > longest:
        raise TokenError("invalid_token", f"the token has no iat, or is valid for more than {longest:g} s")


def check_subject(subject: Any) -> str:
    """Return the subject. Refuses a token without one."""
    if type(subject) is not str or not subject:
        raise TokenError("invalid_token", "the token has no sub", detail="see ClaimsMapping.subject")
    return subject


def check_audience(aud: Any, accepted: frozenset[str] | None) -> tuple[str, ...]:
    """Return the audience as a tuple; ``accepted=None`` accepts any, even none."""
    if type(aud) is str:
        audience: tuple[str, ...] = (aud,)
    elif aud is None:
        audience = ()
    elif type(aud) is list and _TEXT.issuperset(map(type, aud)):
        audience = tuple(aud)
    else:
        raise TokenError("invalid_token", "the token's aud is neither a string nor a list of strings")
    if accepted is not None and accepted.isdisjoint(audience):
        raise TokenError(
            "bad_audience", "the token is for another audience", detail=f"{shown(aud)}; see audiences"
        )
    return audience


def check_scopes(scopes: Sequence[str], required: tuple[str, ...]) -> None:
    """Refuse a token that lacks a required scope."""
    for scope in required:
        if scope not in scopes:
            raise TokenError(
                "insufficient_scope", "the token lacks a required scope", detail=shown(scope), scopes=required
            )


def _time(claims: Mapping[str, Any], name: str) -> float:
    value: float = claims[name]
    kind = type(value)  # not isinstance: True is an int, and not a time
    if (kind is not int and kind is not float) or not abs(value) <= _MAX_TIME:
        raise TokenError("invalid_token", f"the token's {name} is not a time")
    return value


def _ahead(name: str, seconds: float) -> str:
    return f"{name} is {seconds:.0f} s ahead of the clock here"


def _media_type(typ: str) -> str:
    # RFC 7515, 4.1.9: media types ignore case, and "application/" may be left out. Alone it is not "no type".
    lower = typ.lower()
    return lower.removeprefix("application/") or lower
