"""The claims of an accepted token: typed, and immutable all the way down.

One object may be handed to every request that brings the same token, so nothing in it can be changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from authkit_verify.compact import MAX_DEPTH
from authkit_verify.errors import TokenError

_ONLY_TEXTS = frozenset({str})
_CONTAINERS = frozenset({list, dict})


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What a token says, after everything about it was checked.

    Times are whole Unix seconds; collections are tuples; ``raw`` holds every claim, with mappings read-only
    and lists as tuples. A claim of an unexpected type is left out of its field and stays in ``raw``.
    """

    # A msgspec struct and not a dataclass: a frozen dataclass sets its fields ten times slower, and one is
    # built per new token.
    user_id: str
    issuer: str
    audience: tuple[str, ...]
    expires_at: int
    issued_at: int | None
    auth_time: int | None
    token_id: str | None
    session_id: str | None
    email: str | None
    email_verified: bool
    username: str | None
    discord_username: str | None
    roles: tuple[str, ...]
    """Global roles; always empty for a token of an organisation."""
    org: str | None
    org_roles: tuple[str, ...]
    """Roles in ``org``. An organisation's owner names its roles, so none of them is ever a global one."""
    entitlements: tuple[str, ...]
    scopes: tuple[str, ...]
    amr: tuple[str, ...]
    raw: Mapping[str, Any]

    def has_role(self, role: str) -> bool:
        """Tell whether the user has this global role, whatever its case."""
        return _has(self.roles, role)

    def has_entitlement(self, entitlement: str) -> bool:
        """Tell whether the user has this entitlement, whatever its case."""
        return _has(self.entitlements, entitlement)

    def to_dict(self) -> dict[str, Any]:
        """Return every claim as plain dictionaries and lists, a copy of the caller's own."""
        return {name: _thaw(value) for name, value in self.raw.items()}

    def __repr__(self) -> str:
        return f"Claims(user_id={self.user_id!r}, issuer={self.issuer!r}, expires_at={self.expires_at})"


def build(claims: dict[str, Any], audience: tuple[str, ...]) -> Claims:
    """Return the claims of a payload whose issuer, subject, times and audience were checked.

    Takes over ``claims``. Raises TokenError ``invalid_token`` when something is nested too deeply.
    """
    for name, value in claims.items():
        if type(value) is list or type(value) is dict:
            claims[name] = _freeze(value, 1)
    get = claims.get
    issued_at = get("iat")
    org = get("org")
    roles = _texts(get("roles"))
    return Claims(
        user_id=claims["sub"],
        issuer=claims["iss"],
        audience=audience,
        expires_at=int(claims["exp"]),
        issued_at=None if issued_at is None else int(issued_at),
        auth_time=_seconds(get("auth_time")),
        token_id=_text(get("jti")),
        session_id=_text(get("sid")),
        email=_text(get("email")),
        email_verified=get("email_verified") is True,
        username=_text(get("username")),
        discord_username=_text(get("discord_username")),
        roles=roles if org is None else (),
        org=_text(org),
        org_roles=() if org is None else roles,
        entitlements=_texts(get("entitlements")),
        scopes=_scopes(get("scope") if "scope" in claims else get("scp")),
        amr=_texts(get("amr")),
        raw=MappingProxyType(claims),
    )


def _has(names: tuple[str, ...], wanted: str) -> bool:
    folded = wanted.casefold()
    return any(name.casefold() == folded for name in names)


def _text(value: Any) -> str | None:
    return value if type(value) is str and value else None


def _texts(value: Any) -> tuple[str, ...]:
    if type(value) is not tuple:
        return ()
    if _ONLY_TEXTS.issuperset(map(type, value)):
        return value
    return tuple(item for item in value if type(item) is str)


def _scopes(value: Any) -> tuple[str, ...]:
    # RFC 8693, 4.2: one text, separated by blanks. Some issuers send a list, or call the claim "scp".
    return tuple(value.split()) if type(value) is str else _texts(value)


def _seconds(value: Any) -> int | None:
    return int(value) if type(value) in {int, float} and abs(value) <= 2**53 else None


def _freeze(value: Any, depth: int) -> Any:
    kind = type(value)
    if kind is not list and kind is not dict:
        return value
    if depth >= MAX_DEPTH:
        raise TokenError("invalid_token", "the token's claims are nested too deeply")
    if kind is list:
        if _CONTAINERS.isdisjoint(map(type, value)):
            return tuple(value)
        return tuple([_freeze(item, depth + 1) for item in value])
    return MappingProxyType({name: _freeze(item, depth + 1) for name, item in value.items()})


def _thaw(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_thaw(item) for item in value]
    if isinstance(value, MappingProxyType):
        return {name: _thaw(item) for name, item in value.items()}
    return value
