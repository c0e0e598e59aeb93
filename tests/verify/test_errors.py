from __future__ import annotations

import pickle

from authkit_verify import TokenError


def test_an_error_says_its_code_and_its_sentence() -> None:
    error = TokenError("token_expired", "the token has expired")
    assert (error.code, error.description) == ("token_expired", "the token has expired")
    assert str(error) == "token_expired: the token has expired"
    assert error.retry_after is None
    assert error.scopes == ()


def test_an_error_survives_being_sent_to_another_process() -> None:
    error = pickle.loads(pickle.dumps(TokenError("keys_unavailable", "down", retry_after=3.0)))
    assert (error.code, error.description, error.retry_after) == ("keys_unavailable", "down", 3.0)
