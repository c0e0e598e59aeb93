"""Codes of authenticator apps, as other implementations compute them."""

from __future__ import annotations

import base64
import os
import random
from urllib.parse import parse_qs, unquote, urlsplit

import pyotp
import pytest

from authkit_issuer.security import totp

RFC_SECRET = b"12345678901234567890"


@pytest.mark.parametrize(
    ("at", "code"),
    [(59, "287082"), (1111111109, "081804"), (1111111111, "050471"), (1234567890, "005924"),
     (2000000000, "279037"), (20000000000, "353130")],
)  # fmt: skip
def test_the_vectors_of_the_rfc(at: int, code: str) -> None:
    assert totp.code_at(RFC_SECRET, at // totp.PERIOD) == code


def test_a_thousand_secrets_and_times_agree_with_pyotp() -> None:
    chance = random.Random(6238)
    for _ in range(1000):
        secret, at = os.urandom(totp.SECRET_BYTES), chance.randrange(4 * 10**9)
        expected = pyotp.TOTP(totp.base32(secret)).at(at)
        assert totp.code_at(secret, at // totp.PERIOD) == expected
        assert at // totp.PERIOD in totp.matching_steps(secret, expected, at)


def test_a_code_is_found_as_people_type_it_and_near_now_alone() -> None:
    at = 1_700_000_000
    code = totp.code_at(RFC_SECRET, at // 30)
    assert totp.matching_steps(RFC_SECRET, f" {code[:3]} {code[3:]} ", at) == [at // 30]
    assert totp.matching_steps(RFC_SECRET, code, at + 3600) == []
    for wrong in ("", "12345", "x" * 10_000, "\ud800", code + "0", "١٢٣٤٥٦"):
        assert totp.matching_steps(RFC_SECRET, wrong, at) == []


@pytest.mark.parametrize("issuer", ["id.example.test", "Größe & Söhne: IT", "a+b c"])
@pytest.mark.parametrize("account", ["ada@example.test", "ada_l", "a b:c@d.test"])
def test_apps_read_the_uri_whatever_the_names_hold(issuer: str, account: str) -> None:
    secret = os.urandom(totp.SECRET_BYTES)
    uri = totp.otpauth_uri(secret, issuer=issuer, account=account)
    assert uri.isascii()
    assert "+" not in uri
    read = pyotp.parse_uri(uri)
    assert isinstance(read, pyotp.TOTP)
    assert base64.b32decode(read.secret) == secret
    assert (read.issuer, read.name) == (issuer.replace(":", " "), account.replace(":", " "))
    parts = urlsplit(uri)
    assert unquote(parts.path).count(":") == 1
    members = {name: values[0] for name, values in parse_qs(parts.query).items()}
    assert (members["algorithm"], members["digits"], members["period"]) == ("SHA1", "6", "30")
