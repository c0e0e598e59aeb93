"""One walk: an account, its owner, a thief, and what must hold after every step."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from authkit_issuer.service import Service
from fakes.factors import let_codes_be_new
from fakes.mail import Mailbox
from fakes.provider import LoopbackProvider
from fakes.walks.account import Account, Key, can_enter
from fakes.walks.person import Person, Session, claims_of

_numbers = itertools.count(1)
PASSWORD = "correct horse battery"


@dataclass(kw_only=True)
class Begun:
    """Something that waits to be finished: by whom, since which epoch, and what of the account it needs."""

    what: str
    who: Person
    epoch: int
    finish: Callable[[], Any]
    needs: Key | None = None
    session: Session | None = None
    done: Callable[[httpx.Response], None] = lambda _: None
    is_done: bool = False


@dataclass(kw_only=True)
class World:
    """The account ``account`` of ``owner``, whom ``thief`` attacks with what was stolen."""

    service: Service
    make_api: Callable[[], Any]
    mailbox: Mailbox
    idps: dict[str, LoopbackProvider]
    random: random.Random = field(default_factory=random.Random)
    account: Account = field(init=False)
    owner: Person = field(init=False)
    thief: Person = field(init=False)
    operator: str = field(init=False)
    begun: list[Begun] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    loot: list[str] = field(default_factory=list)
    """The kinds of keys that the thief gets hold of."""
    recovery: int | None = None
    """The epoch of the open recovery: a change, and a proof of a second factor, end it."""
    former: set[Key] = field(default_factory=set)
    """Every key that the account ever had."""

    async def begin(self) -> None:
        """Make the account with an address and a password, and an operator."""
        self.number = number = next(_numbers)
        email, name = f"v{number}@example.test", f"victim_{number}"
        user = await self.service.users.add(email=email, username=name, verified=True)
        hashed = await self.service.passwords.hash(PASSWORD)
        await self.service.passwords.store_hash(user.id, hashed)
        self.account = Account(user_id=user.id, name=name, email=email, password=PASSWORD)
        self.owner, self.thief = self._person("owner"), self._person("thief")
        self.operator = (await self.service.users.add(email=f"op{number}@example.test", verified=True)).id
        await self.service.roles.assign(user.id, "admin")
        await self.service.roles.assign(self.operator, "admin")
        self.org = f"org-{number}"
        await self.service.orgs.create(self.org, owner_user_id=user.id)
        await self.service.orgs.require_two_factor(self.org, required=True, actor=user.id)
        self.note_keys()

    def _person(self, name: str) -> Person:
        return Person(
            name=name, service=self.service, api=self.make_api(), mailbox=self.mailbox, idps=self.idps
        )

    def note_keys(self) -> None:
        self.former |= {*self.account.firsts(), *self.account.seconds()}

    def fresh(self, what: str) -> str:
        """A name that no walk used."""
        return f"{what}{next(_numbers)}"

    # --- signing in -----------------------------------------------------------------------------------

    def pick(self, some: Any) -> Any:
        return self.random.choice(list(some))

    async def enter(self) -> Session:
        """The owner signs in by any way that must work, and proves what changes of the account ask for."""
        session = await self.sign_in()
        if (self.account.asks or self.account.passkeys) and "mfa" not in session.amr:
            await self._step_up(session)
        return session

    def _seconds_after(self, contact: str) -> list[Key]:
        """The keys that end a sign-in which began with a code to this contact, or with none."""
        seconds = self.account.seconds()
        codes = [key for key in seconds if key.kind == "backup"]
        others = [key for key in seconds if key.value != contact and key.kind != "backup"]
        return others + codes if others else seconds

    async def sign_in(self) -> Session:
        """The owner signs in, by any way that must work."""
        account, owner = self.account, self.owner
        first = self.pick(account.firsts())
        await self._let_codes_be_new()
        answer = await owner.first(first, account.email)
        session = await self._through(owner, answer, first, must=True)
        assert session is not None
        assert session.user_id == account.user_id
        return session

    async def _let_codes_be_new(self) -> None:
        await let_codes_be_new(self.service)
        await self.service.rt.ephemeral.delete(f"totp_tries:{self.account.user_id}")

    async def _step_up(self, session: Session) -> None:
        """Prove a second factor in a session that began with one proof."""
        owner = self.owner
        contact = self._contact_of(session)
        seconds = [key for key in self._seconds_after(contact) if key.kind != "backup"]
        second = self.pick(seconds or [key for key in self.account.firsts() if key.kind == "passkey"])
        await self._let_codes_be_new()
        if second.kind == "passkey":
            options = (await owner.call("POST", "/step-up/passkey/begin", session)).json()["options"]
            body = {"credential": second.holds.get(options)}
            answer = await owner.call("POST", "/step-up/passkey/finish", session, **body)
        else:
            factor = self._factor_of(second)
            if second.kind != "app":
                await owner.call("POST", "/step-up/2fa", session, factor_id=factor)
            code = await owner.shown(second)
            answer = await owner.call("POST", "/step-up/2fa", session, code=code, factor_id=factor)
        assert answer.status_code == 200, f"{second} must step up: {answer.status_code} {answer.text}"
        session.access = answer.json()["access_token"]
        session.amr = set(claims_of(session.access)["amr"])
        assert ("mfa" in session.amr) is (second.value != contact), (session.amr, second)
        self._note_mfa(session)

    def _factor_of(self, key: Key) -> str | None:
        account = self.account
        if key.kind == "app":
            return next((one for one, secret in account.apps.items() if secret == key.value), None)
        if key.kind == "mail":
            return account.mail_factor
        return account.sms_factor[0] if key.kind == "phone" and account.sms_factor else None

    def _is_asked(self, who: Person, first: Key) -> bool:
        account = self.account
        if first.kind == "passkey" or not account.asks:
            return False
        return account.remembered.get(who.name) != account.epoch

    async def _through(
        self, who: Person, answer: httpx.Response, first: Key, *, must: bool
    ) -> Session | None:
        """Go on after a first factor, and judge what comes of it."""
        account = self.account
        found = answer.json()
        opens = account.state == "active" and first in account.firsts()
        if answer.status_code == 401 and found["error"] == "two_factor_required":
            metadata = found["metadata"]
            if metadata["user_id"] != account.user_id:
                return None
            assert opens, f"{first} fits nothing, and leads to the second factor"
            assert account.asks, "asked for a second factor that is not there"
            assert first.kind != "passkey", "a passkey is two factors"
            waiting = {name: metadata[name] for name in ("user_id", "challenge")}
            return await self._prove(who, waiting, first, must=must)
        session = who.opened(answer, account.epoch)
        if session is None:
            assert not (must and opens), f"{first} must open the account: {answer.status_code} {answer.text}"
            return None
        if session.user_id == account.user_id:
            self._note_mfa(session)
            assert opens, f"{first} fits nothing, and opened the account"
            assert not self._is_asked(who, first), f"{first} opened the account without the second factor"
            assert ("mfa" in session.amr) is (first.kind == "passkey"), session.amr
        return session

    def _note_mfa(self, session: Session) -> None:
        if "mfa" in session.amr:
            self.recovery = None

    async def _prove(self, who: Person, waiting: dict[str, str], first: Key, *, must: bool) -> Session | None:
        account = self.account
        contact = first.value if first.kind in {"mail", "phone"} else ""
        if must:
            seconds = self._seconds_after(contact)
        else:
            seconds = [key for key in who.keys if key.kind in {"app", "mail", "phone", "backup", "passkey"}]
        if not seconds:
            return None
        second = self.pick(sorted(seconds, key=lambda key: (key.kind, key.value)))
        remember = self.random.random() < 0.2
        answer = await who.second(waiting, second, self._factor_of(second), remember=remember)
        session = who.opened(answer, account.epoch)
        right = second in account.seconds()
        if session is None:
            assert not (must and right), f"{first} and {second}: {answer.status_code} {answer.text}"
            return None
        self._note_mfa(session)
        assert right, f"{second} is no second factor, and opened the account after {first}"
        same = second.kind in {"mail", "phone"} and second.value == first.value
        assert ("mfa" in session.amr) is not same, (session.amr, first, second)
        if second.kind == "backup":
            account.backup.remove(second.value)
        if remember:
            account.remembered[who.name] = account.epoch
        return session

    async def attempt(self, who: Person, first: Key) -> Session | None:
        """Somebody tries a key, of whatever time."""
        answer = await who.first(first, self.account.email)
        return await self._through(who, answer, first, must=False)

    # --- what ends ------------------------------------------------------------------------------------

    def end_sessions(self, keep: Session | None = None) -> None:
        """Every session of the account must be over, but for one."""
        for person in (self.owner, self.thief):
            for session in person.sessions:
                if session is not keep and session.user_id == self.account.user_id:
                    session.is_over = True

    async def is_live(self, session: Session) -> bool:
        """True if a session still answers, by its access token."""
        answer = await self.owner.call("GET", "/user/me", session)
        return answer.status_code == 200

    async def check(self) -> None:
        """What must hold after every step."""
        self.note_keys()
        account = self.account
        over = [
            session for person in (self.owner, self.thief) for session in person.sessions
            if session.is_over and session.user_id == account.user_id
        ][-3:]  # fmt: skip
        for session in over:
            assert not await self.is_live(session), "a session that was ended is live"
            again = await self.thief.call(
                "POST", "/token", grant_type="refresh_token", refresh_token=session.refresh
            )
            assert again.status_code != 200, "the refresh token of an ended session works"
        await self._check_authority()
        if account.state == "active":
            found = await self.service.admin.explain_user(account.user_id)
            assert found.can_sign_in, found
        await self._check_stored()

    async def _check_authority(self) -> None:
        """No session without two factors has the role or the organization that requires them."""
        account = self.account
        live = [
            session for person in (self.owner, self.thief) for session in person.sessions
            if not session.is_over and session.user_id == account.user_id
        ]  # fmt: skip
        if not live or self.random.random() > 0.3:
            return
        session = self.pick(live[-4:])
        answers = [
            await self.owner.call("GET", "/admin/users?limit=1", session),
            await self.owner.call("POST", "/token/org", session, org=self.org),
        ]
        proved = self._contact_of(session)
        # A factor that was added since counts in a session; a code to the contact that opened it does not.
        others = [key for key in account.seconds() if key.kind != "backup" and key.value != proved]
        may = "mfa" in session.amr or (account.asks and (not proved or bool(others)))
        for answer in answers:
            assert may or answer.status_code != 200, f"{session.amr}: {answer.request.url}"
            assert answer.status_code != 401 or account.state != "active", answer.text

    def _contact_of(self, session: Session) -> str:
        """The contact whose codes are all that a session has proved, or none."""
        if not session.amr <= {"otp", "sms"}:
            return ""
        return (self.account.phone if "sms" in session.amr else self.account.email) or ""

    async def _check_stored(self) -> None:
        account = self.account
        if account.state != "active":
            return
        found = await self.service.second_factors.list_for_user(account.user_id)
        assert found.enabled is account.asks, (found, account)
        stored = {factor.id for factor in found.factors if factor.kind != "passkey"}
        known = {*account.apps, *filter(None, [account.mail_factor])}
        known |= {account.sms_factor[0]} if account.sms_factor else set()
        assert stored == known, (stored, known)
        passkeys = {one.id for one in await self.service.passkeys.list_for_user(account.user_id)}
        assert passkeys == set(account.passkeys)
        user = await self.service.users.get(account.user_id)
        assert (user.email, user.phone_number) == (account.email, account.phone)

    def thief_has_the_keys(self) -> bool:
        """True if what was stolen opens the account by the rules."""
        return can_enter(self.account, self.thief.keys)


def user_of(session: Session) -> str:
    """The user of a session."""
    return str(claims_of(session.access)["sub"])
