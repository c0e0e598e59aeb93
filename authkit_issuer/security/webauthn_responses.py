"""Reads and verifies the responses of authenticators (Web Authentication Level 3, sections 7.1 and 7.2).

The library reads CBOR and COSE and checks signatures. It comes with an extra, so this module is imported
only where passkeys are configured. Whatever it raises for hostile bytes is one refusal here. Challenges,
origins, user handles and counters are the caller's part.
"""

from __future__ import annotations

import uuid
from collections.abc import Generator
from contextlib import contextmanager
from io import BytesIO

import cbor2
from webauthn.authentication.verify_authentication_response import verify_authentication_response
from webauthn.helpers import (
    bytes_to_base64url,
    decode_credential_public_key,
    decoded_public_key_to_cryptography,
)
from webauthn.helpers.cose import COSECRV, COSEAlgorithmIdentifier
from webauthn.helpers.decode_credential_public_key import DecodedEC2PublicKey, DecodedRSAPublicKey
from webauthn.helpers.structs import (
    AuthenticationCredential,
    AuthenticatorAssertionResponse,
    AuthenticatorAttestationResponse,
    CredentialDeviceType,
    RegistrationCredential,
)
from webauthn.registration.verify_registration_response import verify_registration_response

from authkit_issuer import errors
from authkit_issuer.security.plain_cbor import require_plain
from authkit_issuer.security.webauthn_types import (
    ALGORITHMS,
    CREDENTIAL_ID_LENGTHS,
    Assertion,
    AssertionResponse,
    Ceremony,
    NewCredential,
    RegistrationResponse,
)

_FORMATS = frozenset({"none", "packed"})
_MAX_AUTHENTICATOR_DATA = 1024
_MAX_ATTESTATION = 16 * 1024
_MAX_PUBLIC_KEY = 1024
_RSA_BYTES = range(256, 513)
_EXPONENT = b"\x01\x00\x01"
_FLAGS_AT = 32
_EXTENSIONS_AT = 37
"""Where they begin in an assertion; in a registration, the new credential comes first."""
_ID_LENGTH_AT = 53
_ATTESTED_DATA = 0x40
# Of no user: an unknown credential takes the same work as a known one.
_NO_KEY = bytes.fromhex(
    "a5010203262001215820"
    "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "225820"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)


def verify_registration(
    response: RegistrationResponse, ceremony: Ceremony, *, require_presence: bool
) -> NewCredential:
    """Return the credential of a response; the user must have been verified.

    ``require_presence`` is false for a conditional registration, which needs no gesture. No attestation is
    asked for: of statements that come all the same, only the simplest format is read.

    Raises:
        PasskeyInvalid: A check failed.

    """
    if len(response.attestation) > _MAX_ATTESTATION:
        raise errors.PasskeyInvalid
    with _refusing():
        _check_attestation(response.attestation)
        found = verify_registration_response(
            credential=RegistrationCredential(
                id=bytes_to_base64url(response.credential_id),
                raw_id=response.credential_id,
                response=AuthenticatorAttestationResponse(
                    client_data_json=response.client_data, attestation_object=response.attestation
                ),
            ),
            expected_challenge=ceremony.challenge,
            expected_rp_id=ceremony.rp_id,
            expected_origin=ceremony.origin,
            require_user_presence=require_presence,
            require_user_verification=True,
            supported_pub_key_algs=[COSEAlgorithmIdentifier(number) for number in ALGORITHMS],
        )
        if found.credential_id != response.credential_id:
            raise errors.PasskeyInvalid
        if len(found.credential_id) not in CREDENTIAL_ID_LENGTHS:
            raise errors.PasskeyInvalid
        _check_key(found.credential_public_key)
        return NewCredential(
            credential_id=found.credential_id,
            public_key=found.credential_public_key,
            sign_count=found.sign_count,
            aaguid=str(uuid.UUID(found.aaguid)),
            backup_eligible=found.credential_device_type == CredentialDeviceType.MULTI_DEVICE,
            backed_up=found.credential_backed_up,
        )


def verify_assertion(response: AssertionResponse, ceremony: Ceremony, public_key: bytes | None) -> Assertion:
    """Return what a response says; the user must have been present and verified.

    Without a ``public_key`` the same work is done with a key of no user.

    Raises:
        PasskeyInvalid: A check failed.
        PasskeyUnknown: ``public_key`` is None.

    """
    # Before the signature is checked, the bytes are anybody's: an assertion has no key to read.
    data = response.authenticator_data
    if not _FLAGS_AT < len(data) <= _MAX_AUTHENTICATOR_DATA or data[_FLAGS_AT] & _ATTESTED_DATA:
        raise errors.PasskeyInvalid
    try:
        with _refusing():
            require_plain(data[_EXTENSIONS_AT:])
            found = verify_authentication_response(
                credential=AuthenticationCredential(
                    id=bytes_to_base64url(response.credential_id),
                    raw_id=response.credential_id,
                    response=AuthenticatorAssertionResponse(
                        client_data_json=response.client_data,
                        authenticator_data=data,
                        signature=response.signature,
                    ),
                ),
                expected_challenge=ceremony.challenge,
                expected_rp_id=ceremony.rp_id,
                expected_origin=ceremony.origin,
                credential_public_key=public_key or _NO_KEY,
                credential_current_sign_count=0,
                require_user_verification=True,
            )
    finally:
        if public_key is None:
            raise errors.PasskeyUnknown
    return Assertion(
        sign_count=found.new_sign_count,
        backup_eligible=found.credential_device_type == CredentialDeviceType.MULTI_DEVICE,
        backed_up=found.credential_backed_up,
    )


@contextmanager
def _refusing() -> Generator[None]:
    """Refuse in one way, whatever the library raises for what an authenticator did not write."""
    try:
        yield
    except Exception as error:
        raise errors.PasskeyInvalid from error


def _check_attestation(attestation: bytes) -> None:
    """Refuse formats whose statements need certificates, and bytes that no authenticator writes."""
    require_plain(attestation)
    source = BytesIO(attestation)
    found = cbor2.load(source, allow_duplicate_keys=False)
    if found["fmt"] not in _FORMATS or source.read(1):
        raise errors.PasskeyInvalid
    data = found["authData"]
    id_ends = _ID_LENGTH_AT + 2 + int.from_bytes(data[_ID_LENGTH_AT : _ID_LENGTH_AT + 2], "big")
    require_plain(data[id_ends:])


def _check_key(public_key: bytes) -> None:
    """Refuse keys that are unusable, weak, or too large to be verified at each sign-in."""
    if len(public_key) > _MAX_PUBLIC_KEY:
        raise errors.PasskeyInvalid
    key = decode_credential_public_key(public_key)
    decoded_public_key_to_cryptography(key)  # raises for a point that is not on the curve
    if isinstance(key, DecodedEC2PublicKey) and (
        key.crv != COSECRV.P256 or key.alg != COSEAlgorithmIdentifier.ECDSA_SHA_256
    ):
        raise errors.PasskeyInvalid
    if isinstance(key, DecodedRSAPublicKey) and (
        len(key.n.lstrip(b"\0")) not in _RSA_BYTES or key.e.lstrip(b"\0") != _EXPONENT
    ):
        raise errors.PasskeyInvalid
