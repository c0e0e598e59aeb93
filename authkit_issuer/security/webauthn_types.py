"""The responses of authenticators in the standard's JSON form, and what is verified of them.

``PublicKeyCredential.toJSON`` gives the JSON form (Web Authentication Level 3, section 5.1): bytes are
base64url without padding. Members that the standard or an extension adds are ignored.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import msgspec

from authkit_issuer import errors
from authkit_issuer.keys import base64url

if TYPE_CHECKING:
    from typing import Self

ALGORITHMS = (-8, -7, -257)
"""EdDSA, ES256 and RS256 as COSE numbers them, the preferred one first."""
CREDENTIAL_ID_LENGTHS = range(16, 1024)
MAX_CLIENT_DATA = 4096
_TRANSPORTS = frozenset({"ble", "cable", "hybrid", "internal", "nfc", "smart-card", "usb"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationResponse:
    """A response to ``navigator.credentials.create``."""

    credential_id: bytes
    client_data: bytes = field(repr=False)
    attestation: bytes = field(repr=False)
    transports: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> Self:
        """Read the standard's JSON form; raises ``PasskeyInvalid``."""
        response = _response(value)
        named = response.get("transports") or []
        given = cast("list[object]", named) if isinstance(named, list) else []
        return cls(
            credential_id=_credential_id(value),
            client_data=_bytes(response, "clientDataJSON"),
            attestation=_bytes(response, "attestationObject"),
            transports=tuple(sorted(_TRANSPORTS.intersection(map(str, given)))),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AssertionResponse:
    """A response to ``navigator.credentials.get``."""

    credential_id: bytes
    client_data: bytes = field(repr=False)
    authenticator_data: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    user_handle: bytes | None = None

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> Self:
        """Read the standard's JSON form; raises ``PasskeyInvalid``."""
        response = _response(value)
        given = response.get("userHandle") is not None
        return cls(
            credential_id=_credential_id(value),
            client_data=_bytes(response, "clientDataJSON"),
            authenticator_data=_bytes(response, "authenticatorData"),
            signature=_bytes(response, "signature"),
            user_handle=_bytes(response, "userHandle") if given else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientData:
    """What the browser says of a ceremony: type, challenge, and the pages it took place on."""

    type: str
    challenge: bytes
    origin: str
    cross_origin: bool
    top_origin: str | None

    @classmethod
    def of(cls, raw: bytes) -> Self:
        """Read ``clientDataJSON``; raises ``PasskeyInvalid``."""
        if len(raw) > MAX_CLIENT_DATA:
            raise errors.PasskeyInvalid
        try:
            found = msgspec.json.decode(raw, type=_CollectedClientData)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise errors.PasskeyInvalid from error
        return cls(
            type=found.type,
            challenge=decoded(found.challenge),
            origin=found.origin,
            cross_origin=found.crossOrigin,
            top_origin=found.topOrigin,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceremony:
    """What a response must have been made for; the caller has verified origin and challenge."""

    rp_id: str
    origin: str
    challenge: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCredential:
    """A verified new credential; ``public_key`` is a COSE key."""

    credential_id: bytes
    public_key: bytes
    sign_count: int
    aaguid: str
    backup_eligible: bool
    backed_up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """What an authenticator says with a verified signature."""

    sign_count: int
    backup_eligible: bool
    backed_up: bool


class _CollectedClientData(msgspec.Struct, frozen=True):
    type: str
    challenge: str
    origin: str
    crossOrigin: bool = False  # noqa: N815 - the standard's name
    topOrigin: str | None = None  # noqa: N815 - the standard's name


def decoded(text: str) -> bytes:
    """Return the bytes of base64url without padding, in its one canonical form; raises ``PasskeyInvalid``."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise errors.PasskeyInvalid from error
    if base64url(raw) != text:
        raise errors.PasskeyInvalid
    return raw


def _response(value: Mapping[str, object]) -> Mapping[str, object]:
    response = value.get("response")
    if value.get("type") != "public-key" or not isinstance(response, Mapping):
        raise errors.PasskeyInvalid
    return cast("Mapping[str, object]", response)


def _credential_id(value: Mapping[str, object]) -> bytes:
    if value.get("id") != value.get("rawId"):
        raise errors.PasskeyInvalid
    return _bytes(value, "id")


def _bytes(value: Mapping[str, object], member: str) -> bytes:
    text = value.get(member)
    if not isinstance(text, str):
        raise errors.PasskeyInvalid
    return decoded(text)
