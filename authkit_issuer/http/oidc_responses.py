"""The response at the end of an external login: a redirect, a message from a popup, or JSON.

The app gets the result only on its own page: in the fragment of its URL, which no server sees, or by a
message to its own origin. A client that requests JSON gets the response of any other operation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from authkit_issuer import errors
from authkit_issuer.http.pages import html
from authkit_issuer.http.raw_response import RawResponse
from authkit_issuer.http.response_models import OidcResult

if TYPE_CHECKING:
    from authkit_issuer.domains.login.external.service import (
        AuthorizationRequest,
        CallbackResult,
        FlowCookie,
        LoginResult,
    )
    from authkit_issuer.http.operations import Call

_NO_REFERRER = (b"referrer-policy", b"no-referrer")
# In a script element a "<" may end it; the two separators end lines in old script engines.
_ESCAPES = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}


def land(call: Call[Any, Any], landing: CallbackResult, *, status: int = 302) -> RawResponse | OidcResult:
    """Return the answer for a login that is over; a refusal is raised for those who asked for JSON."""
    if landing.cookie_name and not landing.code:
        call.response_headers.append(_clear(landing.cookie_name, dev=call.service.config.dev))
    if wants_json(call):
        if landing.refusal is not None:
            raise landing.refusal
        if landing.opened is not None:
            return result_of(call, landing.opened)
    told = _told(call, landing)
    if landing.popup:
        return _popup(landing, told)
    return send_to(_address(landing, told), status)


def result_of(call: Call[Any, Any], opened: LoginResult) -> OidcResult:
    """Return what a login opened, after giving the browser the cookie that it is known by."""
    if opened.pair is not None:
        call.cookies.signed_in(opened.pair)
    return OidcResult.of(opened)


def send_to(address: str, status: int = 302) -> RawResponse:
    """Return a redirect that keeps its own address to itself."""
    return RawResponse(status=status, headers=((b"location", address.encode()), _NO_REFERRER), body=b"")


def wants_json(call: Call[Any, Any]) -> bool:
    """True if the client requests JSON, not a page."""
    named = getattr(call.params, "format", None) == "json"
    return named or "application/json" in call.header(b"accept").lower()


def origin_of(call: Call[Any, Any]) -> str:
    """Return scheme and host that were asked; development, which alone looks at it, has no TLS."""
    return f"http://{call.header(b'host')}"


def keep(call: Call[Any, Any], begun: AuthorizationRequest) -> None:
    """Give the browser the cookie of its login."""
    call.response_headers.append(_set_cookie(begun.cookie, dev=call.service.config.dev))


def forget(call: Call[Any, Any], opened: LoginResult) -> None:
    """Take the cookie of a login back that has been traded."""
    call.response_headers.append(_clear(opened.cookie_name, dev=call.service.config.dev))


def _told(call: Call[Any, Any], landing: CallbackResult) -> dict[str, str]:
    """Return what the app learns."""
    told = {"flow": landing.flow, "provider": landing.provider}
    if landing.return_to:
        told["return_to"] = landing.return_to
    refusal = landing.refusal
    if refusal is not None:
        harmless = (
            errors.TwoFactorRequired,
            errors.TwoFactorEnrollmentRequired,
            errors.ProviderRefused,
        )
        facts = refusal.metadata if isinstance(refusal, harmless) else {}
        code = refusal.metadata.get("provider_error", refusal.code)
        return told | {"error": str(code)} | {name: _fact(value) for name, value in facts.items()}
    if landing.opened is None:
        return told | {"result_code": landing.code}
    result = result_of(call, landing.opened)
    if result.refresh_token and call.cookies.refresh:
        # The cookie holds it, out of reach of scripts, and nothing else does.
        call.cookies.keep(result.refresh_token)
        result = result.without_refresh_token()
    return told | result.as_query()


def _fact(value: object) -> str:
    """Return a fact as a fragment holds it: a text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def _address(landing: CallbackResult, told: Mapping[str, str]) -> str:
    """Return the app's page with the news in its fragment."""
    page = landing.app_url
    if landing.flow == "step_up" and landing.refusal is not None and landing.return_to:
        # Who was on the way to something goes on there, and learns why it will ask again.
        join = "&" if "?" in landing.return_to else "?"
        path = landing.return_to.partition("#")[0]
        page = f"{_origin(landing.app_url)}{path}{join}step_up=failed"
    return f"{page}#{urlencode(told, quote_via=quote)}"


def _popup(landing: CallbackResult, told: Mapping[str, str]) -> RawResponse:
    kind = "AUTHKIT_OIDC_RESULT" if landing.refusal is None else "AUTHKIT_OIDC_ERROR"
    message = {"type": kind, "nonce": landing.popup_nonce, **told}
    whole = {
        "message": message,
        "origin": _origin(landing.app_url),
        "instead": _address(landing, told),
    }
    return html.popup(json.dumps(whole).translate(_ESCAPES))


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def _set_cookie(cookie: FlowCookie, *, dev: bool) -> tuple[bytes, bytes]:
    # A form from another site brings only cookies that say None, which count only with Secure.
    same_site = "SameSite=None; Secure" if cookie.cross_site else "SameSite=Lax"
    secure = "" if dev or cookie.cross_site else "; Secure"
    text = f"{cookie.name}={cookie.value}; Max-Age={cookie.max_age}; Path=/; HttpOnly; {same_site}{secure}"
    return b"set-cookie", text.encode()


def _clear(name: str, *, dev: bool) -> tuple[bytes, bytes]:
    text = f"{name}=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax{'' if dev else '; Secure'}"
    return b"set-cookie", text.encode()
