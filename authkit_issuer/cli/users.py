"""``authkit users``: users of the configured database, and the purge of deleted ones."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, TypeVar

import typer

from authkit_issuer import identifiers
from authkit_issuer.cli.importing import import_users
from authkit_issuer.cli.opening import ACTOR, run
from authkit_issuer.domains.accounts.service import User
from authkit_issuer.domains.lifecycle.service import Purged
from authkit_issuer.errors import RoleNotFound, UserNotFound
from authkit_issuer.service import Service

T = TypeVar("T")

app = typer.Typer(no_args_is_help=True, help="Users of the configured database.")

Who = Annotated[str, typer.Argument(help="Id, email address, phone number or user name.")]


def run_on(who: str, work: Callable[[Service, User], Awaitable[T]]) -> T:
    """Run ``work`` on the user; raises ``UserNotFound``."""

    async def found(service: Service) -> T:
        return await work(service, await _find(service, who))

    return run(found)


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


@app.command("create")
def create(
    email: Annotated[str, typer.Option(help="Email address.")] = "",
    username: Annotated[str, typer.Option(help="User name.")] = "",
) -> None:
    """Create an account without a password and print its id."""
    typer.echo(run(lambda service: service.users.create(email or None, username or None, actor=ACTOR)).id)


@app.command("list")
def list_users(
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The number of accounts.")] = 100,
    deleted: Annotated[bool, typer.Option("--deleted", help="Deleted accounts instead.")] = False,
) -> None:
    """Print the newest accounts: id, user name, email address, phone number, state."""
    now = datetime.now(UTC)
    for user in run(lambda service: service.users.newest(limit, deleted=deleted)):
        facts = (user.id, user.username, user.email, user.phone_number, _state(user, now))
        typer.echo("\t".join(fact or "-" for fact in facts))


def _state(user: User, now: datetime) -> str:
    if user.deleted_at is not None:
        return f"deleted {user.deleted_at:%Y-%m-%d}"
    if user.banned_at is None or (user.banned_until is not None and user.banned_until <= now):
        return "active"
    return f"banned until {user.banned_until:%Y-%m-%d %H:%M}Z" if user.banned_until else "banned"


@app.command("ban")
def ban(
    who: Who,
    reason: Annotated[str, typer.Option(help="The reason, kept with the account.")] = "",
    until: Annotated[datetime | None, typer.Option(help="The end of the ban, in UTC; default none.")] = None,
    *,
    force: Annotated[bool, typer.Option("--force", help="Even an organization's only owner.")] = False,
) -> None:
    """Ban a user and end every session."""
    end = until.replace(tzinfo=UTC) if until else None
    run_on(
        who,
        lambda service, user: service.lifecycle.ban(user.id, reason, end, force=force, actor=ACTOR),
    )


@app.command("unban")
def unban(who: Who) -> None:
    """Lift the ban of a user."""
    run_on(who, lambda service, user: service.lifecycle.unban(user.id, actor=ACTOR))


@app.command("delete")
def delete(
    who: Who,
    *,
    for_good: Annotated[bool, typer.Option("--for-good", help="At once and irreversibly.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Even an organization's only owner.")] = False,
) -> None:
    """Delete a user and end every session; reversible until the purge."""
    run_on(
        who,
        lambda service, user: service.lifecycle.delete(user.id, soft=not for_good, force=force, actor=ACTOR),
    )


@app.command("restore")
def restore(who: Who) -> None:
    """Undo the deletion of a user that is not purged yet."""
    run_on(who, lambda service, user: service.lifecycle.restore(user.id, actor=ACTOR))


@app.command("grant-role")
def grant_role(who: Who, role: Annotated[str, typer.Argument(help="A role of the catalog.")]) -> None:
    """Give a user a global role, such as admin."""
    try:
        run_on(who, lambda service, user: service.roles.assign(user.id, role, actor=ACTOR))
    except RoleNotFound as error:
        raise RoleNotFound(f"There is no role {role}; `authkit roles define {role}` adds it.") from error


@app.command("revoke-role")
def revoke_role(
    who: Who,
    role: Annotated[str, typer.Argument(help="A role the user holds.")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Even from the last administrator.")] = False,
) -> None:
    """Take a global role from a user."""
    run_on(who, lambda service, user: service.roles.remove(user.id, role, force=force, actor=ACTOR))


app.command("import")(import_users)


def purge(
    retention_days: Annotated[
        float | None, typer.Option(min=0, help="Days since the deletion; default as configured.")
    ] = None,
) -> None:
    """Delete for good the users and organizations whose retention has passed."""
    retention = None if retention_days is None else retention_days * 86_400
    report = run(lambda service: _purge(service, retention))
    typer.echo(f"purged {len(report.deleted)}")
    for user_id, error in report.failed.items():
        typer.echo(f"authkit: {user_id} was not purged: {error}", err=True)
    if report.failed:
        raise typer.Exit(1)


async def _purge(service: Service, retention: float | None) -> Purged:
    report = await service.lifecycle.purge_deleted(retention=retention)
    await service.orgs.purge_deleted(retention=retention)
    return report
