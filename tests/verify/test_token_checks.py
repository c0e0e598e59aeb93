from __future__ import annotations

from typing import Any

import pytest

from authkit_verify import TokenError
from authkit_verify._policy import token_checks as c

NOW, SKEW = 1_000_000.0, 60.0


def code(call: Any, *args: Any) -> str:
    with pytest.raises(TokenError) as caught:
        call(*args)
    return caught.value.code


def times(claims: dict[str, Any], max_lifetime: float | None = None) -> None:
    c.check_times(claims, NOW, SKEW, max_lifetime)


def test_a_token_lives_until_its_expiry_plus_the_skew_and_not_a_moment_longer() -> None:
    times({"exp": NOW - SKEW + 0.001})
    assert code(times, {"exp": NOW - SKEW}) == "token_expired"


def test_a_token_is_valid_from_its_start_minus_the_skew() -> None:
    for name in ("nbf", "iat"):
        times({"exp": NOW, name: NOW + SKEW})
        assert code(times, {"exp": NOW, name: NOW + SKEW + 1}) == "invalid_token"


def test_a_token_without_expiry_has_a_code_of_its_own() -> None:
    assert code(times, {}) == "missing_exp"


@pytest.mark.parametrize("value", ["2000000000", True, None, [1], {}, 10**400, -(10**400), 2**53 + 2, 1e300])
@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
def test_a_time_that_is_no_plain_number_is_refused(name: str, value: object) -> None:
    assert code(times, {"exp": NOW + 9} | {name: value}) == "invalid_token"


def test_a_token_that_lives_longer_than_allowed_is_refused() -> None:
    times({"exp": NOW + 100, "iat": NOW}, 100.0)
    assert code(times, {"exp": NOW + 101, "iat": NOW}, 100.0) == "invalid_token"
    assert code(times, {"exp": NOW + 1}, 100.0) == "invalid_token"


@pytest.mark.parametrize("subject", [None, "", 1, ["u"]])
def test_a_token_without_a_subject_is_refused(subject: object) -> None:
    assert code(c.check_subject, subject) == "invalid_token"


def test_one_accepted_audience_is_enough() -> None:
    accepted = frozenset({"a", "b"})
    assert c.check_audience("a", accepted) == ("a",)
    assert c.check_audience(["x", "b"], accepted) == ("x", "b")
    for aud in ("x", ["x"], [], None, "ab", "A", ""):
        assert code(c.check_audience, aud, accepted) == "bad_audience"


@pytest.mark.parametrize("aud", [1, {}, ["a", 1], [["a"]], True])
def test_an_audience_of_another_type_is_refused_even_where_any_will_do(aud: object) -> None:
    assert code(c.check_audience, aud, None) == "invalid_token"
    assert code(c.check_audience, aud, frozenset({"a"})) == "invalid_token"


def test_no_audience_passes_only_where_any_will_do() -> None:
    assert c.check_audience(None, None) == ()


def test_types_are_compared_as_media_types() -> None:
    default = c.token_types(None)
    for typ in (None, "JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"):
        c.check_type(typ, default)
    for typ in ("logout+jwt", "dpop+jwt", "secevent+jwt", "at+jwt ", "application/", "JOSE"):
        assert code(c.check_type, typ, default) == "invalid_token"


def test_named_types_leave_no_room_for_others() -> None:
    only = c.token_types(("at+jwt",))
    c.check_type("application/AT+jwt", only)
    for typ in (None, "JWT"):
        assert code(c.check_type, typ, only) == "invalid_token"
    c.check_type(None, c.token_types(("", "at+jwt")))


def test_every_required_scope_must_be_there() -> None:
    c.check_scopes(("a", "b", "c"), ("a", "b"))
    with pytest.raises(TokenError) as caught:
        c.check_scopes(("a",), ("a", "b"))
    assert (caught.value.code, caught.value.scopes) == ("insufficient_scope", ("a", "b"))
