"""The steps of the authorization code grant that all providers share (RFC 6749 section 4.1, RFC 7636)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, ClassVar
from urllib.parse import parse_qsl, quote_plus, urlencode, urlsplit, urlunsplit

from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from authkit_issuer.config import ProviderConfig
from authkit_issuer.config.providers import issuer_of
from authkit_issuer.federation.http import ProviderHttp, error_of
from authkit_issuer.federation.profile import Exchange, Profile, Request
from authkit_issuer.federation.refusals import quoted, refused

_TOKEN = re.compile(r"[\x21-\x7e]+")  # RFC 6749 appendix A.12, without the blank


def authorization_url(
    endpoint: str, config: ProviderConfig, scopes: Iterable[str], request: Request, **extra: str
) -> str:
    """Return the address of the authorization request, with PKCE (RFC 7636 section 4.3).

    ``extra`` are further parameters.
    """
    if config.pkce:
        digest = str(create_s256_code_challenge(request.verifier))
        extra |= {"code_challenge": digest, "code_challenge_method": "S256"}
    own = {
        "client_id": config.client_id,
        "response_type": "code",
        "redirect_uri": request.redirect_uri,
        "scope": " ".join(dict.fromkeys(scopes)),
        "state": request.state,
    }
    return str(prepare_grant_uri(_without(endpoint, {*own, *extra}), **own, **extra))


def secret_of(config: ProviderConfig) -> str:
    """Return the client secret, asked anew when it is a function."""
    given = config.client_secret
    return given() if callable(given) else (given or "")


async def trade(
    http: ProviderHttp,
    endpoint: str,
    config: ProviderConfig,
    exchange: Exchange,
    *,
    provider: str,
    secret: str,
    method: str = "client_secret_post",
) -> dict[str, Any]:
    """Send the token request and return the token response.

    Raises ``ProviderRefused`` for a code that is not good (some providers say so with a 200).
    """
    body = prepare_token_request(
        "authorization_code",
        redirect_uri=exchange.redirect_uri,
        code=exchange.code,
        code_verifier=exchange.verifier if config.pkce else None,
    )
    identity = (config.client_id, secret)
    if secret and method == "client_secret_basic":
        # RFC 6749 section 2.3.1 wants both encoded as in a form, which the library leaves to its caller.
        identity = (quote_plus(config.client_id), quote_plus(secret))
    client = ClientAuth(*identity, method if secret else "none")
    url, headers, body = client.prepare("POST", endpoint, {}, body)
    sent = (secret, exchange.code, exchange.verifier)
    answer = await http.object(
        "POST",
        url,
        provider=provider,
        body=body,
        headers=headers,
        http_loopback=config.allow_http_loopback,
        secrets=sent,
    )
    if "error" in answer:
        raise refused(
            provider, "response", expected="a token response", found=f"status 200{error_of(answer, sent)}"
        )
    return answer


def bearer(provider: str, answer: dict[str, Any]) -> dict[str, str]:
    """Return the header that uses the access token; always Bearer, whatever the answer calls its type."""
    token = answer.get("access_token")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise refused(
            provider,
            "access_token",
            expected="an access token in the token response",
            found=f"the members {quoted(', '.join(answer))}",
        )
    return {"authorization": f"Bearer {token}"}


def text(value: object) -> str:
    """Return a text member of a profile, ``""`` for anything else."""
    return value if isinstance(value, str) else ""


def _without(endpoint: str, names: set[str]) -> str:
    """Return the endpoint without query parameters that the request sets itself."""
    parts = urlsplit(endpoint)
    kept = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] not in names]
    return urlunsplit(parts._replace(query=urlencode(kept)))


class CodeGrant:
    """What providers without OpenID Connect have in common: fixed endpoints, no ID token, no metadata."""

    authorize: ClassVar[str]
    token: ClassVar[str]
    scopes: ClassVar[tuple[str, ...]]
    form_post = False
    takes_id_tokens = False

    def __init__(self, slug: str, config: ProviderConfig, *, http: ProviderHttp) -> None:
        """Take the configuration."""
        self.slug = slug
        self.issuer = issuer_of(slug, config)
        self.steps_up = config.reports_auth_time is not False
        self._config = config
        self._http = http

    async def authorization_url(self, request: Request) -> str:
        """Return the authorization request; there is no ID token that could carry the nonce."""
        return authorization_url(self.authorize, self._config, (*self.scopes, *self._config.scopes), request)

    async def promises_issuer(self) -> bool:
        """No metadata could promise anything."""
        return False

    async def verify_id_token(self, id_token: str, nonce: str) -> Profile:
        """Refuse: the provider issues none."""
        del id_token, nonce
        raise refused(self.slug, "id_token", expected="no ID token", found="one")

    async def aclose(self) -> None:
        """Nothing runs in the background."""

    async def _traded(self, exchange: Exchange) -> dict[str, str]:
        """Trade the code and return the header that asks who it is."""
        secret = secret_of(self._config)
        answer = await trade(
            self._http, self.token, self._config, exchange, provider=self.slug, secret=secret
        )
        return bearer(self.slug, answer)
