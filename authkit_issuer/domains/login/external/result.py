"""What a browser login comes to, for whoever shows it to the browser or the app."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from authkit_issuer.domains.login.external.records import Flow, FlowCookie
from authkit_issuer.domains.sessions.service import TokenPair
from authkit_issuer.domains.tokens.service import AccessToken
from authkit_issuer.errors import AuthError


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """Where the browser goes, and the cookie it must bring back."""

    auth_url: str
    state: str = field(repr=False)
    cookie: FlowCookie


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What a finished login opened: a session, or a fresh proof for one; a link opens nothing."""

    provider: str
    flow: Flow
    return_to: str
    cookie_name: str
    """The cookie the login was bound to, of no more use."""
    created: bool = False
    """The login was the first one, and made the account."""
    pair: TokenPair | None = field(default=None, repr=False)
    access: AccessToken | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Landing:
    """How a login ended: with a code for its result, with the result itself, or with a refusal."""

    provider: str
    app_url: str
    flow: Flow = "login"
    popup: bool = False
    popup_nonce: str = ""
    return_to: str = ""
    cookie_name: str = ""
    """The cookie the login was bound to, ``""`` when it was none of this browser's."""
    code: str = field(default="", repr=False)
    opened: Opened | None = None
    refusal: AuthError | None = None

    def refused(self, refusal: AuthError) -> Landing:
        """Return the same landing, with a refusal."""
        return dataclasses.replace(self, refusal=refusal)
