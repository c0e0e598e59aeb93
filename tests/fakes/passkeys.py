"""An authenticator in software, which can also lie in every way, and ceremonies with it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import struct
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from authkit_issuer.domains.passkeys.service import Passkey
from authkit_issuer.service import Service

RP_ID = "example.test"
ORIGIN = "https://app.example.test"
SETTINGS: dict[str, Any] = {"webauthn_rp_id": RP_ID, "webauthn_origins": (ORIGIN,)}
UP, UV, BE, BS, AT, ED = 1, 4, 8, 16, 64, 128
PRESENT = UP | UV


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Credential:
    """A key pair that an authenticator keeps for one account of one site."""

    id: bytes
    key: Any
    handle: bytes
    count: int = 0

    def cose(self) -> dict[int, Any]:
        """Return the public key as a COSE key."""
        public = self.key.public_key()
        if isinstance(self.key, ed25519.Ed25519PrivateKey):
            return {1: 1, 3: -8, -1: 6, -2: public.public_bytes_raw()}
        numbers = public.public_numbers()
        if isinstance(self.key, rsa.RSAPrivateKey):
            return {1: 3, 3: -257, -1: numbers.n.to_bytes(256, "big"), -2: b"\x01\x00\x01"}
        return {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}

    def sign(self, data: bytes) -> bytes:
        """Sign by the algorithm of the key."""
        if isinstance(self.key, ed25519.Ed25519PrivateKey):
            return self.key.sign(data)
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        return self.key.sign(data, ec.ECDSA(hashes.SHA256()))


def new_key(algorithm: int = -7) -> Any:
    """Return a new private key of a COSE algorithm."""
    if algorithm == -8:
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm == -257:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1())


@dataclass
class Authenticator:
    """Answers options as a browser with an authenticator does; keywords change one thing of an answer."""

    origin: str = ORIGIN
    flags: int = PRESENT
    counts: bool = False
    algorithm: int = -7
    aaguid: bytes = bytes(16)
    credentials: list[Credential] = field(default_factory=list)

    def create(self, options: dict[str, Any], *, credential: Credential | None = None, **lies: Any) -> Any:
        """Make a credential, and return the response in its JSON form."""
        handle = unb64(options["user"]["id"])
        made = credential or Credential(id=os.urandom(32), key=new_key(self.algorithm), handle=handle)
        self.credentials.append(made)
        made.count += self.counts
        data = self._data(options["rp"]["id"], made, lies, attested=True)
        statement = lies.get("statement", {"fmt": "none", "attStmt": {}})
        attestation = lies.get("attestation", cbor2.dumps({**statement, "authData": data}))
        client_data = self._client_data("webauthn.create", options, lies)
        return {
            **_envelope(made.id, lies),
            "response": {
                "clientDataJSON": b64(client_data),
                "attestationObject": b64(attestation),
                "transports": ["internal", "hybrid"],
            },
        }

    def get(self, options: dict[str, Any], *, credential: Credential | None = None, **lies: Any) -> Any:
        """Sign with a credential, and return the response in its JSON form."""
        used = credential or self._choose(options)
        used.count += self.counts
        data = lies.get("data", self._data(options["rpId"], used, lies))
        client_data = self._client_data("webauthn.get", options, lies)
        signature = used.sign(lies.get("signed", data + hashlib.sha256(client_data).digest()))
        handle = lies.get("handle", used.handle)
        return {
            **_envelope(lies.get("credential_id", used.id), lies),
            "response": {
                "clientDataJSON": b64(client_data),
                "authenticatorData": b64(data),
                "signature": b64(lies.get("signature", signature)),
                **({} if handle is None else {"userHandle": b64(handle)}),
            },
        }

    def _choose(self, options: dict[str, Any]) -> Credential:
        allowed = {unb64(entry["id"]) for entry in options["allowCredentials"]}
        return next(kept for kept in reversed(self.credentials) if not allowed or kept.id in allowed)

    def _data(self, rp_id: str, used: Credential, lies: dict[str, Any], *, attested: bool = False) -> bytes:
        flags = lies.get("flags", self.flags) | (AT if attested else 0)
        head = hashlib.sha256(lies.get("rp_id", rp_id).encode()).digest()
        data = head + struct.pack(">BI", flags, lies.get("count", used.count))
        if attested:
            key = lies.get("public_key", cbor2.dumps(lies.get("cose", used.cose())))
            named = lies.get("named", used.id)
            data += self.aaguid + struct.pack(">H", len(named)) + named + key
        return data + lies.get("extensions", b"")

    def _client_data(self, kind: str, options: dict[str, Any], lies: dict[str, Any]) -> bytes:
        found = {
            "type": kind,
            "challenge": options["challenge"],
            "origin": self.origin,
            "crossOrigin": False,
            **lies.get("client", {}),
        }
        return lies.get("client_data", json.dumps(found).encode())


def _envelope(credential_id: bytes, lies: dict[str, Any]) -> dict[str, Any]:
    text = b64(credential_id)
    named = {"id": text, "rawId": text, "type": "public-key", "clientExtensionResults": {}}
    return {**named, "authenticatorAttachment": "platform", **lies.get("envelope", {})}


async def add_passkey(service: Service, user_id: str, authenticator: Authenticator, **how: Any) -> Passkey:
    """Register a passkey of the authenticator for a user."""
    options = await service.passkeys.begin_registration(user_id)
    return await service.passkeys.finish_registration(user_id, authenticator.create(options), **how)
