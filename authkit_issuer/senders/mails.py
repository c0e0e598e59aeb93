"""Mails as text and HTML, from one template per kind and language (Jinja2).

A template of a kind has only words: the blocks ``subject``, ``text``, ``action`` (the label of a link) and
``advice``. ``layout.txt`` and ``layout.html`` decide how they look, and ``<language>/words.j2`` has the words
that all kinds share. A folder of the host replaces any of the files, or adds languages.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from jinja2 import DictLoader, Environment, StrictUndefined, Template, TemplateError
from markupsafe import Markup, escape

from authkit_issuer.errors import ConfigError
from authkit_issuer.senders.brand import Brand
from authkit_issuer.senders.content import Content
from authkit_issuer.senders.samples import sample
from authkit_issuer.senders.user_text import harmless

ENGLISH = "en"
UNKNOWN_KIND = "security_notice"
"""The template of a notice that has none of its own."""
_FOLDER = Path(__file__).parent / "templates"
_LAYOUTS = ("layout.txt", "layout.html")
_WORDS = "words"
_WIDTH = 76
_Words = TypeVar("_Words", bound=str)


def _read(folder: Path) -> dict[str, str]:
    """Return the templates of a folder by name: ``layout.txt``, ``layout.html``, ``en/login_code``."""
    found = {name: folder / name for name in _LAYOUTS if (folder / name).is_file()}
    found |= {f"{path.parent.name}/{path.stem}": path for path in sorted(folder.glob("*/*.j2"))}
    return {name: path.read_text("utf-8") for name, path in found.items()}


# Read once, when the module is loaded: a mail must not wait for a disk.
_OURS = _read(_FOLDER)
LANGUAGES = tuple(sorted({name.partition("/")[0] for name in _OURS if "/" in name}))
"""The languages of the package."""
KINDS = tuple(
    sorted(name.partition("/")[2] for name in _OURS if name.startswith(f"{ENGLISH}/") and name[3:] != _WORDS)
)
"""The kinds of mail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A mail in both forms."""

    subject: str
    text: str = field(repr=False)
    html: str = field(repr=False)


class Mails:
    """Renders mails."""

    def __init__(self, brand: Brand, *, folder: str | None = None, language: str = ENGLISH) -> None:
        """Read the templates, and render each one of the host once.

        Args:
            brand: Name, logo and colours.
            folder: The templates of the host, laid out like those of the package.
            language: The language of a mail to a person whose own is not known or not there.

        Raises:
            ConfigError: The folder, a file of it, or a template cannot be used.
        """
        theirs = {} if folder is None else _theirs(folder)
        sources = {**_OURS, **theirs}
        self._names = frozenset(sources)
        self._brand = brand
        self._text = _environment(sources, "layout.txt", autoescape=False)
        self._html = _environment(sources, "layout.html", autoescape=True)
        self.languages = tuple(sorted({name.partition("/")[0] for name in sources if "/" in name}))
        if language not in self.languages:
            raise ConfigError(
                f"mail_language is {language!r}, and there are templates for {', '.join(self.languages)}: "
                "name one of them, or add its folder to mail_templates."
            )
        self._fallbacks = tuple(dict.fromkeys((language, ENGLISH)))
        self._try(theirs)

    def render(self, content: Content, language: str = "") -> Mail:
        """Return the mail in the language that is nearest to a tag such as ``de-AT`` (RFC 4647 lookup)."""
        tag, kind = self._chosen(content.kind, language)
        text, html = (env.get_template(f"{tag}/{kind}") for env in (self._text, self._html))
        values = self._values(content, tag)
        values["subject"] = " ".join(_block(text, "subject", values).split())
        return Mail(
            subject=str(values["subject"]),
            text=text.render(values).strip("\n") + "\n",
            html=html.render(values | _isolated(values)).strip("\n") + "\n",
        )

    def _values(self, content: Content, tag: str) -> dict[str, object]:
        return {
            "language": tag if f"{tag}/{_WORDS}" in self._names else ENGLISH,
            "brand": self._brand,
            "name": harmless(content.username),
            "org": harmless(content.org),
            "inviter": harmless(content.inviter),
            "kind": harmless(content.kind),
            "code": content.code,
            "link": content.link,
            "circumstances": content.circumstances,
            "account_url": content.account_url,
            "completes_at": content.completes_at,
        }

    def _chosen(self, kind: str, language: str) -> tuple[str, str]:
        """Return language and name of the template for a kind."""
        parts = language.lower().split("-")
        tags = ["-".join(parts[:length]) for length in range(len(parts), 0, -1)]
        for name in (kind, UNKNOWN_KIND):
            for tag in (*tags, *self._fallbacks):
                if f"{tag}/{name}" in self._names:
                    return tag, name
        raise LookupError(kind)

    def _try(self, theirs: Mapping[str, str]) -> None:
        """Render what the host wrote, so that a mistake stops the start and no mail."""
        everything = any(name in _LAYOUTS or name.endswith(f"/{_WORDS}") for name in theirs)
        for tag in self.languages:
            for kind in sorted(name.partition("/")[2] for name in self._names if name.startswith(f"{tag}/")):
                if kind != _WORDS and (everything or f"{tag}/{kind}" in theirs):
                    _try_one(self, kind, tag)


def _try_one(mails: Mails, kind: str, tag: str) -> None:
    try:
        mails.render(sample(kind), tag)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise ConfigError(f"mail_templates: {tag}/{kind}.j2 cannot be rendered: {reason}.") from error


def _theirs(folder: str) -> dict[str, str]:
    try:
        found = _read(Path(folder)) if Path(folder).is_dir() else {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"mail_templates: {folder} cannot be read: {error}.") from error
    if not found:
        raise ConfigError(
            f"mail_templates: {folder} holds no template: name a folder with layout.html, layout.txt "
            "or files such as en/login_code.j2."
        )
    return found


def _environment(sources: Mapping[str, str], layout: str, *, autoescape: bool) -> Environment:
    made = Environment(
        loader=DictLoader({**sources, "layout": sources[layout]}),
        autoescape=autoescape,  # noqa: S701 - the text of a mail is no HTML
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )
    ours: dict[str, Any] = {"paragraphs": _paragraphs, "wrapped": _wrapped}
    made.filters.update(ours)
    return made


def _block(template: Template, name: str, values: Mapping[str, object]) -> str:
    if name not in template.blocks:
        raise TemplateError(f"there is no block {name}")
    return "".join(template.blocks[name](template.new_context(dict(values))))


def _paragraphs(text: _Words) -> list[_Words]:
    """Return the paragraphs, which blank lines separate, each on one line; escaped text stays escaped."""
    kind = type(text)
    lines = (kind(" ".join(part.split())) for part in str(text).split("\n\n"))
    return [line for line in lines if line]


def _wrapped(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _isolated(values: Mapping[str, object]) -> dict[str, object]:
    """Return the words of users as HTML whose direction of writing ends with them."""
    words = ("name", "org", "inviter")
    return {word: Markup("<bdi>") + escape(values[word]) + Markup("</bdi>") for word in words if values[word]}
