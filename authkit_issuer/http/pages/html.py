"""The few HTML pages: rendered here, escaped, and under a policy that allows no script.

The one that ends a login in a popup has a script, always the same one, which the policy names by its hash.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup, escape

from authkit_issuer.http.raw_response import Headers, RawResponse

_FOLDER = Path(__file__).parent / "templates"
# Read once, when the module is loaded: a request must not wait for a disk.
_TEXTS = {file.name: file.read_text("utf-8") for file in sorted(_FOLDER.glob("*.*"))}
_STYLE = _TEXTS["style.css"]
_PAGES = Environment(
    loader=DictLoader(_TEXTS),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


_CODE = Markup("<code>{}</code>")


def _with_code(text: str) -> Markup:
    """Return a text, escaped, with what is between two backticks as code."""
    parts = [escape(part) for part in text.split("`")]
    for index in range(1, len(parts), 2):
        parts[index] = _CODE.format(parts[index])
    return Markup().join(parts)


_PAGES.filters["code"] = _with_code


def digest(text: str) -> str:
    """Return the hash by which a content security policy admits an inline text (CSP 3 section 8.3)."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _headers(*allowed: str, style: str = f"'sha256-{digest(_STYLE)}'", framed_by: str = "'none'") -> Headers:
    """Return the headers of a page that may have our style, and what else is named."""
    policy = (
        "default-src 'none'", f"style-src {style}", *allowed,
        "base-uri 'none'", "form-action 'none'", f"frame-ancestors {framed_by}",
    )  # fmt: skip
    return (
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-security-policy", "; ".join(policy).encode()),
        (b"referrer-policy", b"no-referrer"),
    )


_HEADERS = _headers()
_SCRIPT = _TEXTS["popup.js"]
_POPUP = _headers(f"script-src 'sha256-{digest(_SCRIPT)}'")
_INBOX = _headers("frame-src 'self'")
# The styles of a mail are in its elements. A sandbox without permissions runs no script and opens no window.
_MAIL = _headers("img-src https:", "sandbox", style="'unsafe-inline'", framed_by="'self'")
_QUALITY = re.compile(r"q\s*=\s*0(?:\.0*)?\s*")


def wanted(accept: str) -> bool:
    """True if the client accepts HTML by name; ``*/*``, which programs send, is not enough."""
    for entry in accept.lower().split(","):
        kind, _, parameters = entry.partition(";")
        if kind.strip() == "text/html" and not _QUALITY.fullmatch(parameters.strip()):
            return True
    return False


def render(name: str, **values: object) -> RawResponse:
    """Return a page; every value is escaped."""
    body = _PAGES.get_template(name).render(style=_STYLE, **values)
    return RawResponse(status=200, headers=_HEADERS, body=body.encode())


def inbox(**values: object) -> RawResponse:
    """Return the page of the development inbox, which shows mails in frames."""
    body = _PAGES.get_template("inbox.html").render(style=_STYLE, **values)
    return RawResponse(status=200, headers=_INBOX, body=body.encode())


def mail(text: str) -> RawResponse:
    """Return the HTML of a mail, which was escaped when it was made."""
    return RawResponse(status=200, headers=_MAIL, body=text.encode())


def refusal(answer: RawResponse, description: str, request_id: str) -> RawResponse:
    """Return a refusal as a page, with its status and headers."""
    headers = dict(answer.headers)
    body = _PAGES.get_template("refusal.html").render(
        style=_STYLE,
        description=description,
        retry_after=headers.get(b"retry-after", b"").decode(),
        request_id=request_id,
    )
    kept = tuple(field for field in answer.headers if field[0] != b"content-type")
    return RawResponse(status=answer.status, headers=(*_HEADERS, *kept), body=body.encode())


def popup(told: str) -> RawResponse:
    """Return the page that tells its opener and closes; ``told`` is JSON fit for a script element."""
    body = _PAGES.get_template("popup.html").render(style=_STYLE, script=_SCRIPT, told=told)
    return RawResponse(status=200, headers=_POPUP, body=body.encode())
