"""The table of operations: what is served, to whom, and what may go wrong, as typed values.

The same table answers requests (``dispatch``) and documents them (``openapi``). A handler is a few lines that
call one method of one capability; it gets a ``Call`` and returns the value to serialize.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeAlias, TypeVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, StringConstraints

from authkit_issuer.domains.base.login_issuers import wallet_domains
from authkit_issuer.domains.credentials.identifier import Identifier
from authkit_issuer.domains.credentials.login_attempts import BUCKET
from authkit_issuer.errors import AuthError
from authkit_issuer.http.raw_response import HeaderList, Headers
from authkit_issuer.ports import Client

if TYPE_CHECKING:
    from authkit_issuer.domains.orgs.service import Org
    from authkit_issuer.domains.sessions.service import Account, AuthenticatedSession
    from authkit_issuer.http.cookies import CookieJar
    from authkit_issuer.service import Service

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Tag = Literal[
    "registration", "verification", "login", "sessions", "account", "second factor", "passkeys", "wallets",
    "step-up", "external logins", "administration", "keys", "discovery", "health", "organizations",
    "messages", "development", "documentation",
]  # fmt: skip
"""The sections of the documentation, in its order."""

Text = Annotated[str, StringConstraints(strip_whitespace=True)]
"""A text whose surrounding blanks mean nothing; never used for passwords."""

# Two of the names at once mean two accounts; the one that lost is refused as unknown.
ACCOUNT_NAME: Any = Field(
    validation_alias=AliasChoices("identifier", "email", "login"),
    description="An email address, phone number or user name; `email` and `login` name it as well",
)
AccountName = Annotated[Text, ACCOUNT_NAME]
"""What names an account in a request without a token."""
ContactName = Annotated[
    Text,
    Field(
        validation_alias=AliasChoices("identifier", "email", "phone_number"),
        description="An email address or E.164 phone number; `email` and `phone_number` name it as well",
    ),
]
"""What names an address or a number, with an account or without one."""


class Body(BaseModel):
    """A request body: JSON types are taken as they are, unknown members are refused."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class NoBody(Body):
    """Nothing at all, or an empty object."""


class Params(BaseModel):
    """Query parameters: texts read as the declared types; unknown names are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class NoParams(Params):
    """No query parameter means anything here."""


class Auth(Enum):
    """The credential that an operation requires."""

    PUBLIC = "public"
    OPTIONAL = "optional"
    """As ``PUBLIC``; an access token that is sent is checked, and one that is not good counts as none."""
    USER = "user"
    """An access token whose session is live and whose user may act, asked on every call."""
    ADMIN = "admin"
    """As ``USER``, and the user holds the role ``admin`` in storage now, whatever the token says."""
    CLIENT = "client"
    """A service that may introspect tokens, by HTTP Basic or in the body (RFC 7662 section 2.1)."""
    LOOPBACK = "loopback"
    """A browser or program on the same machine that names it by a loopback host."""

    @property
    def takes_token(self) -> bool:
        """True if the operation requires an access token."""
        return self in {Auth.USER, Auth.ADMIN}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How often an operation may be called: the name of a bucket, and what is counted."""

    bucket: str
    by_user: bool = False
    """Counts the signed-in user in place of the address."""
    refresh_token: Callable[[Any], str | None] | None = None
    """Reads the refresh token from the body, to count its session in place of the address.

    A request without a refresh token of this service counts its address.
    """
    closed: bool = False
    """Refuses when the store that counts is down, for what checks or makes a credential.

    Other operations go on, with a log line.
    """
    account: Callable[[Any], str] | None = None
    """Reads from the body which account a call is about, to count all calls about it; ``""`` is none."""
    texts: str = ""
    """A second bucket for calls whose ``identifier`` is a phone number: each SMS costs money."""
    gives_back: bool = False
    """Counts wrong proofs only: a call that succeeds, or goes on to the second factor, is given back."""
    by_device: bool = False
    """Counts calls about an account from its known devices apart, so that other clients cannot use them up.

    By whose device it is, not by which, since anybody can have many of their own.
    """


PASSWORD_GUESSES = Limit(
    bucket=BUCKET,
    closed=True,
    account=lambda body: Identifier.of(body.identifier).text or body.identifier,
    by_device=True,
    gives_back=True,
)
"""Of every operation that says whether a password is right: together they allow one number of wrong ones."""

OrgGate = Literal["any_member", "member", "owner", "owner_or_self"]
"""Who may call an operation on ``{org}``; ``self`` is the ``{user_id}`` of the path.

``any_member`` and ``self`` need no second factor where the organization requires one.
"""

B = TypeVar("B", bound=Body)
P = TypeVar("P", bound=Params)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[B, P]):
    """One request as a handler sees it."""

    service: Service
    client: Client
    body: B
    params: P
    path: Mapping[str, str]
    headers: Headers
    cookies: CookieJar
    response_headers: HeaderList = field(repr=False)
    """Headers that the response gets beside its own, a refusal too."""
    caller: AuthenticatedSession | None = field(default=None, repr=False)
    org: Org | None = None

    @property
    def organization(self) -> Org:
        """The organization of the path, which the caller was let into."""
        if self.org is None:
            raise LookupError("only operations on an organization have one")
        return self.org

    @property
    def account(self) -> AuthenticatedSession:
        """The caller's account; only operations for users have one."""
        if self.caller is None:
            raise LookupError("a public operation has no caller")
        return self.caller

    def header(self, name: bytes) -> str:
        """Return a request header, repeated ones joined with commas (RFC 9110 section 5.2), else ``""``."""
        return ", ".join(value.decode("latin-1") for key, value in self.headers if key == name)


Plain: TypeAlias = Call[NoBody, NoParams]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path."""

    method: Method
    path: str
    name: str
    """The ``operationId``: stable, unique, and the name of the method in generated clients."""
    summary: str
    tag: Tag
    handler: Callable[[Call[Any, Any]], Awaitable[Any]]
    returns: type[Any]
    """A frozen dataclass; its JSON is the body of the response."""
    auth: Auth
    offered: Callable[[Service], bool] | None = None
    """True for the services that have this at all; None is always."""
    limit: Limit | None
    """None, spelled out, for what is answered from memory alone."""
    fresh: bool | Callable[[Account], bool] = False
    """Requires a recent authentication (RFC 9470); a function says of which accounts."""
    enrolls: bool | Callable[[Service], bool] = False
    """Adds a second factor: an enrollment token opens it as well, for an account without one.

    A function says in which services.
    """
    org: OrgGate | None = None
    signs_out: bool = False
    """Ends the session that asks, and with it the refresh cookie."""
    or_refresh_token: bool = False
    """A refresh token in the body or its cookie is accepted as well; the call has no caller then."""
    body: type[Body] = NoBody
    params: type[Params] = NoParams
    status: int = 200
    errors: tuple[type[AuthError], ...] = ()
    """The refusals of the capability called; those of the guard and the parser are known from the rest."""
    omit_none: bool = False
    """Leave members that are None out of the response."""
    oauth: bool = False
    """An OAuth endpoint: takes forms as well, and refuses as RFC 6749 section 5.2 says."""
    form: bool = False
    """Takes forms as well, which another site's page sends, and ignores what it does not know in them."""
    redirect: int | None = None
    """The status of a response that redirects the browser, where there is one."""
    cors: bool = False
    """Any web page may read this; it is public and changes nothing."""
    conditional: bool = False
    """A client that has the answer gets 304, as it does of every one with ``cors``."""
    document: bool = False
    """The same for every caller: nothing of a request is read but its conditions."""
    media_types: tuple[str, ...] = ("application/json",)

    @property
    def gives_refresh_token(self) -> bool:
        """True if the response holds a refresh token, which may go into a cookie instead."""
        return "refresh_token" in getattr(self.returns, "__dataclass_fields__", ())

    @property
    def gives_tokens(self) -> bool:
        """True if the response holds tokens, which no cache may keep (RFC 6749 section 5.1)."""
        return "access_token" in getattr(self.returns, "__dataclass_fields__", ())


def with_orgs(service: Service) -> bool:
    """True if there are organizations."""
    return service.config.org_mode == "multi"


def with_mail(service: Service) -> bool:
    """True if emails can be sent."""
    return service.has_email_sender


def with_texts(service: Service) -> bool:
    """True if SMS messages can be sent."""
    return service.has_sms_sender


def with_messages(service: Service) -> bool:
    """True if emails or SMS messages can be sent."""
    return service.has_email_sender or service.has_sms_sender


def with_passkeys(service: Service) -> bool:
    """True if there are passkeys."""
    return service.config.webauthn_rp_id is not None


def with_passkey_factors(service: Service) -> bool:
    """True if a passkey counts as two factors, so that adding one enrolls the user."""
    return service.config.passkey_counts_as_two_factors and with_second_factors(service)


def with_passwordless(service: Service) -> bool:
    """True if a message to an address or number signs in."""
    return service.passwordless.available


def with_second_factors(service: Service) -> bool:
    """True if users may add second factors."""
    return service.config.two_factor_policy != "off"


def with_recovery(service: Service) -> bool:
    """True if users who lost every second factor may recover their accounts."""
    return service.config.recovery_delay is not None and with_messages(service)


def with_apps(service: Service) -> bool:
    """True if there is a key that seals the secrets of authenticator apps."""
    return service.totp.available and with_second_factors(service)


def with_wallets(service: Service) -> bool:
    """True if there is a domain that wallets may sign in on."""
    return bool(wallet_domains(service.config))
