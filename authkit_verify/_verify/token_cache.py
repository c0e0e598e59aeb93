"""The cache of verified tokens: a known token costs a look-up instead of a signature check.

Only genuine tokens enter, under one spelling (an ECDSA signature has two): unauthenticated requests cannot
fill it. An entry is used only while the key set that admitted it is in use, while the token is valid, and, if
its issuer was asked about it, while that answer counts.
"""

from __future__ import annotations

import msgspec

from authkit_verify._jose.keys import KeySet
from authkit_verify._jwks.issuer_keys import IssuerKeys
from authkit_verify._policy.generations import Generations
from authkit_verify._policy.introspection.live_keys import LiveKeys
from authkit_verify._policy.proof.binding import Binding
from authkit_verify._policy.verified_claims import Claims
from authkit_verify._telemetry.counters import TokenCounters

_TAIL = 32
# Bytes in memory, roughly: of an entry whatever its token, of a character of the token, and of every member
# and every object of the claims, with the read-only copy of them that an application may ask for.
_ENTRY, _CHARACTER, _MEMBER, _OBJECT = 500, 2, 70, 450


class Entry(msgspec.Struct, frozen=True):
    """A verified token: its claims, the keys that admitted it, and the Unix times of its validity, with skew.

    ``binding`` is None for a token that needs no proof; any other one is found by ``get(bound=True)`` alone.
    """

    token: str
    claims: Claims
    token_counters: TokenCounters
    source: IssuerKeys | LiveKeys
    keys: KeySet
    starts: float
    ends: float
    binding: Binding | None = None


class TokenCache(Generations[str, Entry]):
    """Verified tokens; the clock returns Unix seconds.

    The key is the end of the token, which is the end of a signature: hashing a thousand characters is half of
    the cost of a look-up. The whole token is then compared with the one that was verified.
    """

    __slots__ = ()

    def get(self, token: str, *, bound: bool = False) -> Entry | None:
        """Return the entry of a token that is still accepted, or None.

        ``bound`` is True for the tokens that need a proof, which the caller then checks, and False for all
        others.
        """
        if type(token) is not str:
            return None
        tail = token[-_TAIL:]
        entry = self._young.get(tail) or self._old.get(tail)
        if entry is None or entry.token != token or not entry.starts <= self._clock() < entry.ends:
            return None
        if (entry.binding is not None) is not bound:
            return None
        # The same object: a set is another one as soon as any key of it changes (see ``current_set``).
        return entry if entry.source.current_set() is entry.keys else None

    def put(self, entry: Entry, payload: bytes) -> None:
        """Cache a token that has just been verified; its claims were read from ``payload``."""
        if not self._max_entries:
            return
        token = entry.token
        members, objects = payload.count(b","), payload.count(b"{")
        cost = _ENTRY + _CHARACTER * len(token) + _MEMBER * members + _OBJECT * objects
        if cost > self._max_bytes:
            return
        self.make_room(cost)
        tail = token[-_TAIL:]
        self.keep(tail, entry, cost=0 if tail in self._young else cost, ends=entry.ends)
