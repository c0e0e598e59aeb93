# ruff: noqa: E501 - the vectors stay in one piece
"""Hashes of other programs fit their password, and only it; what they cost is bounded before it is spent.

The vectors were made by the programs themselves: Django 5.2 (``django.contrib.auth.hashers``, small costs),
Werkzeug 3.1 (``generate_password_hash``), Node's ``crypto.scrypt`` with the parameters of better-auth, and the
example of the repository ``firebase/scrypt``.
"""

from __future__ import annotations

import time

import pytest

from authkit_issuer import errors
from authkit_issuer.domains.credentials.password_update import readable
from authkit_issuer.security.stored_hashes import acceptable, compare, cost_of, is_unambiguous, spend

PASSWORD = "correct horse battery"
_SIGNER = "jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA=="
_FIREBASE = f"$firebase-scrypt$ln=14,r=8,p=1$42xEC+ixf3L2lw==$lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ==$Bw==${_SIGNER}"
VECTORS = {
    "django pbkdf2": (
        "pbkdf2_sha256$1000$djangosalt12$WGoAJAv1kx2Pw3hglw9aK9DF/JWzzRGj6mLqR6MGXaE=",
        PASSWORD,
    ),
    "django pbkdf2 sha1": ("pbkdf2_sha1$1000$djangosalt12$lN2ZPfb3+E9qjAR6FGITekU0O3w=", PASSWORD),
    "django scrypt": (
        "scrypt$1024$djangosalt12$8$5$O3tVFOc8hPZyGqeQ8kpeezrfDmYCj1qi9z9vNDV77fQ06ZSCpy+XNhZ3zv4VFrfOkx1Kn7Euo3alzT/g+wjosA==",
        PASSWORD,
    ),
    "django bcrypt": ("bcrypt$$2b$04$DTZmF0cM0xH9pRDaozlkeuig.f/N0TjgCcq9tA2t.KNUlUHPE5J..", PASSWORD),
    "django argon2": (
        "argon2$argon2id$v=19$m=64,t=1,p=1$NzBLRFRzcVJDRlk4dlRBZHE1S2hSYQ$6/VE+WMVZhbc5lpI4un+0LyM3107HZCXoRipb0C9BQI",
        PASSWORD,
    ),
    "werkzeug scrypt": (
        "scrypt:32768:8:1$hlc6QjBGCvWRStvU$fb276598f2bf91369f593c0701b63358158eef226fd832a4c0c8e3e132a8bae949ebca092ab6c5655eb8996801f3d7f71095508e3af64dc9dd8316374a8fe246",
        PASSWORD,
    ),
    "werkzeug pbkdf2": (
        "pbkdf2:sha256:1000$QGX39y7EZRsTc0TN$9ac88eff75210abc383fc55a4c9c2621e4c3b83f9e18653644e8a4096e38db38",
        PASSWORD,
    ),
    "better-auth": (
        "00112233445566778899aabbccddeeff:267a33c2ae63f1c2d542f84d50b7d87c68900c8b9475f6a47ade71cf44b234822e0a34af1d226572b5caf52809319d4c486f3d209cc2fd022fb53bb4eaeb35b1",
        PASSWORD,
    ),
    "firebase": (_FIREBASE, "user1password"),
    "argon2i": (
        "$argon2i$v=19$m=64,t=2,p=1$dgeMsBDv/p8ifjTN2HLtZg$LiRjlA9aMK4rA3xB3hpAOZOKiU/roK9z6VVwi9qH5R8",
        PASSWORD,
    ),
}


@pytest.mark.parametrize("program", VECTORS)
def test_a_hash_of_another_program_fits_its_password_and_no_other(program: str) -> None:
    text, password = VECTORS[program]
    stored = readable(text, "")
    assert compare(stored, password)
    assert not compare(stored, password + " ")
    assert is_unambiguous(stored, password)
    cost = cost_of(stored)
    assert cost is not None
    spend(cost, password)
    assert readable(stored.text, stored.algo) == stored


@pytest.mark.parametrize(
    "text",
    [
        "pbkdf2_sha256$2000001$salt$WGoAJAv1kx2Pw3hglw9aK9DF/JWzzRGj6mLqR6MGXaE=",
        "pbkdf2_sha256$0$salt$WGoAJAv1kx2Pw3hglw9aK9DF/JWzzRGj6mLqR6MGXaE=",
        "pbkdf2_sha256$1000$salt$c2hvcnQ=",
        "pbkdf2_md5$1000$salt$WGoAJAv1kx2Pw3hglw9aK9DF/JWzzRGj6mLqR6MGXaE=",
        "scrypt:1048576:8:1$salt$" + "ab" * 64,
        "scrypt:16383:8:1$salt$" + "ab" * 64,
        "scrypt:16384:8:0$salt$" + "ab" * 64,
        "scrypt:512:8:1$salt$" + "ab" * 64,
        "$scrypt$ln=14,r=8,p=1$not base64!$" + "YWJj" * 16,
        "$firebase-scrypt$ln=14,r=8,p=1$42xEC+ixf3L2lw==$" + "YWJj" * 16,
        "pbkdf2:sha256:1000$salt$abc",
        "plain",
    ],
)
def test_what_is_unreadable_or_too_expensive_is_refused_before_it_is_computed(text: str) -> None:
    with pytest.raises(errors.InvalidPasswordHash):
        readable(text, "")


def test_a_hash_under_the_name_of_another_algorithm_is_refused() -> None:
    with pytest.raises(errors.InvalidPasswordHash):
        readable(VECTORS["django pbkdf2"][0], "scrypt")


def test_a_text_that_a_foreign_hash_takes_for_another_is_not_hashed_anew() -> None:
    stored = readable(VECTORS["django pbkdf2"][0], "")
    assert acceptable(stored)
    assert compare(stored, PASSWORD + "\0")
    assert not is_unambiguous(stored, PASSWORD + "\0")
    nfkc = readable(VECTORS["better-auth"][0], "")
    wide = "\uff43orrect horse battery"
    assert compare(nfkc, wide)
    assert not is_unambiguous(nfkc, wide)


def test_a_long_text_of_combining_marks_costs_no_more_than_another() -> None:
    """Normalizing one would hold the interpreter, event loop included, for seconds."""
    stored = readable(VECTORS["better-auth"][0], "")

    def seconds(text: str) -> float:
        begun = time.thread_time()
        assert not compare(stored, text)
        return time.thread_time() - begun

    marks = "\u0344" * 10_000 + "\u0316" * 20_000
    assert seconds(marks) < 3 * seconds("x" * len(marks.encode())) + 0.1
    assert not is_unambiguous(stored, marks)
