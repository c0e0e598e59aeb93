"""The caller of a request, and whether the operation may be called by it.

``recent_auth`` requires a recent authentication, and ``domains.sessions.service``
refuses an access token whose session is over.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from starlette.types import Scope

from authkit_issuer import errors, identifiers
from authkit_issuer.errors import Denied
from authkit_issuer.http.errors import InvalidClient
from authkit_verify import TokenError, bearer_token, sole_authorization

if TYPE_CHECKING:
    from authkit_issuer.domains.orgs.service import Org
    from authkit_issuer.domains.sessions.service import AuthenticatedSession
    from authkit_issuer.http.operations import OrgGate
    from authkit_issuer.service import Service


async def authenticate(service: Service, scope: Scope) -> AuthenticatedSession:
    """Return the account of the request's bearer token, asking the database once.

    A revoked session ends here at once, although its access token lives on. Raises ``TokenError`` for the
    token, ``SessionEnded`` or ``UserDisabled`` for its session, ``Unavailable`` if the database cannot tell.
    """
    token = bearer_token(sole_authorization(scope))
    if token is None:
        raise TokenError("missing_token", "This needs an access token.")
    claims = await service.tokens.verify(token)
    if not claims.session_id:
        raise TokenError("invalid_token", "The token belongs to no session.")
    return await service.sessions.authenticate(claims.user_id, claims.session_id)


async def authenticate_enrollment(service: Service, scope: Scope) -> AuthenticatedSession:
    """Return the account of an access token, or of an enrollment token, for what adds a second factor.

    Raises as ``authenticate``.
    """
    try:
        return await authenticate(service, scope)
    except TokenError as refusal:
        token = bearer_token(sole_authorization(scope))
        if token is None or refusal.code == "keys_unavailable":
            raise
        try:
            return await service.second_factors.authenticate_enrollment(token)
        except TokenError:
            raise refusal from None


async def authenticate_if_possible(service: Service, scope: Scope) -> AuthenticatedSession | None:
    """Return the account of the bearer token, or None without a good one; raises ``Unavailable``."""
    try:
        return await authenticate(service, scope)
    except (TokenError, errors.SessionEnded, errors.UserDisabled):
        return None


def require_admin(account: AuthenticatedSession) -> None:
    """Raise ``Denied`` unless the user holds the role ``admin`` now; what the token says is nothing."""
    if "admin" not in account.roles:
        raise Denied


async def admit_to_org(
    service: Service, account: AuthenticatedSession, gate: OrgGate, path: Mapping[str, str]
) -> Org:
    """Return the organization of the path for those whom the gate lets in.

    A token without an organization must not do what the policy of the organization refuses a token for. To
    leave, and to read what is required, membership is enough.

    Raises ``InvalidOrgSlug``, ``OrgNotFound``, ``NotOrgMember``, ``TwoFactorRequiredByOrg``, and ``Denied``
    where only owners may.
    """
    org = await service.orgs.resolve(path["org"])
    if gate == "any_member" or (gate == "owner_or_self" and is_same_user(account.id, path["user_id"])):
        if not await service.org_members.is_member(org.slug, account.id):
            raise errors.NotOrgMember
        return org
    grant = await service.tokens.org_grant(account.id, org.slug, account.amr)
    if gate != "member" and "owner" not in grant.roles:
        raise Denied("Only an owner of this organization may do this.")
    return org


def is_same_user(user_id: str, given: str) -> bool:
    """True if the caller names their own account."""
    return identifiers.uuid_or_none(given) == user_id


def require_client_by_header(clients: Mapping[str, str], scope: Scope) -> bool:
    """Verify the id and secret of a client by HTTP Basic (RFC 7617); False without an authorization header.

    Raises ``InvalidClient`` for a header that names no client with its secret.
    """
    given = [value for name, value in scope["headers"] if name == b"authorization"]
    if not given:
        return False
    scheme, _, encoded = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True) if scheme.lower() == b"basic" else b""
    except binascii.Error:
        decoded = b""
    client, _, secret = decoded.partition(b":")
    # Compared even for an unknown client: the time does not show which ids exist. RFC 6749 section 2.3.1
    # has both spelled as in a form, and many send them as they are.
    name = client.decode("latin-1")
    known = clients.get(name) or clients.get(unquote_plus(name), "")
    _require_secret(known, secret, unquote_plus(secret.decode("latin-1")).encode())
    return True


def require_client_by_body(clients: Mapping[str, str], body: object, *, by_header: bool) -> None:
    """Verify the id and secret of a client in the body (``client_secret_post``, RFC 6749 section 2.3.1).

    ``by_header`` says that the request has proved its client already. Raises ``InvalidClient``, and
    ``Invalid`` for a client that proves itself in two ways at once (RFC 6749 section 2.3).
    """
    client_id, secret = getattr(body, "client_id", None), getattr(body, "client_secret", None)
    if not by_header:
        _require_secret(clients.get(client_id or "", ""), (secret or "").encode())
    elif secret is not None:
        raise errors.Invalid(
            "The client authenticates in the header and in the body: send its secret once.",
            param="client_secret",
        )


def _require_secret(known: str, *candidates: bytes) -> None:
    fits = [hmac.compare_digest(known.encode(), candidate) for candidate in candidates]
    if not any(fits) or not known:
        raise InvalidClient
