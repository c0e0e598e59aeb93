"""The options of ceremonies, and the checks of what a browser says about them.

``security.webauthn_responses`` verifies what the authenticator says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from authkit_issuer import errors
from authkit_issuer.config import Config
from authkit_issuer.config.passkeys import is_accepted_origin
from authkit_issuer.domains.passkeys.queries import Owner, Passkey
from authkit_issuer.domains.passkeys.records import LIFE
from authkit_issuer.keys import base64url
from authkit_issuer.security.webauthn_types import ALGORITHMS, Ceremony, ClientData

CREATE, GET = "webauthn.create", "webauthn.get"


def relying_party(config: Config) -> str:
    """Return the id of the relying party; raises ``PasskeysNotConfigured``."""
    if config.webauthn_rp_id is None:
        raise errors.PasskeysNotConfigured
    return config.webauthn_rp_id


def names(owner: Owner) -> tuple[str, str]:
    """Return the name of an account and the name to display, as authenticators list them."""
    name = owner.email or owner.phone or owner.username or owner.user_id
    return name, owner.username or name


def creation_options(
    config: Config, owner: Owner, *, handle: bytes, challenge: bytes, present: Sequence[Passkey]
) -> dict[str, Any]:
    """Return the options of ``navigator.credentials.create`` in their JSON form."""
    name, display_name = names(owner)
    return {
        "rp": {"id": relying_party(config), "name": config.webauthn_rp_name},
        "user": {"id": base64url(handle), "name": name, "displayName": display_name},
        "challenge": base64url(challenge),
        "pubKeyCredParams": [{"type": "public-key", "alg": number} for number in ALGORITHMS],
        "timeout": int(LIFE * 1000),
        "excludeCredentials": [_descriptor(passkey) for passkey in present],
        "authenticatorSelection": {
            "residentKey": "required",
            "requireResidentKey": True,
            "userVerification": "required",
        },
        "attestation": "none",
    }


def request_options(config: Config, *, challenge: bytes, allowed: Sequence[Passkey] = ()) -> dict[str, Any]:
    """Return the options of ``navigator.credentials.get`` in their JSON form."""
    return {
        "challenge": base64url(challenge),
        "timeout": int(LIFE * 1000),
        "rpId": relying_party(config),
        "allowCredentials": [_descriptor(passkey) for passkey in allowed],
        "userVerification": "required",
    }


def check_client_data(config: Config, found: ClientData, kind: str) -> Ceremony:
    """Return the ceremony that the browser describes; raises ``PasskeyInvalid`` for another one.

    A frame of another origin is accepted only on a page of an accepted origin.
    """
    accepted = found.type == kind and is_accepted_origin(config, found.origin)
    if found.cross_origin:
        accepted = accepted and is_accepted_origin(config, found.top_origin or "")
    elif found.top_origin is not None:
        accepted = False
    if not accepted:
        raise errors.PasskeyInvalid
    return Ceremony(rp_id=relying_party(config), origin=found.origin, challenge=found.challenge)


def _descriptor(passkey: Passkey) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "public-key", "id": base64url(passkey.credential_id)}
    return found | ({"transports": passkey.transports} if passkey.transports else {})
