"""The pinned list installs as it is: complete, without a resolver, whatever an index holds besides."""

from __future__ import annotations

import base64
import functools
import hashlib
import http.server
import importlib.metadata
import json
import re
import shlex
import subprocess
import sys
import threading
import tomllib
import venv
import zipfile
from collections.abc import Callable, Iterator
from operator import itemgetter
from pathlib import Path

import pytest
from packaging.markers import Marker, default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from fakes.repository import ROOT

LIST = ROOT / "tests/constraints.txt"
SERVING = ROOT / "tests/serving.txt"
NAME = "asgi-authkit"
BUILDERS = ("hatchling", "editables")
"""What ``pip install --editable`` needs besides what serving needs."""

# The pip that Python 3.11.0 brings.
OLDEST_PIP = "pip==22.3 --hash=sha256:1daab4b8d3b97d1d763caeb01a4640a2250a0ea899e257b1e44b9eded91e15ab\n"

ENVIRONMENTS = [
    {
        "python_full_version": version,
        "python_version": version.rpartition(".")[0],
        "sys_platform": platform,
        "platform_system": system,
        "platform_machine": machine,
        "implementation_version": version,
    }
    for version in ("3.11.0", "3.11.9", "3.12.0", "3.13.0", "3.14.0")
    for platform, system, machine in (
        ("linux", "Linux", "x86_64"),
        ("linux", "Linux", "aarch64"),
        ("darwin", "Darwin", "arm64"),
    )
]


def install_options() -> list[str]:
    """The options with which the Makefile installs the list."""
    (command,) = re.findall(
        r"-m pip (install .*) --requirement tests/constraints\.txt", (ROOT / "Makefile").read_text()
    )
    return shlex.split(command)


def pins(listing: Path = LIST) -> dict[str, str]:
    """The version of each name, of several the one of this environment."""
    found = marked_pins(listing)
    return {name: version for name, version, _ in sorted(found, key=itemgetter(2))}


def marked_pins(listing: Path) -> list[tuple[str, str, bool]]:
    """Each name and version, and if this environment installs it."""
    found = re.findall(
        r"^([A-Za-z0-9._-]+)==([^\s;\\]+)(?: ; (.*?))?(?: \\)?$", listing.read_text(), re.MULTILINE
    )
    return [
        (canonicalize_name(name), version, not marker or Marker(marker).evaluate())
        for name, version, marker in found
    ]


def wanted_by(name: str, extras: set[str]) -> list[Requirement]:
    """What an installed distribution asks for with these extras, on any of the environments."""
    environments = [default_environment(), *ENVIRONMENTS]
    found = []
    for text in importlib.metadata.requires(name) or []:
        requirement = Requirement(text)
        if requirement.marker is None or any(
            requirement.marker.evaluate({**default_environment(), **environment, "extra": extra})
            for environment in environments
            for extra in ("", *extras)
        ):
            found.append(requirement)
    return found


def requirements(*starts: tuple[str, frozenset[str]]) -> Iterator[tuple[str, Requirement]]:
    """Yield every requirement of these distributions and extras and, in turn, of what they require.

    Without arguments: of the project with all extras.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    todo = list(starts) or [(project["name"], frozenset(project["optional-dependencies"]))]
    seen = set()
    while todo:
        name, extras = todo.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            found = wanted_by(name, set(extras))
        except importlib.metadata.PackageNotFoundError:
            continue  # pinned for another environment
        for requirement in found:
            wanted = canonicalize_name(requirement.name)
            if wanted != project["name"]:
                yield f"{name}[{','.join(sorted(extras))}]", requirement
            todo.append((wanted, frozenset(requirement.extras)))


def part(names: set[str]) -> str:
    """Return the pins of these names, as the list has them but for the comments."""
    blocks = re.findall(r"^[A-Za-z0-9].*\n(?:[ #].*\n)*", LIST.read_text(), re.MULTILINE)
    named = [(canonicalize_name(block.partition("==")[0]), block) for block in blocks]
    assert {name for name, _ in named} == set(pins())
    found = "".join(block for name, block in named if name in names)
    return re.sub(r"^ *#.*\n", "", found, flags=re.MULTILINE)


def pins_wanted_with_an_extra() -> str:
    """Return the part of the list on which a resolver of old fails: a pin and an extra of it."""
    names = {canonicalize_name(wanted.name) for _, wanted in requirements() if wanted.extras} - {NAME}
    assert len(names & set(pins())) == len(names) > 1
    return part(names)


def test_every_requirement_and_extra_of_every_pin_is_pinned() -> None:
    pinned = pins()
    found = list(requirements())
    missing = [
        f"{name} wants {requirement}"
        for name, requirement in found
        if not requirement.specifier.contains(
            pinned.get(canonicalize_name(requirement.name), ""), prereleases=True
        )
    ]
    assert len({canonicalize_name(requirement.name) for _, requirement in found}) > 100
    assert missing == []


def test_the_list_of_make_run_is_the_part_that_serving_needs() -> None:
    builders = [(name, frozenset[str]()) for name in BUILDERS]
    found = requirements((NAME, frozenset({"server"})), *builders)
    wanted = {canonicalize_name(requirement.name) for _, requirement in found} | set(BUILDERS)
    assert set(pins(SERVING)) == wanted & set(pins())
    assert SERVING.read_text() == part(wanted), "copy these pins from tests/constraints.txt"
    assert len(pins(SERVING)) * 2 < len(pins())


FIXED = {
    "authlib": "1.6.9",  # a key in the token's own header
    "cryptography": "46.0.5",  # points outside the subgroup
    "idna": "3.15",  # time that is not linear in the input
    "jinja2": "3.1.6",  # a way out of the sandbox
    "pyjwt": "2.13.0",  # unknown critical headers, and four more
    "pynacl": "1.6.2",  # points outside the subgroup
    "starlette": "1.3.0",  # ranges, host names and paths
}
"""The first versions without the faults that were published of the packages that an issuer loads."""


def test_the_lowest_versions_that_may_be_installed_have_no_published_fault() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    checked = set()
    for requirement in (Requirement(text) for texts in lists for text in texts):
        name = canonicalize_name(requirement.name)
        if name in FIXED:
            checked.add(name)
            lowest = min(Version(spec.version) for spec in requirement.specifier if spec.operator == ">=")
            assert lowest >= Version(FIXED[name]), requirement
    assert checked == set(FIXED)


@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="pip 22.3 runs on Python 3.11")
def test_the_oldest_pip_of_python_3_11_installs_the_list(
    tmp_path: Path, rounds: Callable[[int], int]
) -> None:
    """The whole list in a soak; otherwise what wants an extra, because every pin is a download."""
    soak = rounds(10) == 10
    listing = tmp_path / "list.txt"
    listing.write_text(LIST.read_text() if soak else pins_wanted_with_an_extra())
    wanted = tmp_path / "pip.txt"
    wanted.write_text(OLDEST_PIP)
    fetched = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes",
         "--target", str(tmp_path / "old"), "--requirement", str(wanted)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if fetched.returncode:
        pytest.skip(f"no package index answers: {fetched.stderr[-200:]}")
    done = subprocess.run(
        [sys.executable, str(tmp_path / "old/pip"), *install_options(), "--dry-run", "--ignore-installed",
         "--report", str(tmp_path / "report.json"), "--requirement", str(listing)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    reported = json.loads((tmp_path / "report.json").read_text())["install"]
    installed = {
        canonicalize_name(entry["metadata"]["name"]): entry["metadata"]["version"] for entry in reported
    }
    assert installed == {name: version for name, version, here in marked_pins(listing) if here}


def wheel(folder: Path, name: str, version: str, requires: str = "") -> str:
    """Write a wheel that holds only metadata, and return its hash."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip('=')},{len(text)}\n"
        for path, text in files.items()
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inside, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            archive.writestr(inside, text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def index(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder that is served as a package index, and its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    folder = tmp_path / "index"
    folder.mkdir()
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


def test_a_newer_release_in_the_index_changes_nothing(index: tuple[Path, str], tmp_path: Path) -> None:
    folder, address = index
    first = wheel(folder / "authkit-a", "authkit_a", "1.0", "Requires-Dist: authkit-b[extra]>=1\n")
    second = wheel(folder / "authkit-b", "authkit_b", "1.0", "Provides-Extra: extra\n")
    wheel(folder / "authkit-b", "authkit_b", "2.0", "Provides-Extra: extra\n")
    listing = tmp_path / "list.txt"
    listing.write_text(f"authkit-a==1.0 --hash=sha256:{first}\nauthkit-b==1.0 --hash=sha256:{second}\n")
    venv.create(tmp_path / "venv")
    pip = [sys.executable, "-I", "-m", "pip", "--python", str(tmp_path / "venv/bin/python")]
    subprocess.run(
        [*pip, *install_options(), "--index-url", address, "--requirement", str(listing)],
        check=True, capture_output=True,
    )  # fmt: skip
    shown = subprocess.run(
        [*pip, "list", "--format", "freeze"], check=True, capture_output=True, text=True
    ).stdout
    assert {line.replace("-", "_") for line in shown.splitlines()} == {"authkit_a==1.0", "authkit_b==1.0"}


def test_make_run_installs_what_serving_needs_and_takes_a_port(tmp_path: Path) -> None:
    def planned(target: str) -> str:
        command = ["make", "--dry-run", target, f"VENV={tmp_path}/venv", "PORT=8123"]
        return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout

    assert "serve --dev --port 8123" in planned("run")
    for target, everything in (("run", False), ("demo", False), ("test", True)):
        assert "--requirement tests/serving.txt" in planned(target)
        assert ("--requirement tests/constraints.txt" in planned(target)) is everything
