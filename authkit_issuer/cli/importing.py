"""``authkit users import``: accounts with their password hashes, one JSON object a line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated

import msgspec
import typer

from authkit_issuer import identifiers
from authkit_issuer.cli.opening import ACTOR, run
from authkit_issuer.errors import AuthError, Invalid, Unavailable
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

    def __repr__(self) -> str:
        """Keep the hash out of logs."""
        return f"Account(id={self.id!r})"


@dataclass(slots=True, kw_only=True)
class Report:
    """The outcome of every line."""

    imported: int = 0
    present: int = 0
    refused: dict[int, str] = field(default_factory=dict[int, str])


_decode = msgspec.json.Decoder(Account).decode


def import_users(
    file: Annotated[typer.FileBinaryRead, typer.Argument(help="JSON lines; - is standard input.")],
) -> None:
    """Create accounts from a file; an account with a known id stays as it is."""
    report = run(lambda service: _import_all(service, file))
    typer.echo(f"imported {report.imported}, already there {report.present}, refused {len(report.refused)}")
    for number, why in report.refused.items():
        typer.echo(f"authkit: line {number}: {why}", err=True)
    if report.refused:
        raise typer.Exit(1)


async def _import_all(service: Service, lines: Iterable[bytes]) -> Report:
    """Import line by line, each in its own transaction; an outage stops it, a bad line does not."""
    report = Report()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            if await _import_one(service, _decode(line)):
                report.imported += 1
            else:
                report.present += 1
        except Unavailable:
            raise
        except (AuthError, msgspec.DecodeError) as error:
            report.refused[number] = str(error)
    return report


async def _import_one(service: Service, account: Account) -> bool:
    """Create the account with its password; False if its id exists."""
    user_id = None if account.id is None else identifiers.user_id(account.id)
    if account.id is not None and user_id is None:
        raise Invalid("The id is not a UUID.", param="id")
    if user_id is not None and await service.users.get(user_id) is not None:
        return False
    async with service.transaction() as tx:
        user = await tx.users.add(
            email=account.email or None,
            phone=account.phone_number or None,
            username=account.username or None,
            verified=account.email_verified,
            phone_verified=account.phone_verified,
            user_id=user_id,
            method="import",
            actor=ACTOR,
        )
        if account.password_hash:
            await tx.passwords.upsert_hash(
                user.id, account.password_hash, _algorithm(account), account.hash_params, actor=ACTOR
            )
    return True


def _algorithm(account: Account) -> str:
    """Return the given algorithm of the hash; without one, the hash itself says it."""
    return account.hash_algo or ""
