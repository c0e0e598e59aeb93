"""Which keys judge a token of an issuer: fresh, else stale, else pinned, else nobody can say."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, TypedDict

from authkit_verify.config import IssuerAccept
from authkit_verify.discovery import discover
from authkit_verify.errors import TokenError
from authkit_verify.fetch import TOTAL_TIMEOUT, Clients, HttpClient
from authkit_verify.jwks import Origin, RemoteKeys
from authkit_verify.keys import MAX_CANDIDATES, Key, KeySet, KeyState, Source, pinned_key

Clock = Callable[[], float]


class IssuerHealth(TypedDict):
    """The state of one issuer's keys, in plain JSON types; durations are seconds.

    ``source`` is None when nothing can answer. ``digest`` changes exactly when the set does.
    """

    source: Source | None
    age: float | None
    failures: int
    kids: list[str]
    digest: str | None
    next_refresh_in: float | None


_PINNED = KeyState(source="pinned", age=0.0)


class Found(NamedTuple):
    """The keys to try for one token, best first, the set they are of, and where that comes from."""

    keys: tuple[Key, ...]
    whole: KeySet
    state: KeyState


class IssuerKeys:
    """The keys of one configured issuer. ``wall`` is Unix time, ``clock`` measures ages."""

    def __init__(self, accept: IssuerAccept, clients: Clients, *, wall: Clock, clock: Clock) -> None:
        self.accept = accept
        self._wall = wall
        self._clock = clock
        self._pins = KeySet([pinned_key(pin) for pin in accept.pinned_pems])
        self._remote = None if accept.pinned_only else RemoteKeys(_origin(accept, clients), clock)
        self._answering: KeySet | None = None
        self._turn = -1
        self._quiet_until = -math.inf

    def usable(self) -> tuple[KeySet, KeyState] | None:
        """Return the set that answers now, or None; never waits."""
        remote = self._remote
        if remote is None:
            return self._pinned()
        held = remote.usable()
        if held is not None:
            return held
        # Pins wait for the first fetch to fail: blocking a verifier's start must not be a way to old keys.
        return self._pinned() if remote.attempted else None

    def answering(self) -> KeySet | None:
        """Return the set that answers now, or None; like ``usable``, and cheap enough for every request.

        The set's identity is the state of the keys: another object answers as soon as keys change, a
        pinned set takes over or gives way, or nothing is usable any more.
        """
        remote = self._remote
        if remote is None:
            held = self._pinned()
            return held[0] if held is not None else None
        if remote.turns != self._turn or self._clock() >= self._quiet_until:
            held = self.usable()
            self._answering = held[0] if held is not None else None
            if self._answering is not self._pins:
                self._turn, self._quiet_until = remote.turns, remote.quiet_until()
            else:
                self._quiet_until = -math.inf  # pins may end at any moment, by the other clock
        return self._answering

    async def find(self, kid: str | None, alg: str) -> Found:
        """Return the keys for a token. Waits for the network only where nothing in memory can answer.

        Raises TokenError ``unknown_kid``, ``missing_kid``, ``disallowed_alg`` or ``keys_unavailable``.
        """
        held = self.usable()
        keys, state = held or await self._load()
        found = self._select(keys, state, kid, alg)
        if found or kid is None:
            return Found(found, keys, state)
        if state is _PINNED:
            raise self._unavailable() if self._remote else _unknown()
        if held is None:
            raise _unknown()  # the set has come this moment
        assert self._remote is not None  # noqa: S101 - only a remote set has another state
        answered = await self._remote.look_for(kid)
        keys, state = self.usable() or await self._load()
        found = self._select(keys, state, kid, alg)
        if found:
            return Found(found, keys, state)
        raise _unknown() if answered else self._unavailable()

    async def find_again(self, kid: str | None, alg: str, tried: Found) -> Found | None:
        """Return keys not tried yet, after a signature was bad: the issuer may have reused the key id."""
        if self._remote is None or tried.state is _PINNED or not await self._remote.look_again():
            return None
        held = self.usable()
        if held is None:
            return None
        seen = {key.digest for key in tried.keys}
        found = tuple(key for key in self._select(*held, kid, alg) if key.digest not in seen)
        return Found(found, *held) if found else None

    async def warm(self) -> None:
        """Fetch the set if it is not there yet; wait for the end of it, and never raise."""
        if self._remote is not None and self.usable() is None:
            await self._remote.load(wait=TOTAL_TIMEOUT + 1.0)

    def health(self) -> IssuerHealth:
        """Return the state of the keys, without starting anything."""
        remote = self._remote
        held = remote.held(self._clock()) if remote is not None else None
        if held is None and (remote is None or remote.attempted):
            held = self._pinned()
        keys, state = held or (None, None)
        return {
            "source": state.source if state is not None else None,
            "age": state.age if state is not None else None,
            "failures": remote.failures if remote is not None else 0,
            "kids": list(keys.kids) if keys is not None else [],
            "digest": keys.digest if keys is not None else None,
            "next_refresh_in": remote.refresh_in if remote is not None else None,
        }

    async def aclose(self) -> None:
        """Stop what runs in the background."""
        if self._remote is not None:
            await self._remote.aclose()

    async def _load(self) -> tuple[KeySet, KeyState]:
        if self._remote is not None:
            await self._remote.load()
        held = self.usable()
        if held is None:
            raise self._unavailable()
        return held

    def _pinned(self) -> tuple[KeySet, KeyState] | None:
        until = self.accept.pinned_until
        if not len(self._pins) or (until is not None and self._wall() >= until):
            return None
        return self._pins, _PINNED

    def _select(self, keys: KeySet, state: KeyState, kid: str | None, alg: str) -> tuple[Key, ...]:
        """Return the keys to try, none when the key id is unknown."""
        if kid is not None:
            found = keys.named(kid, alg)
            if found:
                return found
            if keys.has(kid):
                raise TokenError("disallowed_alg", "the key of this id does not fit the token's algorithm")
        fitting = keys.fitting(alg)
        if state is _PINNED:  # a pin without a key id answers for any
            nameless = tuple(key for key in fitting if key.kid is None)
            if nameless:
                return nameless[:MAX_CANDIDATES]
        if kid is not None:
            return ()
        if len(fitting) != 1:
            raise TokenError("missing_kid", "the token names no key and not exactly one fits")
        return fitting

    def _unavailable(self) -> TokenError:
        wait = self._remote.refresh_in if self._remote is not None else None
        return TokenError(
            "keys_unavailable", "the issuer's keys cannot be had at the moment", retry_after=wait
        )


def _unknown() -> TokenError:
    return TokenError("unknown_kid", "the issuer has no key of this id")


def _origin(accept: IssuerAccept, clients: Clients) -> Origin:
    async def locate(client: HttpClient) -> str:
        if accept.discovery:
            return await discover(client, accept.issuer, http_loopback=accept.allow_http_loopback)
        return accept.keys_url

    return Origin(
        issuer=accept.issuer,
        locate=locate,
        client=clients.get,
        cache_ttl=accept.cache_ttl,
        max_stale=accept.max_stale,
    )
