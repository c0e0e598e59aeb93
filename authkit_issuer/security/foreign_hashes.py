"""Password hashes of other programs: PBKDF2 and scrypt, in one form of ours.

``canonical`` reads the forms of Django, Werkzeug and better-auth, and removes the prefixes of Django. Hashes
of programs that keep the parameters apart, such as Keycloak and Firebase, come in the form that is stored:

- ``$pbkdf2-sha256$i=600000$<salt>$<hash>``, also ``pbkdf2-sha1`` and ``pbkdf2-sha512``
- ``$scrypt$ln=15,r=8,p=1$<salt>$<hash>``; ``scrypt-nfkc`` compares the NFKC form of the password
- ``$firebase-scrypt$ln=14,r=8,p=1$<salt>$<hash>$<salt separator>$<signer key>``

Salts, hashes and keys are in base64. RFC 8018 (PBKDF2), RFC 7914 (scrypt).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import unicodedata
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from authkit_issuer.security.password_length import MAX_NORMALIZED_CHARS

MAX_ITERATIONS = 2_000_000
MIN_LOG_N, MAX_LOG_N = 10, 20
MAX_BLOCK_SIZE = 32
MAX_SCRYPT_WORK = 1 << 22
"""N times r times p: about a second, and at most 512 MiB."""
_MIN_HASH, _MAX_HASH = 16, 64

_PBKDF2 = re.compile(r"\$pbkdf2-(sha1|sha256|sha512)\$i=([0-9]{1,7})\$([^$]*)\$([^$]*)")
_SCRYPT = re.compile(
    r"\$(scrypt|scrypt-nfkc|firebase-scrypt)\$ln=([0-9]{1,2}),r=([0-9]{1,2}),p=([0-9]{1,2})"
    r"\$([^$]*)\$([^$]*)(?:\$([^$]*)\$([^$]*))?"
)
_DJANGO_PBKDF2 = re.compile(r"pbkdf2_(sha1|sha256)\$([0-9]{1,7})\$([^$]+)\$([^$]+)")
_DJANGO_SCRYPT = re.compile(r"scrypt\$([0-9]{1,7})\$([^$]+)\$([0-9]{1,2})\$([0-9]{1,2})\$([^$]+)")
_WERKZEUG_PBKDF2 = re.compile(r"pbkdf2:(sha1|sha256|sha512):([0-9]{1,7})\$([^$]+)\$([0-9a-f]+)")
_WERKZEUG_SCRYPT = re.compile(r"scrypt:([0-9]{1,7}):([0-9]{1,2}):([0-9]{1,2})\$([^$]+)\$([0-9a-f]+)")
_BETTER_AUTH = re.compile(r"([0-9a-f]{32}):([0-9a-f]{128})")
_BETTER_AUTH_LOG_N, _BETTER_AUTH_R = 14, 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Pbkdf2:
    """A PBKDF2 hash (RFC 8018 section 5.2)."""

    digest: str
    iterations: int
    salt: bytes = field(repr=False)
    key: bytes = field(repr=False)

    @property
    def passes(self) -> int:
        """The iterations over all blocks of the key."""
        return self.iterations * -(-len(self.key) // hashlib.new(self.digest).digest_size)

    def fits(self, password: bytes) -> bool:
        """True if this is the password."""
        found = hashlib.pbkdf2_hmac(self.digest, password, self.salt, self.iterations, len(self.key))
        return hmac.compare_digest(found, self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrypt:
    """A scrypt hash (RFC 7914); with ``signer``, the key that Firebase encrypts with the first half of it."""

    kind: str
    n: int
    r: int
    p: int
    salt: bytes = field(repr=False)
    key: bytes = field(repr=False)
    signer: bytes = field(repr=False, default=b"")

    def fits(self, password: bytes) -> bool:
        """True if this is the password."""
        if self.kind == "scrypt-nfkc":
            text = password.decode("utf-8", "surrogatepass")
            if len(text) <= MAX_NORMALIZED_CHARS:
                password = unicodedata.normalize("NFKC", text).encode("utf-8", "surrogatepass")
        size = 64 if self.signer else len(self.key)
        found = derive_scrypt(password, self.salt, n=self.n, r=self.r, p=self.p, size=size)
        if self.signer:
            encryptor = Cipher(algorithms.AES(found[:32]), modes.CTR(bytes(16))).encryptor()
            found = encryptor.update(self.signer) + encryptor.finalize()
        return hmac.compare_digest(found, self.key)


def derive_scrypt(password: bytes, salt: bytes, *, n: int, r: int, p: int, size: int = 64) -> bytes:
    """Return a key, with as much memory as the parameters need."""
    memory = 128 * r * (n + p + 2)
    return hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=memory, dklen=size)


def parse(text: str) -> Pbkdf2 | Scrypt | None:
    """Return the hash of a text in the stored form; None if it is unreadable or too expensive."""
    try:
        return _pbkdf2(text) or _scrypt(text)
    except (binascii.Error, ValueError):
        return None


def _pbkdf2(text: str) -> Pbkdf2 | None:
    found = _PBKDF2.fullmatch(text)
    if found is None:
        return None
    made = Pbkdf2(digest=found[1], iterations=int(found[2]), salt=_decoded(found[3]), key=_decoded(found[4]))
    sane = made.iterations >= 1 and made.passes <= MAX_ITERATIONS
    return made if sane and _MIN_HASH <= len(made.key) <= _MAX_HASH else None


def _scrypt(text: str) -> Scrypt | None:
    found = _SCRYPT.fullmatch(text)
    if found is None:
        return None
    kind, log_n, r, p = found[1], int(found[2]), int(found[3]), int(found[4])
    signer, separator = _decoded(found[8] or ""), _decoded(found[7] or "")
    made = Scrypt(
        kind=kind, n=1 << log_n, r=r, p=p, salt=_decoded(found[5]) + separator, key=_decoded(found[6]),
        signer=signer,
    )  # fmt: skip
    sane = MIN_LOG_N <= log_n <= MAX_LOG_N and 1 <= r <= MAX_BLOCK_SIZE and p >= 1
    sane = sane and made.n * r * p <= MAX_SCRYPT_WORK and _MIN_HASH <= len(made.key) <= _MAX_HASH
    return made if sane and bool(signer) == (kind == "firebase-scrypt") else None


def canonical(text: str) -> str | None:
    """Return the stored form of a hash that another program wrote; None for any other text."""
    for prefix in ("argon2", "bcrypt$"):
        if text.startswith((f"{prefix}$argon2", f"{prefix}$2")):
            return text.removeprefix(prefix)
    if text.startswith(("$argon2", "$2a$", "$2b$", "$2y$")) or parse(text) is not None:
        return text
    return _canonical_pbkdf2(text) or _canonical_scrypt(text)


def _canonical_pbkdf2(text: str) -> str | None:
    if (found := _DJANGO_PBKDF2.fullmatch(text)) is not None:
        return f"$pbkdf2-{found[1]}$i={int(found[2])}${_encoded(found[3].encode())}${found[4]}"
    if (found := _WERKZEUG_PBKDF2.fullmatch(text)) is not None:
        return f"$pbkdf2-{found[1]}$i={int(found[2])}${_encoded(found[3].encode())}${_from_hex(found[4])}"
    return None


def _canonical_scrypt(text: str) -> str | None:
    if (found := _DJANGO_SCRYPT.fullmatch(text)) is not None:
        return _scrypt_text(found[1], found[3], found[4], found[2], found[5])
    if (found := _WERKZEUG_SCRYPT.fullmatch(text)) is not None:
        return _scrypt_text(found[1], found[2], found[3], found[4], _from_hex(found[5]))
    if (found := _BETTER_AUTH.fullmatch(text)) is not None:
        # The salt is the text of the hexadecimal digits, not the bytes that they name.
        costs = f"ln={_BETTER_AUTH_LOG_N},r={_BETTER_AUTH_R},p=1"
        return f"$scrypt-nfkc${costs}${_encoded(found[1].encode())}${_from_hex(found[2])}"
    return None


def _scrypt_text(n: str, r: str, p: str, salt: str, key: str) -> str | None:
    log_n = int(n).bit_length() - 1
    if int(n) != 1 << max(log_n, 0):
        return None
    return f"$scrypt$ln={log_n},r={int(r)},p={int(p)}${_encoded(salt.encode())}${key}"


def _from_hex(text: str) -> str:
    return _encoded(bytes.fromhex(text if len(text) % 2 == 0 else f"0{text}"))


def _encoded(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _decoded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
