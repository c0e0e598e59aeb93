"""The verifier: one numbered list of checks, for ``verify`` and the middleware alike."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from typing import Any, Self

import msgspec

from authkit_verify._jose import compact
from authkit_verify._jose.compact import Header
from authkit_verify._jose.keys import KeySet, KeyState
from authkit_verify._jwks.client import Clients
from authkit_verify._jwks.issuer_keys import IssuerKeys
from authkit_verify._policy import token_checks
from authkit_verify._policy.introspection.introspector import Introspector
from authkit_verify._policy.introspection.live_claims import confirmed_claims, opaque_claims
from authkit_verify._policy.introspection.live_keys import NO_KEYS, LiveKeys
from authkit_verify._policy.issuer_policy import IssuerPolicy, retry_after_refresh, verify_signature
from authkit_verify._policy.opaque_tokens import OpaqueIssuers, is_opaque
from authkit_verify._policy.proof.binding import Proof
from authkit_verify._policy.proof.certificates import CertificateHeader
from authkit_verify._policy.proof.dpop import DPoP
from authkit_verify._policy.proof.dpop_proof import ProofChecker
from authkit_verify._policy.verified_claims import Claims
from authkit_verify._telemetry.counters import UNKNOWN, Counters, TokenCounters
from authkit_verify._telemetry.events import Events, Listener
from authkit_verify._verify.explain.explanation import Explanation
from authkit_verify._verify.header_cache import HeaderCache
from authkit_verify._verify.health import Health, health_of
from authkit_verify._verify.issuer_loader import IssuerLoader, LoadedIssuers
from authkit_verify._verify.issuers import Issuers
from authkit_verify._verify.token_cache import Entry, TokenCache
from authkit_verify.config import AcceptConfig, IssuerAccept
from authkit_verify.config.http_client import HttpClient
from authkit_verify.errors import TokenError

log = logging.getLogger("authkit_verify")

Validity = tuple[Claims, float, float]
"""The claims of a token, and the Unix times between which they are valid."""


class Verified(msgspec.Struct, frozen=True):
    """An accepted token: its claims, the state of the keys that admitted it, and those keys."""

    claims: Claims
    keys: KeyState
    key_set: KeySet


class Verifier:
    """Verifies access tokens of the configured issuers.

    No key is fetched before the first token (or ``warm``) needs it, and no task runs without a request. While
    fresh keys are in memory, ``verify`` never suspends. For asyncio only. Event loops may come and go, run in
    several threads, or live for one call.

    Verified tokens are cached for as long as they are valid and the keys that admitted them are in use.

    Args:
        config: The accepted issuers and the rules for their tokens; one ``IssuerAccept`` serves as well.
        http_client: The client for fetches: an ``AsyncClient`` of httpx or httpx2, or any ``HttpClient``. It
            serves every issuer without a client or connection settings of its own, so that its headers and
            certificates go to all of them. The host closes it. Default None: httpx, with a new client for
            each refresh.
        clock: Returns Unix seconds; it then also measures the age of keys. Default None: ``time.time``, and
            ``time.monotonic`` for ages.
        cache_entries: The most tokens to cache; 0 switches the cache off. Default 32768.
        cache_bytes: The most memory for them, roughly (bytes); 0 switches the cache off. Default 96 MiB.
        on_event: Called with an ``Event`` in the middle of a verification, so it must not block. Default
            None.
        dpop: How DPoP proofs are checked. Default None: ``DPoP()``, and refusals do not announce DPoP
            unless an issuer requires it.
        certificate_header: The header in which a proxy passes the client certificate on. Default None: the
            ASGI TLS extension names the certificate.
        issuer_loader: A coroutine function that returns the ``IssuerAccept`` of an ``iss`` which is not
            accepted yet, or None to refuse its tokens. Unauthenticated requests choose what it is asked.
            While it raises, those tokens get 503. Default None.
        loader_ttl: Seconds until it is asked again about an issuer that it returned: the longest time until a
            removal takes effect. Default 300.
        max_loaded: The most issuers to keep that it returned; the least recently used ones go. Default 1000.

    Raises:
        ValueError: ``on_event`` is a coroutine function, a limit is invalid, or neither an issuer nor an
            ``issuer_loader`` is given.
    """

    def __init__(
        self,
        config: AcceptConfig | IssuerAccept,
        http_client: HttpClient | None = None,
        clock: Callable[[], float] | None = None,
        *,
        cache_entries: int = 32_768,
        cache_bytes: int = 96 * 1024 * 1024,
        on_event: Listener | None = None,
        dpop: DPoP | None = None,
        certificate_header: CertificateHeader | None = None,
        issuer_loader: IssuerLoader | None = None,
        loader_ttl: float = 300.0,
        max_loaded: int = 1000,
    ) -> None:
        if isinstance(config, IssuerAccept):
            config = AcceptConfig(issuers=[config])
        self.config = config
        """What the verifier was made with; ``issuers`` are those that it accepts now."""
        self._wall = clock or time.time
        self._skew = float(config.skew)
        self._clients = Clients(http_client)
        self._ages = clock or time.monotonic
        self._events = Events(on_event, self._wall)
        self._unknown_issuer = TokenCounters()
        loaded: LoadedIssuers | None = None
        if issuer_loader is not None:
            loaded = LoadedIssuers(
                issuer_loader, self._announced_policy, ttl=loader_ttl, most=max_loaded, clock=self._ages
            )
        self._issuers = Issuers(config, self._policy_of, loaded)
        self._headers = HeaderCache()
        self._cache = TokenCache(self._wall, max_entries=cache_entries, max_bytes=cache_bytes)
        self._proofs = ProofChecker(dpop or DPoP(), self._wall)
        required = any(accept.dpop == "required" for accept in config.issuers)
        self.dpop = dpop or (self._proofs.settings if required else None)
        """How DPoP proofs are checked, if refusals announce DPoP; None if they do not."""
        self.certificate_header = certificate_header
        """The header in which a proxy passes the client certificate on."""

    @property
    def issuers(self) -> tuple[IssuerAccept, ...]:
        """The issuers that are accepted now, without those that ``issuer_loader`` returned."""
        return tuple(policy.accept for policy in self._issuers.accepted.values())

    @property
    def loads_issuers(self) -> bool:
        """True if there is an ``issuer_loader``, so that tokens of further issuers may be accepted."""
        return self._issuers.can_load

    def add_issuer(self, accept: IssuerAccept) -> None:
        """Accept one more issuer from now on. Its keys are fetched when a token needs them.

        It takes the place of one that ``issuer_loader`` returned.

        Raises:
            ValueError: The issuer is accepted already, or it requires DPoP and ``dpop`` of the verifier is
                None, so that refusals would not announce it, or its opaque tokens cannot be distinguished
                from those of another issuer.
        """
        self._issuers.add(self._announced_policy(accept))

    async def remove_issuer(self, issuer: str) -> None:
        """Accept no token of this issuer any more, and drop its keys, health and counters.

        Cached tokens of it are refused at once, as are those whose verification is running, and its fetches
        are cancelled. A request that was admitted before goes on, and so does an open connection until its
        token expires. An issuer that is added again starts anew. ``issuer_loader`` is asked about its next
        token, also if it returned the issuer itself.

        Raises:
            ValueError: The issuer is not accepted; a typing error must not leave one in place.
        """
        await self._issuers.remove(issuer).retire()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc_info: object) -> None:
        await self.aclose()

    async def verify(self, token: str, proof: Proof | None = None) -> Claims:
        """Return the claims of a genuine and valid token. Raises TokenError, and no other exception.

        A token that is bound to a key or a certificate (``cnf``) is refused without its ``proof``.
        """
        entry = self._cache.get(token)
        if entry is None or proof is not None:
            examined = self._examine(token, None) if proof is None else self.authenticate(token, proof)
            return (await examined).claims
        entry.token_counters.cached += 1
        return entry.claims

    async def authenticate(self, token: str, proof: Proof | None = None) -> Verified:
        """Return the claims of a token with the current state of the keys. Raises TokenError."""
        if proof is None:
            return self.recall(token) or await self._examine(token, None)
        bound = self._cache.get(token, bound=True)
        if bound is not None:
            return await self._recall_bound(bound, token, proof)
        known = self.recall(token) if proof.dpop is None else None
        return known or await self._examine(token, proof)

    def recall(self, token: str) -> Verified | None:
        """Return what ``authenticate`` would for a cached token without a proof, else None. Never waits."""
        entry = self._cache.get(token)
        if entry is None:
            return None
        entry.token_counters.cached += 1
        return Verified(entry.claims, entry.source.state(), entry.keys)

    async def _recall_bound(self, entry: Entry, token: str, proof: Proof) -> Verified:
        """Check the proof that comes with a cached token: of each request anew."""
        try:
            await self._proofs.check(token, entry.binding, proof)
            entry.source.check_in_use()
        except TokenError as error:
            _refuse(entry.token_counters, error)
            raise
        entry.token_counters.cached += 1
        return Verified(entry.claims, entry.source.state(), entry.keys)

    def dpop_nonce(self) -> str | None:
        """Return a new nonce for DPoP proofs, or None if they need none."""
        proofs = self._proofs
        return proofs.nonces.make(self._wall()) if proofs.settings.require_nonce else None

    async def explain(self, token: str, *, proof: Proof | None = None) -> Explanation:
        """Return the result of every check; its ``code`` is the one that ``verify`` raises. Caches nothing.

        A DPoP proof is not used up, so its replay is not noticed. The result repeats no part of the encoded
        token. It names settings, such as the accepted tenants and the URL of the keys: show it to operators.
        """
        from authkit_verify._verify.explain.explain import explain  # noqa: PLC0415 - for the few that ask

        return await explain(
            token,
            self.config,
            policies=self._issuers.accepted,
            load=self._issuers.load if self.loads_issuers else None,
            clock=self._wall,
            check_proof=lambda binding: self._proofs.inspect(token, binding, proof),
        )

    async def _examine(self, token: str, proof: Proof | None) -> Verified:
        """Run every check on a token.

        The order decides which code is reported: shape, algorithm, issuer, key,
        signature, type, times, audience, scope, tenant, introspection, proof.
        """
        issuers = self._issuers.accepted
        if issuers.opaque is not None and is_opaque(token):
            return await self._examine_opaque(token, proof, issuers.opaque)
        token_counters = self._unknown_issuer
        try:
            # 1. The shape: RFC 7515 section 5.2, RFC 8725 sections 3.11 and 3.12.
            parts = compact.split(token)
            known = self._headers.get(parts.header_segment)
            header = known or compact.read_header(parts.header_segment)
            payload = compact.read_object(parts.payload)
            # 2. An algorithm that is accepted for some issuer: RFC 8725 section 3.1.
            token_checks.check_algorithm(header.alg, issuers.algorithms)
            # 3. A known issuer, and an algorithm accepted for it: RFC 8725 section 3.8. No I/O before this.
            policy = issuers.policy_for(payload) or await self._issuers.load(payload)
            token_counters = policy.token_counters
            token_checks.check_algorithm(header.alg, policy.algorithms)
            # 4. Keys of that issuer which fit: RFC 7517 section 4.5. 5. The signature: RFC 7515 section 5.2.
            keys, kid, alg = policy.keys, header.kid, header.alg
            issuer = payload["iss"] if policy.tenancy is not None else None  # some keys are of one tenant
            found = keys.find_in_memory(kid, alg, issuer) or await keys.find(kid, alg, issuer)
            if not verify_signature(policy, found, header, parts):
                found = await retry_after_refresh(policy, header, parts, found)
            if known is None:
                self._headers.remember(parts.header_segment, header)
            # 6. The type: RFC 8725 section 3.11, RFC 9068 section 4. 7. to 11. The claims, the tenant and
            # the word of the issuer. 12. The proof: RFC 9449 section 7, RFC 8705 section 3.
            token_checks.check_type(header.typ, policy.types)
            if not policy.is_self_contained:
                payload, source, (claims, starts, ends) = await self._ask(policy, token, payload)
            else:  # without a coroutine, which costs each new token
                source, (claims, starts, ends) = keys, policy.check_claims(payload, self._wall(), self._skew)
            binding = policy.binding_of(payload)
            if binding is not None or proof is not None:
                await self._proofs.check(token, binding, proof)
            keys.check_in_use()
        except TokenError as error:
            _refuse(token_counters, error)
            raise
        entry = Entry(token, claims, token_counters, source, found.key_set, starts, ends, binding)
        return self._accept(policy, header, entry, parts.payload, found.state)

    async def _ask(
        self, policy: IssuerPolicy, token: str, payload: dict[str, Any]
    ) -> tuple[dict[str, Any], IssuerKeys | LiveKeys, Validity]:
        """Check the claims, and ask the host about the tenant and the issuer about the token: RFC 7662.

        Returns the payload as the issuer confirms it, what the token rests on, and its claims.
        """
        valid = await self._check_claims(policy, payload)
        asked = policy.jwt_introspector
        if asked is None:
            return payload, policy.keys, valid
        answer = await asked.ask(token)
        payload = confirmed_claims(answer.claims or {}, payload)
        valid = await self._check_claims(policy, payload)
        return payload, LiveKeys(asked, answer, policy.keys, opaque=False), valid

    async def _examine_opaque(self, token: str, proof: Proof | None, issuers: OpaqueIssuers) -> Verified:
        """Ask the issuer about a token that is not a JWT, and check its claims as those of one."""
        token_counters = self._unknown_issuer
        try:
            policy, asked = issuers.issuer_of(token)
            token_counters = policy.token_counters
            answer = await asked.ask(token)
            claims = answer.claims or {}
            payload = opaque_claims(claims, policy.issuer_in(claims))
            accepted, starts, ends = await self._check_claims(policy, payload)
            binding = policy.binding_of(payload)
            if binding is not None or proof is not None:
                await self._proofs.check(token, binding, proof)
            policy.keys.check_in_use()
        except TokenError as error:
            _refuse(token_counters, error)
            raise
        source = LiveKeys(asked, answer, policy.keys, opaque=True)
        entry = Entry(token, accepted, token_counters, source, NO_KEYS, starts, ends, binding)
        return self._accept(policy, None, entry, json.dumps(payload).encode(), source.state())

    async def _check_claims(self, policy: IssuerPolicy, payload: dict[str, Any]) -> Validity:
        """Return the claims, and the Unix times between which they are valid. Raises TokenError."""
        accepted, starts, ends = policy.check_claims(payload, self._wall(), self._skew)
        if policy.tenancy is not None:  # the host is asked about genuine tokens alone
            ends = min(ends, self._wall() + await policy.tenancy.admit(payload))
        return accepted, starts, ends

    def _accept(
        self, policy: IssuerPolicy, header: Header | None, entry: Entry, payload: bytes, state: KeyState
    ) -> Verified:
        """Count, report and cache an accepted token; its claims were read from ``payload``."""
        entry.token_counters.accepted += 1
        if state.source == "pinned" or policy.report_only is not None:
            self._report(policy, header, entry.claims, state)
        self._cache.put(entry, payload)
        return Verified(entry.claims, state, entry.keys)

    def remaining(self, accepted: Claims) -> float:
        """Return the seconds until an accepted token expires, the skew included."""
        return float(accepted.raw["exp"]) + self._skew - self._wall()

    async def confirmed(self, issuer: str, key_set: KeySet, max_age: float) -> bool:
        """True if the issuer confirmed these keys within ``max_age`` seconds, or does so now."""
        policy = self._issuers.find(issuer)
        return policy is not None and await policy.keys.confirmed(key_set, max_age)

    async def warm(self) -> Health:
        """Fetch the keys of every issuer now and return their state. An unreachable issuer does not raise."""
        await asyncio.gather(*(policy.warm() for policy in self._issuers.policies().values()))
        return self.health()

    def health(self) -> Health:
        """Return the state of every issuer's keys and introspection endpoint, without any I/O."""
        return health_of(self._issuers.policies(), needed=self._issuers.accepted)

    def counters(self) -> Counters:
        """Return a copy of the counters since the verifier was made, by issuer, without any I/O."""
        counted = {issuer: policy.counters() for issuer, policy in self._issuers.policies().items()}
        return {**counted, UNKNOWN: self._unknown_issuer.snapshot()}

    async def aclose(self) -> None:
        """Cancel background fetches. The HTTP client is the host's to close."""
        for policy in self._issuers.policies().values():
            await policy.aclose()

    def _policy_of(self, accept: IssuerAccept) -> IssuerPolicy:
        emit = self._events.of(accept.issuer)
        keys = IssuerKeys(accept, self._clients, wall=self._wall, clock=self._ages, emit=emit)
        settings = accept.introspection
        asked = Introspector(accept, settings, self._clients, self._ages, emit) if settings else None
        return IssuerPolicy(accept, self.config, keys, emit, clock=self._ages, introspector=asked)

    def _announced_policy(self, accept: IssuerAccept) -> IssuerPolicy:
        """Return the policy of an issuer that comes while the verifier runs. Raises ValueError."""
        if accept.dpop == "required" and self.dpop is None:
            raise ValueError(
                f"{accept.issuer}: dpop='required' needs Verifier(dpop=DPoP()), for refusals to announce it"
            )
        return self._policy_of(accept)

    @staticmethod
    def _report(policy: IssuerPolicy, header: Header | None, accepted: Claims, state: KeyState) -> None:
        """Emit the events of an accepted token."""
        if state.source == "pinned" and not policy.accept.pinned_only:
            policy.emit("pinned_key_used", "a token was verified with a pinned key")
        if policy.report_only is not None:
            for name, refusal in policy.report_only.failures(header, accepted):
                policy.token_counters.would_refuse(refusal.code)
                policy.emit("would_refuse", name, refusal.code)


def _refuse(token_counters: TokenCounters, error: TokenError) -> None:
    token_counters.refuse(error.code)
    if log.isEnabledFor(logging.DEBUG):
        log.debug("refused a token: %s", error)
