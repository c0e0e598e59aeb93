"""The responses of authenticators, as ``PublicKeyCredential.toJSON`` gives them, and passkeys in answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from authkit_issuer.http.operations import Body
from authkit_issuer.keys import base64url

if TYPE_CHECKING:
    from authkit_issuer.domains.passkeys.service import Passkey


class _Standard(BaseModel):
    """An object of the standard; browsers and extensions add members, which mean nothing here."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


Base64Url = Annotated[str, Field(repr=False, description="Base64url without padding")]


class AttestationPart(_Standard):
    """What the authenticator made."""

    clientDataJSON: Base64Url  # noqa: N815 - the standard's name
    attestationObject: Base64Url  # noqa: N815 - the standard's name
    transports: list[str] | None = None


class AssertionPart(_Standard):
    """What the authenticator signed."""

    clientDataJSON: Base64Url  # noqa: N815 - the standard's name
    authenticatorData: Base64Url  # noqa: N815 - the standard's name
    signature: Base64Url
    userHandle: Annotated[str | None, Field(repr=False)] = None  # noqa: N815 - the standard's name


class NewPublicKeyCredential(_Standard):
    """The response to ``navigator.credentials.create``, by its method ``toJSON``."""

    id: str
    rawId: str  # noqa: N815 - the standard's name
    type: Literal["public-key"]
    response: AttestationPart


class PublicKeyCredential(_Standard):
    """The response to ``navigator.credentials.get``, by its method ``toJSON``."""

    id: str
    rawId: str  # noqa: N815 - the standard's name
    type: Literal["public-key"]
    response: AssertionPart


class PasskeyProof(Body):
    """A response to the options."""

    credential: PublicKeyCredential


@dataclass(frozen=True, slots=True, kw_only=True)
class PasskeyEntry:
    """A passkey of the account."""

    id: str
    credential_id: str
    name: str
    aaguid: str
    transports: list[str]
    backup_eligible: bool
    backed_up: bool
    created_at: datetime
    last_used_at: datetime | None
    suspended: bool
    frozen: bool

    @classmethod
    def of(cls, passkey: Passkey) -> PasskeyEntry:
        """Return the passkey as its owner may see it."""
        return cls(
            id=passkey.id,
            credential_id=base64url(passkey.credential_id),
            name=passkey.name,
            aaguid=passkey.aaguid,
            transports=passkey.transports,
            backup_eligible=passkey.backup_eligible,
            backed_up=passkey.backed_up,
            created_at=passkey.created_at,
            last_used_at=passkey.last_used_at,
            suspended=passkey.suspended,
            frozen=passkey.frozen,
        )
