"""The rows of ``authkit users import``: JSON lines or CSV, and what is wrong with one.

``importing`` reports it with the number of its line.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Literal

import msgspec

from authkit_issuer import identifiers
from authkit_issuer.errors import Invalid

Format = Literal["jsonl", "csv"]
_IN_JSON = frozenset({"hash_params", "logins"})
"""Fields whose cell in a CSV file is JSON."""
_LISTS = frozenset({"roles"})
"""Fields whose cell is a list, separated by blanks."""
_FLAGS = frozenset({"email_verified", "phone_verified", "banned"})


class Login(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A login at an external provider."""

    issuer: str
    subject: str
    provider: str | None = None
    email: str | None = None


class Account(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row; without ``hash_algo`` the hash itself says it."""

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
    roles: tuple[str, ...] = ()
    logins: tuple[Login, ...] = ()

    def __repr__(self) -> str:
        """Keep the hash out of logs."""
        return f"Account(id={self.id!r})"


FIELDS = Account.__struct_fields__
SHOWABLE = frozenset(FIELDS) - {"password_hash", "hash_params"}
"""Fields whose values a report may repeat: one of an unknown name may be a password or a hash, too."""
Row = tuple[int, dict[str, object] | None, str]
"""The number of a line, its members, and, without them, what is wrong with it."""


def rows(lines: Iterable[bytes], form: Format) -> Iterator[Row]:
    """Yield every row that is not blank."""
    return _json_rows(lines) if form == "jsonl" else _csv_rows(lines)


def _json_rows(lines: Iterable[bytes]) -> Iterator[Row]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = msgspec.json.decode(line)
        except (msgspec.DecodeError, RecursionError) as error:
            yield number, None, f"The line is not JSON: {error}."
            continue
        if isinstance(value, dict):
            yield number, value, ""
        else:
            yield number, None, "The line is not a JSON object."


def _csv_rows(lines: Iterable[bytes]) -> Iterator[Row]:
    reader = csv.reader((line.decode("utf-8-sig") for line in lines), strict=True)
    try:
        heads = [head.strip() for head in next(reader, [])]
        if len(set(heads)) < len(heads):
            # Of two cells of one name, one would be dropped without a word.
            yield reader.line_num, None, "The first line names a field twice."
            return
        for cells in reader:
            number = reader.line_num
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(heads):
                yield number, None, f"The line has {len(cells)} cells, and the first line {len(heads)}."
                continue
            given = {head: cell for head, cell in zip(heads, cells, strict=True) if cell.strip()}
            try:
                yield number, {head: _value(head, cell) for head, cell in given.items()}, ""
            except (ValueError, RecursionError):
                yield number, None, "A cell of hash_params or logins is not JSON."
    except (csv.Error, UnicodeDecodeError) as error:
        yield reader.line_num, None, f"The file is not CSV in UTF-8 from here on: {error}."


def _value(head: str, cell: str) -> object:
    if head in _IN_JSON:
        return json.loads(cell)
    if head in _LISTS:
        return cell.split()
    if head in _FLAGS and cell.strip().lower() in {"true", "false", "1", "0"}:
        return cell.strip().lower() in {"true", "1"}
    return cell


def account_of(members: dict[str, object]) -> Account:
    """Return the account of a row.

    Raises:
        Invalid: A member is unknown or has a value that cannot be read; ``param`` is its name.
    """
    for name in members:
        if name not in FIELDS:
            raise Invalid(f"{name} is not a field; the fields are {', '.join(FIELDS)}.", param=name)
    try:
        account = msgspec.convert(members, Account)
    except msgspec.ValidationError as error:
        text, _, place = str(error).partition(" - at `$.")
        raise Invalid(f"{text}.", param=place.rstrip("`").partition("[")[0] or None) from None
    if account.id is not None and identifiers.uuid_or_none(account.id) is None:
        raise Invalid("The id is not a UUID.", param="id")
    if not (account.email or account.phone_number or account.username or account.logins):
        raise Invalid("The row has no email, phone_number, username or logins.")
    _check_times(account)
    for name in ("banned_until", "ban_reason"):
        if getattr(account, name) and not account.banned:
            # Other systems keep the end of a ban alone: without this it would let its user in.
            raise Invalid(f"{name} has no effect without banned: set banned to true.", param=name)
    return account


def _check_times(account: Account) -> None:
    since = account.created_at
    if since is not None and (since.tzinfo is None or since > datetime.now(UTC)):
        raise Invalid("created_at must name a time zone, and not be in the future.", param="created_at")
    for name, moment in (("created_at", since), ("banned_until", account.banned_until)):
        if moment is not None and not _is_storable(moment):
            raise Invalid(f"{name} is beyond the calendar in UTC.", param=name)


def _is_storable(moment: datetime) -> bool:
    """True if the moment exists in UTC, which the database stores."""
    try:
        moment.astimezone(UTC)
    except OverflowError:
        return False
    return True


def form_of(name: str, given: str | None) -> Format:
    """Return the given format, else that of a file's name."""
    is_csv = given == "csv" or (given is None and name.lower().endswith(".csv"))
    return "csv" if is_csv else "jsonl"


def without_password(account: Account) -> Account:
    """Return the account without its hash."""
    return msgspec.structs.replace(account, password_hash=None, hash_algo=None, hash_params=None)
