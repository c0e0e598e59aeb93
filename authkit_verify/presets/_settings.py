"""What every preset takes besides the values of its provider, and the record that it returns."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, TypedDict

from authkit_verify.config import IssuerAccept, Pin, StricterRules
from authkit_verify.config.http_client import HttpClient
from authkit_verify.config.required_values import RequiredValues
from authkit_verify.config.tenants import Tenants

_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HOST = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+(:[0-9]+)?")


class Settings(TypedDict, total=False):
    """Fields of ``IssuerAccept`` that every preset passes on."""

    required_scopes: Sequence[str]
    """As in ``IssuerAccept``."""
    required_claims: Mapping[str, RequiredValues]
    """Required in addition to what the preset requires; a claim of the preset cannot be named."""
    max_lifetime: float | None
    """As in ``IssuerAccept``."""
    report_only: StricterRules | None
    """As in ``IssuerAccept``."""
    pinned_pems: Sequence[Pin]
    """As in ``IssuerAccept``."""
    cache_ttl: float
    """As in ``IssuerAccept``."""
    max_stale: float
    """As in ``IssuerAccept``."""
    allow_http_loopback: bool
    """As in ``IssuerAccept``."""
    allow_http_hosts: Sequence[str]
    """As in ``IssuerAccept``."""
    http_client: HttpClient | None
    """As in ``IssuerAccept``."""
    headers: Mapping[str, str]
    """As in ``IssuerAccept``."""
    ca_file: str | None
    """As in ``IssuerAccept``."""
    proxy: str | None
    """As in ``IssuerAccept``."""


def accept(settings: Settings, required: Mapping[str, RequiredValues], **fields: Any) -> IssuerAccept:
    """Return the record of a preset: what it requires, its other fields, and the caller's settings."""
    further = settings.get("required_claims", {})
    if repeated := sorted(set(required) & set(further)):
        raise ValueError(f"required_claims: this preset decides on {', '.join(repeated)} itself")
    passed: dict[str, Any] = {**settings, "required_claims": {**required, **further}}
    return IssuerAccept(**passed, **fields)


def one_of(setting: str, values: Sequence[str] | None) -> RequiredValues:
    """Return the requirement of one of these values; None requires any value.

    Raises ValueError for an empty list: a setting that was left unset must not accept every value.
    """
    return ... if values is None else listed(setting, values)


def listed(setting: str, values: Sequence[str]) -> tuple[str, ...]:
    """Return a list of a setting as a tuple. Raises ValueError if it is empty, or a single string."""
    if isinstance(values, str) or not values:
        raise ValueError(f"{setting} must be a list of at least one string, not {values!r}")
    return tuple(values)


def guid(tenant: str) -> str:
    """Return a directory ID in lower case. Raises ValueError for any other text."""
    if not _GUID.fullmatch(tenant.lower()):
        raise ValueError(f"tenant must be the directory ID of one tenant, a GUID, not {tenant!r}")
    return tenant.lower()


def of_guids(tenants: Tenants) -> Tenants:
    """Return tenants that are directory IDs; a function is called for those alone."""
    if not callable(tenants):
        return tuple(map(guid, listed("tenants", tenants)))
    rule = tenants

    def decide(tenant: str) -> bool | Awaitable[bool]:
        return _GUID.fullmatch(tenant) is not None and rule(tenant)

    return decide


def host(setting: str, value: str) -> str:
    """Return a host name. Raises ValueError for a URL or any other text."""
    if not _HOST.fullmatch(value):
        raise ValueError(f"{setting} must be a host name such as login.example.com, not {value!r}")
    return value
