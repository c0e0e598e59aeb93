"""The names of identifiers in the store, which learns no addresses."""

from __future__ import annotations

import hashlib
import hmac

from authkit_issuer.runtime import Runtime


def identifier_digest(rt: Runtime, kind: str, identifier: str) -> str:
    """Return the keyed digest that names an identifier in the store, which learns no addresses."""
    key = rt.keys.current().derive("identifiers")
    return hmac.new(key, f"{kind}|{identifier}".encode(), hashlib.sha256).hexdigest()[:32]
