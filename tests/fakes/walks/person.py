"""A person with keys and a browser: signs in, proves, and holds sessions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import jwt

from authkit_issuer.security.siws import SignInInput
from authkit_issuer.service import Service
from fakes.factors import app_code
from fakes.mail import Mailbox
from fakes.provider import LoopbackProvider
from fakes.users import finish_background
from fakes.walks.account import Key

DOMAIN, APP = "app.example.test", "the app"


def claims_of(token: str) -> dict[str, Any]:
    """The claims of a token, unverified."""
    return jwt.decode(token, options={"verify_signature": False})


@dataclass(kw_only=True)
class Session:
    """An open session: its tokens, the keys that opened it, and whether it must have ended."""

    access: str
    refresh: str
    user_id: str
    epoch: int
    amr: set[str]
    is_over: bool = False
    is_stale: bool = False
    """Its last proof is an hour old."""

    @property
    def id(self) -> str:
        return str(claims_of(self.access)["sid"])


@dataclass(kw_only=True)
class Person:
    """Somebody with a browser of their own."""

    name: str
    service: Service
    api: Any
    mailbox: Mailbox
    idps: dict[str, LoopbackProvider]
    emails: dict[str, str] = field(default_factory=dict)
    keys: set[Key] = field(default_factory=set)
    sessions: list[Session] = field(default_factory=list)

    async def delivered(self) -> None:
        """Wait until every message of the requests so far was handed over."""
        await finish_background(self.service)

    async def sent(self, to: str) -> Any:
        """The last message to a contact that has a code."""
        await self.delivered()
        return next((mail for mail in reversed(self.mailbox.messages) if mail.to == to and mail.code), None)

    async def sent_reset(self, to: str) -> Any:
        """The last reset that a contact got."""
        await self.delivered()
        return next(
            (mail for mail in reversed(self.mailbox.messages) if mail.to == to and "reset" in mail.kind), None
        )

    async def redeem_reset(self, contact: str, request_id: str, message: Any, new: str) -> httpx.Response:
        """Set the password by the message of a reset."""
        if message.token and "@" in contact:
            return await self.call(
                "POST", "/password/reset/confirm-link", token=message.token, new_password=new
            )
        if message.token:
            return await self.call(
                "POST", "/phone/password/reset/confirm", phone_number=contact, code=message.token,
                new_password=new,
            )  # fmt: skip
        body = {"identifier": contact, "code": message.code, "request_id": request_id}
        return await self.call("POST", "/password/reset/confirm", **body, new_password=new)

    async def call(
        self, method: str, path: str, session: Session | None = None, **body: Any
    ) -> httpx.Response:
        """Send a request, with the token of a session."""
        headers = {"authorization": f"Bearer {session.access}"} if session else {}
        more = {"json": body} if body or method in {"POST", "PUT", "PATCH"} else {}
        return await self.api.request(method, f"/auth{path}", headers=headers, **more)

    # --- first factors --------------------------------------------------------------------------------

    async def first(self, key: Key, identifier: str = "", org: str | None = None) -> httpx.Response:
        """Begin and end a sign-in by a key, as far as its second factor."""
        finish = await self.begin(key, identifier, org)
        return await finish()

    async def begin(self, key: Key, identifier: str = "", org: str | None = None) -> Any:
        """Begin a sign-in; returns the call that ends it, at any later time."""
        more = {"org": org} if org else {}
        if key.kind == "password":
            return lambda: self.call(
                "POST", "/password/login", identifier=identifier, password=key.value, **more
            )
        return await getattr(self, f"_begin_{key.kind}")(key, more)

    async def _begin_mail(self, key: Key, more: dict[str, str]) -> Any:
        started = await self.call("POST", "/passwordless/start", identifier=key.value, **more)
        message = await self.sent(key.value)
        body = {"flow_id": started.json().get("flow_id"), "code": message.code if message else "000000"}
        return lambda: self.call("POST", "/passwordless/confirm", **body)

    _begin_phone = _begin_mail

    async def _begin_login(self, key: Key, more: dict[str, str]) -> Any:
        slug, subject = key.value.split()
        if len(subject) % 2:
            return await self._begin_browser(slug, subject, more)
        begun = (await self.call("POST", f"/oidc/{slug}/native/start")).json()
        token = self.id_token(slug, subject, begun["nonce"])
        body = {"login_id": begun["login_id"], "id_token": token, **more}
        return lambda: self.call("POST", f"/oidc/{slug}/native", **body)

    def id_token(self, slug: str, subject: str, nonce: str) -> str:
        idp = self.idps[slug]
        claims = idp.right_claims(nonce) | self.subject(subject) | {"aud": APP}
        return idp.sign(claims)

    def subject(self, subject: str) -> dict[str, Any]:
        email = self.emails.get(subject)
        return {"sub": subject, "email": email or f"{subject}@idp.test", "email_verified": email is None}

    async def _begin_browser(self, slug: str, subject: str, more: dict[str, str]) -> Any:
        idp = self.idps[slug]
        sent = await self.api.get(f"/auth/oidc/{slug}/login")
        idp.person = self.subject(subject)
        back = await self.api.get(f"/auth/oidc/{slug}/callback", params=idp.approve(sent.headers["location"]))
        found = dict(parse_qsl(urlsplit(back.headers["location"]).fragment))
        return lambda: self.call("POST", "/oidc/result", code=found.get("result_code", "none"), **more)

    async def _begin_wallet(self, key: Key, more: dict[str, str]) -> Any:
        asked = await self.call("POST", "/solana/challenge", address=key.value)
        output = key.holds.sign(SignInInput.from_json(asked.json()["input"])).to_json()
        return lambda: self.call("POST", "/solana/login", output=output)

    async def _begin_passkey(self, key: Key, more: dict[str, str]) -> Any:
        options = (await self.call("POST", "/passkeys/login/begin")).json()["options"]
        credential = key.holds.get(options)
        return lambda: self.call("POST", "/passkeys/login/finish", credential=credential, **more)

    # --- second factors -------------------------------------------------------------------------------

    async def second(
        self, waiting: dict[str, str], key: Key, factor: str | None, *, remember: bool = False
    ) -> httpx.Response:
        """Answer a challenge with a key."""
        more = {"remember_device": True} if remember else {}
        if key.kind == "passkey":
            begun = await self.call("POST", "/2fa/passkey/begin", **waiting)
            if begun.status_code != 200:
                return begun
            try:
                credential = key.holds.get(begun.json()["options"])
            except StopIteration:
                return begun
            return await self.call("POST", "/2fa/passkey/finish", **waiting, credential=credential, **more)
        if key.kind == "backup":
            return await self.call("POST", "/2fa/verify", **waiting, code=key.value, backup_code=True, **more)
        if factor is not None:
            chosen = await self.call("POST", "/2fa/challenge", **waiting, factor_id=factor)
            if chosen.status_code != 200:
                return chosen
        code = await self.shown(key)
        return await self.call("POST", "/2fa/verify", **waiting, code=code, **more)

    async def shown(self, key: Key) -> str:
        """The code that a factor shows now."""
        if key.kind == "app":
            return app_code(key.value)
        message = await self.sent(key.value)
        return message.code if message else "000000"

    def opened(self, answer: httpx.Response, epoch: int) -> Session | None:
        """Keep the session that an answer opens; None if it opens none."""
        found = answer.json() if answer.status_code == 200 else {}
        if "refresh_token" not in found:
            return None
        claims = claims_of(found["access_token"])
        session = Session(
            access=found["access_token"], refresh=found["refresh_token"], user_id=claims["sub"],
            epoch=epoch, amr=set(claims["amr"]),
        )  # fmt: skip
        self.sessions.append(session)
        return session
