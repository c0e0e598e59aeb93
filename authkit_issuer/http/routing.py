"""The table of operations: what is served, to whom, and what may go wrong, as typed values.

The same table answers requests (``dispatch``) and documents them (``openapi``). A handler is a few lines that
call one method of one capability; it gets a ``Call`` and returns the value to serialise.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeAlias, TypeVar, cast

from pydantic import BaseModel, ConfigDict, StringConstraints

from authkit_issuer.errors import AuthError
from authkit_issuer.ports import Client

if TYPE_CHECKING:
    from authkit_issuer.capabilities.sessions import Account
    from authkit_issuer.service import Service

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

Text = Annotated[str, StringConstraints(strip_whitespace=True)]
"""A text whose surrounding blanks mean nothing; never used for passwords."""


Headers = tuple[tuple[bytes, bytes], ...]
"""ASGI header pairs, names in lower case."""

JSON = (b"content-type", b"application/json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A finished answer; ``headers`` are ASGI pairs and exclude the length."""

    status: int
    headers: Headers
    body: bytes


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
    """Who may call an operation."""

    PUBLIC = "public"
    USER = "user"
    """The bearer of an access token whose session is live and whose user may act, asked on every call."""
    LOOPBACK = "loopback"
    """A browser or program on the same machine that names it by a loopback host."""


B = TypeVar("B", bound=Body)
P = TypeVar("P", bound=Params)
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[B, P]):
    """One request as a handler sees it."""

    service: Service
    client: Client
    body: B
    params: P
    path: Mapping[str, str]
    headers: tuple[tuple[bytes, bytes], ...]
    caller: Account | None = field(default=None, repr=False)

    @property
    def account(self) -> Account:
        """The caller's account; only operations for users have one."""
        if self.caller is None:
            raise LookupError("a public operation has no caller")
        return self.caller

    def header(self, name: bytes) -> str:
        """Return a request header, repeated ones joined with commas (RFC 9110 section 5.2), else ``""``."""
        return ", ".join(value.decode("latin-1") for key, value in self.headers if key == name)


Plain: TypeAlias = Call[NoBody, NoParams]

# The defaults stand for "no body" and "no parameters"; a type variable cannot have a default in Python 3.11.
_NO_BODY = cast("Any", NoBody)
_NO_PARAMS = cast("Any", NoParams)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Generic[B, P, R]):
    """One method of one path."""

    method: Method
    path: str
    summary: str
    tag: str
    handler: Callable[[Call[B, P]], Awaitable[R | Answer]]
    returns: type[R]
    """A frozen dataclass; its JSON is the body of the answer."""
    auth: Auth
    body: type[B] = _NO_BODY
    params: type[P] = _NO_PARAMS
    status: int = 200
    errors: tuple[type[AuthError], ...] = ()
    """The refusals of the capability called; those of the guard and the parser are known from the rest."""
    omit_none: bool = False
    """Leave members that are None out of the answer."""
    oauth: bool = False
    """The token endpoint: takes forms as well, and refuses as RFC 6749 section 5.2 says."""
    cors: bool = False
    """Any web page may read this; it is public and changes nothing."""
    media_types: tuple[str, ...] = ("application/json",)

    @property
    def gives_tokens(self) -> bool:
        """Tell whether the answer holds tokens, which no cache may keep (RFC 6749 section 5.1)."""
        return "access_token" in getattr(self.returns, "__dataclass_fields__", ())


AnyOperation: TypeAlias = Operation[Any, Any, Any]
