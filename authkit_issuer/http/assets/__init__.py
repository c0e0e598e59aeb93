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


def _read(name: str, content_type: bytes) -> Asset:
    body = (_FOLDER / name).read_bytes()
    integrity = base64.b64encode(hashlib.sha384(body).digest()).decode()
    return Asset(
        body=body,
        content_type=content_type,
        version=hashlib.sha256(body).hexdigest()[:16],
        integrity=f"sha384-{integrity}",
    )


# Read when the module is loaded: a request must not wait for a disk.
CLIENT = _read("authkit.js", b"text/javascript; charset=utf-8")
PASSKEYS = _read("passkeys.js", b"text/javascript; charset=utf-8")
PASSKEY_TYPES = _read("passkeys.d.ts", b"text/plain; charset=utf-8")
PASSWORDLESS = _read("passwordless.js", b"text/javascript; charset=utf-8")
PASSWORDLESS_TYPES = _read("passwordless.d.ts", b"text/plain; charset=utf-8")
RECOVERY = _read("recovery.js", b"text/javascript; charset=utf-8")
RECOVERY_TYPES = _read("recovery.d.ts", b"text/plain; charset=utf-8")
TYPES = _read("authkit.d.ts", b"text/plain; charset=utf-8")
