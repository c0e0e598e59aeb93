"""The claims of an accepted token: typed, and immutable all the way down.

Every request with the same token may get the same object, so nothing in it can be changed. ``claim_paths``
finds the claims of an issuer, ``claim_values`` reads their forms, ``token_checks`` refuses a token by them.
"""

from __future__ import annotations

from collections.abc import KeysView, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any

import msgspec

from authkit_verify._policy.claim_paths import (
    USUAL,
    ClaimPaths,
    Payload,
    all_scopes,
    all_texts,
    first_value,
)
from authkit_verify._policy.claim_values import scopes, text, texts


class Claims(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """The claims of a token that was accepted.

    Times are whole Unix seconds; collections are tuples. A claim of an unexpected type is missing from its
    field and is still in ``raw``. ``IssuerAccept(claims=ClaimsMapping(...))`` reads other claims than those
    named here.
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
    tenant: str | None = None
    """The tenant that ``iss`` names, for an issuer with ``tenants``; None for any other."""
    _payload: Payload
    _paths: ClaimPaths = USUAL

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
        return text(self._payload.get("jti"))

    @cached_property
    def session_id(self) -> str | None:
        """``sid``."""
        return text(self._payload.get("sid"))

    @cached_property
    def email(self) -> str | None:
        """The email address, verified only if ``email_verified``."""
        return text(self._payload.get("email"))

    @cached_property
    def email_verified(self) -> bool:
        """True only if the claim is the JSON value ``true``."""
        return self._payload.get("email_verified") is True

    @cached_property
    def username(self) -> str | None:
        """``username``."""
        return text(first_value(self._paths.username, self._payload))

    @cached_property
    def client_id(self) -> str | None:
        """``client_id`` (RFC 9068), or else ``azp``: the client that requested the token."""
        return text(first_value(self._paths.client_id, self._payload))

    @cached_property
    def discord_username(self) -> str | None:
        """The username on Discord."""
        return text(self._payload.get("discord_username"))

    @cached_property
    def roles(self) -> tuple[str, ...]:
        """Global roles; empty for a token of an organization, unless the issuer's roles are mapped."""
        if self._paths.roles is not None:
            return all_texts(self._payload, self._paths.roles)
        return () if self.has_org else texts(self._payload.get("roles"))

    @cached_property
    def permissions(self) -> tuple[str, ...]:
        """``permissions``: what the user may do, if the issuer lists it."""
        return all_texts(self._payload, self._paths.permissions)

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """``groups`` (RFC 9068): the groups of the user."""
        return all_texts(self._payload, self._paths.groups)

    @cached_property
    def has_org(self) -> bool:
        """True for a token of an organization, whatever its type; unmapped roles are not global there."""
        return first_value(self._paths.org, self._payload) is not None

    @cached_property
    def org(self) -> str | None:
        """``org``: the organization that the token is for, by the name it had then."""
        return text(first_value(self._paths.org, self._payload))

    @cached_property
    def org_id(self) -> str | None:
        """``org_id``: the organization's id, which a rename does not change and no other one ever has."""
        return text(self._payload.get("org_id"))

    @cached_property
    def org_roles(self) -> tuple[str, ...]:
        """Roles in ``org``. The owner of an organization names its roles, so they are never global ones."""
        if not self.has_org:
            return ()
        paths = self._paths.org_roles
        return texts(self._payload.get("roles")) if paths is None else all_texts(self._payload, paths)

    @cached_property
    def entitlements(self) -> tuple[str, ...]:
        """``entitlements``: the products and features of the user."""
        return texts(self._payload.get("entitlements"))

    @cached_property
    def amr(self) -> tuple[str, ...]:
        """The authentication methods (RFC 8176)."""
        return texts(self._payload.get("amr"))

    def has_role(self, role: str) -> bool:
        """True if the user has this global role, whatever its case."""
        return _has(self.roles, role)

    def has_entitlement(self, entitlement: str) -> bool:
        """True if the user has this entitlement, whatever its case."""
        return _has(self.entitlements, entitlement)

    def has_permission(self, permission: str) -> bool:
        """True if the token lists exactly this permission."""
        return permission in self.permissions

    def has_group(self, group: str) -> bool:
        """True if the token lists exactly this group."""
        return group in self.groups

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


def build(
    payload: Payload,
    audience: tuple[str, ...],
    *,
    subject: str | None = None,
    paths: ClaimPaths = USUAL,
    tenant: str | None = None,
) -> Claims:
    """Return the claims of a payload whose issuer, subject, times and audience were checked.

    Takes over ``payload``, which the strict reader made: no other code may hold it. ``subject`` comes from
    the checks; None for ``sub``.
    """
    if paths.scopes is not None:
        granted = all_scopes(payload, paths.scopes)
    else:  # some issuers call the claim "scp"
        granted = scopes(payload["scope"] if "scope" in payload else payload.get("scp"))
    return Claims(
        user_id=payload["sub"] if subject is None else subject,
        issuer=payload["iss"],
        audience=audience,
        expires_at=int(payload["exp"]),
        scopes=granted,
        tenant=tenant,
        _payload=payload,
        _paths=paths,
    )


def _has(names: tuple[str, ...], wanted: str) -> bool:
    folded = wanted.casefold()
    return any(name.casefold() == folded for name in names)


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
