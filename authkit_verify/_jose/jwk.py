"""Read the key sets issuers really publish (RFC 7517): take what is usable, skip the rest one key at a time.

Tolerant where tokens are not: padding, the standard base64 alphabet, leading zeros, missing ``alg``, ``use``
or ``kid`` and members of any kind are met in the wild. One bad key never spoils its neighbours.
"""

from __future__ import annotations

import binascii
import json
from dataclasses import dataclass
from typing import Any

from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError

from authkit_verify._jose.compact import MAX_KID
from authkit_verify._jose.keys import Key, KeySet, UnusableKey, make_key

MAX_KEYS = 100
"""Keys beyond the hundredth are not read."""

_PRIVATE = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")
_COORDINATE = {"P-256": 32, "P-384": 48, "P-521": 66}
_TO_STANDARD = str.maketrans("-_", "+/")


@dataclass(frozen=True, slots=True)
class Reading:
    """The usable keys of a document, and a sentence for each key that was skipped or is alarming."""

    keys: KeySet
    skipped: tuple[str, ...]
    alarms: tuple[str, ...]


class UnusableDocument(ValueError):
    """Not a key set at all."""


def read_jwks(document: bytes) -> Reading:
    """Return the usable keys of a key set, perhaps none. Raises UnusableDocument when it is not one."""
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
    """Return the public key of one member of a key set. Raises UnusableKey when it must not be used."""
    if not isinstance(member, dict):
        raise UnusableKey("not an object")
    _check_purpose(member)
    kid, alg = member.get("kid"), member.get("alg")
    if kid is not None and (not isinstance(kid, str) or len(kid) > MAX_KID):
        raise UnusableKey("its id is not a short text")
    if alg is not None and not isinstance(alg, str):
        raise UnusableKey("its algorithm is not a text")
    try:
        return make_key(_public_key(member), kid=kid, only=alg)
    except UnusableKey:
        raise
    except (PyJWTError, ValueError, TypeError, ArithmeticError, binascii.Error):
        raise UnusableKey("its members make no key") from None


def is_private(member: Any) -> bool:
    """Tell whether a member of a key set gives away what must be kept secret."""
    return isinstance(member, dict) and any(name in member for name in _PRIVATE)


def _check_purpose(member: dict[str, Any]) -> None:
    """RFC 7517, 4.2 and 4.3: ``use`` and ``key_ops`` are optional, and binding where present."""
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
    """Build the public half from canonical spellings; whatever private members there are stay behind."""
    kty, crv = member.get("kty"), member.get("crv")
    if kty == "RSA":
        return RSAAlgorithm.from_jwk({"kty": kty, "n": _canonical(member, "n"), "e": _canonical(member, "e")})
    if kty == "EC" and crv in _COORDINATE:
        size = _COORDINATE[crv]
        x, y = _canonical(member, "x", size), _canonical(member, "y", size)
        return ECAlgorithm.from_jwk({"kty": kty, "crv": crv, "x": x, "y": y})
    if kty == "OKP" and crv == "Ed25519":
        return OKPAlgorithm.from_jwk({"kty": kty, "crv": crv, "x": _canonical(member, "x")})
    raise UnusableKey("not a kind of key that verifies tokens")


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
