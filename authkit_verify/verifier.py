"""The verifier: one numbered list of checks behind ``verify`` and the middleware alike."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self, TypedDict

from authkit_verify import checks, claims, compact
from authkit_verify.algorithms import ALGORITHMS
from authkit_verify.cache import Entry, TokenCache
from authkit_verify.claims import Claims
from authkit_verify.compact import Header, Parts
from authkit_verify.config import AcceptConfig, IssuerAccept
from authkit_verify.errors import TokenError
from authkit_verify.fetch import Clients, HttpClient
from authkit_verify.keys import KeyState
from authkit_verify.sources import Found, IssuerHealth, IssuerKeys

log = logging.getLogger("authkit_verify")

_MAX_HEADERS = 256
_MAX_HEADER_SEGMENT = 512


class Verified(NamedTuple):
    """An accepted token: what it says, and where the keys came from that admitted it."""

    claims: Claims
    keys: KeyState


class Health(TypedDict):
    """``ready`` when every issuer has keys that answer; ``issuers`` maps each to its state."""

    ready: bool
    issuers: dict[str, IssuerHealth]


class _Rule:
    """One issuer, ready to be applied."""

    __slots__ = ("accept", "algorithms", "audiences", "keys", "scopes", "types")

    def __init__(self, accept: IssuerAccept, config: AcceptConfig, keys: IssuerKeys) -> None:
        self.accept = accept
        self.algorithms = frozenset(config.algorithms if accept.algorithms is None else accept.algorithms)
        self.audiences = None if accept.any_audience else frozenset(accept.audiences)
        self.keys = keys
        self.scopes = tuple(accept.required_scopes)
        self.types = checks.token_types(accept.token_types)


class Verifier:
    """Verifies access tokens of the configured issuers.

    Nothing is fetched until the first token (or ``warm``) needs it, and no task runs without a request. When
    keys are in memory, ``verify`` never suspends. ``clock`` returns Unix seconds; an injected one also
    measures the age of keys, where the default takes the monotonic clock. For asyncio only.

    Verified tokens are remembered, ``cache_entries`` of them in about ``cache_bytes`` bytes at most (0
    switches that off), for as long as their times allow and the keys that admitted them answer.
    """

    def __init__(
        self,
        config: AcceptConfig,
        http_client: HttpClient | None = None,
        clock: Callable[[], float] | None = None,
        *,
        cache_entries: int = 32_768,
        cache_bytes: int = 96 * 1024 * 1024,
    ) -> None:
        self.config = config
        self._wall = clock or time.time
        self._skew = config.skew
        self._clients = Clients(http_client)
        ages = clock or time.monotonic
        self._rules = {
            accept.issuer: _Rule(
                accept, config, IssuerKeys(accept, self._clients, wall=self._wall, clock=ages)
            )
            for accept in config.issuers
        }
        self._algorithms = frozenset[str]().union(*(rule.algorithms for rule in self._rules.values()))
        self._headers: dict[bytes, Header] = {}
        self._cache = TokenCache(max_entries=cache_entries, max_bytes=cache_bytes)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc_info: object) -> None:
        await self.aclose()

    async def verify(self, token: str) -> Claims:
        """Return the claims of a genuine token that is valid here and now. Raises TokenError only."""
        entry = self._cache.get(token, self._wall()) if type(token) is str else None
        return entry.claims if entry is not None else (await self._examine(token)).claims

    async def authenticate(self, token: str) -> Verified:
        """Do what ``verify`` does and also say where the keys behind the answer stand at this moment."""
        entry = self._cache.get(token, self._wall()) if type(token) is str else None
        held = entry.source.usable() if entry is not None else None
        if entry is not None and held is not None:
            return Verified(entry.claims, held[1])
        return await self._examine(token)

    async def _examine(self, token: str) -> Verified:
        """Judge a token from its text.

        The checks, in the order that decides which code is reported: shape, algorithm, issuer, key,
        signature, type, times, audience, scope.
        """
        # 1. The shape: RFC 7515 section 5.2, RFC 8725 sections 3.1, 3.11 and 3.12.
        parts = compact.split(token)
        header = self._headers.get(parts.header_segment) or compact.read_header(parts.header_segment)
        payload = compact.read_object(parts.payload)
        # 2. An algorithm that some issuer may use: RFC 8725 section 3.1.
        if header.alg not in self._algorithms:
            raise TokenError("disallowed_alg", "the token's algorithm is not allowed")
        # 3. A known issuer, and the algorithm is one of its own: RFC 8725 section 3.8. No I/O before this.
        rule = self._rule(payload)
        if header.alg not in rule.algorithms:
            raise TokenError("disallowed_alg", "the token's algorithm is not allowed for its issuer")
        # 4. Keys of that issuer which fit the algorithm, by key id: RFC 7517 section 4.5.
        found = await rule.keys.find(header.kid, header.alg)
        # 5. The signature: RFC 7515 section 5.2.
        if not _signed_by(found, header, parts):
            found = await self._second_look(rule, header, parts, found)
        self._remember(parts.header_segment, header)
        # 6. to 9. What the token says about itself.
        accepted = self._judge(rule, header, payload)
        if found.state.source == "pinned" and not rule.accept.pinned_only:
            log.info("a token of %s was verified with a pinned key", rule.accept.issuer)
        self._cache.put(token, self._entry(accepted, rule, found))
        return Verified(accepted, found.state)

    def remaining(self, accepted: Claims) -> float:
        """Return the seconds an accepted token still has, the skew included."""
        return float(accepted.raw["exp"]) + self._skew - self._wall()

    async def warm(self) -> Health:
        """Fetch every issuer's keys now and report; an issuer that is down does not raise."""
        await asyncio.gather(*(rule.keys.warm() for rule in self._rules.values()))
        return self.health()

    def health(self) -> Health:
        """Return the state of every issuer's keys, without any I/O."""
        issuers = {issuer: rule.keys.health() for issuer, rule in self._rules.items()}
        return {"ready": all(one["source"] is not None for one in issuers.values()), "issuers": issuers}

    async def aclose(self) -> None:
        """Stop background fetches and close the HTTP client, unless it is the host's own."""
        for rule in self._rules.values():
            await rule.keys.aclose()
        await self._clients.aclose()

    def _rule(self, payload: Mapping[str, Any]) -> _Rule:
        issuer = payload.get("iss")
        if issuer is not None and type(issuer) is not str:
            raise TokenError("invalid_token", "the token's issuer is not a text")
        rule = self._rules.get(issuer) if issuer is not None else None
        if rule is None:
            raise TokenError("bad_issuer", "the token's issuer is not accepted")
        return rule

    async def _second_look(self, rule: _Rule, header: Header, parts: Parts, found: Found) -> Found:
        again = await rule.keys.find_again(header.kid, header.alg, found)
        if again is None or not _signed_by(again, header, parts):
            raise TokenError("invalid_token", "the token's signature is wrong")
        return again

    def _remember(self, segment: bytes, header: Header) -> None:
        """Keep a header that came with a good signature: strangers cannot fill this."""
        if segment not in self._headers and len(segment) <= _MAX_HEADER_SEGMENT:
            if len(self._headers) >= _MAX_HEADERS:
                self._headers.clear()
            self._headers[segment] = header

    def _entry(self, accepted: Claims, rule: _Rule, found: Found) -> Entry:
        """Return what is remembered of a token; its times are checked again at every use."""
        raw = accepted.raw
        starts = max(raw.get("nbf", -math.inf), raw.get("iat", -math.inf)) - self._skew
        return Entry(accepted, rule.keys, found.whole, starts, raw["exp"] + self._skew)

    def _judge(self, rule: _Rule, header: Header, payload: dict[str, Any]) -> Claims:
        # 6. The type: RFC 8725 section 3.11, RFC 9068 section 4.
        checks.check_type(header.typ, rule.types)
        # 7. The times: RFC 7519 sections 4.1.4 to 4.1.6.
        checks.check_times(payload, self._wall(), self._skew, rule.accept.max_lifetime)
        checks.check_subject(payload)
        # 8. The audience: RFC 7519 section 4.1.3.
        audience = checks.check_audience(payload.get("aud"), rule.audiences)
        accepted = claims.build(payload, audience)
        # 9. The scope: RFC 6750 section 3.1.
        checks.check_scopes(accepted.scopes, rule.scopes)
        return accepted


def _signed_by(found: Found, header: Header, parts: Parts) -> bool:
    check = ALGORITHMS[header.alg]
    for key in found.keys:  # noqa: SIM110 - a generator would cost more than all the other bookkeeping here
        if check(key.public_key, parts.signed, parts.signature):
            return True
    return False
