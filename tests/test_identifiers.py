"""Normal forms: two spellings of one thing never become two things, and nothing odd gets in."""

from __future__ import annotations

import os
import uuid
from email import message_from_bytes
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import getaddresses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authkit_issuer import errors, identifiers


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        (" Ada@Example.Test ", "ada@example.test"),
        ("p1@example.test", "p1@example.test"),
        ("a.b+c_d-e@example.test", "a.b+c_d-e@example.test"),
        ("o'neill/x=y{z}@example.test", "o'neill/x=y{z}@example.test"),
        ("x@host.local", "x@host.local"),
        ("a@1.example.test", "a@1.example.test"),
        ("a@ab--cd.test", "a@ab--cd.test"),
        ("a" * 64 + "@example.test", "a" * 64 + "@example.test"),
        ("a@" + "b" * 63 + ".test", "a@" + "b" * 63 + ".test"),
    ],
)
def test_an_address_is_trimmed_and_lower_case(text: str, normal: str) -> None:
    assert identifiers.email(text) == normal


@pytest.mark.parametrize(
    "text",
    ["<ada@example.test>", " < ada@example.test > ", "mailto:ada@example.test", "MAILTO:Ada@Example.Test",
     "<mailto:ada@example.test>", "ada@example.test,", "ada@example.test;", "ada@example.test ; ,",
     "<ada@example.test>,", "\tada@example.test\r\n", "\u00a0ada@example.test\u00a0"],
)  # fmt: skip
def test_what_is_pasted_around_an_address_is_left_out(text: str) -> None:
    assert identifiers.email(text) == "ada@example.test"


@pytest.mark.parametrize(
    ("text", "stored", "shown"),
    [
        ("ada@Müller.example", "ada@xn--mller-kva.example", "ada@müller.example"),
        ("ada@mu\u0308ller.example", "ada@xn--mller-kva.example", "ada@müller.example"),
        ("ada@xn--MLLER-kva.example", "ada@xn--mller-kva.example", "ada@müller.example"),
        ("ada@straße.example", "ada@xn--strae-oqa.example", "ada@straße.example"),
        ("ada@例え.テスト", "ada@xn--r8jz45g.xn--zckzah", "ada@例え.テスト"),
        ("ada@example.test", "ada@example.test", "ada@example.test"),
    ],
)
def test_a_host_name_is_stored_in_a_labels_and_shown_in_letters(text: str, stored: str, shown: str) -> None:
    assert identifiers.email(text) == stored
    assert identifiers.displayed_email(stored) == shown
    assert identifiers.email(shown) == stored


def test_a_label_that_idna_does_not_know_is_shown_as_it_is() -> None:
    assert identifiers.displayed_email("a@xn--i-7iq.test") == "a@xn--i-7iq.test"


@pytest.mark.parametrize(
    "text",
    [
        "", "@", "ada", "ada@", "@example.test", "a@b", "a@.test", "a@test.", "a@b..c", "a@b@c.test",
        "a b@c.test", "a@c .test", "a\n@c.test", "a@c.test\nbcc: x@y.test", "a\x00@c.test", "ü@c.test",
        "a" * 65 + "@c.test", "a@" + "b" * 250 + ".test", "a\u2028@c.test",
        "\u212aim@c.test", "a@\u212a.test", "a@" + "b" * 64 + ".test",
        "a@" + ".".join(["b" * 63] * 4), "a@" + "ü" * 10000 + ".test",
        # what a header or a shell would read in another way
        "x1,vic@example.test", "x;vic@example.test", "vic(x)@example.test", "(c)a@x.test", "a,b@x.test",
        '"a"@x.test', '"a b"@x.test', "root@[127.0.0.1]", "root@127.0.0.1", "a@1.2.3.4", "a@x.1",
        "-oQ/tmp@x.test", "a..b@x.test", ".a@x.test", "a.@x.test", "a@ex_a.mple", "a@-x.test", "a@x-.test",
        "Ada <a@x.test>", "<a@x.test", "a@x.test>", "<a@x.test>,<b@x.test>", "<a@x.test> <b@x.test>",
        "mailto:a@x.test?cc=b@x.test", "a\\@b@x.test", "a@x.test:25", "a%b@c@x.test", "a:b@x.test",
        # what IDNA 2008 does not allow
        "a@xn--i-7iq.test", "a@\u2764.test", "a@xn--.test", "a@xn--a.test", "a@a\u200bb.test",
        "a@\uff41.test",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(errors.InvalidEmail) as refused:
        identifiers.email(text)
    assert refused.value.param == "email"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ada.example.test", "one @"),
        ("a" * 65 + "@example.test", "before the @ has more than 64 characters"),
        ("a,b@example.test", "before the @ may hold"),
        ("ada@example", "full host name"),
        ("ada@192.0.2.1", "no IP address"),
        ("ada@ex_ample.test", "letters, digits and hyphens"),
        ("ada@\u2764.test", "IDNA 2008"),
        ("ada@\u212a.test", "looks like an ASCII one"),
        ("ada@" + "b." * 126 + "test", "more than 254 characters"),
    ],
)
def test_a_refusal_names_the_rule_that_an_address_breaks(text: str, words: str) -> None:
    with pytest.raises(errors.InvalidEmail, match=words):
        identifiers.email(text)


_NEAR_ADDRESSES = st.from_regex(r"[<\-.,;()\"a-zA-Z0-9!+_ ]{1,12}@[\-._a-zA-Z0-9üß]{1,20}\.[a-z0-9>,;]{1,5}")


@given(st.text(max_size=60) | st.emails() | _NEAR_ADDRESSES)
def test_an_accepted_address_is_its_own_normal_form_and_one_recipient(text: str) -> None:
    try:
        normal = identifiers.email(text)
    except errors.InvalidEmail:
        return
    assert identifiers.email(normal) == normal
    assert identifiers.email(identifiers.displayed_email(normal)) == normal
    assert normal.isascii()
    message = EmailMessage(policy=SMTP)
    message["To"] = Address(addr_spec=normal)
    (read,) = message_from_bytes(bytes(message), policy=SMTP)["To"].addresses
    assert read.addr_spec == normal
    assert getaddresses([normal]) == [("", normal)]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("+15550100", "+15550100"),
        (" +4915112345678 ", "+4915112345678"),
        ("004915112345678", "+4915112345678"),
        ("+49 151 1234-5678", "+4915112345678"),
        ("+49 (0)151/12345678", "+4915112345678"),
        ("+4901511234567", "+491511234567"),
        ("+49\u00a0151\u2011123\u20094567", "+491511234567"),
        ("+44 (0)20 7946 0958", "+442079460958"),
        ("+1 (650) 253-0000", "+16502530000"),
        ("+1.650.253.0000", "+16502530000"),
        # Countries whose zero belongs to the number.
        ("+39 06 12345678", "+390612345678"),
        ("+378 0549 886377", "+3780549886377"),
        ("+225 07 01 02 03 04", "+2250701020304"),
    ],
)
def test_one_phone_number_has_one_form(text: str, number: str) -> None:
    assert identifiers.phone(text) == number


@pytest.mark.parametrize(
    "text",
    ["", "+", "+1", "+12", "00", "0151", "01511234567", "+0123", "+1" + "2" * 15, "+1 234", "+1-234",
     "+\u0661\u0662", "+123\n4", "+4915112345678\n+4915112345679", "++4915112345678", "+49+15112345678",
     "+999123456789", "+36106123456789", "+1 650 253 0000 ext. 5", "+1650CALLNOW", "tel:+4915112345678",
     "+49151123456781234567", "+49 151 12345678;ext=1", "+49151\x0012345678",
     "+49151123456789012", "+6281234567890123", "+" + "1" * 100000],
)  # fmt: skip
def test_what_is_no_phone_number_is_refused(text: str) -> None:
    with pytest.raises(errors.InvalidPhoneNumber) as refused:
        identifiers.phone(text)
    assert refused.value.param == "phone_number"


@pytest.mark.parametrize(
    ("text", "words"),
    [("0151 1234567", "country code, as in"), ("+999 123456789", "no known country"), ("+1 234", "digits")],
)
def test_a_refusal_names_the_rule_that_a_number_breaks(text: str, words: str) -> None:
    with pytest.raises(errors.InvalidPhoneNumber, match=words):
        identifiers.phone(text)


@given(st.from_regex(r"(\+|00)[1-9][0-9 ()-]{4,18}", fullmatch=True))
def test_an_accepted_number_is_its_own_normal_form(text: str) -> None:
    try:
        number = identifiers.phone(text)
    except errors.InvalidPhoneNumber:
        return
    assert identifiers.phone(number) == number
    assert number[0] == "+"
    assert number[1:].isdigit()
    assert len(number) <= 16


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
    assert identifiers.uuid_or_none(known) == identifiers.uuid_or_none(known.upper()) == known
    assert identifiers.uuid_or_none(known) == identifiers.uuid_or_none(known.upper()) == known
    for odd in (
        "",
        "x",
        known[:-1],
        "{" + known + "}",
        "urn:uuid:" + known,
        known.replace("-", ""),
        known + "\n",
    ):
        assert identifiers.uuid_or_none(odd) is None
        assert identifiers.uuid_or_none(odd) is None


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
