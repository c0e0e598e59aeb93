"""Any OpenID Connect provider, from its issuer alone (OpenID Connect Core 1.0, Discovery 1.0).

ID tokens are verified by ``authkit_verify``, with the keys of the provider's own metadata.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

from authkit_issuer.config import ProviderConfig
from authkit_issuer.config.providers import issuer_of
from authkit_issuer.errors import AuthError
from authkit_issuer.federation import oauth
from authkit_issuer.federation.http import ProviderHttp
from authkit_issuer.federation.metadata import Metadata
from authkit_issuer.federation.profile import Exchange, Profile, Request, trusts_email
from authkit_issuer.federation.refusals import cut, quoted, refused, subject_of, unavailable
from authkit_issuer.ports import Clock
from authkit_verify import AcceptConfig, Claims, IssuerAccept, TokenError, Verifier
from authkit_verify._jose.compact import read_header

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Asymmetric ones alone: a client secret signs nothing that is believed."""
SKEW = 60.0
"""Seconds by which the provider's clock may differ."""
_WITHOUT_AUTH_TIME = frozenset({"google"})
"""Built-in providers whose ID tokens have no ``auth_time``, whatever ``max_age`` they are asked for."""
_HASHES = {"256": hashlib.sha256, "384": hashlib.sha384}


class OpenID:
    """One provider: its metadata and the verifier of its ID tokens."""

    form_post = False
    scopes = ("openid", "email", "profile")

    def __init__(self, slug: str, config: ProviderConfig, *, http: ProviderHttp, clock: Clock) -> None:
        """Take the configuration; nothing is fetched yet."""
        self.slug = slug
        self.issuer = issuer_of(slug, config)
        self.config = config
        reports = config.reports_auth_time
        self.steps_up = slug not in _WITHOUT_AUTH_TIME if reports is None else reports
        self.takes_id_tokens = bool(config.native_client_ids)
        self._http = http
        self._clock = clock
        loopback = config.allow_http_loopback
        self._metadata = Metadata(slug, self.issuer, http, clock, http_loopback=loopback)
        accept = IssuerAccept(
            issuer=self.issuer,
            audiences=tuple(dict.fromkeys((config.client_id, *config.native_client_ids))),
            discovery=True,
            token_types=("", "JWT"),
            allow_http_loopback=loopback,
        )
        self._verifier = Verifier(
            AcceptConfig(issuers=[accept], algorithms=ALGORITHMS, skew=SKEW),
            http_client=http,
            clock=clock,
            cache_entries=0,
        )

    async def authorization_url(self, request: Request) -> str:
        """Return the authorization request, with a nonce (OpenID Connect Core section 3.1.2.1)."""
        endpoint = await self._metadata.endpoint("authorization_endpoint")
        scopes = (*self.scopes, *self.config.scopes)
        extra = {"nonce": request.nonce, **self.extra_parameters()}
        if request.fresh:
            extra |= {"prompt": "login", "max_age": "0"}
        return oauth.authorization_url(endpoint, self.config, scopes, request, **extra)

    def extra_parameters(self) -> dict[str, str]:
        """Return what this provider wants beyond the standard."""
        return {}

    async def promises_issuer(self) -> bool:
        """Tell what the metadata says of ``iss`` in answers (RFC 9207 section 3)."""
        metadata = await self._metadata.get()
        return metadata.get("authorization_response_iss_parameter_supported") is True

    async def profile(self, exchange: Exchange) -> Profile:
        """Trade the code and verify the ID token (OpenID Connect Core section 3.1.3)."""
        answer = await oauth.trade(
            self._http,
            await self._metadata.endpoint("token_endpoint"),
            self.config,
            exchange,
            provider=self.slug,
            secret=self.secret(),
            method=await self._auth_method(),
        )
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise refused(
                self.slug,
                "id_token",
                expected="an ID token in the token response",
                found=f"the members {quoted(', '.join(answer))}",
            )
        claims = await self._verify(token)
        # Of the web alone: an ID token for a native app does not come with a code.
        self._check_binding(claims, exchange.nonce, (self.config.client_id,))
        self._check_access_token(claims, token, answer.get("access_token"))
        self._check_proof(claims, exchange.proved_since)
        return self.read(claims, exchange)

    async def verify_id_token(self, id_token: str, nonce: str) -> Profile:
        """Verify an ID token that a native app got from the provider's SDK (section 3.1.3.7)."""
        claims = await self._verify(id_token)
        native = self.config.native_client_ids
        self._check_binding(claims, nonce, native)
        return self.read(claims, Exchange(code="", verifier="", nonce=nonce, redirect_uri=""))

    async def aclose(self) -> None:
        """Stop fetching keys."""
        await self._verifier.aclose()

    def secret(self) -> str:
        """Return the client secret to use now."""
        return oauth.secret_of(self.config)

    def read(self, claims: Claims, exchange: Exchange) -> Profile:
        """Return what a verified ID token says; ``exchange`` may know more."""
        del exchange
        raw = claims.raw
        verified: object = raw.get("email_verified")
        email = oauth.text(raw.get("email")) or None
        return Profile(
            issuer=self.issuer,
            subject=claims.user_id,
            email=email,
            # Apple writes the boolean as a text.
            email_verified=verified is True or verified == "true",
            email_trusted=trusts_email(self.config, self.issuer, email, raw.get("hd")),
            username=oauth.text(raw.get("preferred_username")),
            display_name=oauth.text(raw.get("name")),
            authenticated_at=self._authenticated_at(raw.get("auth_time")),
        )

    def _authenticated_at(self, moment: Any) -> float | None:
        """Return ``auth_time``; an invalid one counts as long ago, so that it proves nothing fresh."""
        if moment is None:
            return None
        valid = type(moment) in {int, float} and 0 <= moment <= self._clock() + SKEW
        return moment if valid else 0.0

    async def _verify(self, token: str) -> Claims:
        try:
            claims = await self._verifier.verify(token)
        except TokenError as error:
            raise await self._explained(token, error) from error
        subject_of(self.slug, claims.user_id)
        return claims

    async def _explained(self, token: str, error: TokenError) -> AuthError:
        """Return the refusal of an ID token, with the first check that it fails."""
        if error.code == "keys_unavailable":
            return unavailable(
                self.slug, "keys", expected="the provider's key set", found=cut(error.description)
            )
        explanation = await self._verifier.explain(token)
        failed = next((check for check in explanation.checks if check.code is not None), None)
        if failed is None:
            return refused(self.slug, "id_token", expected="a valid ID token", found=cut(error.description))
        expected = cut(failed.setting or failed.source)
        return refused(self.slug, failed.name, expected=expected, found=cut(failed.seen))

    def _check_binding(self, claims: Claims, nonce: str, client_ids: tuple[str, ...]) -> None:
        """Refuse a token of another request or another client (OpenID Connect Core section 3.1.3.7)."""
        given = claims.raw.get("nonce")
        if not isinstance(given, str) or not _equal(given, nonce):
            found = "another one" if isinstance(given, str) else quoted(given)
            raise refused(self.slug, "nonce", expected="the nonce of this login", found=found)
        expected = f"one of {quoted(list(client_ids))}"
        if not set(claims.audience) & set(client_ids):
            raise refused(self.slug, "audience", expected=expected, found=quoted(list(claims.audience)))
        party = claims.raw.get("azp")
        if (len(claims.audience) > 1 and party is None) or (party is not None and party not in client_ids):
            raise refused(self.slug, "azp", expected=expected, found=quoted(party))

    def _check_access_token(self, claims: Claims, id_token: str, access_token: object) -> None:
        """Refuse an access token that is not the ID token's, where it says so (section 3.1.3.8)."""
        expected = claims.raw.get("at_hash")
        if expected is None:
            return
        if isinstance(access_token, str) and isinstance(expected, str):
            # The algorithm was verified with the signature; Ed25519 goes with SHA-512.
            algorithm = read_header(id_token.partition(".")[0].encode()).alg
            hashed = _HASHES.get(algorithm[-3:], hashlib.sha512)
            digest = hashed(_octets(access_token)).digest()
            half = base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=")
            if _equal(half.decode(), expected):
                return
        raise refused(self.slug, "at_hash", expected="the hash of the access token", found="another value")

    def _check_proof(self, claims: Claims, since: float | None) -> None:
        """Refuse a proof without a time, which ``max_age`` requires, or older than asked (section 2)."""
        if since is None:
            return
        moment: Any = claims.raw.get("auth_time")
        if type(moment) in {int, float} and since - SKEW <= moment <= self._clock() + SKEW:
            return
        raise refused(
            self.slug, "auth_time", expected=f"a time since {since - SKEW:.0f}", found=quoted(moment)
        )

    async def _auth_method(self) -> str:
        offered = (await self._metadata.get()).get("token_endpoint_auth_methods_supported")
        if isinstance(offered, list) and "client_secret_post" in offered:
            return "client_secret_post"
        return "client_secret_basic"  # the default when nothing is said: Discovery section 3


def _equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(_octets(given), _octets(expected))


def _octets(text: str) -> bytes:
    """Return the octets of a provider's text, which may hold lone surrogates."""
    return text.encode("utf-8", "surrogatepass")
