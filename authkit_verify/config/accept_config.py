"""The issuers that a verifier accepts, and the rules for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from authkit_verify._jose.algorithms import ALGORITHMS, Check
from authkit_verify.config.issuer_accept import IssuerAccept
from authkit_verify.config.values import (
    SUPPORTED_ALGORITHMS,
    check_algorithms,
    check_seconds,
    words_of,
)

DEFAULT_SKEW = 60.0
"""Seconds of ``AcceptConfig.skew`` (RFC 7519 section 4.1.4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptConfig:
    """The issuers that a verifier accepts, and the rules for all of them.

    Raises:
        ValueError: A field is invalid, or the packages of ``signature_backend`` are not installed.
    """

    issuers: Sequence[IssuerAccept]
    """The accepted issuers, each once; at least one, unless the verifier has an ``issuer_loader``."""
    algorithms: Sequence[str] = SUPPORTED_ALGORITHMS
    """The signature algorithms accepted, each only with its kind of key. Default: all of
    ``SUPPORTED_ALGORITHMS``, which are asymmetric."""
    skew: float = DEFAULT_SKEW
    """Seconds by which ``exp``, ``nbf`` and ``iat`` may differ from the clock here. Default 60."""
    signature_backend: Literal["cryptography", "fast"] = "cryptography"
    """The library that checks signatures: ``cryptography``, or the faster ones of ``asgi-authkit[fast]``.
    Default ``cryptography``."""

    def __post_init__(self) -> None:
        """Normalize lists to tuples, then check."""
        object.__setattr__(self, "issuers", _accepted(self.issuers))
        object.__setattr__(self, "algorithms", words_of("algorithms", self.algorithms))
        names = [accept.issuer for accept in self.issuers]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"AcceptConfig.issuers lists an issuer twice: {', '.join(repeated)}")
        check_opaque(self.issuers)
        check_algorithms(self.algorithms)
        check_seconds("skew", self.skew, zero=True)
        if self.signature_backend not in ("cryptography", "fast"):  # not a set: a list cannot be hashed
            raise ValueError(
                f"signature_backend must be cryptography or fast, not {self.signature_backend!r}"
            )
        _ = self.signature_checks

    @property
    def signature_checks(self) -> Mapping[str, Check]:
        """The signature check of each algorithm, with the configured library."""
        if self.signature_backend == "cryptography":
            return ALGORITHMS
        try:
            from authkit_verify._jose.fast_algorithms import FAST_ALGORITHMS  # noqa: PLC0415 - its libraries are optional
        except ImportError as error:
            raise ValueError(
                'signature_backend="fast" needs more packages: install "asgi-authkit[fast]"'
            ) from error
        return FAST_ALGORITHMS


def check_opaque(issuers: Sequence[IssuerAccept]) -> None:
    """Raise ValueError unless every opaque token belongs to one issuer at most, by its prefix."""
    prefixes_by_issuer = {
        accept.issuer: accept.introspection.token_prefixes
        for accept in issuers
        if accept.introspection is not None and accept.introspection.takes_opaque
    }
    if len(prefixes_by_issuer) < 2:
        return
    seen: list[tuple[str, str]] = []
    for issuer, prefixes in prefixes_by_issuer.items():
        if not prefixes:
            raise ValueError(
                f"several issuers take opaque tokens, and {issuer} has no token_prefixes: set them in its "
                "Introspection, so that no token goes to another issuer"
            )
        for prefix in prefixes:
            for other, theirs in seen:
                if other != issuer and (prefix.startswith(theirs) or theirs.startswith(prefix)):
                    raise ValueError(
                        f"token_prefixes {theirs!r} of {other} and {prefix!r} of {issuer} begin alike: an "
                        "opaque token must belong to one issuer"
                    )
            seen.append((issuer, prefix))


def _accepted(issuers: object) -> tuple[IssuerAccept, ...]:
    found = (issuers,) if isinstance(issuers, IssuerAccept) else tuple(cast("Sequence[object]", issuers))
    for one in found:
        if not isinstance(one, IssuerAccept):
            raise ValueError(  # noqa: TRY004 - every mistake here is a ValueError
                f"AcceptConfig.issuers holds IssuerAccept(issuer=..., audiences=[...]), not {one!r}"
            )
    return cast("tuple[IssuerAccept, ...]", found)
