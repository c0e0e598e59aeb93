"""A wallet: signs sign-in messages as browser wallets and as hardware devices do."""

from __future__ import annotations

import base58
from nacl.signing import SigningKey

from authkit_issuer.security.siws import SignInAccount, SignInInput, SignInOutput, build_message

START = b"\xffsolana offchain\x00"


class Wallet:
    """One key pair. The same seed is the same wallet."""

    def __init__(self, seed: bytes | int | None = None) -> None:
        raw = seed.to_bytes(32, "big") if isinstance(seed, int) else seed
        self._key = SigningKey(raw) if raw is not None else SigningKey.generate()
        self.public_key = bytes(self._key.verify_key)
        self.address = base58.b58encode(self.public_key).decode()

    def sign_bytes(self, message: bytes, *, shown: bytes | None = None) -> SignInOutput:
        """Sign these bytes; ``shown`` is what the wallet says it signed, when that is something else."""
        return SignInOutput(
            account=SignInAccount(address=self.address, public_key=self.public_key),
            signature=self._key.sign(message).signature,
            signed_message=message if shown is None else shown,
        )

    def sign(self, challenge: SignInInput) -> SignInOutput:
        """Answer a challenge as a browser wallet does."""
        return self.sign_bytes(build_message(challenge).encode())


def short_envelope(text: bytes, form: int = 0) -> bytes:
    """Return the text in the short layout of an off-chain message."""
    return START + bytes([form]) + len(text).to_bytes(2, "little") + text


def long_envelope(text: bytes, *signers: bytes, domain: bytes = b"", form: int = 0) -> bytes:
    """Return the text in the long layout of an off-chain message."""
    listed = bytes([form, len(signers)]) + b"".join(signers)
    return START + domain.ljust(32, b"\0") + listed + len(text).to_bytes(2, "little") + text
