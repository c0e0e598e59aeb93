"""Verifies a provider's authorization response (RFC 6749 section 4.1.2) and finds the account.

``FlowStore.take_pending`` has checked the state and the cookie that binds it to the browser.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from authkit_issuer import errors
from authkit_issuer.domains.login.external import accounts
from authkit_issuer.domains.login.external.accounts import ProviderLogin
from authkit_issuer.domains.login.external.flow_store import (
    RESULT_LIFE,
    FlowStore,
    PendingLogin,
    VerifiedLogin,
)
from authkit_issuer.federation import Exchange, IdentityProvider
from authkit_issuer.federation.refusals import quoted, refused
from authkit_issuer.ports import Client
from authkit_issuer.runtime import Runtime

# RFC 6749 appendix A.11.
_CODE = re.compile(r"[\x20-\x7e]{1,4096}")
_ERROR = re.compile(r"[a-z0-9_.-]{1,64}")

logger = logging.getLogger("authkit.providers")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackParameters:
    """What a browser brings back, not validated yet.

    ``cookies`` are the cookies of the request as name and value, repeats included. ``error_description`` goes
    to the log alone. Only Apple's form has ``user``.
    """

    state: str = field(default="", repr=False)
    code: str = field(default="", repr=False)
    error: str = ""
    error_description: str = ""
    iss: str | None = None
    user: str = field(default="", repr=False)
    cookies: Iterable[tuple[str, str]] = field(default=(), repr=False)


async def verify_callback(
    rt: Runtime,
    idp: IdentityProvider,
    pending: PendingLogin,
    parameters: CallbackParameters,
    *,
    method: str,
    client: Client | None,
) -> VerifiedLogin:
    """Verify the response, exchange its code, and find, create or link the account."""
    await _check_issuer(idp, pending.provider, parameters.iss)
    if parameters.error:
        raise _denied(pending.provider, parameters)
    if not _CODE.fullmatch(parameters.code):
        raise errors.Invalid("The provider's response has no valid code; start again.", param="code")
    profile = await idp.profile(
        Exchange(
            code=parameters.code,
            verifier=pending.verifier,
            nonce=pending.nonce,
            redirect_uri=pending.redirect_uri,
            proved_since=pending.begun if pending.flow == "step_up" else None,
            user=parameters.user,
        )
    )
    login = ProviderLogin(provider=pending.provider, method=method, profile=profile, client=client)
    user_id, auth_epoch, created = await accounts.account_of(rt, pending, login)
    return VerifiedLogin(
        provider=pending.provider,
        flow=pending.flow,
        cookie=pending.cookie,
        cookie_name=FlowStore(rt).cookie_name(parameters.state),
        expires=rt.clock() + RESULT_LIFE,
        issuer=profile.issuer,
        subject=profile.subject,
        user_id=user_id,
        auth_epoch=auth_epoch,
        session_id=pending.session_id,
        return_to=pending.return_to,
        created=created,
        authenticated_at=profile.authenticated_at,
    )


async def _check_issuer(idp: IdentityProvider, provider: str, given: str | None) -> None:
    """Refuse the response of another provider (RFC 9207 section 2.4)."""
    if given == idp.issuer or (given is None and not await idp.promises_issuer()):
        return
    raise refused(provider, "iss", expected=quoted(idp.issuer), found=quoted(given))


def _denied(provider: str, parameters: CallbackParameters) -> errors.ProviderDenied:
    """Return the refusal for a provider's error; its own words go to the log and no further."""
    error = parameters.error
    # A user who says no is nothing that an operator must see to.
    level = logging.INFO if error == "access_denied" else logging.WARNING
    described = quoted(parameters.error_description or None)
    logger.log(
        level, "provider %s answered the error %s, described as %s", provider, quoted(error), described
    )
    code = error if _ERROR.fullmatch(error) else errors.ProviderDenied.code
    return errors.ProviderDenied(metadata={"provider_error": code})
