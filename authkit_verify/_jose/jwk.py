"""Read a published key set (RFC 7517): take the usable keys and skip the others one at a time.

More tolerant than for tokens: real key sets have padding, the standard base64 alphabet, leading zeros,
members of any type, and no ``alg``, ``use`` or ``kid``. One bad key does not affect the others.
``key_strength`` says which keys are too weak.
"""

from __future__ import annotations

import binascii
import importlib
import json
import sys
from typing import Any

import msgspec

from authkit_verify._jose.compact import MAX_KID
from authkit_verify._jose.key_strength import UnusableKey
from authkit_verify._jose.keys import Key, KeySet, make_key

MAX_KEYS = 100
"""Keys that are read; the others are skipped."""

_LIBRARIES = ("jwt.algorithms", "cryptography.hazmat.primitives.serialization")
_PRIVATE = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")
_COORDINATE = {"P-256": 32, "P-384": 48, "P-521": 66}
_TO_STANDARD = str.maketrans("-_", "+/")


class Reading(msgspec.Struct, frozen=True):
    """The usable keys of a document, and a sentence for each skipped key and for each published secret."""

    keys: KeySet
    skipped: tuple[str, ...]
    alarms: tuple[str, ...]


class UnusableDocument(ValueError):
    """The document is not a key set; the message gives the reason."""


def load_libraries() -> None:
    """Import what reading a key set needs, to be called in a thread: it takes tens of milliseconds, once."""
    for name in _LIBRARIES:
        importlib.import_module(name)


def libraries_are_loaded() -> bool:
    """True if reading a key set imports nothing more."""
    return all(name in sys.modules for name in _LIBRARIES)


def read_jwks(document: bytes) -> Reading:
    """Return the usable keys of a document, perhaps none. Raises UnusableDocument if it is not a key set."""
    try:
        body: Any = json.loads(document.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise UnusableDocument("the key set is not JSON") from None
    members = body.get("keys") if isinstance(body, dict) else None
    if not isinstance(members, list):
        raise UnusableDocument("the key set has no list of keys")
    keys: list[Key] = []
    skipped: list[str] = []
    alarms: list[str] = []
    for number, member in enumerate(members[:MAX_KEYS]):
        if is_private(member):
            alarms.append(f"key {number}: its private half is published")
        try:
            keys.append(read_jwk(member))
        except UnusableKey as reason:
            skipped.append(f"key {number}: {reason}")
    if len(members) > MAX_KEYS:
        skipped.append(f"{len(members) - MAX_KEYS} keys beyond the first {MAX_KEYS}")
    return Reading(KeySet(keys), tuple(skipped), tuple(alarms))


def read_jwk(member: Any) -> Key:
    """Return the key of one member of a key set. Raises UnusableKey."""
    if not isinstance(member, dict):
        raise UnusableKey("not an object")
    _check_purpose(member)
    kid, alg = member.get("kid"), member.get("alg")
    if kid is not None and (not isinstance(kid, str) or len(kid) > MAX_KID):
        raise UnusableKey(f"its kid is not a string of at most {MAX_KID} characters")
    if alg is not None and not isinstance(alg, str):
        raise UnusableKey("its alg is not a string")
    from jwt.exceptions import PyJWTError  # noqa: PLC0415 - see ``load_libraries``

    try:
        return make_key(_public_key(member), kid=kid, only=alg, issuer=_issuer(member))
    except UnusableKey:
        raise
    except (PyJWTError, ValueError, TypeError, ArithmeticError, binascii.Error):
        raise UnusableKey("its members do not form a key") from None


def is_private(member: Any) -> bool:
    """True if a member of a key set holds a private or symmetric key."""
    return isinstance(member, dict) and any(name in member for name in _PRIVATE)


def _issuer(member: dict[str, Any]) -> str | None:
    """Return the issuer that a provider of many tenants publishes a key for; "", if it is no string."""
    issuer = member.get("issuer")
    return issuer if issuer is None or isinstance(issuer, str) else ""


def _check_purpose(member: dict[str, Any]) -> None:
    """Check ``use`` and ``key_ops``: optional, and binding where present (RFC 7517, 4.2 and 4.3)."""
    use = member.get("use")
    if use is not None and use != "sig":
        raise UnusableKey("not for signatures")
    operations = member.get("key_ops")
    # A private key says "sign"; published by mistake, its public half still verifies.
    wanted = ("verify", "sign") if is_private(member) else ("verify",)
    if operations is not None and not (
        isinstance(operations, list) and any(name in operations for name in wanted)
    ):
        raise UnusableKey("not for verifying")


def _public_key(member: dict[str, Any]) -> object:
    """Build the public key from canonical values; private members are left out."""
    from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm  # noqa: PLC0415 - see ``load_libraries``

    kty, crv = member.get("kty"), member.get("crv")
    if kty == "RSA":
        return RSAAlgorithm.from_jwk({"kty": kty, "n": _canonical(member, "n"), "e": _canonical(member, "e")})
    if kty == "EC" and crv in _COORDINATE:
        size = _COORDINATE[crv]
        x, y = _canonical(member, "x", size), _canonical(member, "y", size)
        return ECAlgorithm.from_jwk({"kty": kty, "crv": crv, "x": x, "y": y})
    if kty == "OKP" and crv == "Ed25519":
        return OKPAlgorithm.from_jwk({"kty": kty, "crv": crv, "x": _canonical(member, "x")})
    raise UnusableKey("not a kind of key that verifies tokens (RSA, EC P-256, P-384 or P-521, Ed25519)")


def _canonical(member: dict[str, Any], name: str, size: int | None = None) -> str:
    """Return a number or key as canonical base64url, padded with leading zeros to ``size`` octets."""
    text = member.get(name)
    if not isinstance(text, str) or not text or not text.isascii():
        raise UnusableKey(f"its {name} is missing")
    bare = text.rstrip("=").translate(_TO_STANDARD)
    data = binascii.a2b_base64(bare + "=" * (-len(bare) % 4), strict_mode=True)
    if size is not None:
        data = data.lstrip(b"\0").rjust(size, b"\0")
    return binascii.b2a_base64(data, newline=False).decode().translate(str.maketrans("+/", "-_")).rstrip("=")
