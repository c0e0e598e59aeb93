"""Mails from templates: every kind in every language, whatever users call themselves and hosts replace."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from authkit_issuer.config import Config
from authkit_issuer.domains.audit.notices import NOTICES
from authkit_issuer.errors import ConfigError
from authkit_issuer.senders.brand import Brand
from authkit_issuer.senders.content import Content
from authkit_issuer.senders.mails import KINDS, LANGUAGES, Mails
from authkit_issuer.senders.samples import sample
from authkit_issuer.senders.user_text import harmless
from fakes.laws import for_each

BRAND = Brand(
    name="Example & Söhne",
    logo_url="https://example.com/logo.png",
    support="help@example.com",
    footer="Example Ltd, 1 High Street",
)
MAILS = Mails(BRAND)
NOTICE_KINDS = {notice.kind for row in NOTICES.values() for notice in row} | {"security_notice"}
EVERY = [(kind, language) for language in LANGUAGES for kind in KINDS]


class Page(HTMLParser):
    """The elements of a page, and what is shown of it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data

    def tags(self) -> list[str]:
        """Return the elements but those around words of users."""
        return [tag for tag, _ in self.elements if tag != "bdi"]

    def loads(self) -> list[str]:
        """Return every address that showing the page would load."""
        attributes = [entry for _, given in self.elements for entry in given.items()]
        found = [value or "" for name, value in attributes if name in {"src", "background"}]
        return found + re.findall(r"url\(([^)]*)\)", self.words)


@for_each(EVERY, lambda entry: f"{entry[0]}-{entry[1]}")
def test_a_mail_is_whole_small_and_loads_the_logo_alone(entry: tuple[str, str]) -> None:
    kind, language = entry
    content = sample(kind)
    mail = MAILS.render(content, language)
    page = Page(mail.html)
    assert mail.subject
    assert len(mail.html.encode()) < 40_000
    assert page.loads() == ["https://example.com/logo.png"]
    assert not {"script", "link", "iframe", "form", "object"} & {tag for tag, _ in page.elements}
    assert dict(page.elements)["html"]["lang"] == language
    for secret in filter(None, (content.code, content.link)):
        assert secret in mail.text
        assert secret in mail.html
    assert "{" not in mail.text


@for_each(KINDS, str)
def test_no_kind_is_in_english_in_a_german_mail(kind: str) -> None:
    english, german = (MAILS.render(sample(kind), language) for language in ("en", "de"))
    assert kind == "test" or english.subject != german.subject
    assert not set(english.text.splitlines()) & set(german.text.splitlines()) - set(_shared(kind))


def _shared(kind: str) -> list[str]:
    content = sample(kind)
    end = ["", "-- ", BRAND.name, BRAND.footer, "Browser: Firefox"]
    return [*end, f"    {content.code}", content.link, content.account_url]


@for_each([entry for entry in EVERY if entry[0] in NOTICE_KINDS], str)
def test_a_notice_ends_with_what_to_do_and_the_account_page(entry: tuple[str, str]) -> None:
    kind, language = entry
    mail = MAILS.render(sample(kind), language)
    said = mail.text.partition("\n\n-- \n")[0].split("\n\n")[-1].splitlines()
    assert len(said) >= 2
    assert said[-1] == "https://app.example.com/account"
    assert "14:05 UTC" in mail.text
    assert "2001:db8:85a3:8d3::/64" in mail.text
    assert 'href="https://app.example.com/account"' in mail.html


HOSTILE = [
    "<script>alert(1)</script>", "</td></table><img src=https://evil.example/x>",
    '"><a href="https://evil.example">',
    "{{ 7 * 7 }}{% raw %}", "ada\r\n\r\nYour code is 000000", "ada\u2028\u2029\x0b\x0c\x85b",
    "\u202eevil\u2066\u061c",
    "\x00\x1b[31m", "https://evil.example/win", "evil.example", "a" * 500, "&lt;b&gt;", "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
@pytest.mark.parametrize("kind", ["login_code", "org_invite", "password_changed"])
def test_a_hostile_name_changes_nothing_but_the_name(name: str, kind: str) -> None:
    content, plain = sample(kind), MAILS.render(sample(kind))
    mail = MAILS.render(
        Content(
            kind=kind, username=name, org=name, inviter=name,
            code=content.code, link=content.link, circumstances=content.circumstances,
            account_url=content.account_url,
        )
    )  # fmt: skip
    assert Page(mail.html).tags() == Page(plain.html).tags()
    assert Page(mail.html).loads() == Page(plain.html).loads()
    assert mail.subject == plain.subject
    if kind != "org_invite":  # whose lines are broken at other places
        assert len(mail.text.splitlines()) == len(plain.text.splitlines())
    assert not re.search(r"evil\.example", mail.text + mail.html.replace("&lt;", "<"))
    shown = mail.text + Page(mail.html).words
    assert not set(shown) & set("\x00\x1b\u2028\u2029\u202e\u2066\u061c\x0b\x0c\x85\ud800")
    assert "aaaaaaaaaa" * 10 not in shown
    mail.text.encode()


def test_an_ordinary_name_stays_as_it_is() -> None:
    for name in ("ada_lovelace", "Ada Lovelace", "עדה", "艾達", "O'Hara"):
        assert harmless(name) == name


@pytest.mark.parametrize(
    ("tag", "subject"),
    [("de", "Willkommen"), ("de-AT-1996", "Willkommen"), ("DE", "Willkommen"), ("", "Welcome"),
     ("fr", "Welcome"), ("dep", "Welcome"), ("../de", "Welcome")],
)  # fmt: skip
def test_the_nearest_language_is_chosen(tag: str, subject: str) -> None:
    assert MAILS.render(Content(kind="welcome"), tag).subject == subject


def test_a_notice_that_is_new_names_its_kind() -> None:
    mail = MAILS.render(Content(kind="something_new"), "de")
    assert mail.subject == "Eine Änderung an Ihrem Konto"
    assert "something_new" in mail.text


def test_a_button_can_be_read_on_every_colour() -> None:
    assert Brand(color="#ffe600").color_on_top == "#111111"
    assert Brand(color="#3459d8").color_on_top == "#ffffff"


# --- the templates of the host ----------------------------------------------------------------------------


def write(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, "utf-8")
    return str(folder)


KIND = (
    '{% extends "layout" %}{% block subject %}Bienvenue{% endblock %}'
    "{% block text %}Votre compte, {{ name }}.{% endblock %}"
)


def test_a_host_replaces_a_file_or_adds_a_language(tmp_path: Path) -> None:
    write(tmp_path, "fr/welcome.j2", KIND)
    folder = write(tmp_path, "en/welcome.j2", KIND.replace("Bienvenue", "Hi"))
    mails = Mails(BRAND, folder=folder)
    assert mails.render(Content(kind="welcome", username="ada"), "fr-CA").subject == "Bienvenue"
    assert "Votre compte, ada." in mails.render(Content(kind="welcome", username="ada"), "fr").text
    assert mails.render(Content(kind="welcome"), "en").subject == "Hi"
    assert mails.render(Content(kind="welcome"), "de").subject == "Willkommen"
    assert mails.render(Content(kind="login_code"), "fr").subject == "Your sign-in code"


def test_a_host_replaces_the_layout(tmp_path: Path) -> None:
    folder = write(tmp_path, "layout.html", "<p>{{ brand.name }}: {{ self.text() }}</p>")
    mail = Mails(BRAND, folder=folder).render(Content(kind="welcome"))
    assert mail.html == "<p>Example &amp; Söhne: Your account is ready.</p>\n"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("en/welcome.j2", KIND.replace("name", "nmae"), "nmae"),
        ("en/welcome.j2", KIND.replace("subject", "sbject"), "there is no block subject"),
        ("en/welcome.j2", KIND.replace("name", "1 + name"), "TypeError"),
        ("en/welcome.j2", "{% block subject %}", "en/welcome.j2"),
        ("layout.html", "{{ codes }}", "codes"),
        ("readme.md", "nothing", "holds no template"),
    ],
)
def test_a_template_that_cannot_work_stops_the_start(tmp_path: Path, name: str, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match="mail_templates") as refused:
        Mails(BRAND, folder=write(tmp_path, name, text))
    assert said in str(refused.value)


def test_a_folder_or_language_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="mail_templates: /none"):
        Mails(BRAND, folder="/none")
    with pytest.raises(ConfigError, match=r"mail_language is 'fr'.*de, en"):
        Mails(BRAND, language="fr")


async def test_a_service_uses_folder_and_language_of_its_settings(make_service, tmp_path: Path) -> None:
    write(tmp_path, "fr/welcome.j2", KIND)
    service = await make_service(
        email_sender=None, dev=True, mail_templates=str(tmp_path), mail_language="fr", brand_name="Example"
    )
    await service.inbox.send_welcome("ada@example.test", "ada_l")
    (message,) = service.inbox.messages()
    assert message.subject == "Bienvenue"
    assert "Example" in message.html


@pytest.mark.parametrize(
    "wrong",
    [{"brand_color": "blue"}, {"brand_color": "#fff;x"}, {"brand_logo_url": "http://example.com/x.png"},
     {"brand_logo_url": "javascript:alert(1)"}, {"brand_support": "call us"}, {"brand_name": "a\nb"}],
    ids=str,
)  # fmt: skip
def test_a_brand_that_cannot_be_shown_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Config(issuer="https://issuer.example", issued_audiences=("api",), **wrong)  # type: ignore[arg-type]
