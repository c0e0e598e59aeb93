"""What a deployment may say of its external logins."""

from __future__ import annotations

import json

import pytest

from authkit_issuer.config import Config, ProviderConfig
from authkit_issuer.domains.login.external.redirect_urls import RedirectUrls, checked_return_to, redirect_urls
from authkit_issuer.errors import ConfigError, Invalid, NotConfigured

GOOGLE = {"google": ProviderConfig(client_id="g", client_secret="s")}


def config(**changes) -> Config:
    usual = {"issuer": "https://i.example", "issued_audiences": ("a",), "environment": "test"}
    return Config(**usual | changes)


def test_providers_can_come_from_the_environment():
    provider = {"client_id": "g", "client_secret": "s", "scopes": ["calendar"], "auto_link": True}
    found = Config.from_env(
        {
            "AUTHKIT_ISSUER": "https://i.example",
            "AUTHKIT_AUDIENCES": "a",
            "AUTHKIT_ENVIRONMENT": "test",
            "AUTHKIT_PROVIDERS": json.dumps({"google": provider}),
            "AUTHKIT_LOGIN_CALLBACK_URL": "https://app.example/signed-in?a=b",
        }
    )
    google = found.providers["google"]
    assert (google.scopes, google.auto_link, google.pkce) == (("calendar",), True, True)
    assert "client_secret" not in repr(google)
    assert found.login_callback_url == "https://app.example/signed-in?a=b"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"login_callback_url": "https://app.example/#x"}, "login_callback_url"),
        ({"login_callback_url": "/relative"}, "login_callback_url"),
        ({"login_callback_url": "javascript:alert(1)"}, "login_callback_url"),
        ({"environment": "production", "providers": GOOGLE}, "base_url"),
        ({"providers": {"okta": ProviderConfig(client_id="o")}}, "okta"),
        ({"providers": {"okta": ProviderConfig(client_id="o", issuer="http://okta.example")}}, "okta"),
        ({"providers": {"okta": ProviderConfig(client_id="o", issuer="http://127.0.0.1:1")}}, "okta"),
        ({"providers": {"Okta": ProviderConfig(client_id="o", issuer="https://okta.example")}}, "Okta"),
        ({"providers": {"a/b": ProviderConfig(client_id="o", issuer="https://okta.example")}}, "a/b"),
        ({"providers": {"solana": ProviderConfig(client_id="o", issuer="https://okta.example")}}, "solana"),
        ({"providers": {"google": ProviderConfig(client_id=" ")}}, "google"),
        ({"providers": {"github": ProviderConfig(client_id="g", auto_link=True)}}, "trusts_email"),
        (
            {"providers": {"google": ProviderConfig(client_id="g", auto_link=True, trusts_email=False)}},
            "trusts_email",
        ),
        ({"providers": {"apple": ProviderConfig(client_id="a")}}, "apple"),
        (
            {
                "providers": {
                    "one": ProviderConfig(client_id="a", issuer="https://okta.example"),
                    "two": ProviderConfig(client_id="b", issuer="https://okta.example"),
                }
            },
            "issuer",
        ),
    ],
    ids=str,
)
def test_what_could_never_work_is_refused_at_once(changes, said):
    with pytest.raises(ConfigError, match=said):
        config(**changes)


def test_the_apps_page_is_the_one_named_else_of_the_site_with_pages_else_of_the_issuer():
    base = {"providers": GOOGLE, "base_url": "https://id.example/api/"}
    redirect = "https://id.example/api/auth/oidc/google/callback"
    plain = redirect_urls(config(**base), "google", "")
    assert plain == RedirectUrls(redirect_uri=redirect, app_url="https://id.example/api/login/callback")
    linked = redirect_urls(config(**base, link_base_url="https://app.example/"), "google", "")
    assert linked.app_url == "https://app.example/login/callback"
    named = redirect_urls(config(**base, login_callback_url="https://app.example/in?x=1"), "google", "")
    assert named.app_url == "https://app.example/in?x=1"


@pytest.mark.parametrize(
    "origin",
    ["", "http://", "http://a b", "http://a@b", "http://a/b", "ftp://a", "javascript://a", "http://a:123456"],
)
def test_a_malformed_host_replaces_no_base_url(origin):
    with pytest.raises(NotConfigured):
        redirect_urls(config(providers=GOOGLE), "google", origin)


@pytest.mark.parametrize(
    "path",
    ["/", "/a", "/a/b?c=d&e=%2F#f", "/a%0d%0ab", "/@a:b", "/..", "/a?to=https://b.example/c//d", "/a#//b"],
)
def test_a_path_of_the_app_is_kept(path):
    assert checked_return_to(path) == path
    assert checked_return_to(None) == checked_return_to("") == ""


def test_a_path_with_letters_of_other_scripts_is_percent_encoded():
    assert checked_return_to("/ä?b=ö#ü") == "/%C3%A4?b=%C3%B6#%C3%BC"
    assert checked_return_to("/\uff0fevil.example") == "/%EF%BC%8Fevil.example"


@pytest.mark.parametrize(
    "path",
    [
        "a",
        "//a",
        "/a//b",
        "/\\a",
        "\\/a",
        "https://a",
        "//a?b",
        "/a//?b",
        "/a//#b",
        "/a\n",
        "/a b",
        "/a\x00",
        "/\t/a",
        "?a",
        "#a",
    ],
)
def test_a_path_that_could_lead_elsewhere_is_refused(path):
    with pytest.raises(Invalid):
        checked_return_to(path)
