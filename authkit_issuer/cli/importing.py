"""``authkit users import``: accounts with their password hashes, one JSON object a line.

``domains.credentials.password_update`` stores the hashes, ``security.foreign_hashes`` reads those of other
programs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer

from authkit_issuer import identifiers
from authkit_issuer.cli.opening import ACTOR, run
from authkit_issuer.domains.credentials.password_update import readable
from authkit_issuer.errors import AuthError, Invalid, InvalidPasswordHash, Unavailable
from authkit_issuer.service import Service


class Account(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of the file; without ``hash_algo`` the hash itself says it."""

    id: str | None = None
    email: str | None = None
    phone_number: str | None = None
    username: str | None = None
    email_verified: bool = False
    phone_verified: bool = False
    password_hash: str | None = None
    hash_algo: str | None = None
    hash_params: dict[str, object] | None = None
    created_at: datetime | None = None
    banned: bool = False
    banned_until: datetime | None = None
    ban_reason: str | None = None

    def __repr__(self) -> str:
        """Keep the hash out of logs."""
        return f"Account(id={self.id!r})"


@dataclass(slots=True, kw_only=True)
class Report:
    """The outcome of every line; ``present`` counts accounts that exist already."""

    imported: int = 0
    present: int = 0
    without_password: int = 0
    refused: dict[int, str] = field(default_factory=dict[int, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    derive_usernames: bool
    drop_unusable_hashes: bool


_decode = msgspec.json.Decoder(Account).decode


def import_users(
    file: Annotated[typer.FileBinaryRead, typer.Argument(help="JSON lines; - is standard input.")],
    *,
    derive_usernames: Annotated[
        bool, typer.Option(help="Derive a user name of our form from one that has another.")
    ] = False,
    drop_unusable_hashes: Annotated[
        bool, typer.Option(help="Create an account without a password where its hash cannot be used.")
    ] = False,
) -> None:
    """Create accounts from a file; an account with a known id or contact stays as it is."""
    options = _Options(derive_usernames=derive_usernames, drop_unusable_hashes=drop_unusable_hashes)
    report = run(lambda service: _import_all(service, file, options))
    typer.echo(f"imported {report.imported}, already there {report.present}, refused {len(report.refused)}")
    if report.without_password:
        typer.echo(f"without a password: {report.without_password}")
    for number, why in report.refused.items():
        typer.echo(f"authkit: line {number}: {why}", err=True)
    if report.refused:
        raise typer.Exit(1)


async def _import_all(service: Service, lines: Iterable[bytes], options: _Options) -> Report:
    """Import line by line, each in its own transaction; an outage stops it, a bad line does not."""
    report = Report()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            account = _with_usable_hash(_decode(line), options, report)
            if await _import_one(service, account, options):
                report.imported += 1
            else:
                report.present += 1
        except Unavailable:
            raise
        except (AuthError, msgspec.DecodeError) as error:
            report.refused[number] = str(error)
    return report


def _with_usable_hash(account: Account, options: _Options, report: Report) -> Account:
    """Return the account, without its hash where that cannot be used and may be dropped."""
    if not options.drop_unusable_hashes or not account.password_hash:
        return account
    try:
        readable(account.password_hash, _algorithm(account))
    except InvalidPasswordHash:
        report.without_password += 1
        return msgspec.structs.replace(account, password_hash=None)
    return account


async def _import_one(service: Service, account: Account, options: _Options) -> bool:
    """Create the account with its password and ban; False if it exists."""
    user_id = None if account.id is None else identifiers.uuid_or_none(account.id)
    if account.id is not None and user_id is None:
        raise Invalid("The id is not a UUID.", param="id")
    if account.created_at is not None and (
        account.created_at.tzinfo is None or account.created_at > datetime.now(UTC)
    ):
        raise Invalid("created_at must name a time zone, and not be in the future.", param="created_at")
    if await _exists(service, account, user_id):
        return False
    async with service.transaction() as tx:
        user = await tx.users.add(
            email=account.email or None,
            phone=account.phone_number or None,
            username=await _username(service, account, options),
            verified=account.email_verified,
            phone_verified=account.phone_verified,
            user_id=user_id,
            created_at=account.created_at,
            method="import",
            actor=ACTOR,
        )
        if account.password_hash:
            await tx.passwords.upsert_hash(
                user.id, account.password_hash, _algorithm(account), account.hash_params, actor=ACTOR
            )
        if account.banned:
            await tx.lifecycle.ban(user.id, account.ban_reason, account.banned_until, actor=ACTOR)
    return True


async def _exists(service: Service, account: Account, user_id: str | None) -> bool:
    """True if a former run imported the account; its id decides, without one its contacts, then its name."""
    users = service.users
    if user_id is not None:
        return await users.get(user_id) is not None
    if account.email:
        return await users.get_by_email(account.email) is not None
    if account.phone_number:
        return await users.get_by_phone(account.phone_number) is not None
    return bool(account.username) and await users.get_by_username(account.username or "") is not None


async def _username(service: Service, account: Account, options: _Options) -> str | None:
    if not account.username or not options.derive_usernames:
        return account.username or None
    try:
        return identifiers.username(account.username, reserved=service.config.reserved_usernames)
    except Invalid:
        return await service.usernames.generate_available(account.username)


def _algorithm(account: Account) -> str:
    """Return the given algorithm of the hash; without one, the hash itself says it."""
    return account.hash_algo or ""
