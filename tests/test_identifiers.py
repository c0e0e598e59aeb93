"""Normal forms: two spellings of one thing never become two things, and nothing odd gets in."""

from __future__ import annotations

import os
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authkit_issuer import errors, identifiers


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        (" Ada@Example.Test ", "ada@example.test"),
        ("p1@example.test", "p1@example.test"),
        ("a..b@example.test", "a..b@example.test"),
        ("x@host.local", "x@host.local"),
        ("a" * 64 + "@example.test", "a" * 64 + "@example.test"),
    ],
)
def test_an_address_is_trimmed_and_lower_case(text: str, normal: str) -> None:
    assert identifiers.email(text) == normal


@pytest.mark.parametrize(
    "text",
    [
        "", "@", "ada", "ada@", "@example.test", "a@b", "a@.test", "a@test.", "a@b..c", "a@b@c.test",
        "a b@c.test", "a@c .test", "a\n@c.test", "a@c.test\nbcc: x@y.test", "a\x00@c.test", "ü@c.test",
        "a@ü.test", "a" * 65 + "@c.test", "a@" + "b" * 250 + ".test", "a\u2028@c.test",
        "\u212aim@c.test", "a@\u212a.test",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(errors.InvalidEmail):
        identifiers.email(text)


@given(st.text(max_size=60))
def test_an_accepted_address_is_its_own_normal_form(text: str) -> None:
    try:
        normal = identifiers.email(text)
    except errors.InvalidEmail:
        return
    assert identifiers.email(normal) == normal
    assert normal.isascii()
    assert normal.count("@") == 1
    assert not any(char.isspace() for char in normal)


@pytest.mark.parametrize("text", ["+15550100", " +4915112345678 ", "+12"])
def test_a_number_is_kept_as_it_is(text: str) -> None:
    assert identifiers.phone(text) == text.strip()


@pytest.mark.parametrize(
    "text", ["", "+", "+1", "0151", "+0123", "+1" + "2" * 15, "+1 234", "+1-234", "+\u0661\u0662", "+123\n4"]
)
def test_what_is_no_e164_number_is_refused(text: str) -> None:
    with pytest.raises(errors.InvalidPhoneNumber):
        identifiers.phone(text)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("abc", errors.UsernameTooShort), ("a" * 31, errors.UsernameTooLong),
        ("a@bc", errors.UsernameCannotContainAt), ("1abc", errors.UsernameMustStartWithLetter),
        ("_abc", errors.UsernameMustStartWithLetter), ("äabc", errors.UsernameMustStartWithLetter),
        ("ab-c", errors.UsernameInvalidCharacters), ("ab c", errors.UsernameInvalidCharacters),
        ("abcä", errors.UsernameInvalidCharacters), ("abc\u0660", errors.UsernameInvalidCharacters),
        ("ADMIN", errors.UsernameReserved), ("Moderator", errors.UsernameReserved),
    ],
)  # fmt: skip
def test_the_first_rule_a_name_breaks_is_named(text: str, error: type[errors.AuthError]) -> None:
    with pytest.raises(error):
        identifiers.username(text)


@given(st.from_regex(r"[A-Za-z][A-Za-z0-9_]{3,29}", fullmatch=True))
def test_a_good_name_keeps_its_letter_case(text: str) -> None:
    if text.lower() not in identifiers.DEFAULT_RESERVED_USERNAMES:
        assert identifiers.username(f" {text} ") == text


@pytest.mark.parametrize(
    ("name", "slug"), [("Alice", "alice"), ("alice_1", "alice-1"), ("A__B--C", "a-b-c"), ("---x---", "x")]
)
def test_owner_slugs_follow_from_names(name: str, slug: str) -> None:
    assert identifiers.owner_slug(name) == slug


@given(st.text(max_size=80))
def test_an_owner_slug_is_an_organization_slug_or_empty(name: str) -> None:
    slug = identifiers.owner_slug(name)[:63].strip("-")
    if slug:
        assert identifiers.org_slug(slug) == slug


@pytest.mark.parametrize("text", ["", "-a", "a-", "a_b", "a.b", "a/b", "a" * 64, "ä"])
def test_what_is_no_organization_slug_is_refused(text: str) -> None:
    with pytest.raises(errors.InvalidOrgSlug):
        identifiers.org_slug(text)


def test_an_id_has_one_spelling() -> None:
    known = str(uuid.uuid4())
    assert identifiers.user_id(known) == identifiers.user_id(known.upper()) == known
    for odd in (
        "",
        "x",
        known[:-1],
        "{" + known + "}",
        "urn:uuid:" + known,
        known.replace("-", ""),
        known + "\n",
    ):
        assert identifiers.user_id(odd) is None


def test_new_ids_are_random_uuids() -> None:
    made = {identifiers.new_id(os.urandom) for _ in range(100)}
    assert len(made) == 100
    assert all(uuid.UUID(one).version == 4 for one in made)


@pytest.mark.parametrize(
    ("text", "address", "prefix"),
    [
        ("192.0.2.1", "192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1"),
        ("2001:DB8::1", "2001:db8::1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::1", "fe80::/64"),
        ("unix", None, ""),
        ("", None, ""),
        (None, None, ""),
    ],
)
def test_addresses_have_one_form_and_networks_share_a_prefix(
    text: str | None, address: str | None, prefix: str
) -> None:
    assert identifiers.ip_address(text) == address
    assert identifiers.ip_prefix(text) == prefix


@given(st.text(max_size=700))
def test_a_stored_user_agent_is_one_short_printable_line(text: str) -> None:
    kept = identifiers.user_agent(text)
    assert kept is None or (kept.isprintable() and 1 <= len(kept) <= 512)
    assert identifiers.storable(kept or "")
