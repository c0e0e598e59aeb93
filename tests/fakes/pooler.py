"""PgBouncer, if the machine has it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from authkit_issuer.embedded.wheel import account_for_programs
from fakes.ports import free_port
from fakes.servers import answers
from fakes.until import wait_until


def program() -> str | None:
    """Return the path of the program, or None."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def version() -> tuple[int, ...]:
    """Return the version of the program, or nothing without one."""
    found = program()
    if found is None:
        return ()
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout
    return tuple(map(int, re.findall(r"\d+", said.splitlines()[0])))


class PgBouncer:
    """A pooler before one database, on a loopback port."""

    def __init__(self, folder: Path, database_url: str, mode: str, prepared: int | None = None) -> None:
        self.port = free_port()
        parts = urlsplit(database_url)
        self.name = parts.path.lstrip("/")
        folder.mkdir(parents=True)
        folder.chmod(0o777)
        self._settings = folder / "pgbouncer.ini"
        users = folder / "users.txt"
        users.write_text('"postgres" ""\n')
        self._settings.write_text(
            f"[databases]\n{self.name} = host={parse_qs(parts.query)['host'][0]} user=postgres\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\n"
            f"auth_type = any\nauth_file = {users}\npool_mode = {mode}\ndefault_pool_size = 4\n"
            # Versions before 1.21 refuse the setting.
            + ("" if prepared is None else f"max_prepared_statements = {prepared}\n")
        )
        for path in (self._settings, users):
            path.chmod(0o644)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{self.name}"

    def start(self) -> None:
        account, who = account_for_programs(), dict[str, Any]()
        if account is not None:
            who = {"user": account.uid, "group": account.gid, "extra_groups": ()}
        self.process = subprocess.Popen(
            [str(program()), str(self._settings)],
            **who,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_until(self._is_up)

    def _is_up(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, "pgbouncer did not start"
        return answers(self.port)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
