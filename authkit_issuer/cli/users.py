"""``authkit users``: users of the configured database.

No command takes a password: owners choose their own by a mailed link.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import typer

from authkit_issuer import identifiers
from authkit_issuer.cli import output
from authkit_issuer.cli.importing import import_users
from authkit_issuer.cli.opening import ACTOR, run
from authkit_issuer.cli.output import AsJson, Yes
from authkit_issuer.cli.refusals import UsageError
from authkit_issuer.config import Config
from authkit_issuer.config.settings import setting_of
from authkit_issuer.domains.accounts.service import User
from authkit_issuer.errors import RoleNotFound, StartupError, UserNotFound
from authkit_issuer.ports import SendFailure
from authkit_issuer.senders.configured import mail_sender, mails
from authkit_issuer.service import Service

T = TypeVar("T")

app = typer.Typer(no_args_is_help=True, help="Users of the configured database.")

Who = Annotated[str, typer.Argument(help="Id, email address, phone number or user name.")]
Force = Annotated[bool, typer.Option("--force", help="Even an organization's only owner.")]


def run_on(who: str, work: Callable[[Service, User], Awaitable[T]], *, reads: bool = False) -> tuple[User, T]:
    """Run ``work`` on the user and return both; raises ``UserNotFound``."""

    async def found(service: Service) -> tuple[User, T]:
        user = await _find(service, who)
        return user, await work(service, user)

    return run(found, reads=reads)


async def _find(service: Service, who: str) -> User:
    text = who.strip()
    if "@" in text:
        user = await service.users.get_by_email(text)
    elif identifiers.is_phone(text):
        user = await service.users.get_by_phone(text)
    else:
        user = await service.users.get(text) or await service.users.get_by_username(text)
    if user is None:
        raise UserNotFound
    return user


def _done(what: str, user: User, *, as_json: bool, detail: str = "") -> None:
    """Say what was done to whom."""
    name = user.username or user.email or user.phone_number or ""
    document = {"done": what, "id": user.id, "username": user.username, "email": user.email}
    text = f"{what} {name} ({user.id})" if name else f"{what} {user.id}"
    output.say(document, f"{text}{detail}", as_json=as_json)


@app.command("create")
def create(
    email: Annotated[str, typer.Option(help="Email address.")] = "",
    username: Annotated[str, typer.Option(help="User name.")] = "",
    *,
    verified: Annotated[
        bool,
        typer.Option("--verified", help="You know that the address is the user's: a reset may go to it."),
    ] = False,
    invite: Annotated[
        bool, typer.Option("--invite", help="As --verified, and mail a link to choose a password, for a day.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Create an account without a password and print its id."""
    if not email and not username:
        raise UsageError("Give --email or --username: an account without both cannot be found again.")
    if not email and (verified or invite):
        raise UsageError("--verified and --invite need --email.")

    async def work(service: Service) -> tuple[User, bool]:
        if invite:
            await _require_mailed_links(service.config, "--invite")
        user = await service.users.add(
            email=email or None, username=username or None, verified=verified or invite, actor=ACTOR
        )
        if invite:
            await service.passwords.request_reset(user.email or "", service.config.pending_email_ttl)
        by_message = user.email is not None and service.config.passwordless != "off"
        return user, user.email_verified or by_message

    user, can_sign_in = run(work)
    document = {"done": "created", "id": user.id, "username": user.username, "email": user.email}
    output.say(document, user.id, as_json=as_json)
    if not as_json and not can_sign_in:
        output.warn(
            "The account has no password and no verified address: nothing signs in to it yet. "
            "--invite mails a link to choose a password, --verified lets the user ask for one."
        )


async def _require_resets(config: Config, *, by_mail: bool) -> None:
    """Refuse a recovery whose reset could not arrive or be used."""
    if by_mail:
        await _require_mailed_links(config, "--email")
        return
    for name, why in (
        ("redis_url", "the reset would end with this command"),
        ("sms_url", "the reset goes by SMS"),
    ):
        if getattr(config, name) is None:
            raise UsageError(f"--phone needs {setting_of(name)}: {why}.")


async def _require_mailed_links(config: Config, option: str) -> None:
    """Refuse a link that could not arrive, or that could not be opened."""
    for name, why in (
        ("link_base_url", "the link leads to a page of your site"),
        ("redis_url", "the link would end with this command"),
        ("smtp_url", "the link goes by mail"),
    ):
        if getattr(config, name) is None:
            raise UsageError(f"{option} needs {setting_of(name)}: {why}.")
    sender = mail_sender(config, await asyncio.to_thread(mails, config), time.time, os.urandom)
    try:
        async with aclosing(sender):
            await sender.check()
    except SendFailure as error:
        raise StartupError(f"The mail server cannot be used, and nothing was created: {error}.") from error


@app.command("list")
def list_users(
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The number of accounts.")] = 100,
    deleted: Annotated[bool, typer.Option("--deleted", help="Deleted accounts instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the newest accounts: id, user name, email address, phone number, state."""
    now = datetime.now(UTC)
    found = run(lambda service: service.users.newest(limit, deleted=deleted), reads=True)
    rows = [
        {
            "id": user.id,
            "username": user.username,
            "email": user.email,
            "phone_number": user.phone_number,
            "state": _state(user, now),
        }
        for user in found
    ]
    output.show("users", rows, as_json=as_json)


def _state(user: User, now: datetime) -> str:
    if user.deleted_at is not None:
        return f"deleted {user.deleted_at:%Y-%m-%d}"
    if user.banned_at is None or (user.banned_until is not None and user.banned_until <= now):
        return "active"
    return f"banned until {user.banned_until:%Y-%m-%d %H:%M}Z" if user.banned_until else "banned"


@app.command("show")
def show(who: Who, *, as_json: AsJson = False) -> None:
    """Print one account: contacts, state, roles, logins, factors, sessions, and what stops a sign-in."""
    _, facts = run_on(who, _facts, reads=True)
    if as_json:
        output.say(facts, "", as_json=True)
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        for line in (value or ["-"]) if isinstance(value, list) else [value]:
            typer.echo(f"{name.replace('_', ' '):{width}}  {output.cell(line)}")


async def _facts(service: Service, user: User) -> dict[str, Any]:
    found = await service.admin.get_user(user.id)
    explained = await service.admin.explain_user(user.id)
    logins = await service.providers.list_for_user(user.id)
    second = await service.second_factors.list_for_user(user.id)
    return {
        "id": user.id,
        "username": user.username,
        "email": user.email,
        "email_verified": user.email_verified,
        "phone_number": user.phone_number,
        "phone_verified": user.phone_verified,
        "state": _state(user, datetime.now(UTC)),
        "ban_reason": user.ban_reason,
        "created_at": user.created_at,
        "last_login": user.last_login,
        "roles": found.roles,
        "logins": [login.provider_slug or login.issuer for login in logins],
        "second_factors": [f"{factor.kind} {factor.hint}".rstrip() for factor in second.factors],
        "backup_codes_left": second.backup_codes_left,
        "sessions": len(await service.sessions.list_for_user(user.id)),
        "can_sign_in": explained.can_sign_in,
        "obstacles": [obstacle.sentence for obstacle in explained.obstacles],
    }


@app.command("ban")
def ban(
    who: Who,
    reason: Annotated[str, typer.Option(help="The reason, kept with the account.")] = "",
    until: Annotated[datetime | None, typer.Option(help="The end of the ban, in UTC; default none.")] = None,
    *,
    force: Force = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Ban a user and end every session."""
    end = until.replace(tzinfo=UTC) if until else None
    output.confirm(f"Ban {who} and end every session?", yes=yes)
    user, _ = run_on(
        who,
        lambda service, user: service.lifecycle.ban(user.id, reason, end, force=force, actor=ACTOR),
    )
    detail = f" until {end:%Y-%m-%d %H:%M}Z" if end else ""
    _done("banned", user, as_json=as_json, detail=detail)


@app.command("unban")
def unban(who: Who, *, as_json: AsJson = False) -> None:
    """Lift the ban of a user."""
    user, _ = run_on(who, lambda service, user: service.lifecycle.unban(user.id, actor=ACTOR))
    _done("unbanned", user, as_json=as_json)


@app.command("delete")
def delete(
    who: Who,
    *,
    for_good: Annotated[bool, typer.Option("--for-good", help="At once and irreversibly.")] = False,
    force: Force = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Delete a user and end every session; reversible until the purge."""
    output.confirm(f"Delete {who} {'for good' if for_good else 'until it is restored'}?", yes=yes)
    user, _ = run_on(
        who,
        lambda service, user: service.lifecycle.delete(user.id, soft=not for_good, force=force, actor=ACTOR),
    )
    _done("deleted for good" if for_good else "deleted", user, as_json=as_json)


@app.command("restore")
def restore(who: Who, *, as_json: AsJson = False) -> None:
    """Undo the deletion of a user that is not purged yet."""
    user, _ = run_on(who, lambda service, user: service.lifecycle.restore(user.id, actor=ACTOR))
    _done("restored", user, as_json=as_json)


@app.command("recover")
def recover(
    who: Who,
    reason: Annotated[str, typer.Option(help="The reason, for the audit trail.")],
    email: Annotated[str, typer.Option(help="The owner's new email address, or the present one.")] = "",
    phone: Annotated[str, typer.Option(help="The owner's new phone number, in place of an address.")] = "",
    *,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Give an account back to its owner: drop every way in, and send a reset to a new contact."""
    if bool(email) == bool(phone):
        raise UsageError("Give --email or --phone: the reset goes to one new contact.")
    output.confirm(
        f"Drop the password, factors, passkeys, logins and sessions of {who}, "
        f"and send a reset to {email or phone}?",
        yes=yes,
    )

    async def work(service: Service, user: User) -> str:
        await _require_resets(service.config, by_mail=bool(email))
        return await service.lifecycle.recover(
            user.id, email=email or None, phone=phone or None, actor=ACTOR, reason=reason
        )

    user, _ = run_on(who, work)
    _done("recovered", user, as_json=as_json, detail=f"; the reset goes to {email or phone}")


@app.command("grant-role")
def grant_role(
    who: Who, role: Annotated[str, typer.Argument(help="A role of the catalog.")], *, as_json: AsJson = False
) -> None:
    """Give a user a global role, such as admin."""
    try:
        user, _ = run_on(who, lambda service, user: service.roles.assign(user.id, role, actor=ACTOR))
    except RoleNotFound as error:
        raise RoleNotFound(f"There is no role {role}; `authkit roles define {role}` adds it.") from error
    _done(f"granted {role} to", user, as_json=as_json)


@app.command("revoke-role")
def revoke_role(
    who: Who,
    role: Annotated[str, typer.Argument(help="A role the user holds.")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Even from the last administrator.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Take a global role from a user."""
    output.confirm(f"Take the role {role} from {who}?", yes=yes)
    user, held = run_on(
        who, lambda service, user: service.roles.remove(user.id, role, force=force, actor=ACTOR)
    )
    _done(f"revoked {role} of" if held else f"{role} is not a role of", user, as_json=as_json)


app.command("import")(import_users)
