"""What is begun and finished later: sign-ins, resets, changes and enrollments in flight."""

from __future__ import annotations

from typing import Any

from authkit_issuer.security.siws import SignInInput
from fakes.factors import app_code
from fakes.passkeys import Authenticator
from fakes.walks.account import Key
from fakes.walks.person import Session, claims_of
from fakes.walks.world import PASSWORD, Begun, World
from fakes.wallets import Wallet


def _sorted(keys: Any) -> list[Key]:
    return sorted(keys, key=lambda key: (key.kind, key.value))


def _live(w: World) -> list[Session]:
    return [one for one in w.thief.sessions if not one.is_over and one.user_id == w.account.user_id]


async def begin(w: World) -> None:
    """The thief begins something with the keys of now."""
    w.note_keys()
    keys = {*w.account.firsts(), *w.account.seconds()}
    w.thief.keys |= {key for key in keys if key.kind in w.loot}
    await w.pick(KINDS)(w)


def _firsts(w: World) -> list[Key]:
    return _sorted(key for key in w.account.firsts() if key in w.thief.keys)


async def sign_in(w: World) -> None:
    """A first factor that is proved and not presented yet."""
    if w.account.state == "active" and (keys := _firsts(w)):
        key = w.pick(keys)
        finish = await w.thief.begin(key, w.account.email)
        w.begun.append(
            Begun(what=f"sign-in by {key.kind}", who=w.thief, epoch=w.account.epoch, finish=finish, needs=key)
        )


async def challenge(w: World) -> None:
    """A sign-in that waits for its second factor."""
    if not (w.account.state == "active" and w.account.asks and (keys := _firsts(w))):
        return
    key = w.pick(keys)
    answer = await w.thief.first(key, w.account.email)
    found = answer.json()
    if found.get("error") != "two_factor_required":
        w.thief.opened(answer, w.account.epoch)
        return
    waiting = {name: found["metadata"][name] for name in ("user_id", "challenge")}
    second = w.pick(w.account.seconds())
    w.begun.append(
        Begun(
            what=f"challenge after {key.kind}, by {second.kind}",
            who=w.thief,
            epoch=w.account.epoch,
            needs=second,
            finish=lambda: w.thief.second(waiting, second, w._factor_of(second)),
        )
    )


async def reset(w: World) -> None:
    """A reset whose code was read and not used."""
    contacts = [key for key in _firsts(w) if key.kind in {"mail", "phone"}]
    if not contacts or w.account.state != "active":
        return
    key = w.pick(contacts)
    started = await w.thief.call("POST", "/password/reset/request", identifier=key.value)
    message, request_id = await w.thief.sent_reset(key.value), started.json()["request_id"]
    if message is None:
        return
    new = w.fresh(PASSWORD)

    def done(_: Any) -> None:
        w.account.password = new
        w.account.moved()
        w.end_sessions()
        w.thief.keys.add(Key(kind="password", value=new))

    w.begun.append(
        Begun(
            what="reset",
            who=w.thief,
            epoch=w.account.epoch,
            needs=key,
            done=done,
            finish=lambda: w.thief.redeem_reset(key.value, request_id, message, new),
        )
    )


async def session(w: World) -> None:
    """A session of the thief, who has the keys."""
    if not w.thief_has_the_keys():
        return
    await w.service.pool.execute("update profiles.second_factors set last_step = -1")
    if firsts := _firsts(w):
        await w.attempt(w.thief, w.pick(firsts))


async def recovery(w: World) -> None:
    """A recovery by the thief, who has a first factor; its owner does nothing, or something, meanwhile."""
    account = w.account
    keys = [key for key in _firsts(w) if key.kind != "passkey"]
    if not (account.state == "active" and account.asks and keys):
        return
    key = w.pick(keys)
    begun = await _waiting(w, key)
    started = await w.thief.call("POST", "/recovery/start", **begun) if begun else None
    if begun is None or started is None or started.status_code != 200:
        return
    w.recovery = w.recovery if w.recovery is not None else account.epoch
    await w.thief.delivered()

    def done(_: Any) -> None:
        account.lost_factors()
        account.asks, account.backup = False, []
        account.moved()
        w.end_sessions(keep=w.thief.sessions[-1])
        w.recovery = None

    w.begun.append(
        Begun(
            what="recovery",
            who=w.thief,
            epoch=account.epoch,
            needs=key,
            finish=lambda: _complete(w, key, begun),
            done=done,
        )
    )


async def _waiting(w: World, key: Key) -> dict[str, str] | None:
    """Begin a sign-in that waits for a second factor."""
    found = (await w.thief.first(key, w.account.email)).json()
    if found.get("error") != "two_factor_required" or found["metadata"]["user_id"] != w.account.user_id:
        return None
    return {name: found["metadata"][name] for name in ("user_id", "challenge")}


async def _complete(w: World, key: Key, begun: dict[str, str]) -> Any:
    """Let the wait pass, with its notices, and complete the recovery by another sign-in."""
    for table, columns in _TIMES.items():
        moved = ", ".join(f"{name} = {name} - interval '25 hours'" for name in columns.split())
        await w.service.pool.execute(
            f"update profiles.{table} set {moved} where user_id = $1::uuid", w.account.user_id
        )
    await w.service.recovery.remind()
    await w.thief.delivered()
    answer = await w.thief.call("POST", "/recovery/complete", **(await _waiting(w, key) or begun))
    if answer.status_code == 200:
        assert w.recovery == w.account.epoch, "a recovery that a change or a proof had ended is complete"
    return answer


_TIMES = {
    "recovery_requests": "started_at completes_at expires_at next_notice_at noticed_at cancelled_at",
    "refresh_sessions": "auth_time",
}


async def _in_session(w: World, what: str, path: str, finish: Any, done: Any = None, **body: Any) -> None:
    live = _live(w)
    if not live:
        return
    one = w.pick(live)
    answer = await w.thief.call("POST", path, one, **body)
    if one.is_stale and path not in {"/step-up/2fa", "/solana/challenge"}:
        # The password of a user without a second factor is a proof as well.
        proved = "password" in body and not w.account.asks
        assert proved or answer.status_code != 200, f"an old proof was enough: {path} {answer.text}"
    if answer.status_code not in {200, 202}:
        return
    end = await finish(one, answer.json())
    w.begun.append(
        Begun(
            what=what,
            who=w.thief,
            epoch=w.account.epoch,
            session=one,
            finish=end,
            done=done or (lambda _: None),
        )
    )


async def email_change(w: World) -> None:
    new = f"{w.fresh('thief')}@example.test"

    async def finish(one: Session, _: Any) -> Any:
        message = await w.thief.sent(new)
        return lambda: w.thief.call("POST", "/user/email/change/confirm", one, code=message.code)

    def done(_: Any) -> None:
        w.account.email = new
        if w.account.mail_factor:
            w.account.moved()

    body = {"password": w.account.password} if w.account.password else {}
    await _in_session(w, "email change", "/user/email/change/request", finish, done, new_email=new, **body)


async def phone_change(w: World) -> None:
    new = f"+4916{w.fresh('')[-9:].zfill(9)}"

    async def finish(one: Session, _: Any) -> Any:
        message = await w.thief.sent(new)
        return lambda: w.thief.call(
            "POST", "/user/phone/change/confirm", one, phone_number=new, code=message.code
        )

    def done(_: Any) -> None:
        w.account.phone, w.account.phone_is_verified = new, True

    body = {"password": w.account.password} if w.account.password else {}
    await _in_session(w, "phone change", "/user/phone/change/request", finish, done, phone_number=new, **body)


async def passkey(w: World) -> None:
    holder = Authenticator()

    async def finish(one: Session, begun: Any) -> Any:
        credential = holder.create(begun["options"])
        return lambda: w.thief.call("POST", "/passkeys/register/finish", one, credential=credential)

    def done(answer: Any) -> None:
        w.account.passkeys[answer.json()["id"]] = holder

    await _in_session(w, "passkey registration", "/passkeys/register/begin", finish, done)


async def app(w: World) -> None:
    secrets: list[str] = []
    asking: list[Session] = []

    async def finish(one: Session, begun: Any) -> Any:
        secrets.append(begun["secret"])
        asking.append(one)
        return lambda: w.thief.call("POST", "/user/2fa/totp/confirm", one, code=app_code(begun["secret"], 0))

    def done(answer: Any) -> None:
        w.account.apps[answer.json()["id"]] = secrets[0]
        if codes := answer.json().get("backup_codes"):
            w.account.backup = codes
            w.end_sessions(keep=asking[0])  # as in ``moves``: the first factor is a required one
        w.account.asks = True
        w.account.moved()

    await _in_session(w, "app enrollment", "/user/2fa/totp/begin", finish, done)


async def login(w: World) -> None:
    slug, subject = w.pick(w.idps), w.fresh("thief")

    async def finish(one: Session, begun: Any) -> Any:
        token = w.thief.id_token(slug, subject, begun["nonce"])
        body = {"login_id": begun["login_id"], "id_token": token}
        return lambda: w.thief.call("POST", f"/oidc/{slug}/native", **body)

    def done(_: Any) -> None:
        if slug in w.account.logins:
            w.account.moved()
        w.account.logins[slug] = subject

    await _in_session(w, "native link", f"/oidc/{slug}/link/native/start", finish, done)


async def wallet(w: World) -> None:
    made = Wallet()

    async def finish(one: Session, begun: Any) -> Any:
        output = made.sign(SignInInput.from_json(begun["input"])).to_json()
        return lambda: w.thief.call("POST", "/solana/link", one, output=output, replace=True)

    def done(_: Any) -> None:
        if w.account.wallet:
            w.account.moved()
        w.account.wallet = made

    await _in_session(w, "wallet link", "/solana/challenge", finish, done, address=made.address)


async def step_up(w: World) -> None:
    """A code that makes a stolen session fresh."""
    reachable = [key for key in w.thief.keys if key.kind in {"mail", "phone"}]
    asking: list[Session] = []

    async def finish(one: Session, _: Any) -> Any:
        asking.append(one)
        messages = [await w.thief.sent(key.value) for key in _sorted(reachable)]
        code = next((message.code for message in reversed(messages) if message), "000000")
        return lambda: w.thief.call("POST", "/step-up/2fa", one, code=code)

    def done(answer: Any) -> None:
        one = asking[0]
        one.access, one.is_stale = answer.json()["access_token"], False
        one.amr = set(claims_of(one.access)["amr"])
        assert "mfa" not in one.amr or w.account.asks, one.amr

    await _in_session(w, "step-up code", "/step-up/2fa", finish, done)


async def finish(w: World) -> None:
    """Finish something that was begun."""
    if w.begun:
        await _finish(w, w.pick(w.begun))


async def finish_late(w: World) -> None:
    """Finish what was begun before the account changed, or in a session that is over: none of it works."""
    late = [
        one for one in w.begun
        if one.epoch != w.account.epoch or (one.session is not None and one.session.is_over)
    ]  # fmt: skip
    for one in late:
        w.begun.remove(one)
    for one in late[-4:]:
        await _finish(w, one)


async def _finish(w: World, one: Begun) -> None:
    """Finish it: that works at its epoch, while its key and its session are good, or not at all."""
    answer = await one.finish()
    found, account = answer.json(), w.account
    is_challenge = found.get("error") == "two_factor_required"
    opened = one.who.opened(answer, account.epoch)
    user_id = found["metadata"]["user_id"] if is_challenge else opened.user_id if opened else account.user_id
    if not (answer.status_code == 200 or is_challenge) or user_id != account.user_id:
        return
    _judge(w, one, answer)
    if answer.status_code == 200 and one.what not in _REPEATABLE:
        one.is_done = True
        if one.needs is not None and one.needs.kind == "backup":
            account.backup.remove(one.needs.value)
        one.done(answer)


_REPEATABLE = {"sign-in by password"}
"""What is good more than once."""
_PROVED_AT_THE_END = {
    *(f"sign-in by {kind}" for kind in ("password", "login", "wallet", "passkey")), "wallet link",
}  # fmt: skip
"""What is about no account before its end, where the key is read."""


def _judge(w: World, one: Begun, answer: Any) -> None:
    account = w.account
    where = f"{one.what}, begun at {one.epoch}, now {account.epoch}: {answer.status_code} {answer.text[:200]}"
    keys = {*account.firsts(), *account.seconds()}
    assert account.state == "active", f"the account is {account.state}: {where}"
    assert one.what in _PROVED_AT_THE_END or one.epoch == account.epoch, f"the account changed: {where}"
    assert not one.is_done, f"it was done before: {where}"
    assert one.needs is None or one.needs in keys, f"its key is gone: {where}"
    assert one.session is None or not one.session.is_over, f"its session is over: {where}"


KINDS = (
    sign_in, challenge, reset, session, session, recovery, email_change, phone_change, passkey, app, login,
    wallet, step_up,
)  # fmt: skip
"""What the thief begins."""
