"""The configuration: checked when it is built, read from the environment through one door."""

from __future__ import annotations

import dataclasses
import traceback
from contextlib import suppress
from datetime import timedelta

import pytest

from authkit_issuer.config import Config, ProviderConfig, is_dev_environment
from authkit_issuer.config.checks import warnings
from authkit_issuer.errors import ConfigError

NAN, INF = float("nan"), float("inf")


def build(**fields: object) -> Config:
    base = {"issuer": "https://issuer.example", "issued_audiences": ("api",)}
    return Config(**(base | fields))  # type: ignore[arg-type]


def test_what_is_left_out_is_filled_in() -> None:
    config = build(issuer=" https://issuer.example/ ", issued_audiences=["api", "api", "billing"])
    assert config.issuer == "https://issuer.example/"
    assert config.issued_audiences == config.expected_audiences == ("api", "billing")
    assert config.client_id == "api"
    assert config.verification_required
    assert config.session_max_per_user == 3
    assert build(code_ttl=timedelta(minutes=5)).code_ttl == 300.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": " "}, {"issued_audiences": ()}, {"issued_audiences": "api"}, {"issued_audiences": ("",)},
        {"org_mode": "many"}, {"database_schema": "drop table"}, {"database_schema": "Upper"},
        {"base_url": "/relative"}, {"trusted_proxies": ("no network",)},
        {"passwordless": "on"}, {"passwordless_registration": True},
        {"access_token_duration": 0}, {"access_token_duration": -1}, {"access_token_duration": INF},
        {"refresh_token_duration": 0}, {"refresh_token_duration": INF}, {"refresh_rotation_grace": NAN},
        {"refresh_rotation_grace": -1.0}, {"session_max_per_user": 0}, {"access_token_jitter": 1.0},
        {"argon2_time": 0}, {"argon2_time": 11}, {"argon2_lanes": 0}, {"argon2_lanes": 17},
        {"argon2_memory_kib": 0}, {"argon2_memory_kib": 7}, {"argon2_memory_kib": 600_000},
        {"dev": True, "environment": "production"}, {"dev": True, "environment": "staging"},
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_work_is_refused_with_one_sentence(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as refused:
        build(**wrong)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["", "dev", "Development", " local ", "test"])
def test_four_words_and_silence_are_development(name: str) -> None:
    assert is_dev_environment({"ENV": name})
    assert not build(environment=name).is_production


@pytest.mark.parametrize("name", ["production", "prod", "staging", "prodution"])
def test_every_other_word_is_production(name: str) -> None:
    assert not is_dev_environment({"APP_ENV": name})
    assert build(environment=name).is_production


def test_the_first_name_that_says_something_counts() -> None:
    assert is_dev_environment({"AUTHKIT_ENVIRONMENT": "dev", "ENV": "production"})
    assert not is_dev_environment({"AUTHKIT_ENVIRONMENT": " ", "ENVIRONMENT": "production"})


@pytest.mark.parametrize("name", ["AUTHKIT_ENVIRONMENT", "ENV", "APP_ENV", "ENVIRONMENT"])
def test_a_configuration_built_in_code_asks_the_process_too(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forgetting a field must not turn production into development."""
    monkeypatch.setenv(name, "production")
    assert build().is_production
    assert not build(environment="test").is_production
    with pytest.raises(ConfigError):
        build(dev=True)


@pytest.mark.parametrize(
    "issuer",
    [
        "https://auth.example.com",
        "http://auth.example.com./",
        "https://8.8.8.8",
        "https://[2001:4860::8]:443/id",
    ],
)
def test_an_issuer_on_the_internet_has_no_development_inbox(issuer: str) -> None:
    """A forgotten ``AUTHKIT_DEV`` must not open it where the environment has no name."""
    with pytest.raises(ConfigError, match="is on the Internet: unset dev"):
        build(dev=True, issuer=issuer, environment="")
    assert build(issuer=issuer, environment="").issuer == issuer


@pytest.mark.parametrize(
    "issuer",
    [
        "http://127.0.0.1:8000", "http://[::1]:8000", "http://localhost:8000", "http://192.168.1.7:8000",
        "http://auth:8000", "https://auth.shop.localhost", "https://ISSUER.test", "http://host.docker.internal",
        "a name",
    ],
)  # fmt: skip
def test_an_issuer_of_this_machine_or_network_may_have_one(issuer: str) -> None:
    assert build(dev=True, issuer=issuer, environment="").dev


def test_settings_are_read_as_their_fields_types() -> None:
    config = Config.from_env(
        {
            "AUTHKIT_ISSUER": "https://issuer.example",
            "AUTHKIT_AUDIENCES": "api, billing",
            "AUTHKIT_SESSION_MAX_PER_USER": "none",
            "AUTHKIT_REFRESH_TOKEN_DURATION": "3600",
            "AUTHKIT_VERIFICATION_REQUIRED": "false",
            "AUTHKIT_TRUSTED_PROXIES": "10.0.0.0/8,::1",
            "AUTHKIT_RESERVED_USERNAMES": "Root,admin",
            "ENV": "production",
        },
        database_schema="other",
    )
    assert config.issued_audiences == ("api", "billing")
    assert config.session_max_per_user is None
    assert config.refresh_token_duration == 3600.0
    assert not config.verification_required
    assert config.trusted_proxies == ("10.0.0.0/8", "::1")
    assert config.reserved_usernames == {"root", "admin"}
    assert config.database_schema == "other"
    assert config.is_production


def test_an_unreadable_setting_is_named_and_not_repeated() -> None:
    with pytest.raises(ConfigError) as refused:
        Config.from_env(
            {"AUTHKIT_ISSUER": "i", "AUTHKIT_AUDIENCES": "a", "AUTHKIT_DATABASE_POOL_SIZE": "s3cret"}
        )
    assert "AUTHKIT_DATABASE_POOL_SIZE" in str(refused.value)
    assert "s3cret" not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize("address", ["https://[x", "//[x", "https://x:abc", "https://x:99999"])
@pytest.mark.parametrize(
    "name", ["issuer", "base_url", "link_base_url", "login_callback_url", "brand_support"]
)
def test_a_url_that_cannot_be_split_is_refused_by_name(name: str, address: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name} is"):
        build(**{name: address})
    with pytest.raises(ConfigError, match=r"^providers: the issuer of loop is"):
        build(providers={"loop": ProviderConfig(client_id="c", issuer=address)})


@pytest.mark.parametrize("entry", dataclasses.fields(Config), ids=lambda entry: entry.name)
def test_a_text_in_any_setting_is_accepted_or_refused_by_name(entry: dataclasses.Field[object]) -> None:
    """No setting leaves a bare error of a library or of a comparison."""
    for text in ("https://[x", "https://x:abc", "x"):
        if str(entry.type).startswith(("str", "int", "float")):
            with suppress(ConfigError):
                filled = {"environment": "production", "sms_countries": ("49",)} | {entry.name: text}
                warnings(build(**filled), sends_mail=True)


def test_addresses_with_passwords_do_not_show() -> None:
    config = build(database_url="postgresql://u:s3cret@h/d", redis_url="redis://:s3cret@h")
    assert "s3cret" not in repr(config)


def test_a_list_in_json_is_refused_with_the_form_that_is_read():
    env = {
        "AUTHKIT_ISSUER": "https://issuer.example",
        "AUTHKIT_AUDIENCES": "api",
        "AUTHKIT_TRUSTED_PROXIES": '["10.0.0.0/8"]',
    }
    with pytest.raises(ConfigError, match="AUTHKIT_TRUSTED_PROXIES is a list with commas"):
        Config.from_env(env)
