from __future__ import annotations

import pytest

from authkit_verify import TokenError
from authkit_verify.testing import FakeIssuer


async def test_the_fake_issuer_can_do_everything_a_real_one_does_wrong(issuer: FakeIssuer) -> None:
    async with issuer.verifier() as verifier:
        first = issuer.key
        await verifier.verify(issuer.mint())
        issuer.rotate()
        await verifier.verify(issuer.mint(key=first))
        await verifier.verify(issuer.mint())
        issuer.remove(first.kid)
        for minted in (issuer.mint(lifetime=-100), issuer.mint(header={"typ": "id+jwt"})):
            with pytest.raises(TokenError):
                await verifier.verify(minted)
    issuer.break_down(500)
    async with issuer.verifier() as verifier:
        with pytest.raises(TokenError) as caught:
            await verifier.verify(issuer.mint())
        assert caught.value.code == "keys_unavailable"
    issuer.recover()
    async with issuer.verifier() as verifier:
        await verifier.verify(issuer.mint())
