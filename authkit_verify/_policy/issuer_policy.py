"""The rules of each issuer, ready to be applied, and the steps that need its keys."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from authkit_verify._jose.algorithms import Check
from authkit_verify._jose.compact import Header, Parts
from authkit_verify._jwks.issuer_keys import IssuerKeys, KeyCandidates
from authkit_verify._jwks.key_set_cache import Clock
from authkit_verify._policy import token_checks, verified_claims
from authkit_verify._policy.claim_paths import ClaimPaths, reader
from authkit_verify._policy.introspection.introspector import Introspector
from authkit_verify._policy.proof.binding import binding_rule
from authkit_verify._policy.report_only import ReportOnlyPolicy
from authkit_verify._policy.required_claims import check_required, required_claims
from authkit_verify._policy.tenancy import Tenancy
from authkit_verify._policy.verified_claims import Claims
from authkit_verify._telemetry.counters import IssuerCounters, TokenCounters
from authkit_verify._telemetry.events import Emit, noop
from authkit_verify.config import AcceptConfig, IssuerAccept
from authkit_verify.errors import TokenError, shown


class IssuerPolicy:
    """The rules of one issuer, its keys and its counters."""

    __slots__ = (
        "accept",
        "algorithms",
        "audiences",
        "binding_of",
        "clock",
        "emit",
        "holds_until",
        "introspector",
        "is_self_contained",
        "jwt_introspector",
        "keys",
        "opaque_introspector",
        "paths",
        "read_audience",
        "read_subject",
        "report_only",
        "required_claims",
        "scopes",
        "signature_checks",
        "tenancy",
        "token_counters",
        "types",
    )

    def __init__(
        self,
        accept: IssuerAccept,
        config: AcceptConfig,
        keys: IssuerKeys,
        emit: Emit = noop,
        *,
        clock: Clock = time.monotonic,
        introspector: Introspector | None = None,
    ) -> None:
        self.accept = accept
        self.algorithms = frozenset(config.algorithms if accept.algorithms is None else accept.algorithms)
        self.audiences = None if accept.any_audience else frozenset(accept.audiences)
        self.signature_checks: Mapping[str, Check] = config.signature_checks
        self.keys = keys
        self.scopes = tuple(accept.required_scopes)
        self.paths = ClaimPaths.of(accept.claims)
        self.read_audience = reader(*self.paths.audience)
        self.read_subject = reader(*self.paths.subject)
        self.required_claims = required_claims(accept.required_claims)
        self.types = token_checks.token_types(accept.token_types)
        self.binding_of = binding_rule(accept.dpop, accept.mtls)
        self.report_only = ReportOnlyPolicy(accept.report_only) if accept.report_only is not None else None
        self.tenancy = Tenancy(accept, clock) if accept.tenants is not None else None
        self.clock = clock
        self.holds_until = math.inf
        """When the host must be asked about the issuer again, by ``clock``, if it was loaded."""
        self.token_counters = TokenCounters()
        self.emit = emit
        settings = accept.introspection
        self.introspector = introspector
        takes_opaque = settings is not None and settings.takes_opaque
        self.opaque_introspector = introspector if takes_opaque else None
        """Asked about opaque tokens; None if they are refused."""
        self.jwt_introspector = introspector if settings is not None and settings.takes_jwts else None
        """Asked about JWTs; None if they are verified here alone."""
        self.is_self_contained = self.tenancy is None and self.jwt_introspector is None
        """True if neither the host nor the issuer is asked about a JWT."""

    def check_claims(self, payload: dict[str, Any], now: float, skew: float) -> tuple[Claims, float, float]:
        """Return the claims, and the Unix times between which they are valid. Raises TokenError."""
        # The times: RFC 7519 sections 4.1.4 to 4.1.6.
        starts, ends = token_checks.check_times(payload, now, skew, self.accept.max_lifetime)
        subject = token_checks.check_subject(self.read_subject(payload))
        # The audience: RFC 7519 section 4.1.3. Then the claims that this issuer's tokens need.
        audience = token_checks.check_audience(self.read_audience(payload), self.audiences)
        if self.required_claims:
            check_required(payload, self.required_claims)
        tenant = None if self.tenancy is None else self.tenancy.tenant_of(payload["iss"])
        accepted = verified_claims.build(payload, audience, subject=subject, paths=self.paths, tenant=tenant)
        # The scope: RFC 6750 section 3.1.
        token_checks.check_scopes(accepted.scopes, self.scopes)
        if self.holds_until < math.inf:
            ends = min(ends, now + self.holds_until - self.clock())
        return accepted, starts, ends

    def issuer_in(self, answer: Mapping[str, Any]) -> str:
        """Return the issuer of an opaque token; an answer about one of a tenant must name it."""
        if self.tenancy is None:
            return self.accept.issuer
        issuer = answer.get("iss")
        if type(issuer) is not str or self.tenancy.tenant_of(issuer) is None:
            raise TokenError("bad_issuer", "the issuer's answer names no tenant", detail=shown(issuer))
        return issuer

    def counters(self) -> IssuerCounters:
        """Return a copy of the counters of the issuer's tokens and fetches."""
        asked = self.introspector.requests() if self.introspector is not None else (0, 0)
        return self.token_counters.snapshot(fetches=self.keys.fetches(), introspections=asked)

    def is_ready(self) -> bool:
        """True if tokens can be verified: keys are usable, or opaque tokens can be asked about."""
        located = self.opaque_introspector is not None and self.opaque_introspector.is_located
        return self.keys.health()["source"] is not None or (located and self.jwt_introspector is None)

    async def warm(self) -> None:
        """Fetch the keys if none is usable, and find the introspection endpoint. Never raises."""
        await self.keys.warm()
        if self.introspector is not None:
            await self.introspector.warm()

    async def aclose(self) -> None:
        """Cancel the requests that are running on this event loop."""
        await self.keys.aclose()
        if self.introspector is not None:
            await self.introspector.aclose()

    async def retire(self, *, may_return: bool = False) -> None:
        """Take every key and answer out of use for good, and cancel all requests.

        ``may_return`` is True for a loaded issuer, which the next token may load again.
        """
        await self.keys.retire(may_return=may_return)
        if self.introspector is not None:
            await self.introspector.retire(self.keys.retirement)


def verify_signature(policy: IssuerPolicy, candidates: KeyCandidates, header: Header, parts: Parts) -> bool:
    """True if one of the keys made the token's signature."""
    check = policy.signature_checks[header.alg]
    for key in candidates.keys:  # noqa: SIM110 - a generator would cost more than all the other bookkeeping here
        if check(key.public_key, parts.signed, parts.signature):
            return True
    return False


async def retry_after_refresh(
    policy: IssuerPolicy, header: Header, parts: Parts, tried: KeyCandidates
) -> KeyCandidates:
    """Return newer keys that verify a signature which the ``tried`` ones did not. Raises TokenError."""
    newer = await policy.keys.find_after_refresh(header.kid, header.alg, tried)
    if newer is None or not verify_signature(policy, newer, header, parts):
        raise TokenError("invalid_token", "the token's signature is not valid")
    return newer
