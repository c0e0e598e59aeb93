"""A fake issuer: mints tokens, serves its key set in process, and fails on demand."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import httpx

from authkit_verify._jwks.discovery import metadata_urls, origin
from authkit_verify._verify.verifier import Verifier
from authkit_verify.config import AcceptConfig, IssuerAccept
from authkit_verify.config.accept_config import DEFAULT_SKEW
from authkit_verify.config.claims_mapping import ClaimsMapping, claim_path
from authkit_verify.config.introspection import Introspection
from authkit_verify.config.tenants import IssuerTemplate, has_placeholder
from authkit_verify.testing._introspection import FakeEndpoint
from authkit_verify.testing._keys import FakeKey, compact, seal

_TENANT = "11111111-1111-4111-8111-111111111111"


class FakeIssuer:
    """An issuer in the test process, with one signing key at first.

    Args:
        issuer: The ``iss`` of its tokens, or a template for those of several tenants. Default
            ``https://issuer.test``.
        audience: The ``aud`` of its tokens. Default ``api``.
        algorithm: The signature algorithm of its keys. Default ``ES256``.
        clock: Returns Unix seconds. Default ``time.time``.
        jwks_url: The URL of the key set that its metadata and ``accept`` name, on any host. Default None:
            ``/jwks.json`` below ``issuer`` in the metadata, and ``accept`` leaves ``jwks_url`` out.
        metadata_url: The URL of the metadata that its tenants share. Default None.
        tenant_claim: The claim that names the tenant of a token, beside ``iss``. Default None.

    The key set is at every path of the issuer's own host, and at every ``jwks_url`` that it has been given.
    """

    def __init__(
        self,
        issuer: str = "https://issuer.test",
        *,
        audience: str = "api",
        algorithm: str = "ES256",
        clock: Callable[[], float] = time.time,
        jwks_url: str | None = None,
        metadata_url: str | None = None,
        tenant_claim: str | None = None,
    ) -> None:
        self.issuer = issuer
        self._template = IssuerTemplate(issuer) if has_placeholder(issuer) else None
        self.tenant = _TENANT
        """The tenant of the tokens of ``mint``, if ``issuer`` is a template."""
        self.tenant_claim = tenant_claim
        self.metadata_url = metadata_url
        if jwks_url is None and self._template is not None:
            jwks_url = "https://keys.test/jwks.json"
        self.jwks_url = jwks_url
        """The URL of the key set, if it is not below ``issuer``."""
        self.metadata: dict[str, Any] | None = {}
        """Members that the metadata has beside, or instead of, ``issuer`` and ``jwks_uri``; None publishes no
        metadata."""
        self.jwks_urls = {httpx.URL(self._jwks_uri)}
        """Every URL that was given for the key set, through ``jwks_url`` here or in ``accept``."""
        self.endpoint = FakeEndpoint(self.issuer, self._is_genuine, clock)
        """Its introspection endpoint (RFC 7662): the tokens that it knows, the credentials that it wants."""
        self.audience = audience
        self.claims: dict[str, Any] = {}
        """Claims of every token, instead of the usual ones or beside them; None leaves one out."""
        self.algorithm = algorithm
        self.clock = clock
        self.headers: dict[str, str] = {}
        """Response headers of the key set, such as ``Cache-Control``."""
        self.requests: list[httpx.Request] = []
        """Every request to the issuer."""
        self._made = 0
        self.keys: list[FakeKey] = []
        """The published keys; the last one signs."""
        self._status = 200
        self._body: bytes | None = None
        self._delay = 0.0
        self.rotate()
        self.client = self.client_for(self)
        """The HTTP client that reaches this issuer, and no other host."""

    @classmethod
    def of(cls, accept: IssuerAccept, *, clock: Callable[[], float] = time.time) -> FakeIssuer:
        """Return a fake of the issuer that ``accept`` describes, such as one of ``authkit_verify.presets``.

        Its tokens have an accepted audience and all that is required, so that ``mint`` only needs the claims
        that a test is about.
        """
        algorithm = "ES256" if accept.algorithms is None else accept.algorithms[0]
        fake = cls(
            accept.issuer, algorithm=algorithm, clock=clock, jwks_url=accept.jwks_url,
            metadata_url=accept.metadata_url, tenant_claim=accept.tenant_claim,
        )  # fmt: skip
        fake.claims = _accepted_claims(accept)
        if accept.tenants and not callable(accept.tenants):
            fake.tenant = accept.tenants[0]
        if accept.introspection is not None:
            fake.endpoint.expect(accept.introspection)
        return fake

    @staticmethod
    def client_for(*issuers: FakeIssuer) -> httpx.AsyncClient:
        """Return an HTTP client that reaches these issuers, and no other host."""

        async def answer(request: httpx.Request) -> httpx.Response:
            return await _addressed(issuers, request).respond(request)

        return httpx.AsyncClient(transport=httpx.MockTransport(answer))

    @property
    def key(self) -> FakeKey:
        """The key that signs: the one published last."""
        return self.keys[-1]

    @property
    def fetches(self) -> int:
        """The number of requests for the key set."""
        return sum(self.document_at(request.url) == "keys" for request in self.requests)

    def introspection(self, **terms: Any) -> Introspection:
        """Return how its endpoint is asked; ``terms`` are further fields of ``Introspection``."""
        usual: dict[str, Any] = {
            "client_id": self.endpoint.client_id,
            "client_secret": self.endpoint.client_secret,
        }
        asked = Introspection(**usual | terms)
        self.endpoint.expect(asked)
        return asked

    def accept(self, **terms: Any) -> IssuerAccept:
        """Return the ``IssuerAccept`` of this issuer; ``terms`` are further fields of it."""
        usual: dict[str, Any] = {"issuer": self.issuer, "audiences": (self.audience,)}
        if self._template is not None:
            usual |= {"tenants": (self.tenant,), "tenant_claim": self.tenant_claim}
        elsewhere = ("discovery", "pinned_only", "metadata_url")
        if self.jwks_url is not None and not any(map(terms.get, elsewhere)):
            usual["jwks_url"] = self.jwks_url
        accept = IssuerAccept(**usual | terms)
        if accept.jwks_url is not None:
            self.jwks_urls.add(httpx.URL(accept.jwks_url))
        return accept

    def verifier(self, *, skew: float = DEFAULT_SKEW, **terms: Any) -> Verifier:
        """Return a verifier that accepts this issuer; ``terms`` are fields of ``IssuerAccept``."""
        config = AcceptConfig(issuers=[self.accept(**terms)], algorithms=(self.algorithm,), skew=skew)
        return Verifier(config, http_client=self.client, clock=self.clock)

    def mint(
        self,
        user_id: str = "user-1",
        *,
        lifetime: float = 900,
        typ: str | None = "at+jwt",
        key: FakeKey | None = None,
        header: Mapping[str, Any] | None = None,
        without: Iterable[str] = (),
        **claims: Any,
    ) -> str:
        """Return a signed token.

        Args:
            user_id: The ``sub``. Default ``user-1``.
            lifetime: Seconds from now until ``exp``; may be negative. Default 900.
            typ: The ``typ`` of the header; None leaves it out. Default ``at+jwt``.
            key: The signing key. Default None: ``self.key``.
            header: Header members that replace the usual ones; None leaves a member out.
            without: Claims to leave out.
            claims: Claims that replace the usual ones.
        """
        signer = key or self.key
        members = {"alg": signer.alg, "kid": signer.kid, "typ": typ} | dict(header or {})
        payload = self._payload(user_id, lifetime, without, claims)
        head = {name: value for name, value in members.items() if value is not None}
        return seal(signer, compact(head), compact(payload))

    def mint_opaque(
        self,
        user_id: str = "user-1",
        *,
        prefix: str = "",
        lifetime: float = 900,
        without: Iterable[str] = (),
        **claims: Any,
    ) -> str:
        """Return a random token about which the introspection endpoint says what a JWT would.

        Args:
            user_id: The ``sub``. Default ``user-1``.
            prefix: The first characters of the token. Default none.
            lifetime: Seconds from now until ``exp``; may be negative. Default 900.
            without: Claims to leave out.
            claims: Claims that replace the usual ones.
        """
        token = prefix + secrets.token_urlsafe(24)
        self.endpoint.opaque[token] = self._payload(user_id, lifetime, without, claims)
        return token

    def revoke(self, token: str) -> None:
        """Let the introspection endpoint say that a token is not active: an opaque one or a JWT."""
        self.endpoint.revoked.add(token)

    def _payload(
        self, user_id: str, lifetime: float, without: Iterable[str], claims: Mapping[str, Any]
    ) -> dict[str, Any]:
        now = int(self.clock())
        payload: dict[str, Any] = {
            "iss": self.issuer, "sub": user_id, "aud": self.audience, "iat": now, "exp": int(now + lifetime),
        } | self.claims_of(self.tenant) | self.claims | dict(claims)  # fmt: skip
        left_out = {name for name, value in self.claims.items() if value is None and name not in claims}
        for name in left_out.union(without):
            payload.pop(name, None)
        return payload

    def _is_genuine(self, token: str) -> bool:
        return any(key.signed(token) for key in self.keys)

    def claims_of(self, tenant: str) -> dict[str, Any]:
        """Return the claims that name a tenant: ``mint("ann", **issuer.claims_of("acme"))``.

        None if ``issuer`` is no template.
        """
        if self._template is None:
            return {}
        found = {"iss": self._template.issuer_of(tenant)}
        return found if self.tenant_claim is None else found | _placed(self.claims, self.tenant_claim, tenant)

    def mint_expired(self, user_id: str = "user-1", *, ago: float = 3600, **claims: Any) -> str:
        """Return a token that expired this many seconds ago."""
        claims.setdefault("iat", int(self.clock() - ago - 900))
        return self.mint(user_id, lifetime=-ago, **claims)

    def mint_forged(self, user_id: str = "user-1", **claims: Any) -> str:
        """Return a token with the key id of this issuer, signed with another key."""
        return self.mint(user_id, key=FakeKey.generate(self.key.kid, self.algorithm), **claims)

    def bearer(self, user_id: str = "user-1", **terms: Any) -> dict[str, str]:
        """Return a request header with a new token; ``terms`` are arguments of ``mint``."""
        return {"Authorization": f"Bearer {self.mint(user_id, **terms)}"}

    def rotate(self, *, keep: bool = True) -> FakeKey:
        """Publish a new key and sign with it; ``keep=False`` removes the earlier keys."""
        self._made += 1
        key = FakeKey.generate(f"key-{self._made}", self.algorithm)
        self.keys = [*self.keys, key] if keep else [key]
        return key

    def remove(self, kid: str) -> None:
        """Remove a key from the key set."""
        self.keys = [key for key in self.keys if key.kid != kid]

    def break_down(self, status: int = 503) -> None:
        """Respond to every request with this status, until ``recover``."""
        self._status = status

    def publish(self, body: bytes) -> None:
        """Serve this body instead of the key set, until ``recover``."""
        self._body = body

    def slow(self, seconds: float) -> None:
        """Delay every response by this many seconds, until ``recover``."""
        self._delay = seconds

    def recover(self) -> None:
        """Serve the key set again, without a delay."""
        self._status, self._body, self._delay = 200, None, 0.0

    def document(self) -> bytes:
        """Return the key set as it is published."""
        return compact({"keys": [key.jwk() for key in self.keys]})

    @property
    def _jwks_uri(self) -> str:
        return self.jwks_url or self.issuer.rstrip("/") + "/jwks.json"

    def document_at(self, url: httpx.URL) -> Literal["keys", "metadata", "introspection"] | None:
        """Return which document of this issuer is at this URL."""
        if url in self.endpoint.urls:
            return "introspection"
        if url in self.jwks_urls:
            return "keys"
        if self._metadata_issuer(url) is not None:
            return "metadata"
        # At one of these paths is the metadata of another issuer on this host, or none.
        elsewhere = url.path.endswith("/.well-known/openid-configuration") or url.path.startswith(
            "/.well-known/oauth-authorization-server"
        )
        return None if elsewhere or origin(str(url)) != origin(self.issuer) else "keys"

    def _metadata_issuer(self, url: httpx.URL) -> str | None:
        """Return the issuer that the metadata at this URL names, or None if none is there."""
        if self._template is None:
            return self.issuer if url in map(httpx.URL, metadata_urls(self.issuer)) else None
        if self.metadata_url is not None and url == httpx.URL(self.metadata_url):
            return self.issuer
        issuer = str(url).removesuffix("/.well-known/openid-configuration")
        return issuer if self._template.tenant_of(issuer) is not None else None

    async def respond(self, request: httpx.Request) -> httpx.Response:
        """Return the response to one request; ``client`` and ``client_for`` call it."""
        self.requests.append(request)
        if self._delay:
            await asyncio.sleep(self._delay)
        if self._status != 200:
            return httpx.Response(self._status)
        document = self.document_at(request.url)
        if document == "introspection":
            return self.endpoint.respond(request)
        if request.method != "GET":
            return httpx.Response(405)
        if document == "keys":
            body = self.document() if self._body is None else self._body
            return httpx.Response(200, content=body, headers=self.headers)
        if document is None or self.metadata is None:
            return httpx.Response(404)
        metadata = {
            "issuer": self._metadata_issuer(request.url), "jwks_uri": self._jwks_uri,
            "introspection_endpoint": self.endpoint.url,
        } | self.metadata  # fmt: skip
        return httpx.Response(200, content=compact(metadata))


def _addressed(issuers: Iterable[FakeIssuer], request: httpx.Request) -> FakeIssuer:
    """Return the issuer that a request reaches: by its documents, then by its host and the start of the path.

    Raises httpx.ConnectError for a host of no issuer.
    """
    asked = request.url
    for issuer in issuers:
        if asked in issuer.jwks_urls or issuer.document_at(asked) in {"metadata", "introspection"}:
            return issuer
    near = [issuer for issuer in issuers if origin(issuer.issuer) == origin(str(asked))]
    if not near:
        raise httpx.ConnectError(f"no fake issuer is at {asked.host}", request=request)
    path = asked.path.rstrip("/") + "/"
    below = [one for one in near if path.startswith(httpx.URL(one.issuer).path.rstrip("/") + "/")]
    return max(below or near, key=lambda one: len(one.issuer))


def _accepted_claims(accept: IssuerAccept) -> dict[str, Any]:
    """Return claims with which a token meets the requirements of a record."""
    mapping = accept.claims or ClaimsMapping()
    wanted: dict[str, Sequence[Any]] = {
        name: values if isinstance(values, tuple) else ("any",)
        for name, values in accept.required_claims.items()
    }
    audience = tuple(mapping.audience or ("aud",))
    if accept.audiences and wanted.keys().isdisjoint(audience):
        wanted["aud" if "aud" in audience else audience[0]] = accept.audiences
    if accept.required_scopes:
        wanted[next(iter(mapping.scopes or ("scope",)))] = (" ".join(accept.required_scopes),)
    found: dict[str, Any] = {"aud": None}
    for name, values in wanted.items():
        found |= _placed(found, name, values[0])
    return found


def _placed(claims: Mapping[str, Any], name: str, value: Any) -> dict[str, Any]:
    """Return the claim that holds a value at the path of this name, beside what it holds already."""
    first, *below = claim_path(name)
    if not below:
        return {first: value}
    place = claims[first] if isinstance(claims.get(first), dict) else {}
    rest = ".".join(f'"{step}"' for step in below)
    return {first: place | _placed(place, rest, value)}
