"""What a wallet hands over, in the shape of the wallet standard's ``SolanaSignInOutput``."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from authkit_issuer.domains.login.solana.service import SignInOutput
from authkit_issuer.http.operations import Body

MAX_LISTED_BYTES = 4096
"""The longest list of byte values; the longest message signed here has less than a kilobyte."""

# Without ``fail_fast`` pydantic describes every wrong item, to have the first one reported.
_ByteValues = Annotated[
    list[Annotated[int, Field(ge=0, le=255)]], Field(max_length=MAX_LISTED_BYTES, fail_fast=True)
]
Bytes = Annotated[
    str | _ByteValues,
    Field(description="Base64 in either alphabet, padded or not, or a list of byte values"),
]


class _Standard(BaseModel):
    """An object of the standard; wallets add members of their own, which mean nothing here."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class WalletAccount(_Standard):
    """The account that signed; its key belongs to the address."""

    address: str
    publicKey: Bytes | None = None  # noqa: N815 - the standard's name


class WalletOutput(_Standard):
    """The account, the signature, and the bytes the wallet says it signed."""

    account: WalletAccount
    signature: Annotated[Bytes, Field(repr=False, description="As other bytes, or base58")]
    signedMessage: Annotated[Bytes, Field(repr=False)]  # noqa: N815 - the standard's name


class WalletAnswer(Body):
    """A wallet's answer to a challenge."""

    output: WalletOutput

    def signed(self) -> SignInOutput:
        """Return the answer with its bytes; raises ``SiwsMessageInvalid`` for what is not base64."""
        return SignInOutput.from_json(self.output.model_dump())
