"""The English of the field: phrases that are out of use here, each with its plain form.

A phrase is looked for in identifiers, docstrings, comments and string literals of Python files, in documents,
mails and templates, and in the OpenAPI document. CONTRIBUTING.md says how to write instead.
"""

from __future__ import annotations

import ast
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from authkit_issuer import Service
from authkit_issuer.http import create_app
from fakes.repository import files, name

_THING = "(?:member|error|row|name|user|token|key|owner|session|account|identity|client|secret)"

WORDS = {
    "whoever|whomever|whosoever": "the user, the client, the caller",
    "nobody|no one": "no user, no client; or what happens",
    "strangers?": "an unauthenticated client, an attacker, another user",
    "(?:is|are|was|were|be|been|being|gets?) told(?! apart)": "receives, is sent, is notified",
    "(?:can|cannot|could|may|to|not) be had": "is available, can be fetched",
    "stands? (?:twice|once|again|behind|alone)": "is repeated, was sent twice, is behind",
    "(?:is|are|was|were) owed": "is required, is due",
    "none of (?:ours|yours|theirs|them)": "of another issuer, not one of this service",
    f"(?:is|was) no (?:such|{_THING})": "is not a ..., does not exist",
    f"(?:are|were) no (?:such|{_THING}s)": "are not ..., do not exist",
    "mail address(?:es)?": "email address",
    "text messages?": "SMS",
    "organisations?|organise[sd]?": "organization, organize",
    "(?:dis)?enrolments?": "enrollment",
    "tells? whether|tells? that": "True if ...; reports that",
    "is that of|are those of": "equals, belongs to; name it again",
    "something went wrong on (?:this|our) side": "Internal server error",
    "for ever": "forever, without a limit",
}
"""Patterns of lower-case words, and what to write in their place. A blank matches any white space."""

_BLANK = r"[\s#]+"
PATTERNS = [
    (re.compile(rf"\b(?:{pattern.replace(' ', _BLANK)})\b", re.IGNORECASE), plain)
    for pattern, plain in WORDS.items()
]
_ANY = re.compile("|".join(pattern.pattern for pattern, _ in PATTERNS), re.IGNORECASE)
_NOT_MAIL_ADDRESS = re.compile(r"e-?mail address", re.IGNORECASE)

DOCUMENTS = {".py", ".md", ".html", ".js", ".css", ".sql", ".toml"}
# A migration that ran somewhere never changes: its checksum is in the database.
NOT_READ = ("tests/quality/test_words.py", "authkit_issuer/store/migrations/")

Text = tuple[int, str]
"""The line where a text begins, and the text."""


def python_texts(source: str) -> Iterator[Text]:
    """Yield identifiers as words, string literals and comments; a comment of several lines is one text."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
        elif isinstance(node, ast.JoinedStr):
            yield (
                node.lineno,
                "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values),
            )
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, _as_words(node.name)
        elif isinstance(node, ast.arg):
            yield node.lineno, _as_words(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, _as_words(node.id)
    yield from _comments(source)


def _as_words(identifier: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_+", " ", identifier)


def _comments(source: str) -> Iterator[Text]:
    lines = iter(source.splitlines(keepends=True))
    first, last, text = 0, 0, ""
    for token in tokenize.generate_tokens(lambda: next(lines, "")):
        if token.type != tokenize.COMMENT:
            continue
        line = token.start[0]
        if text and line == last + 1:
            text += f"\n{token.string}"
        else:
            yield first, text
            first, text = line, token.string
        last = line
    yield first, text


def breaches(texts: Iterator[Text]) -> list[tuple[int, str, str]]:
    """Return line, phrase and plain form of every phrase that is out of use."""
    found = set()
    for first, text in texts:
        if not _ANY.search(text):
            continue
        plainly = _NOT_MAIL_ADDRESS.sub(lambda match: "_" * len(match[0]), text)
        for pattern, plain in PATTERNS:
            for match in pattern.finditer(plainly):
                found.add((first + text.count("\n", 0, match.start()), " ".join(match[0].split()), plain))
    return sorted(found)


def texts_of(path: Path) -> Iterator[Text]:
    text = path.read_text("utf-8")
    return python_texts(text) if path.suffix == ".py" else iter([(1, text)])


def read_files() -> list[Path]:
    return [path for path in files() if path.suffix in DOCUMENTS and not name(path).startswith(NOT_READ)]


def test_no_file_holds_a_phrase_that_is_out_of_use() -> None:
    found = [
        f"{name(path)}:{line}: {phrase!r}: write {plain}"
        for path in read_files()
        for line, phrase, plain in breaches(texts_of(path))
    ]
    assert not found, "\n".join(["", *found])


async def test_the_openapi_document_holds_no_phrase_that_is_out_of_use(service: Service) -> None:
    transport = httpx.ASGITransport(app=create_app(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://issuer.test") as client:
        document = (await client.get("/openapi.json")).json()
    leaves = list(_leaves(document))
    assert len(leaves) > 1000
    assert [(where, *found) for where, text in leaves for found in breaches(iter([(1, text)]))] == []


def _leaves(value: object, where: str = "#") -> Iterator[tuple[str, str]]:
    """Yield each text of a JSON document with its place."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from _leaves(entry, f"{where}/{key}")
    elif isinstance(value, list):
        for number, entry in enumerate(value):
            yield from _leaves(entry, f"{where}/{number}")
    elif isinstance(value, str):
        yield where, value


@pytest.mark.parametrize(
    "source",
    [
        '"""Let in whoever holds the token."""',
        "def strangers(): ...",
        "class NobodyThere: ...",
        "count = 1  # Nobody\n",
        "# the owner is\n# told of it\n",
        'raise ValueError("The cookie stands twice.")',
        'f"{who} is told of {what}."',
        '"""The mail\n    address of a user."""',
        "def f(stranger): ...",
    ],
)
def test_a_phrase_is_noticed_wherever_it_is_written(source: str) -> None:
    assert breaches(python_texts(source))


@pytest.mark.parametrize(
    "source",
    ['"""The email address of a user."""', "retold = 1", '"""It is no longer valid."""', "x = 'one\\ntold'"],
)
def test_a_plain_phrase_passes(source: str) -> None:
    assert not breaches(python_texts(source))


def test_a_phrase_is_reported_with_its_line() -> None:
    assert [line for line, *_ in breaches(iter([(10, "one\ntwo\nnobody\n")]))] == [12]
