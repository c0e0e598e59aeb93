"""An issuer whose tokens are accepted, and the rules for them.

``accept_config`` has what holds for all issuers: algorithms and the skew of the times.
``_policy.issuer_policy`` applies the rules, with the defaults of ``_policy.token_checks``.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from authkit_verify._jose.keys import pinned_key
from authkit_verify.config.allowed_urls import is_allowed_url
from authkit_verify.config.claims_mapping import ClaimsMapping, check_decisive
from authkit_verify.config.http_client import HttpClient
from authkit_verify.config.introspection import Introspection
from authkit_verify.config.required_values import RequiredValues, checked_values
from authkit_verify.config.stricter_rules import StricterRules
from authkit_verify.config.tenants import IssuerTemplate, Tenants, checked_tenants, has_placeholder
from authkit_verify.config.values import check_algorithms, check_seconds, check_switch, words_of

_HEADER_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")

Pem = str | bytes
BindingMode = Literal["disabled", "allowed", "required"]
Pin = Pem | tuple[str, Pem]
"""A pinned key: a PEM for any key id, or ``(kid, PEM)``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerAccept:
    """An issuer whose tokens are accepted, and the rules for them. Durations are seconds.

    Keys come from ``jwks_url``, or else from the URL that the issuer's metadata names, or, if it has no
    metadata, from ``<issuer>/.well-known/jwks.json``. ``pinned_pems`` are used while no such set is usable,
    or always with ``pinned_only=True``. A key that the set publishes for another issuer (``issuer``, as Entra
    has it) is not used.

    Raises:
        ValueError: A field is invalid, or two fields contradict each other.
    """

    issuer: str
    """The issuer, compared with ``iss`` byte for byte. With ``tenants``, a template of issuers."""
    tenants: Tenants | None = None
    """The tenants that are accepted, of a provider with one key set for all of them: a list, or a function
    that returns True or False for a tenant, or a coroutine of that. ``issuer`` then has a placeholder for the
    tenant, as in ``https://login.example.com/{tenant}/v2.0``, and keys come from ``jwks_url`` or
    ``metadata_url``. The function is called for tokens that pass every other check, once per tenant and
    minute; it must not block. While it raises, its tenants get 503. Default None: one issuer."""
    tenant_claim: str | None = None
    """The claim that must name the same tenant as ``iss``, such as ``tid``. Default None: ``iss`` decides."""
    metadata_url: str | None = None
    """The URL of the metadata that all tenants share, whose ``issuer`` is the same template. Default None:
    see ``jwks_url``."""
    audiences: Sequence[str] = ()
    """The audiences of which a token needs one. Required unless ``any_audience=True``."""
    any_audience: bool = False
    """Accept every audience, and tokens without one. Default False."""
    jwks_url: str | None = None
    """The URL of the key set. Default None: see ``discovery``."""
    discovery: bool | None = None
    """Find the key set through the issuer's metadata (OpenID Connect Discovery, RFC 8414). True: only there.
    False: only at the well-known path below ``issuer``. Default None: in the metadata, or at that path if the
    issuer has none."""
    same_origin: bool = False
    """Accept a ``jwks_uri`` of the metadata only at the issuer's own scheme, host and port. Default False."""
    pinned_pems: Sequence[Pin] = ()
    """Pinned keys: RSA, EC or Ed25519; a public key (SPKI, PKCS#1) or a certificate. Remove a pin together
    with its key: an attacker with an old key can wait for an outage. Default none."""
    pinned_only: bool = False
    """Use the pinned keys always, and fetch none. Default False."""
    pinned_until: float | None = None
    """The Unix time after which pinned keys are not used. Default None: without end."""
    algorithms: Sequence[str] | None = None
    """The signature algorithms accepted, each only with its kind of key. Default None: those of
    ``AcceptConfig``."""
    token_types: Sequence[str] | None = None
    """The ``typ`` values accepted; ``""`` accepts a token without one. Default None: absent, ``JWT`` and
    ``at+jwt``; an untyped ID token then passes if its audience does."""
    required_scopes: Sequence[str] = ()
    """The scopes that a token needs, every one. Default none."""
    required_claims: Mapping[str, RequiredValues] = field(default_factory=dict, hash=False)
    """The claims that a token needs, every one, by name or path as in ``ClaimsMapping``: with the value that
    it must have, or a list of accepted ones, or ``...`` for any value. Types count: ``True`` is not ``1``.
    Default none."""
    claims: ClaimsMapping | None = None
    """The claims that hold roles, scopes and the like. Default None: the usual ones (``Claims``)."""
    max_lifetime: float | None = None
    """The longest ``exp - iat`` accepted (seconds); ``iat`` is then required. Default None: no limit."""
    dpop: BindingMode = "allowed"
    """``allowed``: a token that is bound to a DPoP key (``cnf.jkt``) is accepted with a proof of that key
    (RFC 9449), any other one without. ``required``: every token is bound so. ``disabled``: none is. A bound
    token without its proof is refused in any case. Default ``allowed``."""
    mtls: BindingMode = "allowed"
    """The same for tokens that are bound to a client certificate (``cnf["x5t#S256"]``, RFC 8705). Default
    ``allowed``."""
    introspection: Introspection | None = None
    """How the issuer is asked about opaque tokens, or about every token (RFC 7662). Default None: opaque
    tokens are refused, and JWTs are verified here alone."""
    report_only: StricterRules | None = None
    """Rules that are checked and reported before they are enforced. Default None."""
    cache_ttl: float = 300.0
    """Seconds a fetched key set is fresh. Cache headers of the issuer shorten it, never lengthen it.
    Default 300."""
    max_stale: float = 3600.0
    """Seconds after that in which the set is used while the issuer is unreachable. ``stale-if-error``
    shortens it. Default 3600."""
    allow_http_loopback: bool = False
    """Fetch keys over plain http from a loopback address, for development. Default False."""
    allow_http_hosts: Sequence[str] = ()
    """Hosts from which keys are fetched over plain http: exact names, for a network that protects the traffic
    itself. A party that can change that traffic can sign tokens. Default none."""
    http_client: HttpClient | None = field(default=None, repr=False, hash=False)
    """The client for this issuer's metadata and keys, as for ``Verifier``. Default None: the verifier's."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)
    """Headers of the requests for this issuer's metadata and keys, such as ``Authorization``. The host that
    its metadata names for the keys gets them too; ``same_origin=True`` prevents that. Default none."""
    ca_file: str | None = None
    """A PEM file with the CA certificates that this issuer's servers are checked with. Default None: those of
    httpx, or of ``SSL_CERT_FILE``."""
    proxy: str | None = field(default=None, repr=False)
    """The URL of the proxy for this issuer. Default None: that of the environment, if ``NO_PROXY`` lacks the
    host."""

    def __post_init__(self) -> None:
        """Normalize lists to tuples, then check."""
        for name in ("audiences", "algorithms", "token_types", "required_scopes", "allow_http_hosts"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, words_of(name, value))
        if self.tenants is not None:
            tenants = checked_tenants(IssuerTemplate(self.issuer), self.tenants)
            object.__setattr__(self, "tenants", tenants)
        object.__setattr__(self, "pinned_pems", _pins(self.pinned_pems))
        object.__setattr__(self, "headers", _headers(self.headers))
        object.__setattr__(self, "required_claims", checked_values(self.required_claims))
        _check(self)

    def allows_url(self, url: str) -> bool:
        """True if keys may be fetched from this URL: https, or http from a host that is allowed."""
        return is_allowed_url(url, http_loopback=self.allow_http_loopback, http_hosts=self.allow_http_hosts)

    @property
    def keys_url(self) -> str | None:
        """The URL of the key set; None if it is to be found through the metadata, or only pins are used."""
        if self.jwks_url is not None:
            return self.jwks_url
        return self.well_known_url if self.discovery is False and not self.pinned_only else None

    @property
    def well_known_url(self) -> str:
        """The URL at which an issuer without metadata has its key set."""
        return self.issuer.rstrip("/") + "/.well-known/jwks.json"


_TEMPLATE = (
    r"[{}*]|^https://(?:login\.(?:microsoftonline\.(?:com|us)|windows\.net|partner\.microsoftonline\.cn)"
    r"|sts\.windows\.net)/(?:common|organizations|consumers)(?:/|$)"
)
"""Issuers that stand for many. Microsoft's names of all tenants are in its metadata, and in no token."""


def _check(accept: IssuerAccept) -> None:
    if not isinstance(accept.issuer, str) or not accept.issuer or accept.issuer != accept.issuer.strip():
        raise ValueError(f"issuer must be a non-empty string without blanks around it, not {accept.issuer!r}")
    _check_tenants(accept)
    _check_switches(accept)
    if bool(accept.audiences) == accept.any_audience:
        raise ValueError(
            f"{accept.issuer}: set either audiences or any_audience=True; audiences is {accept.audiences!r}"
        )
    if accept.algorithms is not None:
        check_algorithms(accept.algorithms)
    if accept.claims is not None and not isinstance(accept.claims, ClaimsMapping):
        raise ValueError(f"{accept.issuer}: claims must be a ClaimsMapping, not {accept.claims!r}")
    if accept.token_types is not None and not accept.token_types:
        raise ValueError(f"{accept.issuer}: token_types is empty: leave it out for the default types")
    _check_bindings(accept)
    _check_source(accept)
    _check_connection(accept)
    _check_introspection(accept)
    check_seconds("cache_ttl", accept.cache_ttl)
    check_seconds("max_stale", accept.max_stale, zero=True)
    if accept.max_lifetime is not None:
        check_seconds("max_lifetime", accept.max_lifetime)
    if accept.pinned_until is not None:
        check_seconds("pinned_until", accept.pinned_until)


def _check_switches(accept: IssuerAccept) -> None:
    switches = ["any_audience", "same_origin", "pinned_only", "allow_http_loopback"]
    if accept.discovery is not None:
        switches.append("discovery")
    for switch in switches:
        check_switch(f"{accept.issuer}: {switch}", getattr(accept, switch))


def _check_tenants(accept: IssuerAccept) -> None:
    if accept.tenants is None:
        if re.search(_TEMPLATE, accept.issuer):
            raise ValueError(
                f"issuer {accept.issuer!r} stands for many tenants, and no token has it as its iss: set "
                "tenants and a template, or list the issuer of each tenant, with the jwks_url that they share"
            )
        for name in ("tenant_claim", "metadata_url"):
            if getattr(accept, name) is not None:
                raise ValueError(f"{accept.issuer}: {name} needs tenants, and an issuer with a placeholder")
        return
    if accept.tenant_claim is not None:
        check_decisive("tenant_claim", accept.tenant_claim)
    sources = [accept.jwks_url is not None, accept.metadata_url is not None, accept.pinned_only]
    if sources.count(True) != 1 or accept.discovery is not None:
        raise ValueError(
            f"{accept.issuer}: with tenants set either jwks_url, or metadata_url, or pinned_only=True, and "
            "leave out discovery"
        )


def _check_bindings(accept: IssuerAccept) -> None:
    for name in ("dpop", "mtls"):
        if (mode := getattr(accept, name)) not in ("disabled", "allowed", "required"):
            raise ValueError(
                f"{accept.issuer}: {name} must be 'disabled', 'allowed' or 'required', not {mode!r}"
            )


def _check_introspection(accept: IssuerAccept) -> None:
    asked: object = accept.introspection
    if asked is None:
        return
    if not isinstance(asked, Introspection):
        kind = type(asked).__name__  # not its value: it may be a secret
        raise ValueError(f"{accept.issuer}: introspection must be an Introspection, not a {kind}")  # noqa: TRY004 - as above
    url = accept.issuer if asked.url is None else asked.url
    if not isinstance(url, str) or not accept.allows_url(url):
        raise ValueError(
            f"{accept.issuer}: Introspection.url, or without it the issuer, must be an https URL (or http on "
            f"loopback with allow_http_loopback=True, or http at a host of allow_http_hosts), not {url!r}"
        )


def _check_source(accept: IssuerAccept) -> None:
    if accept.pinned_only:
        if not accept.pinned_pems:
            raise ValueError(f"{accept.issuer}: pinned_only=True needs pinned_pems")
        if accept.jwks_url is not None or accept.discovery:
            raise ValueError(
                f"{accept.issuer}: with pinned_only=True no keys are fetched; remove jwks_url and discovery"
            )
        return
    url = accept.keys_url
    if accept.same_origin and url is not None:
        raise ValueError(
            f"{accept.issuer}: same_origin=True is about the URL that the metadata names: remove jwks_url "
            "and discovery=False"
        )
    if accept.discovery and accept.jwks_url is not None:
        raise ValueError(f"{accept.issuer}: set jwks_url or discovery=True, not both")
    url = url or accept.metadata_url or accept.issuer
    if has_placeholder(url):
        raise ValueError(f"{accept.issuer}: keys are fetched from one URL for all tenants, not from {url!r}")
    if not accept.allows_url(url):
        raise ValueError(
            f"{accept.issuer}: keys are fetched from an https URL (or http on loopback with "
            f"allow_http_loopback=True, or http from a host of allow_http_hosts), not from {url!r}"
        )


def _check_connection(accept: IssuerAccept) -> None:
    for host in accept.allow_http_hosts:
        if not re.fullmatch(r"[a-z0-9._-]+|[0-9a-f:]+", host):
            raise ValueError(
                f"{accept.issuer}: allow_http_hosts lists exact host names in lower case, without scheme, "
                f"port or wildcard, not {host!r}"
            )
    if accept.http_client is not None and (accept.ca_file is not None or accept.proxy is not None):
        raise ValueError(f"{accept.issuer}: set ca_file and proxy on the http_client itself")
    if accept.proxy is not None and urlsplit(accept.proxy).scheme not in _PROXY_SCHEMES:
        raise ValueError(f"{accept.issuer}: proxy must be a URL with one of {', '.join(_PROXY_SCHEMES)}")
    if accept.ca_file is not None:
        try:
            ssl.create_default_context(cafile=accept.ca_file)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{accept.issuer}: ca_file {accept.ca_file!r} is not readable: {error}"
            ) from None


def _headers(value: Mapping[str, str]) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise ValueError("headers must be a mapping of names to values")  # noqa: TRY004 - as above
    for name, text in value.items():  # an error message leaves the value out: it may be a credential
        valid = isinstance(name, str) and isinstance(text, str) and text.isascii() and text.isprintable()
        if not valid or not re.fullmatch(_HEADER_NAME, name):
            raise ValueError(f"headers has an invalid name or value: {name!r}")
    return {name.lower(): text for name, text in value.items()}


def _pins(value: Sequence[Pin]) -> tuple[Pin, ...]:
    if isinstance(value, str | bytes):
        raise ValueError("pinned_pems must be a list of PEMs, not a single PEM")  # noqa: TRY004 - as above
    pins = tuple(value)
    for pin in pins:
        pinned_key(pin)
    return pins
