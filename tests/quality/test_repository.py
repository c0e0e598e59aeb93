"""What no tracked file may hold, and what some must."""

from __future__ import annotations

import re
import tomllib

import pytest

from fakes.repository import ROOT, files, name

THIS = name(ROOT / "tests/quality/test_repository.py")

HOSTS = re.compile(
    r"p[y]pi\.org|python[h]osted|npm[j]s\.(?:org|com)|registry\.yarn[p]kg|gh[c]r\.io|docke[r]\.io",
    re.IGNORECASE,
)
MACHINE_PATHS = re.compile(r"(?<![\w.])/(?:root|home|work|opt|Users)/[\w.]")
NEIGHBOUR = re.compile(r"\.\./shared|/shared/")

SHARED_DATA = re.compile(r"shared.{0,20}testdata")


def texts() -> list[tuple[str, str]]:
    found = []
    for path in files():
        if name(path) == THIS:
            continue
        try:
            found.append((name(path), path.read_text("utf-8")))
        except UnicodeDecodeError:
            continue
    return found


def lines(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{where}:{number}: {line.strip()[:120]}"
        for where, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_file_names_a_package_registry() -> None:
    assert lines(HOSTS) == []


def test_no_file_holds_a_path_of_one_machine() -> None:
    assert lines(MACHINE_PATHS) == []


def test_only_tests_look_for_data_beside_the_repository() -> None:
    found = [
        line for line in lines(NEIGHBOUR) if not (line.startswith("tests/") and SHARED_DATA.search(line))
    ]
    assert found == []


def test_the_pinned_list_is_hashed_and_holds_no_address() -> None:
    text = (ROOT / "tests/constraints.txt").read_text()
    assert not re.search(r"https?:|//|--(?:index|extra|find|trusted)", text)
    pins = re.findall(r"^([A-Za-z0-9._-]+)==", text, re.MULTILINE)
    assert len(pins) > 50
    for block in re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]:
        assert "--hash=sha256:" in block, block


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(entry for extra in project["optional-dependencies"].values() for entry in extra),
    ]
    names = {re.split(r"[\[><=;! ]", entry)[0].lower().replace("_", "-") for entry in wanted} - {
        "asgi-authkit"
    }
    pinned = set(re.findall(r"^([a-z0-9._-]+)==", (ROOT / "tests/constraints.txt").read_text(), re.MULTILINE))
    assert names <= pinned


def test_the_changelog_knows_the_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert re.search(rf"^## \[{re.escape(version)}\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize("breach", ["see /" + "home/me/x", "cd /" + "root/.cache", "(/" + "work/main)"])
def test_a_machine_path_is_noticed(breach: str) -> None:
    assert MACHINE_PATHS.search(breach)


@pytest.mark.parametrize("harmless", ["/auth/user/me", "profiles/home", "a/work/b", "https://x.test/home/"])
def test_a_web_path_is_not_taken_for_a_machine_path(harmless: str) -> None:
    assert not MACHINE_PATHS.search(harmless)
