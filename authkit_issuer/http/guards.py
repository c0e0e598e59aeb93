"""Who is calling, from where, and whether that is enough."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from starlette.types import Scope

from authkit_issuer import errors, identifiers
from authkit_issuer.errors import Denied
from authkit_issuer.http.errors import InvalidClient, StepUpRequired
from authkit_issuer.ports import Client
from authkit_verify import TokenError, bearer_token, sole_authorization

if TYPE_CHECKING:
    from authkit_issuer.domains.orgs.service import Org
    from authkit_issuer.domains.sessions.service import AuthenticatedSession
    from authkit_issuer.http.operations import OrgGate
    from authkit_issuer.service import Service

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_MAX_HOPS = 32
_OF_PROXIES = frozenset({b"forwarded", b"via", b"x-real-ip"})

logger = logging.getLogger("authkit.http")

# The same callers come again and again; both are pure and would be the dearest part of a request.
ip_address = lru_cache(maxsize=4096)(identifiers.ip_address)
user_agent = lru_cache(maxsize=512)(identifiers.user_agent)


class LoopbackOnly(Denied):
    """The operation is for this machine alone."""

    code = "loopback_only"
    default = "This is answered only on this machine, under a loopback host name."


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


async def require_recent_auth(service: Service, account: AuthenticatedSession) -> None:
    """Raise ``StepUpRequired`` unless the session's last proof is recent enough (``step_up_max_age``).

    Where the second factor is on, it must have been part of the proof. The age is the database's word, so
    that clocks which disagree open nothing.
    """
    longest = service.config.step_up_max_age
    if account.auth_age <= longest and ("mfa" in account.amr or not account.two_factor):
        return
    refusal = StepUpRequired(metadata={"methods": await service.logins.step_up_methods(account.id)})
    refusal.max_age = int(longest)
    refusal.metadata["max_age_seconds"] = int(longest)
    raise refusal


async def admit_to_org(
    service: Service, account: AuthenticatedSession, gate: OrgGate, path: Mapping[str, str]
) -> Org:
    """Return the organization of the path for those whom the gate lets in.

    Raises ``InvalidOrgSlug``, ``OrgNotFound``, ``NotOrgMember``, and ``Denied`` where only owners may.
    """
    org = await service.orgs.resolve(path["org"])
    if not await service.org_members.is_member(org.slug, account.id):
        raise errors.NotOrgMember
    if gate == "member" or (gate == "owner_or_self" and is_same_user(account.id, path["user_id"])):
        return org
    if "owner" not in await service.org_members.list_roles(org.slug, account.id):
        raise Denied("Only an owner of this organization may do this.")
    return org


def is_same_user(user_id: str, given: str) -> bool:
    """True if the caller names their own account."""
    return identifiers.uuid_or_none(given) == user_id


def require_client(clients: Mapping[str, str], scope: Scope) -> None:
    """Raise ``InvalidClient`` unless the request has the id and secret of one of these (RFC 7617)."""
    given = [value for name, value in scope["headers"] if name == b"authorization"]
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
    spelled = (secret, unquote_plus(secret.decode("latin-1")).encode())
    fits = [hmac.compare_digest(known.encode(), candidate) for candidate in spelled]
    if not any(fits) or not known:
        raise InvalidClient


def require_loopback(scope: Scope) -> None:
    """Raise ``LoopbackOnly`` unless peer and ``Host`` are loopback and no proxy stands between.

    The ``Host`` matters because a web page can point its own name at 127.0.0.1 (DNS rebinding).
    """
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    hosts = [value.decode("latin-1") for name, value in headers if name == b"host"]
    forwarded = any(name in _OF_PROXIES or name.startswith(b"x-forwarded-") for name, _ in headers)
    if (
        forwarded
        or len(hosts) != 1
        or not _is_loopback(_host_name(hosts[0]))
        or not _is_loopback(_peer(scope))
    ):
        raise LoopbackOnly


def client_facts(scope: Scope, trusted: Sequence[Network], device: str | None = None) -> Client:
    """Return the caller's address and user agent, and the device token that came with the request.

    The address is the peer's. ``X-Forwarded-For`` is read only when the peer is a trusted proxy, and from the
    right: each trusted hop vouches for the one before it, and the first that is not trusted is the caller.
    What stands further left is the caller's own word.
    """
    address = ip_address(_peer(scope))
    agent: str | None = None
    forwarded: list[str] = []
    for name, value in scope["headers"]:
        if name == b"user-agent":
            agent = value[: identifiers.MAX_USER_AGENT].decode("latin-1")
        elif name == b"x-forwarded-for":
            forwarded.append(value.decode("latin-1"))
    if forwarded and trusted and address is not None:
        address = _walk(address, ",".join(forwarded).split(","), trusted)
    elif forwarded and not trusted and address is not None:
        _tell_of_proxy(address)
    return Client(ip=address, user_agent=user_agent(agent), device=device)


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Return the trusted networks in a form that is quick to ask."""
    return tuple(ipaddress.ip_network(text) for text in texts)


def _walk(peer: str, hops: Sequence[str], trusted: Sequence[Network]) -> str:
    address = peer
    for hop in list(reversed(hops))[:_MAX_HOPS]:
        if not _is_trusted(address, trusted):
            return address
        before = ip_address(_without_port(hop.strip()))
        if before is None:
            # A proxy that writes no address vouches for no hop before it: stop at the last known one.
            return address
        address = before
    return address


@lru_cache(maxsize=16)
def _tell_of_proxy(peer: str) -> None:
    """Say once that a proxy on a private network is not trusted: everybody behind it is one address."""
    if ipaddress.ip_address(peer).is_private:
        logger.warning("a peer at %s forwards addresses and is not among trusted_proxies", peer)


def _is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    known = ipaddress.ip_address(address)
    return any(known in network for network in trusted)


def _without_port(hop: str) -> str:
    if hop.startswith("["):
        address, _, rest = hop[1:].partition("]")
        return address if not rest or (rest[0] == ":" and rest[1:].isdigit()) else hop
    host, colon, port = hop.partition(":")
    return host if colon and port.isdigit() else hop


def _peer(scope: Scope) -> str | None:
    client = scope.get("client")
    return client[0] if client else None


def _host_name(host: str) -> str:
    name = _without_port(host)
    if "%" in name:
        return ""
    return "127.0.0.1" if name.lower() == "localhost" else name


def _is_loopback(address: str | None) -> bool:
    canonical = ip_address(address)
    return canonical is not None and ipaddress.ip_address(canonical).is_loopback
