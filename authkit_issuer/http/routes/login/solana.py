"""Sign In With Solana: a challenge, and what a wallet's answer to it opens."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from authkit_issuer.domains.base.login_issuers import wallet_domains
from authkit_issuer.domains.login.solana.service import Solana, build_message
from authkit_issuer.http.operations import (
    Auth,
    Body,
    Call,
    Limit,
    NoParams,
    Text,
    with_wallets,
)
from authkit_issuer.http.route_groups import Routes
from authkit_issuer.http.solana_models import WalletAnswer

if TYPE_CHECKING:
    from authkit_issuer.domains.login.solana.service import SignInInput, SiwsLogin


class SolanaChallengeRequest(Body):
    """The wallet, and what a new account is to be called."""

    address: Text
    username: Text | None = None
    domain: Annotated[
        Text | None,
        Field(description="Where the wallet shows it: one of ours; else the page's own"),
    ] = None
    chain_id: Annotated[Text | None, Field(description="Of no effect: a service has one network")] = None


class WalletLink(WalletAnswer):
    """A wallet's answer to a challenge."""

    replace: Annotated[bool, Field(description="In place of another wallet of the account")] = False
    end_other_sessions: Annotated[
        bool | None, Field(description="End the other sessions; factor_change_ends_sessions decides if null")
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SolanaChallenge:
    """What the wallet is to sign: as text, and as the members of the wallet standard's ``signIn``."""

    nonce: str
    issued_at: str
    message: str
    input: dict[str, Any]

    @classmethod
    def of(cls, challenge: SignInInput) -> SolanaChallenge:
        """Return the response for a challenge."""
        return cls(
            nonce=challenge.nonce or "",
            issued_at=challenge.issued_at or "",
            message=build_message(challenge),
            input=challenge.to_json(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletUser:
    """Whose wallet it is."""

    id: str
    solana_address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletTokens:
    """A login; ``created`` is true for a new account."""

    access_token: str = field(repr=False)
    token_type: Literal["Bearer"] = "Bearer"
    expires_in: int
    refresh_token: str = field(repr=False)
    created: bool
    user: WalletUser
    ended_sessions: list[str] | None = None

    @classmethod
    def of(cls, login: SiwsLogin, address: str) -> WalletTokens:
        """Return the response for a login."""
        return cls(
            access_token=login.access_token,
            expires_in=login.expires_in,
            refresh_token=login.refresh_token,
            created=login.created,
            user=WalletUser(id=login.user_id, solana_address=address),
            ended_sessions=[*login.ended_sessions] or None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletLinked:
    """The wallet is the caller's."""

    success: Literal[True] = True
    message: str = "The wallet is linked."
    solana_address: str


routes = Routes(tag="wallets", auth=Auth.PUBLIC, offered=with_wallets)


@routes.post(
    "/auth/solana/challenge",
    "A challenge for a wallet to sign",
    limit=Limit(bucket="auth_solana_challenge", closed=True),
    calls=(Solana.generate_challenge,),
)
async def create_solana_challenge(call: Call[SolanaChallengeRequest, NoParams]) -> SolanaChallenge:
    """Issue a challenge."""
    body = call.body
    domain = body.domain or _domain(call.header(b"origin"), wallet_domains(call.service.config))
    return SolanaChallenge.of(
        await call.service.solana.generate_challenge(domain, body.address, body.username)
    )


@routes.post(
    "/auth/solana/login",
    "Sign in with a wallet",
    limit=Limit(bucket="auth_solana_login", closed=True, gives_back=True),
    calls=(Solana.verify_and_login,),
    omit_none=True,
)
async def login_with_solana(call: Call[WalletAnswer, NoParams]) -> WalletTokens:
    """Sign in with a wallet."""
    pair = await call.service.solana.verify_and_login(call.body.signed(), client=call.client)
    return WalletTokens.of(call.cookies.signed_in(pair), call.body.output.account.address)


@routes.post(
    "/auth/solana/link",
    "Link a wallet to your account",
    auth=Auth.USER,
    fresh=True,
    limit=Limit(bucket="auth_solana_link", by_user=True, closed=True),
    calls=(Solana.link_wallet,),
)
async def link_solana_wallet(call: Call[WalletLink, NoParams]) -> WalletLinked:
    """Link a wallet."""
    body = call.body
    await call.service.solana.link_wallet(
        call.account.id,
        body.signed(),
        replace=body.replace,
        keep_session_id=call.account.session_id,
        end_other_sessions=body.end_other_sessions,
        client=call.client,
    )
    return WalletLinked(solana_address=body.output.account.address)


def _domain(origin: str, domains: tuple[str, ...]) -> str:
    """Return the domain of the page that asks, if it is one of ours, else the first of ours."""
    host = origin.partition("://")[2].lower()
    return host if host in domains else domains[0]
