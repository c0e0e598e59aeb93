"""How the introspection endpoint of an issuer is asked about tokens (RFC 7662)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from authkit_verify.config.values import check_seconds, words_of

IntrospectionMode = Literal["opaque", "jwt", "always"]
ClientAuthentication = Literal["client_secret_basic", "client_secret_post"]

_MODES = ("opaque", "jwt", "always")
_METHODS = ("client_secret_basic", "client_secret_post")


@dataclass(frozen=True, slots=True, kw_only=True)
class Introspection:
    """How the introspection endpoint of an issuer is asked about tokens (RFC 7662). Durations are seconds.

    The endpoint is asked at an https URL, or at any other that ``IssuerAccept`` allows for keys, through the
    HTTP client of the issuer. While it does not answer, tokens are refused with ``introspection_unavailable``
    (503).

    Raises:
        ValueError: A field is invalid.
    """

    client_id: str
    """The client as which this service asks."""
    client_secret: str = field(repr=False)
    """Its secret."""
    url: str | None = None
    """The URL of the endpoint. Default None: the ``introspection_endpoint`` of the issuer's metadata."""
    mode: IntrospectionMode = "opaque"
    """The tokens that the endpoint is asked about. ``opaque``: those that are not JWTs. ``jwt``: JWTs of this
    issuer, each after it was verified here. ``always``: both. Default ``opaque``."""
    token_prefixes: Sequence[str] = ()
    """The prefixes of the issuer's opaque tokens; any other opaque token is refused without a request.
    Required once several issuers take opaque tokens. Default: none, and every opaque token is asked about."""
    auth_method: ClientAuthentication = "client_secret_basic"
    """How the client authenticates: in the ``Authorization`` header, or in the body with
    ``client_secret_post``. Default ``client_secret_basic``."""
    max_ttl: float = 30.0
    """The longest time for which an answer counts: a revoked token is accepted for as long. It never counts
    beyond ``exp``. 0 asks about each request anew. Default 30."""
    negative_ttl: float = 5.0
    """The time for which an inactive token is refused without a further request. Default 5."""
    timeout: float = 3.0
    """The time limit of one request, the wait for others included. Default 3."""
    max_concurrent: int = 32
    """The most requests at once on an event loop; further ones wait. Default 32."""
    max_answers: int = 10_000
    """The most answers to remember. Default 10000."""

    def __post_init__(self) -> None:
        """Normalize lists to tuples, then check."""
        object.__setattr__(self, "token_prefixes", words_of("token_prefixes", self.token_prefixes))
        for name in ("client_id", "client_secret"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value:  # the message leaves the value out
                raise ValueError(f"Introspection.{name} must be a non-empty string")
        if self.mode not in _MODES:
            raise ValueError(f"Introspection.mode must be one of {', '.join(_MODES)}, not {self.mode!r}")
        if self.auth_method not in _METHODS:
            raise ValueError(
                f"Introspection.auth_method must be one of {', '.join(_METHODS)}, not {self.auth_method!r}"
            )
        if self.token_prefixes and not self.takes_opaque:
            raise ValueError("Introspection.token_prefixes is about opaque tokens: with mode='jwt' remove it")
        check_seconds("Introspection.max_ttl", self.max_ttl, zero=True)
        check_seconds("Introspection.negative_ttl", self.negative_ttl, zero=True)
        check_seconds("Introspection.timeout", self.timeout)
        for name in ("max_concurrent", "max_answers"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ValueError(f"Introspection.{name} must be a whole number above 0, not {value!r}")

    @property
    def takes_opaque(self) -> bool:
        """True if the endpoint is asked about tokens that are not JWTs."""
        return self.mode != "jwt"

    @property
    def takes_jwts(self) -> bool:
        """True if the endpoint is asked about JWTs."""
        return self.mode != "opaque"
