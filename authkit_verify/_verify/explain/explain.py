"""Run every check of the verifier on a token, even after a failure, to list all its faults.

Each check calls the function that the verifier calls. The checks after a failure run
as far as possible, and fetch no more than a verification would.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from authkit_verify._jose import compact
from authkit_verify._jose.compact import Header, Parts
from authkit_verify._jwks.issuer_keys import KeyCandidates
from authkit_verify._policy import token_checks
from authkit_verify._policy.accepted_issuers import AcceptedIssuers
from authkit_verify._policy.issuer_policy import IssuerPolicy, retry_after_refresh, verify_signature
from authkit_verify._policy.opaque_tokens import is_opaque
from authkit_verify._policy.proof.binding import Binding
from authkit_verify._verify.explain.claims import explain_claims, explain_rest, explain_type
from authkit_verify._verify.explain.explanation import (
    CheckLog,
    Explanation,
    Outcome,
    Redactor,
    address,
    algorithms_setting,
    issuer_setting,
    shortened,
)
from authkit_verify._verify.explain.introspection import explain_confirmation, explain_opaque
from authkit_verify.config import AcceptConfig
from authkit_verify.errors import TokenError

Load = Callable[[Mapping[str, Any]], Awaitable[IssuerPolicy]]
"""Returns the policy of a token's issuer that is not configured. Raises TokenError."""


async def explain(
    token: object,
    config: AcceptConfig,
    *,
    policies: AcceptedIssuers,
    load: Load | None,
    clock: Callable[[], float],
    check_proof: Callable[[Binding | None], object],
) -> Explanation:
    """Return the outcome of every check. Waits only where a verification would; never raises."""
    log, opaque = CheckLog(), policies.opaque
    if opaque is not None and is_opaque(token):
        redactor = Redactor(token, opaque=True)
        header, (policy, payload) = None, await explain_opaque(log, redactor, str(token), opaque)
        await explain_claims(log, redactor, payload=payload, policy=policy, now=clock(), skew=config.skew)
    else:
        redactor = Redactor(token)
        walk = _Walk(token, config, policies, log, redactor, load=load)
        walk.shape()
        walk.algorithm()
        await walk.issuer()
        await walk.signature()
        header, policy, payload = walk.header, walk.policy, walk.payload
        explain_type(log, redactor, header, policy)
        await explain_claims(log, redactor, payload=payload, policy=policy, now=clock(), skew=config.skew)
        if policy is not None and policy.jwt_introspector is not None:
            payload = await explain_confirmation(
                log, redactor, token, policy, payload, now=clock(), skew=config.skew
            )
    if payload is not None:
        explain_rest(
            log, redactor, header=header, payload=payload, policy=policy, check_proof=check_proof
        )  # fmt: skip
    return Explanation(tuple(log.checks))


class _Walk:
    """The checks of one token as far as its signature, and the parts of it that are known so far."""

    def __init__(
        self,
        token: object,
        config: AcceptConfig,
        policies: AcceptedIssuers,
        log: CheckLog,
        redactor: Redactor,
        *,
        load: Load | None,
    ) -> None:
        self._token = token
        self._config = config
        self._policies = policies
        self._load = load
        self._log = log
        self._redactor = redactor
        self._parts: Parts | None = None
        self.header: Header | None = None
        self.payload: dict[str, Any] | None = None
        self.policy = next(iter(policies.values())) if len(policies) == 1 and load is None else None
        """The policy of the token's issuer; if only one issuer is accepted, its policy in any case."""

    def shape(self) -> None:
        """Split the token, and read its header and payload as far as possible even if it is malformed."""
        run, token = self._log.run, self._token
        limit = f"compact.MAX_TOKEN = {compact.MAX_TOKEN}"
        self._parts = run(
            "shape",
            _outline(token),
            limit,
            "RFC 7515 7.1",
            lambda: compact.split(token),  # type: ignore[arg-type]
        )
        segments = _segments(token)
        if segments is None:
            self._log.unknown("header", "the token has no header", "RFC 7515 4")
            self._log.unknown("payload", "the token has no payload", "RFC 7519 7.2")
            return
        header, payload = segments
        seen = f"{len(header)} characters"
        self.header = run("header", seen, None, "RFC 7515 4", lambda: compact.read_header(header))
        seen = f"{len(payload)} characters"
        self.payload = run(
            "payload",
            seen,
            None,
            "RFC 7519 7.2",
            lambda: compact.read_object(compact.decode_segment(payload)),
        )

    def algorithm(self) -> None:
        """Check that the algorithm is accepted for some issuer."""
        setting = algorithms_setting(self._config, self._policies.values())
        self._check_algorithm("algorithm", setting, self._policies.algorithms)

    async def issuer(self) -> None:
        """Check that the issuer is accepted, and the algorithm for this issuer."""
        source = "RFC 7519 4.1.1"
        loader = "" if self._load is None else ", and issuer_loader"
        setting = shortened(f"AcceptConfig.issuers = {tuple(self._policies)!a}") + loader
        if self.payload is None:
            self._log.unknown("issuer", "the payload is unreadable", source, setting)
        else:
            iss = self.payload.get("iss")
            seen = f"iss {self._redactor.value(iss)}{_near(iss, self._policies)}"
            try:
                self.policy = await self._policy_for(self.payload)
            except TokenError as error:
                outcome: Outcome = "unknown" if error.code == "issuer_check_unavailable" else "failed"
                self._log.add("issuer", outcome, f"{error.reason}; {seen}", setting, source, code=error.code)
            else:
                self._log.add("issuer", "passed", seen, setting, source)
        if self.policy is None:
            self._log.unknown("issuer_algorithm", "the issuer decides, and it is unknown", "RFC 8725 3.8")
        else:
            setting = algorithms_setting(self._config, [self.policy])
            self._check_algorithm("issuer_algorithm", setting, self.policy.algorithms)

    async def _policy_for(self, payload: dict[str, Any]) -> IssuerPolicy:
        """Return the policy of the token's issuer; a token that is refused already loads none."""
        policy = self._policies.policy_for(payload)
        if policy is None and self._load is not None and not self._log.refused:
            policy = await self._load(payload)
        if policy is None:
            raise self._policies.refusal(payload.get("iss"))
        return policy

    def _check_algorithm(self, name: str, setting: str, accepted: frozenset[str]) -> None:
        source = "RFC 8725 3.1"
        if self.header is None:
            self._log.unknown(name, "the header is unreadable", source, setting)
            return
        alg = self.header.alg
        self._log.run(
            name,
            f"alg {self._redactor.value(alg)}",
            setting,
            source,
            lambda: token_checks.check_algorithm(alg, accepted),
        )

    async def signature(self) -> None:
        """Find keys and check the signature, unless an earlier check refuses the token."""
        policy, header, parts = self.policy, self.header, self._parts
        setting = _keys_setting(policy) if policy is not None else None
        if policy is None or header is None or parts is None or self._log.refused:
            reason = "not looked for, because an earlier check refuses the token"
            self._log.unknown("keys", reason, "RFC 7517 4.5", setting)
            self._log.unknown("signature", "not checked without keys", "RFC 7515 5.2")
            return
        seen = f"kid {self._redactor.value(header.kid)}, alg {header.alg}"
        try:
            issuer = (self.payload or {}).get("iss") if policy.tenancy is not None else None
            found = await policy.keys.find(header.kid, header.alg, issuer)
        except TokenError as error:
            outcome: Outcome = "unknown" if error.code == "keys_unavailable" else "failed"
            reason = error.reason
            if error.code == "keys_unavailable" and policy.keys.last_error is not None:
                reason = f"{reason} ({policy.keys.last_error}); try `authkit doctor`"
            self._log.add("keys", outcome, f"{reason}; {seen}", setting, "RFC 7517 4.5", code=error.code)
            self._log.unknown("signature", "not checked without keys", "RFC 7515 5.2")
            return
        self._log.add(
            "keys", "passed", f"{seen}; {len(found.keys)} fitting in {_keys(found)}", setting, "RFC 7517 4.5"
        )
        await self._try_keys(policy, header, parts, found)

    async def _try_keys(
        self, policy: IssuerPolicy, header: Header, parts: Parts, found: KeyCandidates
    ) -> None:
        source = "RFC 7515 5.2"
        try:
            if not verify_signature(policy, found, header, parts):
                found = await retry_after_refresh(policy, header, parts, found)
        except TokenError as error:
            seen = f"{error.reason}; checked with {_keys(found)}"
            self._log.add("signature", "failed", seen, None, source, code=error.code)
        else:
            self._log.add("signature", "passed", f"made with a key of {_keys(found)}", None, source)


def _outline(token: object) -> str:
    if not isinstance(token, str):
        return "not a string"
    parts = token.count(".") + 1
    seen = f"{len(token)} characters in {parts} part{'s' if parts > 1 else ''}"
    if token[:7].lower() == "bearer ":
        return f"{seen}, with the word Bearer in front, which is not part of the token"
    return f"{seen}, with a blank or a line break in it" if any(map(str.isspace, token)) else seen


def _segments(token: object) -> tuple[bytes, bytes] | None:
    """Return the header and payload segments of a token, even of a malformed one; None if it has none."""
    if not isinstance(token, str) or len(token) > compact.MAX_TOKEN or not token.isascii():
        return None
    segments = token.encode("ascii").split(b".")
    return (segments[0], segments[1]) if len(segments) == 3 else None


def _near(iss: object, policies: Mapping[str, IssuerPolicy]) -> str:
    """Name an accepted issuer that differs from the token's only in spelling."""
    if type(iss) is not str or iss in policies:
        return ""
    for issuer in policies:
        if iss.rstrip("/") == issuer.rstrip("/"):
            return f", which differs by a trailing slash from {shortened(ascii(issuer))}"
        if iss.strip().rstrip("/").casefold() == issuer.rstrip("/").casefold():
            return f", which differs in spelling from {shortened(ascii(issuer))}"
    return ""


def _keys_setting(policy: IssuerPolicy) -> str:
    accept = policy.accept
    if accept.pinned_only:
        return issuer_setting(accept, "pinned_only", value=True)
    if accept.keys_url is None:
        return issuer_setting(accept, "discovery", value=accept.discovery)
    return issuer_setting(accept, "jwks_url", address(accept.keys_url))


def _keys(found: KeyCandidates) -> str:
    """Describe the key set of these keys."""
    if found.state.source == "pinned":
        return "the pinned set"
    return f"the {found.state.source.replace('_', ' ')} set, {found.state.age:.0f} s old"
