"""The settings of introspection: every mistake is a ValueError that names the field, and shows no secret."""

from __future__ import annotations

from typing import Any

import pytest

from authkit_verify import AcceptConfig, Introspection, IssuerAccept

SECRET = "a-very-secret-text"


def asked(**terms: Any) -> Introspection:
    return Introspection(**{"client_id": "rs", "client_secret": SECRET} | terms)


def accept(name: str = "i", *, introspection: Any, **terms: Any) -> IssuerAccept:
    usual: dict[str, Any] = {"issuer": f"https://{name}.test", "audiences": ["api"]}
    return IssuerAccept(**usual | {"introspection": introspection} | terms)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"client_id": ""}, "client_id"),
        ({"client_id": None}, "client_id"),
        ({"client_secret": ""}, "client_secret"),
        ({"client_secret": SECRET.encode()}, "client_secret"),
        ({"mode": "opague"}, "mode"),
        ({"mode": None}, "mode"),
        ({"auth_method": "private_key_jwt"}, "auth_method"),
        ({"token_prefixes": "at_"}, "token_prefixes"),
        ({"token_prefixes": [""]}, "token_prefixes"),
        ({"token_prefixes": ["at_"], "mode": "jwt"}, "token_prefixes"),
        ({"max_ttl": -1}, "max_ttl"),
        ({"max_ttl": float("inf")}, "max_ttl"),
        ({"max_ttl": "30"}, "max_ttl"),
        ({"negative_ttl": float("nan")}, "negative_ttl"),
        ({"timeout": 0}, "timeout"),
        ({"max_concurrent": 0}, "max_concurrent"),
        ({"max_concurrent": True}, "max_concurrent"),
        ({"max_answers": 1.5}, "max_answers"),
    ],
)
def test_a_wrong_field_is_refused_by_name(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(ValueError, match=field) as caught:
        asked(**wrong)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "terms",
    [
        {"introspection": asked(url="http://i.test/introspect")},
        {"introspection": asked(url="https://u:p@i.test/introspect")},
        {"introspection": asked(url="https://i.test/introspect#x")},
        {"introspection": asked(url=7)},
        {"introspection": asked(), "issuer": "urn:issuer", "jwks_url": "https://i.test/keys"},
        {"introspection": asked(url="http://127.0.0.1/introspect")},
        {"introspection": {"client_id": "rs", "client_secret": SECRET}},
        {"introspection": SECRET},
    ],
)
def test_an_endpoint_must_be_at_an_allowed_url(terms: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"(?i)introspection") as caught:
        accept(**terms)
    assert SECRET not in str(caught.value)


def test_the_hosts_that_keys_may_come_from_may_be_asked_too() -> None:
    assert accept(introspection=asked(url="http://127.0.0.1/introspect"), allow_http_loopback=True)
    assert accept(introspection=asked(url="http://id.internal/introspect"), allow_http_hosts=["id.internal"])
    assert accept(
        introspection=asked(url="https://i.test/introspect"),
        issuer="urn:issuer",
        jwks_url="https://i.test/keys",
    )


def config(*pairs: tuple[str, dict[str, Any]]) -> AcceptConfig:
    return AcceptConfig(issuers=[accept(name, introspection=asked(**terms)) for name, terms in pairs])


@pytest.mark.parametrize(
    "pairs",
    [
        [("a", {}), ("b", {})],
        [("a", {"token_prefixes": ["a_"]}), ("b", {})],
        [("a", {"mode": "always"}), ("b", {"token_prefixes": ["b_"]})],
        [("a", {"token_prefixes": ["a_", "x"]}), ("b", {"token_prefixes": ["x"]})],
        [("a", {"token_prefixes": ["at"]}), ("b", {"token_prefixes": ["b_", "at_"]})],
        [("a", {"token_prefixes": ["at_b"]}), ("b", {"token_prefixes": ["at_"]})],
    ],
)
def test_an_opaque_token_that_could_belong_to_two_issuers_is_a_mistake(
    pairs: list[tuple[str, dict[str, Any]]],
) -> None:
    with pytest.raises(ValueError, match=r"token_prefixes.*|begin alike"):
        config(*pairs)


def test_prefixes_are_needed_by_those_alone_that_take_opaque_tokens() -> None:
    assert config(("a", {}))
    assert config(("a", {}), ("b", {"mode": "jwt"}), ("c", {"mode": "jwt"}))
    assert config(
        ("a", {"token_prefixes": ["a_", "a_b"]}), ("b", {"token_prefixes": ["b_"], "mode": "always"})
    )


def test_the_secret_is_in_no_representation() -> None:
    record = accept(introspection=asked())
    assert SECRET not in repr(record) + repr(record.introspection) + repr(AcceptConfig(issuers=[record]))
