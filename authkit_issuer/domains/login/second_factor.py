"""The second half of a login: the session of a challenge that was met."""

from __future__ import annotations

from functools import partial

from authkit_issuer import errors
from authkit_issuer.domains.accounts.contact_proof import note_proof
from authkit_issuer.domains.codes.one_time import OneTimeCodes, on_outage
from authkit_issuer.domains.factors.records import Redeemed
from authkit_issuer.domains.sessions.service import Sessions, TokenPair
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime


async def resume(rt: Runtime, redeemed: Redeemed, client: Client | None, *, remember: bool) -> TokenPair:
    """Open the session of a redeemed challenge, which storage failures and used codes make valid again."""
    waiting = redeemed.sign_in
    undo = partial(OneTimeCodes(rt).restore, redeemed.record)
    try:
        async with on_outage(undo, errors.InvalidOrExpiredCode):
            return await Sessions(rt).sign_in(
                waiting.first.user_id,
                method=f"{waiting.first.method}_2fa",
                auth_epoch=waiting.first.auth_epoch,
                amr=redeemed.amr,
                org=waiting.org,
                client=client,
                extra=waiting.extra,
                use_up=partial(_use_up, redeemed=redeemed),
                factor="verified_and_remembered" if remember else "verified",
            )
    except errors.InvalidCredentials as error:
        # The account changed since the first factor was proved.
        raise errors.InvalidChallenge from error


async def _use_up(tx: Runtime, redeemed: Redeemed) -> None:
    """Use up the second factor; with it, the code to a contact is a proof by the user of the account."""
    await redeemed.use_up(tx)
    first = redeemed.sign_in.first
    if first.contact:
        await note_proof(tx, user_id=first.user_id, contact=first.contact)
