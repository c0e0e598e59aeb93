"""What a wallet is asked to sign and what it answers, in the shapes of the wallet standard."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, cast

import base58

from authkit_issuer import errors

if TYPE_CHECKING:
    from typing import Self

_SIGNATURE_BYTES = 64
_MAX_BASE58 = 88
_MEMBERS = {
    "chain_id": "chainId",
    "issued_at": "issuedAt",
    "expiration_time": "expirationTime",
    "not_before": "notBefore",
    "request_id": "requestId",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInInput:
    """The members of a sign-in message; times are RFC 3339 text, kept as they were written."""

    domain: str
    address: str
    statement: str | None = None
    uri: str | None = None
    version: str | None = None
    chain_id: str | None = None
    nonce: str | None = None
    issued_at: str | None = None
    expiration_time: str | None = None
    not_before: str | None = None
    request_id: str | None = None
    resources: tuple[str, ...] | None = None

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> Self:
        """Read the wallet standard's member names; raises ``SiwsMessageInvalid`` naming what does not fit."""
        found: dict[str, Any] = {}
        for entry in fields(cls):
            member = _MEMBERS.get(entry.name, entry.name)
            if value.get(member) is not None:
                found[entry.name] = _texts(value, member) if member == "resources" else _text(value, member)
        for required in ("domain", "address"):
            if required not in found:
                raise errors.SiwsMessageInvalid(param=required)
        return cls(**found)

    def to_json(self) -> dict[str, object]:
        """Return the members that are present under the wallet standard's names."""
        present = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {
            _MEMBERS.get(name, name): list(value) if isinstance(value, tuple) else value
            for name, value in present.items()
            if value is not None
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInAccount:
    """The account a wallet signed with; its key is compared with the address and never used."""

    address: str
    public_key: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInOutput:
    """A wallet's answer: the account, the signature, and the bytes it says it signed."""

    account: SignInAccount
    signature: bytes = field(repr=False)
    signed_message: bytes = field(repr=False)

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> Self:
        """Read the wallet standard's member names.

        Bytes are base64 in the standard or the URL-safe alphabet, padded or not, or a list of byte values.
        The signature may be base58 as well, with blanks. Raises ``SiwsMessageInvalid`` naming what does not
        fit; unknown members are ignored.
        """
        account = value.get("account")
        if not isinstance(account, Mapping):
            raise errors.SiwsMessageInvalid(param="account")
        known = cast("Mapping[str, object]", account)
        given = known.get("publicKey") is not None
        return cls(
            account=SignInAccount(
                address=_text(known, "address"), public_key=_bytes(known, "publicKey") if given else None
            ),
            signature=_signature(value),
            signed_message=_bytes(value, "signedMessage"),
        )

    def to_json(self) -> dict[str, object]:
        """Return the wallet standard's member names with bytes in padded standard base64."""
        account: dict[str, object] = {"address": self.account.address}
        if self.account.public_key is not None:
            account["publicKey"] = base64.b64encode(self.account.public_key).decode()
        return {
            "account": account,
            "signature": base64.b64encode(self.signature).decode(),
            "signedMessage": base64.b64encode(self.signed_message).decode(),
        }


def _text(value: Mapping[str, object], member: str) -> str:
    found = value.get(member)
    if not isinstance(found, str):
        raise errors.SiwsMessageInvalid(param=member)
    return found


def _texts(value: Mapping[str, object], member: str) -> tuple[str, ...]:
    found = value.get(member)
    if not isinstance(found, list | tuple) or not all(isinstance(item, str) for item in found):
        raise errors.SiwsMessageInvalid(param=member)
    return tuple(found)


def _signature(value: Mapping[str, object]) -> bytes:
    """Return the signature: base64 as other bytes, or base58, which is how many wallets show one."""
    text = value.get("signature")
    if isinstance(text, str):
        # Read as base64 a base58 signature has another length, or bits after its last byte.
        plain = "".join(text.split())
        with suppress(ValueError):
            found = base58.b58decode(plain) if len(plain) <= _MAX_BASE58 else b""
            if len(found) == _SIGNATURE_BYTES and not _is_base64(plain):
                return found
    return _bytes(value, "signature")


def _is_base64(text: str) -> bool:
    """True if the text is exactly the unpadded base64 of a signature."""
    try:
        found = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        return False
    return len(found) == _SIGNATURE_BYTES and base64.b64encode(found).decode().rstrip("=") == text


def _bytes(value: Mapping[str, object], member: str) -> bytes:
    found = value.get(member)
    try:
        if isinstance(found, str):
            plain = found.rstrip("=").replace("-", "+").replace("_", "/")
            return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
        if isinstance(found, list) and not any(isinstance(item, bool) for item in found):
            return bytes(cast("list[int]", found))
    except (binascii.Error, ValueError, TypeError) as error:
        raise errors.SiwsMessageInvalid(param=member) from error
    raise errors.SiwsMessageInvalid(param=member)
