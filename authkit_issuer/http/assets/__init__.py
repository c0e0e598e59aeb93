"""The browser's client, as files: read once, and named by their content."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """A file that browsers fetch."""

    body: bytes
    content_type: bytes
    version: str
    """The beginning of its SHA-256, which a URL may hold: the content of that URL never changes."""
    integrity: str
    """What pages state to have the browser check the content (Subresource Integrity)."""

    @property
    def etag(self) -> str:
        """Return the validator."""
        return f'"{self.version}"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A module of JavaScript with its declarations for TypeScript."""

    name: str
    script: Asset
    types: Asset


def _read(name: str, content_type: bytes) -> Asset:
    body = (_FOLDER / name).read_bytes()
    integrity = base64.b64encode(hashlib.sha384(body).digest()).decode()
    return Asset(
        body=body,
        content_type=content_type,
        version=hashlib.sha256(body).hexdigest()[:16],
        integrity=f"sha384-{integrity}",
    )


def _module(name: str) -> Module:
    return Module(
        name=name,
        script=_read(f"{name}.js", b"text/javascript; charset=utf-8"),
        types=_read(f"{name}.d.ts", b"text/plain; charset=utf-8"),
    )


# Read when this is loaded: a request must not wait for a disk.
CLIENT = _module("authkit")
PASSKEYS = _module("passkeys")
PASSWORDLESS = _module("passwordless")
RECOVERY = _module("recovery")
