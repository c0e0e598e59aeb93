"""``authkit users import``: accounts with their password hashes, row by row, and what became of each.

``domains.credentials.password_update`` stores the hashes, ``security.foreign_hashes`` reads those of other
programs; ``cli.import_format`` has the fields.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from authkit_issuer import identifiers
from authkit_issuer.cli import import_format, output
from authkit_issuer.cli.import_format import SHOWABLE, Account, Row
from authkit_issuer.cli.opening import ACTOR, run
from authkit_issuer.cli.output import AsJson
from authkit_issuer.domains.credentials.password_update import readable
from authkit_issuer.errors import AuthError, Conflict, Invalid, InvalidPasswordHash, StartupError, Unavailable
from authkit_issuer.service import Service

AT_ONCE = 8
"""Rows that are imported at once."""
SHOWN = 20
"""Refused rows that are printed; a report file has all."""


class Form(StrEnum):
    """The form of the file."""

    jsonl = "jsonl"
    csv = "csv"


@dataclass(slots=True, kw_only=True)
class Outcome:
    """The outcome of the rows so far; ``present`` counts accounts that exist already."""

    imported: int = 0
    present: int = 0
    without_password: int = 0
    refused: int = 0
    line: int = 0
    """The last line that was read."""
    stopped: str = ""
    """Why the rest was not read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    derive_usernames: bool
    drop_unusable_hashes: bool
    dry_run: bool
    report: TextIO | None
    as_json: bool


class _DryRunError(Exception):
    """Ends the transaction of a row that only tries."""


def import_users(
    file: Annotated[typer.FileBinaryRead, typer.Argument(help="The accounts; - is standard input.")],
    *,
    form: Annotated[
        Form | None, typer.Option("--format", help="jsonl or csv; by default the file's name decides.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check every row, and change nothing.")] = False,
    report: Annotated[
        Path | None, typer.Option(help="A new file for the refused rows: JSON lines with field and reason.")
    ] = None,
    derive_usernames: Annotated[
        bool, typer.Option(help="Derive a user name of our form from one that has another.")
    ] = False,
    drop_unusable_hashes: Annotated[
        bool, typer.Option(help="Create an account without a password where its hash cannot be used.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Create accounts from a file of JSON lines or CSV; safe to repeat after an interruption.

    A row is recognized by its id, else by its email address, phone number, user name or logins: an account
    that exists already stays as it is. The page "Import users" of the documentation has the
    fields.
    """
    found = import_format.rows(file, import_format.form_of(file.name, form and form.value))
    with _report_file(report) as refusals:
        options = _Options(
            derive_usernames=derive_usernames,
            drop_unusable_hashes=drop_unusable_hashes,
            dry_run=dry_run,
            report=refusals if report else None,
            as_json=as_json,
        )
        outcome = run(lambda service: _Import(service, options).all(found))
    _print(outcome, options, report)
    interrupted = 130 if outcome.stopped == "interrupted" else 1
    raise typer.Exit(interrupted if outcome.stopped else 1 if outcome.refused else 0)


def _report_file(path: Path | None) -> TextIO:
    """Open the report, which its owner alone may read: it repeats addresses."""
    try:
        descriptor = os.open(path or os.devnull, os.O_WRONLY | os.O_CREAT | (os.O_EXCL if path else 0), 0o600)
    except OSError as error:
        raise StartupError(f"{path} cannot be written: {error.strerror}; name a new file.") from error
    return os.fdopen(descriptor, "w", encoding="utf-8")


def _print(outcome: Outcome, options: _Options, report: Path | None) -> None:
    done = "would import" if options.dry_run else "imported"
    lines = [f"{done} {outcome.imported}, already there {outcome.present}, refused {outcome.refused}"]
    if outcome.without_password:
        lines.append(f"without a password: {outcome.without_password}")
    document = {
        "imported": outcome.imported,
        "present": outcome.present,
        "refused": outcome.refused,
        "without_password": outcome.without_password,
        "dry_run": options.dry_run,
        "last_line": outcome.line,
        "stopped": outcome.stopped or None,
        "report": str(report) if report else None,
    }
    output.say(document, "\n".join(lines), as_json=options.as_json)
    if options.as_json:
        return
    if outcome.refused > SHOWN:
        more = f"{report} has all of them" if report else "--report FILE keeps all of them"
        output.warn(f"{outcome.refused - SHOWN} more rows were refused; {more}.")
    if outcome.stopped:
        output.warn(f"Stopped after line {outcome.line} ({outcome.stopped}); the same command continues.")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """A row: its members as they are, and the account that they mean or what is wrong with them."""

    number: int
    members: dict[str, object]
    account: Account | AuthError


@dataclass(frozen=True, slots=True, kw_only=True)
class _Result:
    """A row that is an account now: created, or there before."""

    created: bool
    without_password: bool


class _Import:
    """One run over a file."""

    def __init__(self, service: Service, options: _Options) -> None:
        self._service = service
        self._options = options
        self._outcome = Outcome()
        self._outage = False
        self._seen: set[tuple[str, str]] = set()
        """What a trial would have created: its transactions leave nothing for later rows to meet."""

    async def all(self, rows: Iterable[Row]) -> Outcome:
        """Import every row in its own transaction; an outage stops it, a bad row does not."""
        progress = output.Progress("lines")
        outcome = self._outcome
        for chunk in self._chunks(rows):
            work = asyncio.gather(*map(self._attempt, chunk))
            try:
                results = await asyncio.shield(work)
            except asyncio.CancelledError:  # Ctrl-C: what has begun is ended, so that the counts are right
                _forget_interrupt()
                outcome.stopped = "interrupted"
                results = await work
            for row, result in zip(chunk, results, strict=True):
                alone = len(chunk) == 1 or not isinstance(result, AuthError)
                self._settle(row, result if alone else await self._attempt(row))
            progress.at(outcome.line)
            if outcome.stopped:
                break
        progress.end()
        return outcome

    def _chunks(self, rows: Iterable[Row]) -> Iterator[list[_Read]]:
        """Yield rows that share nothing, and can be imported at once."""
        limit = min(AT_ONCE, self._service.config.database_pool_size)
        chunk: list[_Read] = []
        marks: set[tuple[str, str]] = set()
        for number, members, problem in rows:
            read = _read(number, members, problem)
            own = set() if isinstance(read.account, AuthError) else set(_marks(read.account))
            if len(chunk) == limit or own & marks:
                yield chunk
                chunk, marks = [], set()
            chunk.append(read)
            marks |= own
        if chunk:
            yield chunk

    async def _attempt(self, row: _Read) -> _Result | AuthError:
        """Return what became of a row. Where rows meet after all, a second attempt alone decides."""
        if isinstance(row.account, AuthError):
            return row.account
        try:
            account, dropped = self._with_usable_hash(row.account)
            return _Result(created=await self._import(account), without_password=dropped)
        except AuthError as error:
            return error

    def _settle(self, row: _Read, result: _Result | AuthError) -> None:
        outcome = self._outcome
        if isinstance(result, Unavailable):
            self._outage = True
            outcome.stopped = outcome.stopped or result.reason or result.description
            return
        if not self._outage:
            outcome.line = row.number
        if isinstance(result, AuthError):
            self._refuse(row.number, row.members, result)
            return
        outcome.imported += result.created
        outcome.present += not result.created
        outcome.without_password += result.without_password

    def _refuse(self, number: int, members: dict[str, object], error: AuthError) -> None:
        outcome, options = self._outcome, self._options
        outcome.refused += 1
        text = f"line {number}: {error.param}: {error}" if error.param else f"line {number}: {error}"
        if outcome.refused <= SHOWN and not options.as_json:
            output.warn(text)
        if options.report is not None:
            entry: dict[str, Any] = {"line": number, "field": error.param, "reason": str(error)}
            known = {name: members[name] for name in ("id", "email", "username") if name in members}
            shown = error.param in members and error.param in SHOWABLE
            value = {"value": members[error.param or ""]} if shown else {}
            try:
                text = json.dumps(entry | value | {"row": known})
            except RecursionError:  # a value of a thousand brackets
                text = json.dumps(entry)
            options.report.write(f"{text}\n")

    def _with_usable_hash(self, account: Account) -> tuple[Account, bool]:
        """Return the account, without its hash where that cannot be used; True if it was dropped."""
        if not account.password_hash:
            return account, False
        try:
            readable(account.password_hash, account.hash_algo or "")
        except InvalidPasswordHash as error:
            if not self._options.drop_unusable_hashes:
                raise InvalidPasswordHash(param="password_hash") from error
            return import_format.without_password(account), True
        return account, False

    async def _import(self, account: Account) -> bool:
        """Create the account with its password, roles, logins and ban; False if it exists."""
        if await self._exists(account):
            return False
        with suppress(_DryRunError):
            async with self._service.transaction() as tx:
                await self._create(tx, account)
                if self._options.dry_run:
                    raise _DryRunError
        if self._options.dry_run:
            self._seen.update(_marks(account))
        return True

    async def _create(self, tx: Service, account: Account) -> None:
        user = await tx.users.add(
            email=account.email or None,
            phone=account.phone_number or None,
            username=await self._username(account),
            verified=account.email_verified,
            phone_verified=account.phone_verified,
            user_id=identifiers.uuid_or_none(account.id or ""),
            created_at=account.created_at,
            method="import",
            actor=ACTOR,
        )
        if account.password_hash:
            await tx.passwords.upsert_hash(
                user.id, account.password_hash, account.hash_algo or "", account.hash_params, actor=ACTOR
            )
        for role in account.roles:
            await tx.roles.assign(user.id, role, actor=ACTOR)
        for login in account.logins:
            await tx.providers.link_by_issuer(
                user.id, login.issuer, login.provider, login.subject, login.email
            )
        if account.banned:
            await tx.lifecycle.ban(user.id, account.ban_reason, account.banned_until, actor=ACTOR)

    async def _exists(self, account: Account) -> bool:
        """True if a former run imported the account: the first thing that identifies it decides."""
        if self._options.dry_run and self._was_tried(account):
            return True
        users = self._service.users
        if account.id is not None:
            return await users.get(account.id) is not None
        if account.email:
            return await users.get_by_email(account.email) is not None
        if account.phone_number:
            return await users.get_by_phone(account.phone_number) is not None
        if account.username:
            return await users.get_by_username(account.username) is not None
        login = account.logins[0]
        return await self._service.providers.get_link_by_issuer(login.issuer, login.subject) is not None

    def _was_tried(self, account: Account) -> bool:
        """True if an earlier row of a trial is this account; raises ``Conflict`` if it shares a contact."""
        marks = _marks(account)
        if marks[0] in self._seen:
            return True
        for field, text in marks:
            if (field, text) in self._seen and not (field == "username" and self._derives(account.username)):
                raise Conflict(f"An earlier row has this {field}.", param=field)
        return False

    async def _username(self, account: Account) -> str | None:
        if not account.username or not self._derives(account.username):
            return account.username or None
        if not (account.id or account.email or account.phone_number):
            text = "A row with a user name alone needs an id: a second run could not recognize it."
            raise Invalid(text, param="username")
        return await self._service.usernames.generate_available(account.username)

    def _derives(self, name: str | None) -> bool:
        """True for a name that does not fit, in place of which a free one is derived."""
        if not name or not self._options.derive_usernames:
            return False
        try:
            identifiers.username(name, reserved=self._service.config.reserved_usernames)
        except Invalid:
            return True
        return False


def _read(number: int, members: dict[str, object] | None, problem: str) -> _Read:
    if members is None:
        return _Read(number=number, members={}, account=Invalid(problem))
    try:
        return _Read(number=number, members=members, account=import_format.account_of(members))
    except Invalid as error:
        return _Read(number=number, members=members, account=error)


def _forget_interrupt() -> None:
    """Let the task go on after Ctrl-C cancelled it."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()


def _marks(account: Account) -> list[tuple[str, str]]:
    """Return what no two accounts may share, in its normal form; the first is what a second run looks for."""
    normal = {
        "id": identifiers.uuid_or_none,
        "email": identifiers.email,
        "phone_number": identifiers.phone,
        "username": _name_mark,
    }
    found = [
        (name, _normal(value, form)) for name, form in normal.items() if (value := getattr(account, name))
    ]
    return found + [("logins", f"{login.issuer} {login.subject}") for login in account.logins]


def _normal(value: str, form: Callable[[str], str | None]) -> str:
    """Return the normal form, or the value itself if it has none: the row is refused for that later."""
    try:
        return form(value) or value
    except Invalid:
        return value


def _name_mark(name: str) -> str:
    """Return the owner slug of the name, or of the one that ``--derive-usernames`` makes of it."""
    return identifiers.owner_slug(identifiers.derived_username(name))
