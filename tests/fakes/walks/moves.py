"""What the owner does with the account, each in a session that is opened for it."""

from __future__ import annotations

from typing import Any

from authkit_issuer.security.siws import SignInInput
from fakes.factors import app_code
from fakes.passkeys import Authenticator
from fakes.walks.account import KINDS
from fakes.walks.flows import finish
from fakes.walks.person import Session
from fakes.walks.world import PASSWORD, World
from fakes.wallets import Wallet


def ok(answer: Any) -> dict[str, Any]:
    """The body of an answer that must not be a refusal."""
    assert answer.status_code in {200, 202}, (str(answer.request.url), answer.status_code, answer.text)
    return answer.json()


async def change_password(w: World) -> None:
    session = await w.enter()
    new = w.fresh(PASSWORD)
    ok(
        await w.owner.call(
            "POST", "/user/password", session, current_password=w.account.password, new_password=new
        )
        if w.account.password
        else await w.owner.call("POST", "/user/password", session, new_password=new)
    )
    w.account.password = new
    w.account.moved()
    w.end_sessions(keep=session)


async def reset_password(w: World) -> None:
    account, owner = w.account, w.owner
    contact = w.pick([key.value for key in account.firsts() if key.kind in {"mail", "phone"}])
    started = ok(await owner.call("POST", "/password/reset/request", identifier=contact))
    new = w.fresh(PASSWORD)
    ok(await owner.redeem_reset(contact, started["request_id"], await owner.sent_reset(contact), new))
    account.password = new
    account.moved()
    w.end_sessions()


async def sign_out_everywhere(w: World) -> None:
    session = await w.enter()
    ok(await w.owner.call("DELETE", "/user/sessions", session))
    w.account.moved()
    w.end_sessions()


async def end_thiefs_session(w: World) -> None:
    session = await w.enter()
    live = [one for one in w.thief.sessions if not one.is_over and one.user_id == w.account.user_id]
    if live:
        victim = w.pick(live)
        ok(await w.owner.call("DELETE", f"/user/sessions/{victim.id}", session))
        victim.is_over = True


async def link_login(w: World) -> None:
    slug = w.pick(w.idps)
    session = await w.enter()
    begun = ok(await w.owner.call("POST", f"/oidc/{slug}/link/native/start", session))
    subject = w.fresh("sub")
    token = w.owner.id_token(slug, subject, begun["nonce"])
    answer = await w.owner.call("POST", f"/oidc/{slug}/native", login_id=begun["login_id"], id_token=token)
    if slug in w.account.logins:
        w.account.moved()
    ok(answer)
    w.account.logins[slug] = subject


async def unlink_login(w: World) -> None:
    if not w.account.logins:
        return
    session = await w.enter()
    slug = w.pick(w.account.logins)
    ok(await w.owner.call("DELETE", f"/user/providers/{slug}", session))
    del w.account.logins[slug]
    w.account.moved()


async def link_wallet(w: World) -> None:
    session = await w.enter()
    wallet = Wallet()
    asked = ok(await w.owner.call("POST", "/solana/challenge", address=wallet.address))
    output = wallet.sign(SignInInput.from_json(asked["input"])).to_json()
    ok(await w.owner.call("POST", "/solana/link", session, output=output, replace=True))
    if w.account.wallet:
        w.account.moved()
    w.account.wallet = wallet


async def unlink_wallet(w: World) -> None:
    if not w.account.wallet:
        return
    session = await w.enter()
    ok(await w.owner.call("DELETE", "/user/providers/solana", session))
    w.account.wallet = None
    w.account.moved()


async def add_passkey(w: World) -> None:
    session = await w.enter()
    holder = Authenticator()
    options = ok(await w.owner.call("POST", "/passkeys/register/begin", session))["options"]
    made = await w.owner.call("POST", "/passkeys/register/finish", session, credential=holder.create(options))
    w.account.passkeys[ok(made)["id"]] = holder


async def remove_passkey(w: World) -> None:
    if not w.account.passkeys:
        return
    session = await w.enter()
    one = w.pick(w.account.passkeys)
    ok(await w.owner.call("DELETE", f"/passkeys/{one}", session))
    del w.account.passkeys[one]
    w.account.without_factors()
    w.account.moved()


def _enabled(w: World, answer: Any, session: Session) -> str:
    found = ok(answer)
    if found.get("backup_codes"):
        w.account.backup = found["backup_codes"]
        w.end_sessions(keep=session)  # the organization requires the factor, which is the first one
    w.account.asks = True
    w.account.moved()
    return found["id"]


async def add_app(w: World) -> None:
    if len(w.account.apps) >= 4:
        return
    session = await w.enter()
    secret = ok(await w.owner.call("POST", "/user/2fa/totp/begin", session))["secret"]
    added = await w.owner.call("POST", "/user/2fa/totp/confirm", session, code=app_code(secret, 0))
    w.account.apps[_enabled(w, added, session)] = secret


async def add_mail_factor(w: World) -> None:
    if w.account.mail_factor:
        return
    session = await w.enter()
    ok(await w.owner.call("POST", "/user/2fa/start-email", session))
    code = (await w.owner.sent(w.account.email)).code
    added = await w.owner.call("POST", "/user/2fa/factors", session, kind="email", code=code)
    w.account.mail_factor = _enabled(w, added, session)


async def add_sms_factor(w: World) -> None:
    if w.account.sms_factor:
        return
    session = await w.enter()
    number = f"+4915{w.fresh('')[-9:].zfill(9)}"
    ok(await w.owner.call("POST", "/user/2fa/start-phone", session, phone=number))
    code = (await w.owner.sent(number)).code
    added = await w.owner.call(
        "POST", "/user/2fa/factors", session, kind="sms", phone_number=number, code=code
    )
    w.account.sms_factor = (_enabled(w, added, session), number)


async def remove_factor(w: World) -> None:
    account = w.account
    ids = [*account.apps, *filter(None, [account.mail_factor]), *(account.sms_factor or ())[:1]]
    if not ids:
        return
    session = await w.enter()
    one = w.pick(ids)
    ok(await w.owner.call("DELETE", f"/user/2fa/factors/{one}", session))
    account.apps.pop(one, None)
    if account.mail_factor == one:
        account.mail_factor = None
    if account.sms_factor and account.sms_factor[0] == one:
        account.sms_factor = None
    account.without_factors()
    account.moved()


async def disable_factors(w: World) -> None:
    account = w.account
    if not account.asks:
        return
    session = await w.enter()
    ok(await w.owner.call("POST", "/user/2fa/disable", session))
    account.apps, account.mail_factor, account.sms_factor = {}, None, None
    account.backup, account.asks = [], False
    account.moved()


async def new_backup_codes(w: World) -> None:
    if not w.account.asks:
        return
    session = await w.enter()
    w.account.backup = ok(await w.owner.call("POST", "/user/2fa/regenerate-codes", session))["backup_codes"]


async def change_email(w: World) -> None:
    session = await w.enter()
    new = f"{w.fresh('new')}@example.test"
    body = {"password": w.account.password} if w.account.password else {}
    ok(await w.owner.call("POST", "/user/email/change/request", session, new_email=new, **body))
    code = (await w.owner.sent(new)).code
    ok(await w.owner.call("POST", "/user/email/change/confirm", session, code=code))
    w.account.email = new
    if w.account.mail_factor:
        w.account.moved()


async def change_phone(w: World) -> None:
    session = await w.enter()
    new = f"+4917{w.fresh('')[-9:].zfill(9)}"
    body = {"password": w.account.password} if w.account.password else {}
    ok(await w.owner.call("POST", "/user/phone/change/request", session, phone_number=new, **body))
    code = (await w.owner.sent(new)).code
    ok(await w.owner.call("POST", "/user/phone/change/confirm", session, phone_number=new, code=code))
    w.account.phone, w.account.phone_is_verified = new, True


async def delete_and_restore(w: World) -> None:
    account = w.account
    session = await w.enter()
    ok(await w.owner.call("DELETE", "/user", session))
    account.state = "deleted"
    w.end_sessions()
    await w.check()
    await attack(w)
    if w.random.random() < 0.5 and account.password:
        body = {"identifier": account.email, "password": account.password}
        ok(await w.owner.call("POST", "/deleted-account/restore", **body))
    else:
        await w.service.lifecycle.restore(account.user_id, actor=w.operator)
    account.state = "active"
    account.moved()


async def ban_and_unban(w: World) -> None:
    account = w.account
    await w.service.admin.ban(account.user_id, actor=w.operator)
    account.state = "banned"
    w.end_sessions()
    await w.check()
    await attack(w)
    await finish(w)
    await w.service.lifecycle.unban(account.user_id, actor=w.operator)
    account.state = "active"
    account.moved()


async def operator_recovers(w: World) -> None:
    account = w.account
    new = f"{w.fresh('rec')}@example.test"
    await w.service.lifecycle.recover(account.user_id, email=new, actor=w.operator, reason="lost")
    account.email = new
    account.phone_is_verified = False
    account.lost_ways_in()
    account.asks, account.backup = False, []
    account.moved()
    w.end_sessions()


async def operator_ends_sessions(w: World) -> None:
    await w.service.admin.revoke_sessions(w.account.user_id, actor=w.operator)
    w.account.moved()
    w.end_sessions()


async def hours_pass(w: World) -> None:
    """Every session was proved an hour ago."""
    await w.service.pool.execute(
        "update profiles.refresh_sessions set auth_time = auth_time - interval '1 hour'"
        " where user_id = $1::uuid",
        w.account.user_id,
    )
    for person in (w.owner, w.thief):
        for session in person.sessions:
            session.is_stale = True


async def attack(w: World) -> None:
    """The thief tries a stolen key."""
    if w.thief.keys:
        first = w.pick(sorted(w.thief.keys, key=lambda key: (key.kind, key.value)))
        if first.kind not in {"app", "backup"}:
            await w.attempt(w.thief, first)


async def steal(w: World) -> None:
    """The thief gets hold of keys of other kinds, and keeps those of before."""
    w.loot = w.random.sample(KINDS, 3)


async def lose(w: World) -> None:
    """The thief begins again with nothing."""
    w.thief.keys.clear()
    w.loot = []


async def attack_with_former(w: World) -> None:
    """A key that the account had opens nothing, whatever the second factor."""
    now = {*w.account.firsts(), *w.account.seconds()}
    gone = [key for key in w.former - now if key.kind not in {"app", "backup"}]
    if gone:
        first = w.pick(sorted(gone, key=lambda key: (key.kind, key.value)))
        await w.attempt(w.thief, first)


async def use_former_second(w: World) -> None:
    """The thief knows a first factor, and a second one that was removed or used."""
    account = w.account
    gone = [
        key
        for key in w.former - set(account.seconds())
        if key.kind in {"app", "backup", "phone", "mail", "passkey"}
    ]
    if not account.asks or not gone or account.state != "active":
        return
    first = w.pick([key for key in account.firsts() if key.kind != "passkey"])
    kept, w.thief.keys = w.thief.keys, {w.pick(sorted(gone, key=lambda key: (key.kind, key.value)))}
    await w.attempt(w.thief, first)
    w.thief.keys = kept


ADDING = (
    link_login, link_wallet, change_phone, add_passkey, add_app, add_app, add_mail_factor, add_sms_factor,
)  # fmt: skip
"""What an owner adds to an account."""
OTHERS = (
    change_password, reset_password, sign_out_everywhere, end_thiefs_session, operator_ends_sessions,
    unlink_login, unlink_wallet, remove_passkey, remove_factor, remove_factor, disable_factors,
    change_email, new_backup_codes, hours_pass, delete_and_restore, ban_and_unban, operator_recovers,
    steal, lose, attack, attack, attack_with_former, use_former_second,
)  # fmt: skip
"""What else an owner, an operator and a thief do."""
