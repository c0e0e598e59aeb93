"""The few HTML pages: rendered here, escaped, without any script, and framed by a policy that allows none."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from jinja2 import DictLoader, Environment, StrictUndefined

from authkit_issuer.http.routing import Answer

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


def digest(text: str) -> str:
    """Return the hash by which a content security policy admits an inline text (CSP 3 section 8.3)."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


_HEADERS = (
    (b"content-type", b"text/html; charset=utf-8"),
    (
        b"content-security-policy",
        f"default-src 'none'; style-src 'sha256-{digest(_STYLE)}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'".encode(),
    ),
    (b"referrer-policy", b"no-referrer"),
)
_QUALITY = re.compile(r"q\s*=\s*0(?:\.0*)?\s*")


def wanted(accept: str) -> bool:
    """Tell whether a page is asked for by name; ``*/*``, as programs send it, is not enough."""
    for entry in accept.lower().split(","):
        kind, _, parameters = entry.partition(";")
        if kind.strip() == "text/html" and not _QUALITY.fullmatch(parameters.strip()):
            return True
    return False


def render(name: str, **values: object) -> Answer:
    """Return a page; every value is escaped."""
    body = _PAGES.get_template(name).render(style=_STYLE, **values)
    return Answer(status=200, headers=_HEADERS, body=body.encode())
