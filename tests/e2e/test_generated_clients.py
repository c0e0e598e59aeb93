"""Clients that code generators make of the served document: they compile strictly, log in and refresh."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes import node
from fakes.deployment import PASSWORD, deployed
from fakes.repository import ROOT

GENERATORS = ROOT / ".runtime" / "generators" / "bin"
"""Where ``.ci/run`` installs ``tests/generators.txt``."""
SOURCES = ROOT / "tests" / "node" / "clients"
EXPECTED = {"refused": "invalid_credentials", "username": "ada_l"}

PYTHON = """
import json, sys
from authkit_client import AuthenticatedClient, Client
from authkit_client.api.account import get_me
from authkit_client.api.login import login
from authkit_client.api.sessions import refresh_tokens
from authkit_client.models import Login, Me, Refusal, TokenRequest, TokenRequestGrantType, TokenResponse

url, identifier, password = sys.argv[1:]
client = Client(base_url=url)
refused = login.sync(client=client, body=Login(identifier=identifier, password="not the password"))
assert isinstance(refused, Refusal)
opened = login.sync(client=client, body=Login(identifier=identifier, password=password))
assert isinstance(opened, TokenResponse)
body = TokenRequest(grant_type=TokenRequestGrantType.REFRESH_TOKEN, refresh_token=opened.refresh_token)
refreshed = refresh_tokens.sync(client=client, body=body)
assert isinstance(refreshed, TokenResponse)
me = get_me.sync(client=AuthenticatedClient(base_url=url, token=refreshed.access_token))
assert isinstance(me, Me)
print(json.dumps({"refused": refused.error, "username": me.username}))
"""

pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def served(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[tuple[str, str]]:
    """The address of a server with an account, and the file that its document is in."""
    with deployed(tmp_path, "memory", database_url, redis_url, count=1) as issuer:
        issuer.join("ada_l")
        document = tmp_path / "openapi.json"
        document.write_text(issuer.ask("GET", "/openapi.json").text)
        yield issuer.servers[0].url, str(document)


def run(*command: str, folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{command[0]}: {done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def node_folder(tmp_path: Path) -> Path:
    """A folder with the TypeScript programs and the installed packages."""
    node.need("typescript")
    folder = tmp_path / "clients"
    shutil.copytree(SOURCES, folder)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "node_modules").symlink_to(node.FOLDER / "node_modules")
    return folder


def compiled(folder: Path, program: str, url: str) -> Any:
    """Check the program under ``--strict`` with all that it imports, run it, and return what it prints."""
    for other in {entry.name for entry in SOURCES.glob("*.ts")} - {f"{program}.ts"}:
        (folder / other).unlink()
    binaries = node.FOLDER / "node_modules" / ".bin"
    run(str(binaries / "tsc"), "-p", ".", folder=folder)
    out = folder / "out" / f"{program}.js"
    return json.loads(run(node.node(), str(out), url, "ada_l", PASSWORD, folder=folder))


def test_a_client_of_openapi_typescript_logs_in_and_refreshes(served, node_folder) -> None:
    node.need("openapi-typescript")
    node.need("openapi-fetch")
    url, document = served
    generator = str(node.FOLDER / "node_modules" / ".bin" / "openapi-typescript")
    run(generator, document, "-o", "schema.ts", folder=node_folder)
    assert compiled(node_folder, "fetch", url) == EXPECTED


def test_a_client_of_hey_api_logs_in_and_refreshes(served, node_folder) -> None:
    node.need("@hey-api/openapi-ts")
    url, _ = served  # its document is named in openapi-ts.config.mjs
    run(str(node.FOLDER / "node_modules" / ".bin" / "openapi-ts"), folder=node_folder)
    assert compiled(node_folder, "hey", url) == EXPECTED


def test_a_client_of_openapi_python_client_logs_in_and_refreshes(served, tmp_path) -> None:
    generator = GENERATORS / "openapi-python-client"
    if not generator.exists():
        pytest.skip("openapi-python-client is not installed (.ci/run tries to)")
    url, document = served
    said = run(
        str(generator), "generate", "--path", document, "--meta", "none",
        "--output-path", "authkit_client", folder=tmp_path,
    )  # fmt: skip
    assert "Unable to" not in said
    (tmp_path / "program.py").write_text(PYTHON)
    run(str(GENERATORS / "mypy"), "--strict", "program.py", "authkit_client", folder=tmp_path)
    python = str(GENERATORS / "python")
    assert json.loads(run(python, "program.py", url, "ada_l", PASSWORD, folder=tmp_path)) == EXPECTED
