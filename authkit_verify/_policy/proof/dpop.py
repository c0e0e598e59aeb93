"""The settings of DPoP, and the nonces that they require; ``dpop_proof`` checks the proofs."""

from __future__ import annotations

import hmac
import math
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field

from authkit_verify._policy.proof.replay_cache import MemoryReplayCache, ReplayCache
from authkit_verify._policy.proof.target_uri import target_uri
from authkit_verify.config import SUPPORTED_ALGORITHMS

_MIN_SECRET = 32  # bytes
_TIME, _NONCE = 6, 24  # bytes: milliseconds, and with the MAC; a nonce then has no padding
_LABEL = b"authkit dpop nonce"


@dataclass(frozen=True, slots=True, kw_only=True)
class DPoP:
    """How the proofs of DPoP-bound tokens are checked (RFC 9449). Durations are seconds.

    Raises:
        ValueError: A field is invalid.
    """

    algorithms: Sequence[str] = SUPPORTED_ALGORITHMS
    """The signature algorithms of proofs. Default all of ``SUPPORTED_ALGORITHMS``."""
    public_origins: Sequence[str] = ()
    """The origins by which clients know this service, such as ``https://api.example.com``. Set them: behind
    a proxy the URL of the client is otherwise unknown, and a proof that the client made for another server
    passes if that server can send its host name here. Default none: the scheme and ``Host`` of each
    request."""
    max_age: float = 300.0
    """Seconds after its ``iat`` in which a proof is accepted. Default 300."""
    skew: float = 30.0
    """Seconds by which ``iat`` may be in the future, and by which the clocks of machines that share a
    ``replay_cache`` may differ. Default 30."""
    replay_cache: ReplayCache = field(default_factory=MemoryReplayCache, repr=False, hash=False)
    """Where used proofs are remembered. Default: in this process; ``RedisReplayCache`` serves several."""
    require_nonce: bool = False
    """Require a nonce of this service in each proof, so that none can be made in advance. The time of the
    nonce then counts in place of ``iat``, so clients with a wrong clock pass. ``AuthMiddleware`` sends a new
    one with each response; elsewhere a client gets one with the refusal of an old one. Default False."""
    nonce_secrets: Sequence[bytes] = field(default=(), repr=False)
    """Secrets of at least 32 bytes: the first makes nonces, all are accepted. Several processes need the same
    ones. Default none: one that this process makes at its start."""

    def __post_init__(self) -> None:
        """Normalize lists to tuples, then check."""
        for name in ("algorithms", "public_origins", "nonce_secrets"):
            value = getattr(self, name)
            if isinstance(value, str | bytes):
                raise ValueError(f"DPoP.{name} must be a list, not the single value of type {type(value)}")  # noqa: TRY004 - every mistake here is a ValueError
            object.__setattr__(self, name, tuple(value))
        unknown = [name for name in self.algorithms if name not in SUPPORTED_ALGORITHMS]
        if unknown or not self.algorithms:
            raise ValueError(
                f"DPoP.algorithms must list some of {', '.join(SUPPORTED_ALGORITHMS)}, not {unknown!r}"
            )
        for seconds, least in ((self.max_age, 1.0), (self.skew, 0.0)):
            if not math.isfinite(seconds) or seconds < least:
                raise ValueError(f"DPoP.max_age is at least 1 s and skew at least 0 s, not {seconds!r}")
        if any(len(secret) < _MIN_SECRET for secret in self.nonce_secrets):
            raise ValueError(f"DPoP.nonce_secrets must have at least {_MIN_SECRET} bytes each")
        object.__setattr__(self, "public_origins", tuple(map(_origin, self.public_origins)))


def _origin(text: str) -> str:
    uri = target_uri(text)
    if uri is None or uri.path != "/" or "?" in text or "#" in text:
        raise ValueError(
            f"DPoP.public_origins must hold scheme and host, as in https://api.example.com, not {text!r}"
        )
    return uri.origin


class Nonces:
    """Makes nonces (RFC 9449, 9) and recognizes them: the time, and a MAC over it. Nothing is stored."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = tuple(keys) or (secrets.token_bytes(_MIN_SECRET),)

    def make(self, now: float) -> str:
        """Return a new nonce."""
        moment = int(now * 1000).to_bytes(_TIME, "big")
        return urlsafe_b64encode(moment + _mac(self._keys[0], moment)).decode()

    def made_at(self, nonce: str) -> float | None:
        """Return the Unix time at which a nonce was made; None for a nonce of another maker."""
        try:
            data = urlsafe_b64decode(nonce.encode("ascii"))
        except ValueError:
            return None
        moment, mac = data[:_TIME], data[_TIME:]
        known = [hmac.compare_digest(mac, _mac(key, moment)) for key in self._keys]
        if len(data) != _NONCE or not any(known):
            return None
        return int.from_bytes(moment, "big") / 1000


def _mac(key: bytes, moment: bytes) -> bytes:
    return hmac.digest(key, _LABEL + moment, "sha256")[: _NONCE - _TIME]
