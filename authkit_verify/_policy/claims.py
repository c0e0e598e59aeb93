"""The claims of an accepted token: typed, and immutable all the way down.

Every request with the same token may get the same object, so nothing in it can be changed.
"""

from __future__ import annotations

from collections.abc import KeysView, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any

import msgspec

_ONLY_TEXTS = frozenset({str})


class Claims(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """The claims of a token that was accepted.

    Times are whole Unix seconds; collections are tuples. A claim of an unexpected type is missing from its
    field and is still in ``raw``.
    """

    # Claims that an application may never read are read from the payload at their first use and kept: all of
    # them at once would be a tenth of what a new token costs. A frozen dataclass is ten times slower to make.
    user_id: str
    """``sub``."""
    issuer: str
    """``iss``."""
    audience: tuple[str, ...]
    """``aud``; empty if the token has none."""
    expires_at: int
    """``exp``."""
    scopes: tuple[str, ...]
    """``scope`` (RFC 8693, 4.2), or else ``scp``."""
    _payload: dict[str, Any]

    @cached_property
    def raw(self) -> Mapping[str, Any]:
        """Every claim of the token; objects are read-only mappings, arrays are tuples."""
        return MappingProxyType({name: _frozen(value) for name, value in self._payload.items()})

    @cached_property
    def issued_at(self) -> int | None:
        """``iat``."""
        return _seconds(self._payload.get("iat"))

    @cached_property
    def auth_time(self) -> int | None:
        """``auth_time``: when the user last authenticated."""
        return _seconds(self._payload.get("auth_time"))

    @cached_property
    def token_id(self) -> str | None:
        """``jti``."""
        return _text(self._payload.get("jti"))

    @cached_property
    def session_id(self) -> str | None:
        """``sid``."""
        return _text(self._payload.get("sid"))

    @cached_property
    def email(self) -> str | None:
        """The email address, verified only if ``email_verified``."""
        return _text(self._payload.get("email"))

    @cached_property
    def email_verified(self) -> bool:
        """True only if the claim is the JSON value ``true``."""
        return self._payload.get("email_verified") is True

    @cached_property
    def username(self) -> str | None:
        """``username``."""
        return _text(self._payload.get("username"))

    @cached_property
    def discord_username(self) -> str | None:
        """The username on Discord."""
        return _text(self._payload.get("discord_username"))

    @cached_property
    def roles(self) -> tuple[str, ...]:
        """Global roles; always empty for a token of an organization."""
        return () if self.has_org else _texts(self._payload.get("roles"))

    @cached_property
    def has_org(self) -> bool:
        """True for a token of an organization, whatever its type; no user has global roles there."""
        return self._payload.get("org") is not None

    @cached_property
    def org(self) -> str | None:
        """``org``: the organization that the token is for, by the name it had then."""
        return _text(self._payload.get("org"))

    @cached_property
    def org_id(self) -> str | None:
        """``org_id``: the organization's id, which a rename does not change and no other one ever has."""
        return _text(self._payload.get("org_id"))

    @cached_property
    def org_roles(self) -> tuple[str, ...]:
        """Roles in ``org``. The owner of an organization names its roles, so they are never global ones."""
        return _texts(self._payload.get("roles")) if self.has_org else ()

    @cached_property
    def entitlements(self) -> tuple[str, ...]:
        """``entitlements``: the products and features of the user."""
        return _texts(self._payload.get("entitlements"))

    @cached_property
    def amr(self) -> tuple[str, ...]:
        """The authentication methods (RFC 8176)."""
        return _texts(self._payload.get("amr"))

    def has_role(self, role: str) -> bool:
        """True if the user has this global role, whatever its case."""
        return _has(self.roles, role)

    def has_entitlement(self, entitlement: str) -> bool:
        """True if the user has this entitlement, whatever its case."""
        return _has(self.entitlements, entitlement)

    def to_dict(self) -> dict[str, Any]:
        """Return every claim as plain dictionaries and lists: a copy that may be changed."""
        return {name: _copy(value) for name, value in self._payload.items()}

    # ``dict(claims)``, which is also what FastAPI makes of a route that returns them.

    def keys(self) -> KeysView[str]:
        """Return the names of all claims of the token."""
        return self._payload.keys()

    def __getitem__(self, name: str) -> Any:
        """Return one claim of the token, read-only. Raises KeyError if the token lacks it."""
        return _frozen(self._payload[name])

    def __hash__(self) -> int:
        return hash((self.issuer, self.user_id, self.expires_at, self.token_id))

    def __repr__(self) -> str:
        return f"Claims(user_id={self.user_id!r}, issuer={self.issuer!r}, expires_at={self.expires_at})"


def build(claims: dict[str, Any], audience: tuple[str, ...]) -> Claims:
    """Return the claims of a payload whose issuer, subject, times and audience were checked.

    Takes over ``claims``, which the strict reader made: no other code may hold it.
    """
    return Claims(
        user_id=claims["sub"],
        issuer=claims["iss"],
        audience=audience,
        expires_at=int(claims["exp"]),
        scopes=_scopes(claims["scope"] if "scope" in claims else claims.get("scp")),
        _payload=claims,
    )


def _has(names: tuple[str, ...], wanted: str) -> bool:
    folded = wanted.casefold()
    return any(name.casefold() == folded for name in names)


def _text(value: Any) -> str | None:
    return value if type(value) is str and value else None


def _texts(value: Any) -> tuple[str, ...]:
    if type(value) is not list:
        return ()
    if _ONLY_TEXTS.issuperset(map(type, value)):
        return tuple(value)
    return tuple([item for item in value if type(item) is str])


def _scopes(value: Any) -> tuple[str, ...]:
    # RFC 8693, 4.2: one string, separated by spaces, and by nothing else that Python takes for white space.
    # Some issuers send a list, or call the claim "scp".
    if value is None:
        return ()
    return tuple(filter(None, value.split(" "))) if type(value) is str else _texts(value)


def _seconds(value: Any) -> int | None:
    return int(value) if type(value) in {int, float} and abs(value) <= 2**53 else None


# The strict reader bounds how deep a payload nests, and so how deep these go.


def _frozen(value: Any) -> Any:
    kind = type(value)
    if kind is list:
        return tuple([_frozen(item) for item in value])
    if kind is dict:
        return MappingProxyType({name: _frozen(item) for name, item in value.items()})
    return value


def _copy(value: Any) -> Any:
    kind = type(value)
    if kind is list:
        return [_copy(item) for item in value]
    if kind is dict:
        return {name: _copy(item) for name, item in value.items()}
    return value
