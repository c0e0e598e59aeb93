"""The program of each page about a migration writes a file that the import takes, with its passwords."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from authkit_issuer.cli.import_format import Account
from fakes.commands import run
from fakes.readme import DOCUMENTS, blocks, table

PAGES = [name for name in DOCUMENTS if name.startswith("docs/migrate/") and not name.endswith("index.md")]


@pytest.mark.parametrize("page", PAGES)
def test_what_the_program_of_a_page_writes_is_imported(page: str, database_url: str, tmp_path: Path) -> None:
    (program,) = blocks("python", page)
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, env=os.environ)
    lines = (tmp_path / "users.jsonl").read_bytes().splitlines()
    assert all(msgspec.json.decode(line, type=Account).password_hash for line in lines)
    settings = {
        "AUTHKIT_ISSUER": "https://i.example",
        "AUTHKIT_AUDIENCES": "a",
        "AUTHKIT_DATABASE_URL": database_url,
        "AUTHKIT_KEYS_DIR": str(tmp_path),
    }
    done = run("users", "import", str(tmp_path / "users.jsonl"), **settings)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"imported {len(lines)}, already there 0, refused 0\n"


def test_the_table_of_the_file_names_every_member() -> None:
    cells = [row[0] for row in table("Field", "In CSV")]
    named = [name.strip("` ") for cell in cells for name in cell.split(",")]
    assert sorted(named) == sorted(Account.__struct_fields__)
