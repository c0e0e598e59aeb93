"""Sign In With Solana: the text, the parser and the judgement of an answer."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import base58
import pytest
from hypothesis import given
from hypothesis import strategies as st

from authkit_issuer import errors
from authkit_issuer.security.siws import (
    SignInInput,
    SignInOutput,
    build_message,
    parse_message,
    public_key,
    verify,
)
from fakes.wallets import START, Wallet, long_envelope, short_envelope

Read = Callable[[str], Any]
NOW = datetime(2030, 1, 15, 12, 5, tzinfo=UTC)
WALLET = Wallet(1)
CHALLENGE = SignInInput(
    domain="app.example.com",
    address=WALLET.address,
    statement="Sign in to Example",
    uri="https://app.example.com/login",
    version="1",
    chain_id="mainnet",
    nonce="0123456789abcdef0123456789abcdef",
    issued_at="2030-01-15T12:00:00Z",
    expiration_time="2030-01-15T12:15:00Z",
    not_before="2030-01-15T11:59:00Z",
    request_id="req-1",
    resources=("https://app.example.com/tos", "ipfs://x"),
)
TEXT = build_message(CHALLENGE).encode()


def judge(challenge: SignInInput, output: SignInOutput, now: datetime = NOW) -> str:
    try:
        verify(output, challenge, now=now)
    except errors.AuthError as refusal:
        return refusal.code
    return "accept"


def test_recorded_answers_are_judged_as_recorded(testdata: Read) -> None:
    wrong: list[str] = []
    rows = testdata("siws/siws_vectors.json")["vectors"]
    for row in rows:
        if row.get("stage") == "optional":
            continue
        found = judge(
            SignInInput.from_json(row["challenge"]),
            SignInOutput.from_json(row["output"]),
            datetime.fromisoformat(row["now"]),
        )
        if (found == "accept") != (row["expect"] == "accept") or not found.startswith(("accept", "siws_")):
            wrong.append(f"{row['name']}: {found}")
    assert wrong == []
    assert len(rows) > 60


def test_the_text_is_the_references_for_every_combination_of_members(testdata: Read) -> None:
    rows = testdata("siws/siws_matrix.json")["vectors"]
    assert len(rows) == 256
    for row in rows:
        challenge = SignInInput.from_json(row["challenge"])
        assert build_message(challenge) == row["message"]
        assert parse_message(row["message"].encode()) == challenge
        assert challenge.to_json() == row["challenge"]
        output = {
            "account": {"address": challenge.address},
            "signature": row["signature"],
            "signedMessage": base64.b64encode(row["message"].encode()).decode(),
        }
        assert judge(challenge, SignInOutput.from_json(output)) == "accept", row["mask"]


def test_where_builders_differ_the_reference_is_followed(testdata: Read) -> None:
    for row in testdata("siws/siws_builder_differences.json"):
        text = build_message(SignInInput.from_json(row["input"]))
        assert text == row.get("reference_js", text), row["name"]


def test_real_wallets_signatures_are_judged_as_recorded(testdata: Read) -> None:
    from authkit_issuer.security.siws import _fits

    found = testdata("siws/real_wallet_messages.json")
    for row in found["signed"]:
        signature = base64.b64decode(row["signature"])
        valid = _fits(public_key(row["address"]), row["message"].encode(), signature)
        assert valid == row["plain_signature_valid"], row["name"]
    for row in found["parser_examples"]["refused_by_supabase"]:
        with pytest.raises(errors.SiwsMessageInvalid):
            parse_message(row["message"].encode())


def test_a_whole_message_comes_back_as_it_was() -> None:
    assert parse_message(TEXT) == CHALLENGE
    assert SignInInput.from_json(CHALLENGE.to_json()) == CHALLENGE
    assert judge(CHALLENGE, WALLET.sign(CHALLENGE)) == "accept"


FIELDS = [entry.name for entry in dataclasses.fields(SignInInput)]
WORDS = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=1)


@given(name=st.sampled_from(FIELDS), value=WORDS)
def test_one_member_changed_is_refused(name: str, value: str) -> None:
    changed: Any = (value,) if name == "resources" else value
    other = dataclasses.replace(CHALLENGE, **{name: changed})
    if other != CHALLENGE:
        signed = build_message(other).encode()
        assert judge(CHALLENGE, WALLET.sign_bytes(signed)) != "accept"


@given(name=st.sampled_from([name for name in FIELDS if name not in {"domain", "address"}]))
def test_one_member_dropped_or_added_is_refused(name: str) -> None:
    without = dataclasses.replace(CHALLENGE, **{name: None})
    assert judge(CHALLENGE, WALLET.sign(without)) == "siws_challenge_mismatch"
    assert judge(without, WALLET.sign(CHALLENGE)) == "siws_challenge_mismatch"


LINES = TEXT.split(b"\n")


@given(number=st.integers(0, len(LINES) - 1), place=st.integers(0, len(LINES)))
def test_one_line_doubled_or_moved_is_refused(number: int, place: int) -> None:
    doubled = [*LINES[:place], LINES[number], *LINES[place:]]
    rest = LINES[:number] + LINES[number + 1 :]
    moved = [*rest[:place], LINES[number], *rest[place:]]
    for lines in (doubled, moved):
        if lines != LINES:
            assert judge(CHALLENGE, WALLET.sign_bytes(b"\n".join(lines))) != "accept"


@given(at=st.integers(0, len(TEXT) - 1), byte=st.integers(0, 255))
def test_one_byte_changed_is_refused_even_when_it_was_signed(at: int, byte: int) -> None:
    changed = TEXT[:at] + bytes([byte]) + TEXT[at + 1 :]
    if changed != TEXT:
        assert judge(CHALLENGE, WALLET.sign_bytes(changed)) != "accept"
        assert judge(CHALLENGE, WALLET.sign_bytes(TEXT, shown=changed)) != "accept"


@pytest.mark.parametrize(
    "text",
    [
        TEXT + b"\n",
        TEXT + b"\n- more\nNonce: x",
        TEXT.replace(b"\n", b"\r\n"),
        TEXT.replace(b"\n\n", b"\n"),
        TEXT.replace(b"Nonce: ", b"nonce: "),
        TEXT.replace(b"URI: ", b"Version: 1\nURI: "),
        TEXT.replace(b"Request ID: req-1", b"Request ID: "),
        TEXT.replace(b"app.example.com wants", b"app example com wants"),
        TEXT.replace(b"app.example.com wants", b" wants"),
        TEXT.replace(b"Sign in", b"Sign\x00in"),
        TEXT.replace(b"Sign in", b"Sign \xff"),
        TEXT.replace(WALLET.address.encode(), WALLET.address[:-1].encode()),
        b"\xef\xbb\xbf" + TEXT,
        b"",
        LINES[0],
    ],
)
def test_a_message_that_is_not_exactly_one_is_malformed(text: bytes) -> None:
    with pytest.raises(errors.SiwsMessageInvalid):
        parse_message(text)


@pytest.mark.parametrize("name", [name for name in FIELDS if name != "resources"])
@pytest.mark.parametrize("value", ["a\nNonce: b", "a\rb", "a\u0085b", "\ud800"])
def test_no_text_is_built_from_a_member_that_could_pass_for_others(name: str, value: str) -> None:
    with pytest.raises(errors.SiwsMessageInvalid):
        build_message(dataclasses.replace(CHALLENGE, **{name: value}))


ENVELOPES = {
    "short ascii": short_envelope(TEXT),
    "short utf-8": short_envelope(TEXT, form=1),
    "long": long_envelope(TEXT, WALLET.public_key),
    "long with the domain": long_envelope(TEXT, WALLET.public_key, domain=b"app.example.com"),
}


@pytest.mark.parametrize("name", ENVELOPES)
def test_a_device_signs_the_text_in_an_envelope(name: str) -> None:
    envelope = ENVELOPES[name]
    assert judge(CHALLENGE, WALLET.sign_bytes(envelope)) == "accept"
    assert judge(CHALLENGE, WALLET.sign_bytes(envelope, shown=TEXT)) == "accept"


def test_an_envelope_may_list_several_signers_the_wallet_among_them() -> None:
    other = Wallet(2).public_key
    assert judge(CHALLENGE, WALLET.sign_bytes(long_envelope(TEXT, other, WALLET.public_key))) == "accept"
    assert judge(CHALLENGE, WALLET.sign_bytes(long_envelope(TEXT, other))) == "siws_signature_invalid"


def test_an_envelope_around_text_outside_ascii_says_so() -> None:
    challenge = dataclasses.replace(CHALLENGE, statement="Grüße")
    text = build_message(challenge).encode()
    assert judge(challenge, WALLET.sign_bytes(short_envelope(text, form=1))) == "accept"
    assert judge(challenge, WALLET.sign_bytes(short_envelope(text, form=0))) == "siws_message_invalid"
    assert judge(challenge, WALLET.sign_bytes(short_envelope(text, form=1), shown=text)) == "accept"


@pytest.mark.parametrize(
    "envelope",
    [
        START,
        START[:-1] + b"\x01" + ENVELOPES["short ascii"][len(START) :],
        ENVELOPES["short ascii"] + b"x",
        ENVELOPES["short ascii"][:-1],
        short_envelope(TEXT, form=2),
        long_envelope(TEXT),
        long_envelope(TEXT, WALLET.public_key, form=2),
        long_envelope(TEXT, WALLET.public_key, domain=b"app\0example"),
        long_envelope(TEXT, WALLET.public_key) + b"\0",
        b"\xff" + TEXT,
    ],
)
def test_a_malformed_envelope_is_refused_though_signed(envelope: bytes) -> None:
    assert judge(CHALLENGE, WALLET.sign_bytes(envelope)) == "siws_message_invalid"


def test_another_text_in_an_envelope_is_refused() -> None:
    other = build_message(dataclasses.replace(CHALLENGE, nonce="f" * 32)).encode()
    assert judge(CHALLENGE, WALLET.sign_bytes(short_envelope(other))) == "siws_challenge_mismatch"
    assert judge(CHALLENGE, WALLET.sign_bytes(short_envelope(other), shown=TEXT)) == "siws_signature_invalid"


def test_a_signature_for_another_domain_is_named_so() -> None:
    phished = dataclasses.replace(CHALLENGE, domain="evil.example.com")
    assert judge(CHALLENGE, WALLET.sign(phished)) == "siws_domain_invalid"


def test_another_wallet_is_refused() -> None:
    eve = Wallet(3)
    assert judge(CHALLENGE, eve.sign(CHALLENGE)) == "siws_address_mismatch"
    forged = dataclasses.replace(eve.sign(CHALLENGE), account=WALLET.sign(CHALLENGE).account)
    assert judge(CHALLENGE, forged) == "siws_signature_invalid"
    claimed = dataclasses.replace(eve.sign(CHALLENGE).account, address=WALLET.address)
    assert (
        judge(CHALLENGE, dataclasses.replace(eve.sign(CHALLENGE), account=claimed)) == "siws_address_mismatch"
    )


def test_times_hold_on_the_given_clock() -> None:
    output = WALLET.sign(CHALLENGE)
    for now, found in (
        (datetime(2030, 1, 15, 12, 15, tzinfo=UTC), "siws_timestamp_invalid"),
        (datetime(2030, 1, 15, 12, 14, 59, tzinfo=UTC), "accept"),
        (datetime(2030, 1, 15, 11, 59, tzinfo=UTC), "accept"),
        (datetime(2030, 1, 15, 11, 58, 59, tzinfo=UTC), "siws_timestamp_invalid"),
    ):
        assert judge(CHALLENGE, output, now) == found
    bare = dataclasses.replace(CHALLENGE, not_before=None)
    ahead = datetime(2030, 1, 15, 11, 55, tzinfo=UTC)
    assert judge(bare, WALLET.sign(bare), ahead) == "accept"
    assert judge(bare, WALLET.sign(bare), ahead - timedelta(seconds=1)) == "siws_timestamp_invalid"


@pytest.mark.parametrize(
    "text", ["2030-01-15", "20300115T120000Z", "2030-01-15 12:00:00Z", "2030-W03-2T12:00Z"]
)
def test_times_are_rfc_3339(text: str) -> None:
    challenge = dataclasses.replace(CHALLENGE, issued_at=text)
    assert judge(challenge, WALLET.sign(challenge)) == "siws_timestamp_invalid"


SMALL_ORDER = [
    bytes(32),
    bytes([1, *bytes(31)]),
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    bytes([0xEC, *[0xFF] * 30, 0x7F]),
    bytes([0xED, *[0xFF] * 30, 0x7F]),
    bytes([0xEE, *[0xFF] * 30, 0x7F]),
    bytes([0xED, *[0xFF] * 31]),
]


@pytest.mark.parametrize("key", SMALL_ORDER, ids=[key.hex()[:8] for key in SMALL_ORDER])
def test_keys_of_small_order_are_nobodys_address(key: bytes) -> None:
    with pytest.raises(errors.InvalidAddress):
        public_key(base58.b58encode(key).decode())


@pytest.mark.parametrize(
    "address",
    ["", "1" * 32, "1" + WALLET.address, f" {WALLET.address}", f"{WALLET.address} ", WALLET.address.lower(),
     "0OIl", "é" * 32, "z" * 44, "2" * 10_000],
)  # fmt: skip
def test_an_address_has_one_spelling(address: str) -> None:
    with pytest.raises(errors.InvalidAddress):
        public_key(address)


def test_bytes_come_in_either_alphabet_or_as_a_list() -> None:
    output = WALLET.sign(CHALLENGE)
    spelled = output.to_json()
    assert SignInOutput.from_json(spelled) == output
    for spell in (
        lambda raw: base64.urlsafe_b64encode(raw).rstrip(b"=").decode(),
        lambda raw: base64.b64encode(raw).rstrip(b"=").decode(),
        list,
    ):
        other = spelled | {
            "signature": spell(output.signature),
            "signedMessage": spell(output.signed_message),
        }
        assert SignInOutput.from_json(other) == output


def test_a_signature_comes_in_base58_too_and_with_blanks() -> None:
    spelled = WALLET.sign(CHALLENGE).to_json()
    # Of every length and with every end that a signature can have in base58 and in base64.
    drawn = [hashlib.sha512(bytes([number, other])).digest() for number in range(256) for other in range(8)]
    for signature in (*drawn, bytes(64), b"\xff" * 64, bytes(1) + b"\xff" * 63):
        text = base58.b58encode(signature).decode()
        for typed in (text, f" {text[:44]}\n{text[44:]} "):
            assert SignInOutput.from_json(spelled | {"signature": typed}).signature == signature
        plain = base64.b64encode(signature).decode()
        for typed in (plain, plain.rstrip("=")):
            assert SignInOutput.from_json(spelled | {"signature": typed}).signature == signature


@pytest.mark.parametrize("value", [None, 1, "a", "a b=", "ü", [256], [-1], [True], ["1"], {"0": 1}])
def test_what_is_no_bytes_is_refused_by_name(value: object) -> None:
    with pytest.raises(errors.SiwsMessageInvalid) as refusal:
        SignInOutput.from_json(WALLET.sign(CHALLENGE).to_json() | {"signature": value})
    assert refusal.value.param == "signature"


def test_an_answer_shows_no_signature_in_its_repr() -> None:
    output = WALLET.sign(CHALLENGE)
    assert "signature" not in repr(output)
