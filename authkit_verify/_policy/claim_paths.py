"""The paths to the claims of one issuer, and the values at their ends; ``claim_values`` reads those."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Self

import msgspec

from authkit_verify._policy.claim_values import scopes, texts
from authkit_verify.config.claims_mapping import ClaimPath, ClaimsMapping, claim_path

Payload = dict[str, Any]
Paths = tuple[ClaimPath, ...]


class ClaimPaths(msgspec.Struct, frozen=True, kw_only=True):
    """Where the tokens of an issuer carry what ``Claims`` reads; None for a rule that no path can state.

    Data alone, so that the ``Claims`` that hold it can be copied and pickled.
    """

    roles: Paths | None = None
    scopes: Paths | None = None
    org_roles: Paths | None = None
    permissions: Paths = (("permissions",),)
    groups: Paths = (("groups",),)
    org: Paths = (("org",),)
    username: Paths = (("username",),)
    client_id: Paths = (("client_id",), ("azp",))
    subject: Paths = (("sub",),)
    audience: Paths = (("aud",),)

    @classmethod
    def of(cls, mapping: ClaimsMapping | None) -> Self:
        """Return the paths of a mapping; a field that it leaves out keeps the usual ones."""
        named = {name: getattr(mapping, name, None) for name in cls.__struct_fields__}
        paths = {name: tuple(map(claim_path, names)) for name, names in named.items() if names is not None}
        if "roles" in paths:
            # The claim that holds the roles of an organization is then known to be another one, or none.
            paths.setdefault("org_roles", ())
        return cls(**paths)


USUAL = ClaimPaths()
"""The paths of an issuer without a mapping."""


def value_at(payload: Payload, path: ClaimPath) -> Any:
    """Return the value at a path; None if a name on it is absent, or a value on the way is not an object."""
    value: Any = payload
    for name in path:
        if type(value) is not dict:
            return None
        value = value.get(name)
    return value


def first_value(paths: Paths, payload: Payload) -> Any:
    """Return the value of the first path that leads to one other than null; None without one."""
    for path in paths:
        value: Any = payload
        for name in path:  # not value_at: a call would cost as much again
            if type(value) is not dict:
                value = None
                break
            value = value.get(name)
        if value is not None:
            return value
    return None


def reader(*paths: ClaimPath) -> Callable[[Payload], Any]:
    """Return ``first_value`` for these paths; for a single claim it is as fast as reading that claim."""
    if len(paths) != 1 or len(paths[0]) != 1:
        return partial(first_value, paths)
    (name,) = paths[0]

    def read(payload: Payload) -> Any:  # methodcaller takes longer
        return payload.get(name)

    return read


def all_texts(payload: Payload, paths: Paths) -> tuple[str, ...]:
    """Return the strings at all of these paths, each once."""
    return _joined([texts(value_at(payload, path)) for path in paths])


def all_scopes(payload: Payload, paths: Paths) -> tuple[str, ...]:
    """Return the scopes at all of these paths, each once."""
    return _joined([scopes(value_at(payload, path)) for path in paths])


def _joined(lists: list[tuple[str, ...]]) -> tuple[str, ...]:
    return lists[0] if len(lists) == 1 else tuple(dict.fromkeys(item for one in lists for item in one))
