"""Admission of a caller in a thread: everything that waits runs on the event loop of a ``SyncVerifier``."""

from __future__ import annotations

from contextlib import suppress

from authkit_verify._asgi.authenticator import Authenticator, authenticator_of
from authkit_verify._asgi.credentials import bearer_token, sole_authorization
from authkit_verify._asgi.guards import Guard, require_login
from authkit_verify._asgi.principal import Principal, principal_of
from authkit_verify._asgi.types import Scope
from authkit_verify._jwks.refresher import NoEventLoop
from authkit_verify._verify.sync_verifier import SyncVerifier


def admit(
    verifier: SyncVerifier, authenticator: Authenticator, scope: Scope, *, required: bool
) -> Principal | None:
    """Admit the caller of a request, as ``Authenticator.admit`` does. Raises TokenError or AccessDenied."""
    token = bearer_token(sole_authorization(scope))
    if token is not None:
        with suppress(NoEventLoop):
            admitted = authenticator.admit_token(scope, token)
            # In this thread if the token is cached and no records are asked: nothing is waited for then.
            return admitted if isinstance(admitted, Principal) else verifier.run(admitted)
    return verifier.run(authenticator.admit(scope, required=required))


def check(verifier: SyncVerifier, scope: Scope, guards: tuple[Guard, ...]) -> Principal:
    """Return the caller of an admitted request if every guard lets it pass. Raises AccessDenied if not."""
    return verifier.run(passing(scope, guards))


async def passing(scope: Scope, guards: tuple[Guard, ...]) -> Principal:
    """As ``check``, on the event loop; without guards a valid token is enough."""
    first, *others = guards or (require_login(),)
    authenticator = authenticator_of(scope)
    caller = await first.require(principal_of(scope), authenticator)
    for guard in others:
        await guard.require(caller, authenticator)
    return caller
