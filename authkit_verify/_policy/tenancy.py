"""The tenants of an issuer: which one a token is of, and if that one is accepted.

``config.tenants`` reads the template.
"""

from __future__ import annotations

import inspect
import math
from functools import partial

from authkit_verify._jwks.key_set_cache import Clock
from authkit_verify._policy.claim_paths import Payload, reader
from authkit_verify._policy.lookup import Lookup
from authkit_verify.config import IssuerAccept
from authkit_verify.config.claims_mapping import claim_path
from authkit_verify.config.tenants import IssuerTemplate, TenantRule
from authkit_verify.errors import TokenError, shown

TTL = 60.0
"""Seconds an accepted tenant is not asked about again: the longest time until its removal takes effect."""
MAX_TENANTS = 10_000
"""Accepted tenants that are remembered."""


class Tenancy:
    """The rule about the tenants of one issuer. ``clock`` returns seconds and never goes back."""

    __slots__ = ("_claim", "_clock", "_listed", "_lookup", "_read_claim", "_template")

    def __init__(self, accept: IssuerAccept, clock: Clock) -> None:
        self._template = IssuerTemplate(accept.issuer)
        self._clock = clock
        self._claim = accept.tenant_claim
        self._read_claim = None if self._claim is None else reader(claim_path(self._claim))
        self._listed: frozenset[str] = frozenset()
        self._lookup: Lookup[bool] | None = None
        if callable(accept.tenants):
            ask = partial(_decision, accept.tenants)
            self._lookup = Lookup(
                ask, setting=f"tenants of {accept.issuer}", clock=clock, ttl=TTL, most=MAX_TENANTS
            )
        else:
            self._listed = frozenset(accept.tenants or ())

    @property
    def asks_host(self) -> bool:
        """True if a function of the host decides."""
        return self._lookup is not None

    def tenant_of(self, issuer: str) -> str | None:
        """Return the tenant of an ``iss``; None if it does not have the form of the template."""
        return self._template.tenant_of(issuer)

    async def admit(self, payload: Payload) -> float:
        """Return for how many seconds the tenant of a genuine token is accepted.

        Raises TokenError ``bad_tenant`` or ``issuer_check_unavailable``.
        """
        tenant = self._template.tenant_of(payload["iss"])
        if tenant is None:
            raise TokenError("bad_tenant", "the token's iss names no tenant")
        named = tenant if self._read_claim is None else self._read_claim(payload)
        if named != tenant:
            raise TokenError(
                "bad_tenant",
                f"the token's {self._claim} is not the tenant of its iss",
                detail=f"{shown(named)}, not {shown(tenant)}; see tenant_claim",
            )
        if self._lookup is None:
            if tenant not in self._listed:
                raise _refusal(tenant)
            return math.inf
        answer = await self._lookup.find(tenant)
        if answer is None:
            raise _refusal(tenant)
        return answer.until - self._clock()


def _refusal(tenant: str) -> TokenError:
    return TokenError(
        "bad_tenant", "the token's tenant is not accepted", detail=f"{shown(tenant)}; see tenants"
    )


async def _decision(rule: TenantRule, tenant: str) -> bool | None:
    answer = rule(tenant)
    if inspect.isawaitable(answer):
        answer = await answer
    if type(answer) is not bool:
        raise TypeError(f"tenants must return True or False, not {answer!r:.60}")
    return answer or None
