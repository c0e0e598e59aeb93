"""The site of the documentation builds without a warning, and its generated parts agree with the code."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import sys
import typing
from pathlib import Path

import pytest

from authkit_issuer.config import Config
from authkit_issuer.config.limits import BUCKETS
from authkit_verify import presets
from authkit_verify.errors import TokenCode
from fakes import browser
from fakes.repository import ROOT, name

GENERATE = "PYTHONPATH=docs .venv/bin/python -m generate"


@pytest.fixture(scope="module")
def generated() -> dict[Path, str]:
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        import generate

        return generate.outputs()
    finally:
        sys.path.remove(str(ROOT / "docs"))


def test_the_generated_parts_agree_with_the_code(generated: dict[Path, str]) -> None:
    stale = [name(path) for path, text in generated.items() if path.read_text("utf-8") != text]
    assert stale == [], f"run {GENERATE}"


def test_every_region_that_a_page_names_is_generated(generated: dict[Path, str]) -> None:
    marked = [path for path in (ROOT / "docs").rglob("*.md") if "<!-- generated" in path.read_text("utf-8")]
    assert set(marked) <= set(generated)
    for path in marked:
        text = generated[path]
        assert text.count("<!-- generated: ") == text.count("<!-- end -->") > 0


@pytest.mark.parametrize("preset", [name for name in presets.__all__ if name != "Settings"])
def test_every_preset_has_a_page_with_every_argument(preset: str, generated: dict[Path, str]) -> None:
    page = generated[ROOT / f"docs/providers/{preset}.md"]
    arguments = set(re.findall(r"^\| `\**(\w+)", page, re.MULTILINE))
    code = getattr(presets, preset).__code__
    count = code.co_argcount + code.co_kwonlyargcount + 1
    assert arguments == set(code.co_varnames[:count])
    assert f"presets.{preset}(" in page
    assert "## Where the values come from" in page


def test_every_setting_is_in_a_row_of_its_page(generated: dict[Path, str]) -> None:
    page = generated[ROOT / "docs/reference/settings.md"]
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \|$", page, re.MULTILINE)
    assert rows == [entry.name for entry in dataclasses.fields(Config)]


def test_every_bucket_is_in_a_row_with_an_operation(generated: dict[Path, str]) -> None:
    page = generated[ROOT / "docs/reference/settings.md"]
    assert set(re.findall(r"^\| `(\w+)` \| \d+/\d+\w \|.* `[A-Z]+ /", page, re.MULTILINE)) == set(BUCKETS)


def test_every_code_is_in_a_row_of_its_page(generated: dict[Path, str]) -> None:
    page = generated[ROOT / "docs/reference/errors.md"]
    rows = re.findall(r"^\| `(\w+)` \| [4-5]\d\d \| .+ \|$", page, re.MULTILINE)
    assert len(rows) > 140
    assert set(rows) >= {"two_factor_required", "internal_error", "rate_limited", *typing.get_args(TokenCode)}


def test_files_of_the_repository_are_links_to_where_it_is_published(tmp_path: Path) -> None:
    """Without an address the site has copies; one line in ``pyproject.toml`` makes them links."""
    urls = '[project.urls]\nSource = "https://git.example/authkit/"\n\n'
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    for kind, published in (("copies", ""), ("links", urls)):
        tree = tmp_path / kind
        (tree / "docs/_static").mkdir(parents=True)
        (tree / "program.py").write_text("pass\n")
        (tree / "pyproject.toml").write_text(
            project.replace("[project.scripts]", f"{published}[project.scripts]")
        )
        (tree / "docs/index.md").write_text("# Page\n\nSee [the `program`](../program.py).\n")
        shutil.copy(ROOT / "docs/conf.py", tree / "docs")
        built(tree, tmp_path / f"{kind}-site")
    link = '<a class="reference external" href="https://git.example/authkit/blob/main/program.py">'
    assert link in (tmp_path / "links-site/index.html").read_text("utf-8")
    assert len(list((tmp_path / "copies-site/_downloads").rglob("program.py"))) == 1


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the site as ``make docs`` builds it."""
    folder = tmp_path_factory.mktemp("site")
    built(ROOT, folder)
    return folder


def built(tree: Path, folder: Path) -> None:
    """Build the site of a tree with the options of ``make docs``."""
    (options,) = re.findall(r"-m sphinx (.*) docs ", (ROOT / "Makefile").read_text())
    assert "--fail-on-warning" in options
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options.split(), "docs", str(folder)],
        cwd=tree, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def addresses(site: Path) -> list[str]:
    return [path.as_uri() for path in sorted(site.rglob("*.html"))]


@pytest.mark.timeout(240)
def test_the_site_builds_without_a_warning_and_has_every_page(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    assert {path for path in pages if not (site / path).exists()} == set()


def test_no_page_of_the_site_loads_anything_from_another_host(site: Path) -> None:
    address = r"(?:https?:)?//"
    loads = re.compile(rf'<(?:script|img|iframe)[^>]+src="{address}|<link[^>]+stylesheet[^>]+href="{address}')
    assert [path for path in site.rglob("*.html") if loads.search(path.read_text("utf-8"))] == []


@pytest.mark.timeout(240)
@pytest.mark.parametrize("width", [390, 1280])
async def test_every_page_fits_the_window_and_shows_its_images(addresses: list[str], width: int) -> None:
    faults = []
    async with browser.chromium() as chromium:
        page = await chromium.new_page(viewport={"width": width, "height": 900})
        page.on("pageerror", lambda error: faults.append(str(error)))
        for address in addresses:
            await page.goto(address)
            if await page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                faults.append(f"{address} is wider than the window")
            if await page.evaluate("[...document.images].some(image => !image.naturalWidth)"):
                faults.append(f"{address} lacks an image")
    assert faults == []
