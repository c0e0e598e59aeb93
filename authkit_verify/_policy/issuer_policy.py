"""The rules of each issuer, ready to be applied, and the steps that need its keys."""

from __future__ import annotations

import time
from collections.abc import Mapping

from authkit_verify._jose.algorithms import Check
from authkit_verify._jose.compact import Header, Parts
from authkit_verify._jwks.issuer_keys import IssuerKeys, KeyCandidates
from authkit_verify._jwks.key_set_cache import Clock
from authkit_verify._policy import checks
from authkit_verify._policy.claim_paths import ClaimPaths, reader
from authkit_verify._policy.proof.binding import binding_rule
from authkit_verify._policy.report_only import ReportOnlyPolicy
from authkit_verify._policy.required_claims import required_claims
from authkit_verify._policy.tenancy import Tenancy
from authkit_verify._telemetry.counters import IssuerCounters, TokenCounters
from authkit_verify._telemetry.events import Emit, noop
from authkit_verify.config import AcceptConfig, IssuerAccept
from authkit_verify.errors import TokenError


class IssuerPolicy:
    """The rules of one issuer, its keys and its counters."""

    __slots__ = (
        "accept",
        "algorithms",
        "audiences",
        "binding_of",
        "emit",
        "keys",
        "must_be_bound",
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
        clock: Clock = time.monotonic,
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
        self.types = checks.token_types(accept.token_types)
        self.must_be_bound = "required" in {accept.dpop, accept.mtls}
        self.binding_of = binding_rule(accept.dpop, accept.mtls)
        self.report_only = ReportOnlyPolicy(accept.report_only) if accept.report_only is not None else None
        self.tenancy = Tenancy(accept, clock) if accept.tenants is not None else None
        self.token_counters = TokenCounters()
        self.emit = emit

    def counters(self) -> IssuerCounters:
        """Return a copy of the counters of the issuer's tokens and fetches."""
        succeeded, failed = self.keys.fetches()
        return self.token_counters.snapshot(fetches=succeeded, fetch_failures=failed)


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
