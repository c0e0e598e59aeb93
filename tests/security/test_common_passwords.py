"""Passwords that everybody tries first are refused, others are not."""

from __future__ import annotations

import pytest

from authkit_issuer.security.common_passwords import is_common


@pytest.mark.parametrize(
    "password",
    [
        "password", "PASSWORD", "Password1", "password123", "Password2024", "password!", "12345678",
        "1234567890", "qwertyuiop", "Dragonfly99", "iloveyou!!", "1q2w3e4r", "trustno1",
    ],
)  # fmt: skip
def test_what_everybody_tries_first_is_common(password: str) -> None:
    assert is_common(password)


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery", "password and more", "password83749201", "xk4!rTq9", "", "????", "passwordä",
        "ünïcödé-wörd", "\ud800" * 8, "2024!2024!2024!",
    ],
)  # fmt: skip
def test_a_password_of_ones_own_is_not_common(password: str) -> None:
    assert not is_common(password)
