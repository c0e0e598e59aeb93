"""The checks on what a genuine token says about itself. Each raises TokenError or returns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from authkit_verify.errors import TokenError

_DEFAULT_TYPES = ("", "JWT", "at+jwt")
_TEXT = frozenset({str})
_MAX_TIME = 2**53  # beyond this a float no longer holds whole seconds, and no clock will get there


def token_types(types: Sequence[str] | None) -> frozenset[str]:
    """Return accepted types in the form they are compared in; None means the default ones."""
    return frozenset(_media_type(typ) for typ in (_DEFAULT_TYPES if types is None else types))


def check_algorithm(alg: str, accepted: frozenset[str]) -> None:
    """Refuse an algorithm that is not allowed; names are compared exactly (RFC 8725, 3.1)."""
    if alg not in accepted:
        raise TokenError("disallowed_alg", "the token's algorithm is not allowed")


def check_type(typ: str | None, accepted: frozenset[str]) -> None:
    """Refuse a token made for something else, such as a logout token (RFC 8725, 3.11)."""
    if (typ or "") not in accepted and _media_type(typ or "") not in accepted:
        raise TokenError("invalid_token", "the token is of another type")


def check_times(
    claims: Mapping[str, Any], now: float, skew: float, max_lifetime: float | None
) -> tuple[float, float]:
    """Return the times from which on and before which a token is good, the skew included.

    Refuse one that is expired, not yet valid, from the future, or made to live too long.
    """
    if "exp" not in claims:
        raise TokenError("missing_exp", "the token has no expiry")
    starts, ends = -math.inf, _time(claims, "exp") + skew
    if now >= ends:
        raise TokenError("token_expired", "the token has expired")
    if "nbf" in claims:
        starts = _time(claims, "nbf") - skew
        if now < starts:
            raise TokenError("invalid_token", "the token is not valid yet")
    if "iat" in claims:
        issued = _time(claims, "iat") - skew
        if now < issued:
            raise TokenError("invalid_token", "the token was issued in the future")
        starts = max(starts, issued)
    if max_lifetime is not None:
        check_lifetime(claims, max_lifetime)
    return starts, ends


def check_lifetime(claims: Mapping[str, Any], longest: float) -> None:
    """Refuse a token made to live too long, or whose beginning is not told; its times are times."""
    if "iat" not in claims or claims["exp"] - claims["iat"] > longest:
        raise TokenError("invalid_token", "the token lives longer than is accepted")


def check_subject(claims: Mapping[str, Any]) -> None:
    """Refuse a token about nobody."""
    subject = claims.get("sub")
    if type(subject) is not str or not subject:
        raise TokenError("invalid_token", "the token has no subject")


def check_audience(aud: Any, accepted: frozenset[str] | None) -> tuple[str, ...]:
    """Return the audience as a tuple; ``accepted=None`` takes any, none at all included."""
    if type(aud) is str:
        audience: tuple[str, ...] = (aud,)
    elif aud is None:
        audience = ()
    elif type(aud) is list and _TEXT.issuperset(map(type, aud)):
        audience = tuple(aud)
    else:
        raise TokenError("invalid_token", "the token's audience is neither a text nor a list of texts")
    if accepted is not None and accepted.isdisjoint(audience):
        raise TokenError("bad_audience", "the token is meant for another audience")
    return audience


def check_scopes(scopes: Sequence[str], required: tuple[str, ...]) -> None:
    """Refuse a token that lacks a required scope."""
    for scope in required:
        if scope not in scopes:
            raise TokenError("insufficient_scope", "the token lacks a required scope", scopes=required)


def _time(claims: Mapping[str, Any], name: str) -> float:
    value = claims[name]
    kind = type(value)  # not isinstance: True is an int, and no time
    if (kind is not int and kind is not float) or not -_MAX_TIME <= value <= _MAX_TIME:
        raise TokenError("invalid_token", f"the token's {name} is not a time")
    return float(value)


def _media_type(typ: str) -> str:
    # RFC 7515, 4.1.9: media types ignore case, and "application/" may be left out.
    return typ.lower().removeprefix("application/")
