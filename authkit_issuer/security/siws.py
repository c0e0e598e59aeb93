"""Sign In With Solana: the message, its parser, and the check of a wallet's answer.

The text equals the wallet standard's reference (``createSignInMessageText``). What a wallet signed must
equal, byte for byte, the text built from the issued challenge; the parser only finds the challenge and tells
why something differs. The key comes from the address, never from what the wallet says its key is.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import base58
import nacl.bindings
import nacl.exceptions

from authkit_issuer import errors
from authkit_issuer.security import offchain
from authkit_issuer.security.siws_types import SignInAccount, SignInInput, SignInOutput

__all__ = [
    "SignInAccount",
    "SignInInput",
    "SignInOutput",
    "build_message",
    "parse_message",
    "public_key",
    "spelled",
    "verify",
]

MAX_AHEAD = timedelta(minutes=5)
"""How far ahead of this clock ``issuedAt`` may be."""

_GREETING = " wants you to sign in with your Solana account:"
_DOMAIN = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# RFC 3339 section 5.6; fromisoformat alone also reads forms without an offset, week dates and more.
_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2})"
)
_FIELDS = (
    ("URI", "uri"),
    ("Version", "version"),
    ("Chain ID", "chain_id"),
    ("Nonce", "nonce"),
    ("Issued At", "issued_at"),
    ("Expiration Time", "expiration_time"),
    ("Not Before", "not_before"),
    ("Request ID", "request_id"),
)
_RESOURCES = "Resources:"
_KEY_BYTES = 32
_MAX_ADDRESS = 44
_SIGNATURE_BYTES = 64


def public_key(address: str) -> bytes:
    """Return the 32-byte Ed25519 key an address stands for, or raise ``InvalidAddress``.

    The address must be canonical base58 (case matters), and the key a point of the large prime-order
    subgroup: under a key of small order anybody's signature may "verify".
    """
    if len(address) > _MAX_ADDRESS or not address.isascii():
        raise errors.InvalidAddress(param="address")
    try:
        key = base58.b58decode(address)
    except ValueError as error:
        raise errors.InvalidAddress(param="address") from error
    canonical = len(key) == _KEY_BYTES and base58.b58encode(key).decode() == address
    if not canonical or not nacl.bindings.crypto_core_ed25519_is_valid_point(key):
        raise errors.InvalidAddress(param="address")
    return key


def spelled(moment: datetime) -> str:
    """Return a moment in UTC as it stands in a message: RFC 3339, in whole seconds."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def build_message(challenge: SignInInput) -> str:
    """Return the text a wallet shows and signs; absent and empty members are left out.

    An empty list of resources is a bare ``Resources:`` line, as in the reference. Raises
    ``SiwsMessageInvalid`` for a member with a line break or another control character, which could pass for
    further members.
    """
    text = f"{_line(challenge.domain)}{_GREETING}\n{_line(challenge.address)}"
    if challenge.statement:
        text += f"\n\n{_line(challenge.statement)}"
    fields = [f"{label}: {_line(value)}" for label, name in _FIELDS if (value := getattr(challenge, name))]
    if challenge.resources is not None:
        fields += [_RESOURCES, *(f"- {_line(item)}" for item in challenge.resources)]
    return text + "\n\n" + "\n".join(fields) if fields else text


def parse_message(message: bytes) -> SignInInput:
    """Return the members of a sign-in message, or raise ``SiwsMessageInvalid``.

    Strict: UTF-8, lines ended by LF, the members in their order, each at most once and never empty,
    nothing after the last one.
    """
    try:
        lines = message.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise errors.SiwsMessageInvalid from error
    domain, greeting, rest = lines[0].partition(_GREETING)
    if not greeting or rest or not _DOMAIN.fullmatch(domain) or len(lines) < 2:
        raise errors.SiwsMessageInvalid
    if any(_CONTROL.search(line) for line in lines):
        raise errors.SiwsMessageInvalid
    _key_of(lines[1])
    statement, fields = _statement(lines[2:])
    values, resources = _fields(fields)
    return SignInInput(domain=domain, address=lines[1], statement=statement, resources=resources, **values)


def signed_text(message: bytes) -> bytes:
    """Return the sign-in text of what a wallet says it signed: the bytes themselves, or those in an envelope.

    Raises ``SiwsMessageInvalid`` for an off-chain envelope that is malformed.
    """
    if not offchain.is_envelope(message):
        return message
    opened = offchain.unpack(message)
    # Both layouts can be read from the same bytes only where one of the texts is not a sign-in message.
    texts = [envelope.text for envelope in opened if _GREETING.encode() in envelope.text]
    if len(texts) != 1:
        raise errors.SiwsMessageInvalid
    return texts[0]


def verify(output: SignInOutput, expected: SignInInput, *, now: datetime) -> None:
    """Return when the wallet of ``expected.address`` signed exactly this challenge and its times hold now.

    ``now`` is aware. Raises ``SiwsAddressMismatch``, ``SiwsMessageInvalid``, ``SiwsDomainInvalid``,
    ``SiwsChallengeMismatch``, ``SiwsTimestampInvalid`` or ``SiwsSignatureInvalid``.
    """
    if output.account.address != expected.address:
        raise errors.SiwsAddressMismatch
    key = _key_of(expected.address)
    if output.account.public_key is not None and output.account.public_key != key:
        raise errors.SiwsAddressMismatch
    text = build_message(expected).encode()
    given = signed_text(output.signed_message)
    if given != text:
        raise _difference(parse_message(given), expected)
    _check_times(expected, now)
    if not _signed(output, text, key, expected.domain):
        raise errors.SiwsSignatureInvalid


def _signed(output: SignInOutput, text: bytes, key: bytes, domain: str) -> bool:
    """True if the signature is over what the wallet says it signed.

    A wallet that hands over the bare text may still have had a device sign it inside an envelope.
    """
    message, signature = output.signed_message, output.signature
    if len(signature) != _SIGNATURE_BYTES:
        return False
    if offchain.is_envelope(message):
        fitting = [e for e in offchain.unpack(message) if e.text == text and e.names(key)]
        return bool(fitting) and _fits(key, message, signature)
    candidates = (message, *offchain.envelopes(text, key, domain))
    return any(_fits(key, candidate, signature) for candidate in candidates)


def _fits(key: bytes, message: bytes, signature: bytes) -> bool:
    """Verify an Ed25519 signature (RFC 8032 section 5.1.7, S below the group order)."""
    try:
        nacl.bindings.crypto_sign_open(signature + message, key)
    except nacl.exceptions.BadSignatureError:
        return False
    return True


def _difference(given: SignInInput, expected: SignInInput) -> errors.AuthError:
    if given.domain != expected.domain:
        return errors.SiwsDomainInvalid()
    if given.address != expected.address:
        return errors.SiwsAddressMismatch()
    return errors.SiwsChallengeMismatch()


def _check_times(challenge: SignInInput, now: datetime) -> None:
    issued, expires, begins = (
        _moment(text) if text else None
        for text in (challenge.issued_at, challenge.expiration_time, challenge.not_before)
    )
    if issued is not None and issued > now + MAX_AHEAD:
        raise errors.SiwsTimestampInvalid
    if expires is not None and expires <= now:
        raise errors.SiwsTimestampInvalid
    if begins is not None and begins > now:
        raise errors.SiwsTimestampInvalid


def _moment(text: str) -> datetime:
    if not _TIMESTAMP.fullmatch(text):
        raise errors.SiwsTimestampInvalid
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise errors.SiwsTimestampInvalid from error


def _key_of(address: str) -> bytes:
    try:
        return public_key(address)
    except errors.InvalidAddress as error:
        raise errors.SiwsMessageInvalid(param="address") from error


def _line(value: str) -> str:
    if _CONTROL.search(value):
        raise errors.SiwsMessageInvalid
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise errors.SiwsMessageInvalid from error
    return value


def _statement(lines: list[str]) -> tuple[str | None, list[str]]:
    """Split what follows the address into the statement and the lines of the members."""
    if not lines:
        return None, []
    if lines[0] or len(lines) < 2 or not lines[1]:
        raise errors.SiwsMessageInvalid
    body = lines[1:]
    if len(body) == 1:
        # A lone line is a member when it reads like one: the text is the same either way.
        alone = body[0] != _RESOURCES and not any(body[0].startswith(f"{label}: ") for label, _ in _FIELDS)
        return (body[0], []) if alone else (None, body)
    if body[1]:
        return None, body
    if len(body) == 2:
        raise errors.SiwsMessageInvalid
    return body[0], body[2:]


def _fields(lines: list[str]) -> tuple[dict[str, str], tuple[str, ...] | None]:
    """Read the members in their order, then the resources."""
    values: dict[str, str] = {}
    left = list(lines)
    for label, name in _FIELDS:
        if left and left[0].startswith(f"{label}: "):
            values[name] = left.pop(0).removeprefix(f"{label}: ")
            if not values[name]:
                raise errors.SiwsMessageInvalid
    if not left:
        return values, None
    if left[0] != _RESOURCES or not all(line.startswith("- ") for line in left[1:]):
        raise errors.SiwsMessageInvalid
    return values, tuple(line.removeprefix("- ") for line in left[1:])
