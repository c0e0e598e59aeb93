"""From a proof to an account: all of it in one transaction."""

from __future__ import annotations

from authkit_issuer import errors
from authkit_issuer.domains.accounts.service import Users
from authkit_issuer.domains.credentials.service import Passwords
from authkit_issuer.domains.signup.channels import EMAIL, Channel
from authkit_issuer.runtime import Runtime


async def make_account(  # noqa: PLR0917 - the parts of an account, in the order of the record
    rt: Runtime,
    channel: Channel,
    user_id: str | None,
    target: str,
    username: str,
    password_hash: str,
    *,
    verified: bool,
) -> None:
    """Write user, name, password and event; done before counts as done.

    Raises ``EmailInUse``, ``PhoneInUse``, ``UsernameInUse``, ``OwnerSlugTaken``: the index has the last word.
    """
    # The id was chosen with the record: an account under it is our own commit whose answer was lost.
    if user_id is not None and await Users(rt).get(user_id) is not None:
        return
    try:
        async with rt.transaction() as tx:
            user = await Users(tx).add(
                email=target if channel is EMAIL else None,
                phone=None if channel is EMAIL else target,
                username=username,
                verified=verified,
                user_id=user_id,
                method="registration",
            )
            await Passwords(tx).store_hash(user.id, password_hash)
    except errors.Conflict:
        # That commit may still have been under way a moment ago, and then this one met what it wrote.
        if user_id is None or await Users(rt).get(user_id) is None:
            raise
