"""The keys for the tokens of an issuer: fresh, else stale, else pinned, else unavailable.

``key_set_cache`` keeps them. For an unknown key id ``refresher`` fetches them again, within its limits.
"""

from __future__ import annotations

import math
from typing import TypedDict

import msgspec

from authkit_verify._jose.keys import MAX_CANDIDATES, Key, KeySet, KeyState, Source, pinned_key
from authkit_verify._jwks.client import Clients
from authkit_verify._jwks.discovery import locate
from authkit_verify._jwks.fetch import TOTAL_TIMEOUT
from authkit_verify._jwks.key_set_cache import Clock, KeySetCache, changing
from authkit_verify._jwks.refresher import Origin, Refresher
from authkit_verify._jwks.unknown_kid import refresh_for_kid
from authkit_verify._telemetry.events import Emit, noop
from authkit_verify.config import IssuerAccept
from authkit_verify.config.tenants import IssuerTemplate, filled, may_name
from authkit_verify.errors import TokenError, shown


class IssuerHealth(TypedDict):
    """The state of one issuer's keys, in plain JSON types; durations are seconds."""

    source: Source | None
    """The source of the keys in use (``KeyState.source``); None while no keys are usable."""
    age: float | None
    """Seconds since the issuer confirmed them."""
    failures: int
    """Fetches that failed in a row."""
    last_error: str | None
    """Why the newest fetch failed, with its URL; None if it ended well."""
    keys: int
    """Keys in use, with those without an id."""
    kids: list[str]
    """Their key ids."""
    digest: str | None
    """A hash of the set, which changes exactly when the set does."""
    next_refresh_in: float | None
    """Seconds until the next fetch is due; None if keys are never fetched."""


_PINNED = KeyState(source="pinned", age=0.0)


class KeyCandidates(msgspec.Struct, frozen=True):
    """The keys to try for one token, best first, with their key set and its state.

    ``issuer`` is the one that they are limited to, if several tenants share the key set.
    """

    keys: tuple[Key, ...]
    key_set: KeySet
    state: KeyState
    issuer: str | None = None


class IssuerKeys:
    """The keys of one configured issuer. ``wall`` returns Unix seconds, ``clock`` measures ages."""

    def __init__(
        self, accept: IssuerAccept, clients: Clients, *, wall: Clock, clock: Clock, emit: Emit = noop
    ) -> None:
        self.accept = accept
        self._emit = emit
        self._wall = wall
        self._clock = clock
        self._pins = KeySet([pinned_key(pin) for pin in accept.pinned_pems])
        self._remote = None if accept.pinned_only else _refresher(accept, clients, clock, emit)
        self._template = IssuerTemplate(accept.issuer) if accept.tenants is not None else None
        self._retired = self._may_return = False
        self._answering: KeySet | None = None
        self._source: Source | None = None
        self._fetches = -1
        self._unchanged_until = -math.inf
        self._reported: tuple[int, Source] | None = None

    def usable(self) -> tuple[KeySet, KeyState] | None:
        """Return the set in use and its state, or None; never waits."""
        keys = self.current_set()
        return None if keys is None else (keys, self.state())

    def current_set(self) -> KeySet | None:
        """Return the set in use, or None; cheap enough for every request.

        It is another object as soon as a key changes, the pinned set takes over or gives way, or no set is
        usable any more.
        """
        remote = self._remote
        if self._clock() >= self._unchanged_until or (
            remote is not None and remote.cache.fetches != self._fetches
        ):
            self._select_set()
        return self._answering

    def state(self) -> KeyState:
        """Return the state of the set that ``current_set`` has just returned."""
        if self._remote is None or self._source is None or self._source == "pinned":
            return _PINNED
        return KeyState(source=self._source, age=self._remote.cache.age)

    def find_in_memory(self, kid: str | None, alg: str, issuer: str | None = None) -> KeyCandidates | None:
        """Return what ``find`` would, from memory alone; None if that is not enough. Raises TokenError."""
        keys = self.current_set()
        if keys is None:
            return None
        state = self.state()
        found = self._select(keys, state, kid, alg, issuer)
        if found:
            return KeyCandidates(found, keys, state, issuer)
        # Decided here as well as in ``find``: refusing the tokens of attackers must stay cheap.
        if (
            state is not _PINNED
            and kid is not None
            and self._remote is not None
            and self._remote.cache.is_absent(kid)
        ):
            raise _unknown(kid)
        return None

    async def find(self, kid: str | None, alg: str, issuer: str | None = None) -> KeyCandidates:
        """Return the keys for a token. Waits for the network only if the keys in memory do not suffice.

        ``issuer`` is the ``iss`` of the token if several tenants share the key set, else None.

        Raises TokenError ``unknown_kid``, ``missing_kid``, ``disallowed_alg``, ``bad_tenant`` or
        ``keys_unavailable``.
        """
        held = self.usable()
        keys, state = held or await self._load()
        found = self._select(keys, state, kid, alg, issuer)
        if found or kid is None:
            return KeyCandidates(found, keys, state, issuer)
        if state is _PINNED:
            raise self._unavailable() if self._remote else _unknown(kid)
        assert self._remote is not None  # noqa: S101 - only a remote set has another state
        answered = await refresh_for_kid(self._remote, kid)
        keys, state = self.usable() or await self._load()
        found = self._select(keys, state, kid, alg, issuer)
        if found:
            return KeyCandidates(found, keys, state, issuer)
        raise _unknown(kid) if answered else self._unavailable()

    async def find_after_refresh(
        self, kid: str | None, alg: str, tried: KeyCandidates
    ) -> KeyCandidates | None:
        """Return keys not tried yet, after a bad signature: the issuer may have reused the key id."""
        if self._remote is None or tried.state is _PINNED or not await self._remote.refresh_for_signature():
            return None
        held = self.usable()
        if held is None:
            return None
        seen = {key.digest for key in tried.keys}
        selected = self._select(*held, kid, alg, tried.issuer)
        found = tuple(key for key in selected if key.digest not in seen)
        return KeyCandidates(found, *held, tried.issuer) if found else None

    async def confirmed(self, key_set: KeySet, max_age: float) -> bool:
        """True if the issuer confirmed exactly this set within ``max_age`` seconds, or does so now."""
        if self._remote is None or not await self._remote.confirm(max_age):
            return False
        return self.current_set() is key_set and self.state().source in {"fresh", "stale"}

    async def warm(self) -> None:
        """Fetch the set if none is usable, and wait until the fetch has ended. Never raises."""
        if self._remote is not None and self.usable() is None:
            await self._remote.load(wait=TOTAL_TIMEOUT + 1.0)

    def health(self) -> IssuerHealth:
        """Return the state of the keys, without starting a fetch."""
        remote = self._remote
        held = remote.cache.usable(self._clock()) if remote is not None else None
        if held is None and (remote is None or remote.cache.attempted):
            held = self._pinned()
        keys, state = held or (None, None)
        return {
            "source": state.source if state is not None else None,
            "age": state.age if state is not None else None,
            "failures": remote.cache.failures if remote is not None else 0,
            "last_error": self.last_error,
            "keys": len(keys) if keys is not None else 0,
            "kids": list(keys.kids) if keys is not None else [],
            "digest": keys.digest if keys is not None else None,
            "next_refresh_in": remote.cache.refresh_in if remote is not None else None,
        }

    @property
    def last_error(self) -> str | None:
        """Why the newest fetch failed, with its URL; None if it ended well."""
        return self._remote.last_error if self._remote is not None else None

    def fetches(self) -> tuple[int, int]:
        """Return the number of fetches that succeeded, and of those that failed."""
        remote = self._remote
        return (
            (remote.cache.successes, remote.cache.fetches - remote.cache.successes)
            if remote is not None
            else (0, 0)
        )

    async def aclose(self) -> None:
        """Cancel a fetch that is running."""
        if self._remote is not None:
            await self._remote.aclose()

    def is_retired(self) -> bool:
        """True once the issuer is removed: no key of it is in use then, pinned ones included."""
        return self._retired

    def check_in_use(self) -> None:
        """Raise the refusal of a token whose issuer was removed while its verification waited."""
        if self._retired:
            raise self.retirement()

    def retirement(self) -> TokenError:
        """Return the refusal of a token whose verification was running when the keys were retired."""
        if self._may_return:
            return TokenError("issuer_check_unavailable", "the token's issuer has to be loaded again")
        return removed_issuer()

    def withdraw(self, *, may_return: bool = False) -> None:
        """Take every key out of use for good; ``may_return``: the next token may load the issuer again."""
        with changing:
            self._retired, self._may_return = True, may_return
            self._answering, self._unchanged_until = None, -math.inf

    async def retire(self, *, may_return: bool = False) -> None:
        """Take every key out of use for good, and cancel the fetches that are running."""
        self.withdraw(may_return=may_return)
        if self._remote is not None:
            await self._remote.retire()

    async def _load(self) -> tuple[KeySet, KeyState]:
        if self._remote is not None:
            await self._remote.load()
        self._select_set(waited=True)
        if self._answering is None:
            raise self._unavailable()
        return self._answering, self.state()

    def _select_set(self, *, waited: bool = False) -> None:
        """Choose the set in use and until when that holds; report it if it is not fresh.

        None is in use while a request must wait for a fetch, unless this one has ``waited``.
        """
        if self.is_retired():
            return
        remote = self._remote
        if remote is not None and not waited and remote.is_overdue():
            with changing:
                self._answering, self._unchanged_until = None, -math.inf
            return
        # Read first: what a fetch in another thread changes meanwhile is then seen by the next look.
        fetches = remote.cache.fetches if remote is not None else -1
        held = remote.usable() if remote is not None else None
        # Pins wait for the first fetch to fail: blocking the start must not be a way to old keys.
        if held is None and (remote is None or remote.cache.attempted):
            held = self._pinned()
        keys, state = held or (None, None)
        # Pins with an end may expire at any moment, by the other clock.
        until = math.inf if remote is None and self.accept.pinned_until is None else -math.inf
        if remote is not None and state is not _PINNED:
            until = remote.cache.unchanged_until()
        with changing:
            if self.is_retired():  # by another thread, since the look at the top
                return
            self._answering = keys
            self._source = state.source if state is not None else None
            self._fetches, self._unchanged_until = fetches, until
        if state is not None and self._reported != (reported := (self._fetches, state.source)):
            self._reported = reported
            if state.source == "stale":
                self._emit("stale_keys_used", f"not confirmed for {state.age:.0f} s")
            elif state.source == "last_known_good":
                self._emit("last_known_good_used", f"not confirmed for {state.age:.0f} s")

    def _pinned(self) -> tuple[KeySet, KeyState] | None:
        until = self.accept.pinned_until
        if not len(self._pins) or (until is not None and self._wall() >= until):
            return None
        return self._pins, _PINNED

    def _select(
        self, keys: KeySet, state: KeyState, kid: str | None, alg: str, issuer: str | None
    ) -> tuple[Key, ...]:
        """Return the keys to try; none if the key id is unknown."""
        issuer = self.accept.issuer if keys.names_issuers and issuer is None else issuer
        if kid is not None:
            found = keys.named(kid, alg) if issuer is None else self._shared(keys, kid, alg, issuer)
            if found:
                return found
            if keys.has(kid):
                raise TokenError("disallowed_alg", "the key with the token's kid does not fit its algorithm")
            if state is not _PINNED:
                return ()
        fitting = keys.fitting(alg)
        if issuer is not None:
            fitting = self._serving(fitting, issuer)
        if state is _PINNED:  # a pin without a key id answers for any
            nameless = tuple(key for key in fitting if key.kid is None)
            if nameless:
                return nameless[:MAX_CANDIDATES]
        if kid is not None:
            return ()
        if not 0 < len(fitting) <= MAX_CANDIDATES:
            raise TokenError(
                "missing_kid",
                f"the token has no kid, and {len(fitting)} keys of the issuer fit its algorithm",
            )
        return fitting

    def _shared(self, keys: KeySet, kid: str, alg: str, issuer: str) -> tuple[Key, ...]:
        """Return the keys with this id that serve the issuer. Refuses a token if all serve other ones."""
        named = tuple(key for key in keys.fitting(alg) if key.kid == kid)
        found = self._serving(named, issuer)[:MAX_CANDIDATES]
        if named and not found:
            raise TokenError(
                "bad_tenant",
                "the key with the token's kid is for another issuer",
                detail=shown(named[0].issuer),
            )
        return found

    def _serving(self, keys: tuple[Key, ...], issuer: str) -> tuple[Key, ...]:
        """Return the keys that the provider publishes for all tenants, or for the one of this issuer."""
        if self._template is None:
            return tuple(key for key in keys if key.issuer is None or may_name(key.issuer, issuer))
        tenant = self._template.tenant_of(issuer) or ""
        return tuple(key for key in keys if key.issuer is None or filled(key.issuer, tenant) == issuer)

    def _unavailable(self) -> TokenError:
        if self.is_retired():
            return self.retirement()
        wait = self._remote.cache.refresh_in if self._remote is not None else None
        return TokenError("keys_unavailable", "the issuer's keys are unavailable", retry_after=wait)


def removed_issuer() -> TokenError:
    """Return the refusal of a token whose issuer was removed while the token was verified."""
    return TokenError("bad_issuer", "the token's issuer is not accepted", detail="it has just been removed")


def _unknown(kid: str) -> TokenError:
    return TokenError("unknown_kid", "the issuer has no key with the token's kid", detail=shown(kid))


def _refresher(accept: IssuerAccept, clients: Clients, clock: Clock, emit: Emit) -> Refresher:
    origin = Origin(
        issuer=accept.issuer, locate=lambda client: locate(client, accept), client=clients.of(accept)
    )
    cache = KeySetCache(clock, cache_ttl=accept.cache_ttl, max_stale=accept.max_stale)
    return Refresher(origin, cache, clock, emit)
