"""What a verifier accepts: one frozen record per issuer, checked when it is built.

Everything that would only fail in the middle of a request, or would quietly accept too much, is a
``ValueError`` here.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from authkit_verify._jose.algorithms import ALGORITHMS, Check
from authkit_verify._jose.keys import pinned_key

__all__ = ["SUPPORTED_ALGORITHMS", "AcceptConfig", "IssuerAccept", "Pem", "Pin", "StricterRules"]

SUPPORTED_ALGORITHMS = tuple(ALGORITHMS)
"""The names of all algorithms that ``algorithms`` may list."""

Pem = str | bytes
Pin = Pem | tuple[str, Pem]
"""A pinned key: a PEM that answers for any key id, or ``(kid, PEM)``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StricterRules:
    """Rules tried on tokens that are accepted: a failure is counted and reported, and refuses nothing.

    Each means what the field of that name means in ``IssuerAccept``; None is not tried.
    """

    algorithms: Sequence[str] | None = None
    token_types: Sequence[str] | None = None
    audiences: Sequence[str] | None = None
    required_scopes: Sequence[str] | None = None
    max_lifetime: float | None = None

    def __post_init__(self) -> None:
        """Normalize lists to tuples, then check."""
        for name in ("algorithms", "token_types", "audiences", "required_scopes"):
            value = getattr(self, name)
            if value is None:
                continue
            words = _words(name, value)
            if not words:
                raise ValueError(f"{name} is empty: leave it out to try nothing")
            object.__setattr__(self, name, words)
        if self.algorithms is not None:
            _check_algorithms(self.algorithms)
        if self.max_lifetime is not None:
            _check_seconds("max_lifetime", self.max_lifetime)


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerAccept:
    """An issuer whose tokens are accepted, and on what terms. Durations are seconds.

    ``issuer`` is compared with ``iss`` byte for byte. ``audiences`` must be given, or ``any_audience=True``
    spelled out. Keys come from ``jwks_url``, or from the metadata document with ``discovery=True``, or from
    ``<issuer>/.well-known/jwks.json``; ``pinned_pems`` answer while no such set is usable, or always with
    ``pinned_only=True``. The issuer's cache headers may shorten ``cache_ttl`` and ``max_stale``, never
    lengthen them.
    """

    issuer: str
    audiences: Sequence[str] = ()
    any_audience: bool = False
    jwks_url: str | None = None
    discovery: bool = False
    same_origin: bool = False
    """With ``discovery``: the metadata may name keys only at the issuer's own scheme, host and port."""
    pinned_pems: Sequence[Pin] = ()
    """RSA, EC or Ed25519; a public key (SPKI, PKCS#1) or a certificate. A pin retires with its key: whoever
    holds an old key can wait for an outage."""
    pinned_only: bool = False
    pinned_until: float | None = None
    """Unix time after which pinned keys no longer answer."""
    algorithms: Sequence[str] | None = None
    """None means those of ``AcceptConfig``."""
    token_types: Sequence[str] | None = None
    """The ``typ`` values accepted; ``""`` stands for a token without one. None means absent, ``JWT`` and
    ``at+jwt``: an untyped ID token then passes if its audience does."""
    required_scopes: Sequence[str] = ()
    max_lifetime: float | None = None
    """The longest accepted ``exp - iat``; ``iat`` is then required."""
    report_only: StricterRules | None = None
    """Rules to be tried before they are enforced."""
    cache_ttl: float = 300.0
    """How long a fetched key set is fresh."""
    max_stale: float = 3600.0
    """How much longer it is used while the issuer cannot be reached."""
    allow_http_loopback: bool = False

    def __post_init__(self) -> None:
        """Normalize lists to tuples, then check."""
        for name in ("audiences", "algorithms", "token_types", "required_scopes"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _words(name, value))
        object.__setattr__(self, "pinned_pems", _pins(self.pinned_pems))
        _check(self)

    @property
    def keys_url(self) -> str:
        """The address of the key set, unless ``discovery`` finds it or only pins are used."""
        return self.jwks_url or self.issuer.rstrip("/") + "/.well-known/jwks.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptConfig:
    """Every issuer a verifier accepts, the algorithms they may use, and the clock skew allowed (seconds)."""

    issuers: Sequence[IssuerAccept]
    algorithms: Sequence[str] = ("RS256",)
    skew: float = 60.0
    signature_backend: Literal["cryptography", "fast"] = "cryptography"
    """What checks signatures: ``cryptography``, or the faster libraries of ``authkit[fast]``."""

    def __post_init__(self) -> None:
        """Normalize lists to tuples, then check."""
        object.__setattr__(self, "issuers", tuple(self.issuers))
        object.__setattr__(self, "algorithms", _words("algorithms", self.algorithms))
        if not self.issuers:
            raise ValueError("issuers is empty")
        names = [accept.issuer for accept in self.issuers]
        if len(set(names)) != len(names):
            raise ValueError("an issuer is listed twice")
        _check_algorithms(self.algorithms)
        _check_seconds("skew", self.skew, zero=True)
        if self.signature_backend not in ("cryptography", "fast"):  # not a set: a list cannot be hashed
            raise ValueError(f"signature_backend is cryptography or fast, not {self.signature_backend!r}")
        _ = self.signature_checks

    @property
    def signature_checks(self) -> Mapping[str, Check]:
        """The check of each algorithm."""
        if self.signature_backend == "cryptography":
            return ALGORITHMS
        try:
            from authkit_verify._jose.fast_algorithms import FAST_ALGORITHMS  # noqa: PLC0415 - its libraries are optional
        except ImportError as error:
            raise ValueError('signature_backend="fast" needs the packages of authkit[fast]') from error
        return FAST_ALGORITHMS


def is_allowed_url(url: str, *, http_loopback: bool) -> bool:
    """Tell whether keys may be fetched from this address: https, or http on loopback when allowed."""
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port  # reading the port raises ValueError when it is none
    except ValueError:
        return False
    if not host or parts.username is not None or parts.fragment or not url.isascii() or not url.isprintable():
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and http_loopback and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check(accept: IssuerAccept) -> None:
    if not isinstance(accept.issuer, str) or not accept.issuer or accept.issuer != accept.issuer.strip():
        raise ValueError(f"issuer is empty or has blanks around it: {accept.issuer!r}")
    if bool(accept.audiences) == accept.any_audience:
        raise ValueError(f"{accept.issuer}: give audiences, or any_audience=True, and not both")
    if accept.algorithms is not None:
        _check_algorithms(accept.algorithms)
    if accept.token_types is not None and not accept.token_types:
        raise ValueError(f"{accept.issuer}: token_types is empty")
    _check_source(accept)
    _check_seconds("cache_ttl", accept.cache_ttl)
    _check_seconds("max_stale", accept.max_stale, zero=True)
    if accept.max_lifetime is not None:
        _check_seconds("max_lifetime", accept.max_lifetime)
    if accept.pinned_until is not None:
        _check_seconds("pinned_until", accept.pinned_until)


def _check_source(accept: IssuerAccept) -> None:
    if accept.pinned_only:
        if not accept.pinned_pems:
            raise ValueError(f"{accept.issuer}: pinned_only needs pinned_pems")
        if accept.jwks_url is not None or accept.discovery:
            raise ValueError(
                f"{accept.issuer}: pinned_only keys are never fetched; drop jwks_url and discovery"
            )
        return
    if accept.same_origin and not accept.discovery:
        raise ValueError(f"{accept.issuer}: same_origin is about keys found by discovery=True")
    if accept.discovery and accept.jwks_url is not None:
        raise ValueError(f"{accept.issuer}: give jwks_url or discovery, not both")
    url = accept.issuer if accept.discovery else accept.keys_url
    if not is_allowed_url(url, http_loopback=accept.allow_http_loopback):
        raise ValueError(
            f"{accept.issuer}: keys are fetched from an https address (or http on loopback with "
            f"allow_http_loopback=True), not from {url!r}"
        )


def _check_algorithms(names: Iterable[str]) -> None:
    names = tuple(names)
    if not names:
        raise ValueError("algorithms is empty")
    for name in names:
        if name not in ALGORITHMS:
            raise ValueError(f"algorithm {name!r} is not one of {', '.join(ALGORITHMS)}")


def _check_seconds(name: str, value: float, *, zero: bool = False) -> None:
    number = isinstance(value, int | float) and math.isfinite(value)
    if not number or value < 0 or (value == 0 and not zero):
        raise ValueError(f"{name} is not a number of seconds: {value!r}")


def _words(name: str, value: Sequence[str]) -> tuple[str, ...]:
    if isinstance(value, str | bytes):
        raise ValueError(f"{name} is a list of texts, not one text")  # noqa: TRY004 - every mistake here is a ValueError
    words = tuple(value)
    if not all(isinstance(word, str) and (word or name == "token_types") for word in words):
        raise ValueError(f"{name} holds something that is not a text, or an empty one")
    return words


def _pins(value: Sequence[Pin]) -> tuple[Pin, ...]:
    if isinstance(value, str | bytes):
        raise ValueError("pinned_pems is a list of PEMs, not one PEM")  # noqa: TRY004 - as above
    pins = tuple(value)
    for pin in pins:
        pinned_key(pin)
    return pins
