from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from authkit_verify import AcceptConfig, IssuerAccept
from authkit_verify.config import SUPPORTED_ALGORITHMS
from authkit_verify.config.allowed_urls import is_allowed_url
from authkit_verify.testing import FakeKey


def accept(**more: Any) -> IssuerAccept:
    return IssuerAccept(**{"issuer": "https://i.test", "audiences": ["api"]} | more)


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": ""}, {"issuer": " https://i.test"}, {"audiences": []}, {"audiences": "api"},
        {"audiences": [""]},
        {"audiences": [1]}, {"any_audience": True}, {"any_audience": "false"},
        {"algorithms": []}, {"algorithms": ["HS256"]},
        {"algorithms": ["none"]}, {"algorithms": ["rs256"]}, {"algorithms": "RS256"}, {"token_types": []},
        {"jwks_url": "http://i.test/k"}, {"jwks_url": "ftp://i.test/k"}, {"jwks_url": "https://"},
        {"jwks_url": "http://127.0.0.1/k"}, {"jwks_url": "https://u:p@i.test/k"}, {"issuer": "not a url"},
        {"jwks_url": "http://127.0.0.1.evil.test/k", "allow_http_loopback": True}, {"pinned_only": True},
        {"jwks_url": "https://i.test:port/k"}, {"discovery": True, "jwks_url": "https://i.test/k"},
        {"cache_ttl": 0}, {"cache_ttl": -1.0}, {"cache_ttl": float("nan")}, {"max_stale": float("inf")},
        {"cache_ttl": "300"}, {"same_origin": True, "discovery": False},
        {"same_origin": True, "jwks_url": "https://i.test/k"},
        {"issuer": "https://login.microsoftonline.com/{tenantid}/v2.0"}, {"issuer": "https://*.i.test"},
        {"issuer": "https://login.microsoftonline.com/common/v2.0"},
        {"issuer": "https://login.microsoftonline.us/organizations"}, {"pinned_until": float("nan")},
        {"pinned_until": datetime(2030, 1, 1, tzinfo=UTC)},
        {"allow_http_hosts": "keycloak"}, {"allow_http_hosts": ["*.internal"]},
        {"allow_http_hosts": ["http://keycloak"]}, {"allow_http_hosts": ["keycloak:8080"]},
        {"allow_http_hosts": ["Keycloak"]}, {"allow_http_hosts": [""]},
        {"headers": ["Authorization"]}, {"headers": {"a b": "c"}}, {"headers": {"a": "b\r\nc: d"}},
        {"headers": {"a": 1}}, {"headers": {1: "a"}},
        {"ca_file": "/nonexistent/ca.pem"}, {"ca_file": __file__},
        {"proxy": "proxy.test:3128"}, {"proxy": "ftp://proxy.test"},
        {"http_client": object(), "proxy": "http://proxy.test"},
        {"max_lifetime": 0}, {"pinned_pems": ["nonsense"]}, {"pinned_pems": "nonsense"},
        {"pinned_pems": [("", FakeKey.generate("k", "ES256").pem())]},
    ],
)  # fmt: skip
def test_a_record_that_cannot_work_or_accepts_too_much_is_refused_at_start(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        accept(**wrong)


@pytest.mark.parametrize(
    "switch", [name for name, hint in IssuerAccept.__annotations__.items() if hint.startswith("bool")]
)
def test_a_text_is_no_switch(switch: str) -> None:
    with pytest.raises(ValueError, match=f"{switch} must be True or False, not 'false'"):
        accept(**{switch: "false"})


def test_an_audience_must_be_given_or_waived_by_name() -> None:
    with pytest.raises(ValueError, match="any_audience"):
        IssuerAccept(issuer="https://i.test")
    assert IssuerAccept(issuer="https://i.test", any_audience=True).audiences == ()


def test_the_key_set_is_looked_for_under_the_issuer_unless_told_otherwise() -> None:
    assert accept().keys_url is None  # in the metadata
    assert accept(discovery=False).keys_url == "https://i.test/.well-known/jwks.json"
    slash = accept(issuer="https://i.test/", discovery=False)
    assert slash.keys_url == "https://i.test/.well-known/jwks.json"
    assert accept(jwks_url="https://k.test/set").keys_url == "https://k.test/set"


def test_http_is_only_for_loopback_and_only_when_allowed() -> None:
    assert is_allowed_url("http://127.0.0.1:8000/k", http_loopback=True)
    assert is_allowed_url("http://[::1]/k", http_loopback=True)
    assert is_allowed_url("http://localhost/k", http_loopback=True)
    assert not is_allowed_url("http://localhost/k", http_loopback=False)
    assert not is_allowed_url("http://10.0.0.1/k", http_loopback=True)
    assert not is_allowed_url("https://i.test/\r\nx", http_loopback=True)


def test_http_keys_come_from_the_hosts_that_are_listed_and_no_other() -> None:
    inside = accept(
        jwks_url="http://keycloak:8080/certs", allow_http_hosts=["keycloak", "10.0.0.1", "fd00::1"]
    )
    for url in ("http://keycloak/k", "http://KEYCLOAK:8080/k", "http://10.0.0.1/k", "http://[fd00::1]/k"):
        assert inside.allows_url(url)
    for url in (
        "http://keycloak.evil.test/k",
        "http://a.keycloak/k",
        "http://10.0.0.2/k",
        "http://localhost/k",
        "http://user@keycloak/k",
        "ftp://keycloak/k",
    ):
        assert not inside.allows_url(url)


def test_an_issuer_that_is_no_address_can_still_be_pinned() -> None:
    pin = FakeKey.generate("k", "ES256").pem()
    assert accept(issuer="my-issuer", pinned_pems=[pin], pinned_only=True).pinned_pems == (pin,)


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuers": ["https://i.test"]},
        {"issuers": [accept(), accept()]},
        {"algorithms": []},
        {"algorithms": ["HS256"]},
        {"skew": -1.0},
    ],
)
def test_a_configuration_that_cannot_work_is_refused_at_start(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        AcceptConfig(**{"issuers": [accept()]} | wrong)


def test_lists_become_tuples_so_that_nothing_changes_later() -> None:
    audiences = ["api"]
    made = accept(audiences=audiences)
    audiences.append("evil")
    assert made.audiences == ("api",)
    assert AcceptConfig(issuers=[made]).algorithms == SUPPORTED_ALGORITHMS
