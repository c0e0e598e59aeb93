"""The wheel and the source distribution hold what they should, and install into an empty environment."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.metadata import Metadata
from packaging.requirements import Requirement
from trove_classifiers import classifiers

from authkit_verify.testing import FakeIssuer
from fakes.commands import environment
from fakes.repository import PACKAGES, ROOT

NAME = "asgi-authkit"


def build(target: str, source: Path, folder: Path) -> Path:
    """Build a distribution as an installer would, without a network."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)],
        cwd=source, check=True, capture_output=True,
    )  # fmt: skip
    (built,) = folder.glob("*.whl" if target == "wheel" else "*.tar.gz")
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def unpacked_sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(build("sdist", ROOT, folder)) as archive:
        # Python has filters since 3.11.4.
        archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
        archive.extractall(folder)
    (found,) = (path for path in folder.iterdir() if path.is_dir())
    return found


@pytest.fixture(scope="module")
def wheel_of_the_sdist(unpacked_sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", unpacked_sdist, tmp_path_factory.mktemp("second"))


def contents(path: Path) -> set[str]:
    return set(zipfile.ZipFile(path).namelist())


def closure(requirements: list[str], extras: frozenset[str] = frozenset()) -> set[str]:
    """Return the distributions of this environment that these requirements lead to."""
    found: set[str] = set()
    for text in requirements:
        requirement = Requirement(text)
        wanted = requirement.marker is None or any(
            requirement.marker.evaluate({"extra": extra}) for extra in ("", *extras)
        )
        if wanted and requirement.name not in found:
            found |= {requirement.name} | closure(
                importlib.metadata.requires(requirement.name) or [], frozenset(requirement.extras)
            )
    return found


def empty_environment(folder: Path, distribution: Path, extra: str = "") -> Path:
    """Return the command of an environment with this distribution and what it requires, from copies."""
    venv.create(folder)
    packages = folder / f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    wanted = (
        importlib.metadata.Distribution.at(_metadata_folder(distribution, folder / "metadata")).requires or []
    )
    for name in closure(wanted, frozenset({extra} - {""})) - {NAME}:
        for file in importlib.metadata.files(name) or []:
            if ".." not in file.parts and file.suffix != ".pyc":
                (packages / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file.locate(), packages / file)
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(folder / "bin/python"), "install", "--quiet",
         "--no-deps", "--no-index", str(distribution)],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder / "bin/authkit"


def _metadata_folder(distribution: Path, folder: Path) -> Path:
    with zipfile.ZipFile(distribution) as archive:
        archive.extractall(folder, [name for name in archive.namelist() if ".dist-info/" in name])
    (found,) = folder.glob("*.dist-info")
    return found


def said(*command: str | Path, typed: str = "") -> tuple[int, str, str]:
    done = subprocess.run(
        [str(word) for word in command], input=typed, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


def test_the_wheel_holds_every_file_of_both_packages_and_no_other(wheel: Path) -> None:
    inside = contents(wheel)
    tree = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in inside if ".dist-info/" not in name} == tree
    assert {f"{package}/py.typed" for package in PACKAGES} <= inside
    assert any(name.startswith("authkit_issuer/store/migrations/") for name in inside)
    assert any("common_passwords" in name for name in inside)
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in inside)


def test_the_wheel_of_the_source_distribution_is_the_same(
    wheel: Path, unpacked_sdist: Path, wheel_of_the_sdist: Path
) -> None:
    assert contents(wheel_of_the_sdist) == contents(wheel)
    top = {path.name for path in unpacked_sdist.iterdir()}
    assert {"README.md", "LICENSE", "CHANGELOG.md", "SECURITY.md", "pyproject.toml", *PACKAGES} <= top
    assert not top & {"tests", "benchmarks", "examples", ".ci"}


LINKS = re.compile(r"!?\[[^\]]*\]\(([^)]*)\)")


def test_no_link_of_the_page_on_an_index_leads_to_a_file_of_the_repository(
    wheel: Path, tmp_path: Path
) -> None:
    text = (_metadata_folder(wheel, tmp_path) / "METADATA").read_text("utf-8")
    links = LINKS.findall(text)
    assert len(links) > 2
    assert [link for link in links if not link.startswith("https://")] == []
    assert "Django and Django REST framework" in text


def test_the_links_of_the_page_lead_to_the_repository_once_it_is_published(tmp_path: Path) -> None:
    for name in ("README.md", "LICENSE", "hatch_build.py"):
        shutil.copy(ROOT / name, tmp_path)
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    urls = '[project.urls]\nSource = "https://git.example/authkit/"\n\n'
    (tmp_path / "pyproject.toml").write_text(project.replace("[project.scripts]", f"{urls}[project.scripts]"))
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "metadata"],
        cwd=tmp_path, check=True, capture_output=True, text=True,
    )  # fmt: skip
    text = json.loads(done.stdout)["readme"]["text"]
    ours = [link for link in LINKS.findall(text) if "git.example" in link]
    of_the_readme = LINKS.findall((ROOT / "README.md").read_text("utf-8"))
    assert len(ours) == len([link for link in of_the_readme if not link.startswith("https://")]) > 30
    places = ("https://git.example/authkit/blob/main/", "https://git.example/authkit/raw/main/docs/images/")
    assert all(link.startswith(places) for link in ours)
    assert all((ROOT / link.partition("/main/")[2]).is_file() for link in ours)
    assert [link for link in LINKS.findall(text) if not link.startswith("https://")] == []


def test_an_index_accepts_the_metadata(wheel: Path, tmp_path: Path) -> None:
    text = (_metadata_folder(wheel, tmp_path) / "METADATA").read_bytes()
    metadata = Metadata.from_email(text, validate=True)
    assert (metadata.name, metadata.description_content_type) == (NAME, "text/markdown")
    assert set(metadata.classifiers or []) <= classifiers
    assert (metadata.license_expression, metadata.summary) != (None, None)
    assert metadata.description
    extras = set(metadata.provides_extra or [])
    named = {
        extra
        for requirement in metadata.requires_dist or []
        if requirement.name == NAME
        for extra in requirement.extras
    }
    assert {"server", "issuer"} <= extras
    assert named <= extras


def test_the_unpacked_wheel_works_without_the_source_tree(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import authkit_verify, authkit_issuer, authkit_issuer.http\n"
        "from authkit_issuer.store.migration_files import shipped\n"
        f"assert authkit_issuer.__file__.startswith({str(tmp_path)!r})\n"
        f"assert authkit_verify.__file__.startswith({str(tmp_path)!r})\n"
        "print(len(shipped()))"
    )
    status, out, error = said(sys.executable, "-I", "-W", "error", "-c", program)
    assert status == 0, error
    assert int(out) == len(list((ROOT / "authkit_issuer/store/migrations").glob("*.sql")))


@pytest.mark.parametrize("built", ["wheel", "wheel_of_the_sdist"])
def test_the_bare_install_verifies_and_examines(
    built: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    authkit = empty_environment(tmp_path / "venv", request.getfixturevalue(built))
    assert said(authkit, "--version") == (0, f"authkit {importlib.metadata.version(NAME)}\n", "")
    issuer = FakeIssuer("https://issuer.test", algorithm="EdDSA")
    key = tmp_path / "key.pem"
    key.write_text(issuer.key.pem())
    terms = ("--issuer", issuer.issuer, "--audience", "api", "--pem", key)
    status, out, error = said(authkit, "verify", "-", *terms, typed=issuer.mint("ann"))
    assert (status, error) == (0, "")
    assert json.loads(out)["sub"] == "ann"
    assert said(authkit, "verify", "-", *terms, typed="no.such.token")[0] == 1
    status, out, error = said(authkit, "doctor", "--issuer", "https://127.0.0.1:1", "--json")
    assert (status, error) == (1, "")
    assert json.loads(out)["findings"]
    assert "verify" in said(authkit, "--help")[1]


@pytest.mark.parametrize("extra", ["", "issuer"])
def test_a_command_whose_libraries_are_missing_says_what_to_install(
    wheel: Path, extra: str, tmp_path: Path
) -> None:
    authkit = empty_environment(tmp_path / "venv", wheel, extra)
    for command in ("serve", "users", "no-such-command"):
        status, out, error = said(authkit, command, "--dev")
        assert (status, out) == (1, "")
        assert error == (
            f'authkit: {command} needs more packages (typer is missing): install "{NAME}[server]".\n'
        )


@pytest.mark.timeout(240)
def test_the_server_extra_is_enough_for_the_demo(wheel: Path, tmp_path: Path) -> None:
    authkit = empty_environment(tmp_path / "venv", wheel, "server")
    done = subprocess.run(
        [str(authkit), "demo"],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
