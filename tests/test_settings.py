"""Settings of the environment: what is unknown, unreadable or missing is named at once."""

from __future__ import annotations

import dataclasses
import logging
import typing
from datetime import timedelta

import pytest

from authkit_issuer.config import Config
from authkit_issuer.config.fields import ConfigFields
from authkit_issuer.config.settings import EXAMPLES, read, setting_of
from authkit_issuer.errors import ConfigError

COMPLETE = {"AUTHKIT_ISSUER": "https://issuer.example", "AUTHKIT_AUDIENCES": "api"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("AUTHKIT_SMPT_URL", "did you mean AUTHKIT_SMTP_URL?"),
        ("AUTHKIT_DATABSE_URL", "did you mean AUTHKIT_DATABASE_URL?"),
        ("AUTHKIT_AUDIENCE", "did you mean AUTHKIT_AUDIENCES?"),
        ("AUTHKIT_KEYS", "did you mean AUTHKIT_KEYS_DIR?"),
        ("AUTHKIT_ZZZZZZ", "AUTHKIT_ZZZZZZ is not a setting: unset it."),
    ],
)
def test_an_unknown_setting_stops_the_start_with_the_nearest_one(name: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Config.from_env(COMPLETE | {name: "s3cret"})
    assert said in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_settings_of_other_programs_are_left_alone() -> None:
    assert Config.from_env(COMPLETE | {"SMPT_URL": "x", "MY_AUTHKIT_URL": "y"}).client_id == "api"


def test_everything_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        Config.from_env({"AUTHKIT_ACCESS_TOKEN_DURATION": "soon", "AUTHKIT_DEVV": "1"})
    for said in (
        "AUTHKIT_ISSUER is not set: set it, such as AUTHKIT_ISSUER=https://",
        "AUTHKIT_AUDIENCES is not set",
        "AUTHKIT_ACCESS_TOKEN_DURATION: ",
        "write seconds, such as 900.",
        "did you mean AUTHKIT_DEV?",
    ):
        assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_unknown_keyword_is_named_before_what_is_missing() -> None:
    with pytest.raises(ConfigError, match=r"isuer is not a field of Config; did you mean issuer\?"):
        Config.from_env({}, isuer="x")  # type: ignore[call-arg]


def test_a_keyword_may_stand_in_for_a_setting() -> None:
    assert Config.from_env({}, issuer="https://i.example", issued_audiences=("a",)).issuer


def test_the_origin_of_every_value_is_known() -> None:
    env = {"AUTHKIT_AUDIENCES": "a", "SOLANA_NETWORK": "testnet", "AUTHKIT_DEV": "true"}
    settings = read(env, Config)
    assert settings.origins == {
        "issued_audiences": "AUTHKIT_AUDIENCES", "solana_network": "SOLANA_NETWORK", "dev": "AUTHKIT_DEV",
    }  # fmt: skip
    assert settings.problems == ()


def test_an_example_is_read_as_its_own_setting() -> None:
    for field, example in EXAMPLES.items():
        name, _, value = example.partition("=")
        assert name == setting_of(field)
        assert field in read({name: value}, Config).values


def test_the_keywords_are_the_fields() -> None:
    keywords, fields = typing.get_type_hints(ConfigFields), typing.get_type_hints(Config)
    assert list(keywords) == [entry.name for entry in dataclasses.fields(Config)]
    for name, hint in keywords.items():
        allowed = set(typing.get_args(hint)) - {timedelta} if timedelta in typing.get_args(hint) else {hint}
        wanted = set(typing.get_args(fields[name])) if len(allowed) > 1 else {fields[name]}
        assert allowed == wanted, name


@pytest.mark.parametrize("field", ["access_token_duration", "session_max_per_user", "database_pool_size"])
def test_text_where_a_number_is_meant_is_refused_by_name(field: str) -> None:
    with pytest.raises(ConfigError, match=f"{field} is '15m': set"):
        Config(issuer="https://i.example", issued_audiences=("a",), **{field: "15m"})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("issuer", "said"),
    [
        ("http://auth.example.com", "begins with http://"),
        ("https://auth.example.com/", "ends with a slash"),
        ("auth.example.com", "is not a web address"),
        ("https://auth.example.com", "there is no mail sender"),
    ],
)
async def test_what_works_and_surprises_is_a_warning_of_the_start(
    make_service, caplog, redis_url: str, issuer: str, said: str
) -> None:
    with caplog.at_level(logging.WARNING, logger="authkit.service"):
        await make_service(
            environment="production", redis_url=redis_url, issuer=issuer, email_sender=None, sms_sender=None
        )
    assert said in caplog.text


@pytest.mark.parametrize(
    "name",
    ["AUTHKIT_SERVICE_HOST", "AUTHKIT_SERVICE_PORT_HTTP", "AUTHKIT_PORT", "AUTHKIT_PORT_8000_TCP_ADDR",
     "AUTHKIT_REDIS_SERVICE_PORT", "AUTHKIT_REDIS_PORT_6379_TCP"],
)  # fmt: skip
def test_the_names_of_a_kubernetes_service_are_no_settings(name: str) -> None:
    assert Config.from_env(COMPLETE | {name: "tcp://10.0.0.1:8000"}).issuer
