"""The settings of passkeys: a contradiction names both values."""

from __future__ import annotations

import pytest

from authkit_issuer.config import Config
from authkit_issuer.config.passkeys import is_accepted_origin
from authkit_issuer.errors import ConfigError
from authkit_issuer.resources import Resources

APP = "https://app.example.com"


def build(**fields: object) -> Config:
    issuer = "http://localhost:8000" if fields.get("dev") else "https://id.example.com"
    base = {"issuer": issuer, "issued_audiences": ("api",), "environment": "test"}
    return Config(**(base | fields))  # type: ignore[arg-type]


def test_a_domain_alone_is_enough() -> None:
    config = build(webauthn_rp_id=" Example.COM ")
    assert (config.webauthn_rp_id, config.webauthn_rp_name) == ("example.com", "id.example.com")
    assert config.webauthn_origins == ("https://example.com",)
    assert build().webauthn_origins == ()
    local = build(webauthn_rp_id="localhost", dev=True)
    assert local.webauthn_origins == ("http://localhost:*",)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"webauthn_origins": (APP,)}, (APP, "webauthn_rp_id is None")),
        ({"webauthn_related_origins": (APP,)}, (APP, "webauthn_rp_id is None")),
        ({"webauthn_rp_id": "localhost"}, ("'localhost'", "dev is False")),
        ({"webauthn_rp_id": "https://example.com"}, ("'https://example.com'",)),
        ({"webauthn_rp_id": "example.com:8443"}, ("'example.com:8443'",)),
        ({"webauthn_rp_id": "com"}, ("'com'",)),
        ({"webauthn_rp_id": "127.0.0.1", "dev": True}, ("'127.0.0.1'",)),
        ({"webauthn_rp_id": "*.example.com"}, ("'*.example.com'",)),
        ({"webauthn_rp_id": "example.org", "webauthn_origins": (APP,)}, (APP, "'example.org'")),
        ({"webauthn_rp_id": "ample.com", "webauthn_origins": ("https://example.com",)},
         ("https://example.com", "'ample.com'")),
        ({"webauthn_rp_id": "example.com", "webauthn_origins": ("http://example.com",)}, ("http://example.com",)),
        ({"webauthn_rp_id": "example.com", "webauthn_origins": (f"{APP}/",)}, (f"{APP}/",)),
        ({"webauthn_rp_id": "example.com", "webauthn_origins": ("android:apk",)}, ("android:apk",)),
        ({"webauthn_rp_id": "example.com", "webauthn_origins": ("http://localhost:*",)},
         ("http://localhost:*", "dev is False")),
        ({"webauthn_rp_id": "example.com", "dev": True, "webauthn_origins": ("http://localhost:3000",)},
         ("http://localhost:3000", "'example.com'")),
        ({"webauthn_rp_id": "example.com", "webauthn_related_origins": (APP,)}, (APP, "'example.com'")),
        ({"webauthn_rp_id": "example.com", "webauthn_related_origins": ("http://x.test",)}, ("http://x.test",)),
        ({"passkeys_max_per_user": 0}, ("0",)),
        ({"passkeys_max_per_user": 101}, ("101",)),
    ],
    ids=str,
)  # fmt: skip
def test_a_contradiction_is_refused_with_both_values(
    settings: dict[str, object], named: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError) as refused:
        build(**settings)
    message = str(refused.value)
    assert "\n" not in message
    assert [word for word in named if word not in message] == []


def test_an_origin_is_accepted_as_a_whole() -> None:
    android = "android:apk-key-hash:pNiP5iKyQ8JwgGOaKA1zGPUPJIS-0H1xKCQcfIoGLck"
    config = build(
        webauthn_rp_id="example.com",
        webauthn_origins=(APP, "https://example.com:8443", android),
        webauthn_related_origins=("https://example.de",),
    )
    for origin in (APP, "https://example.com:8443", android, "https://example.de"):
        assert is_accepted_origin(config, origin)
    for origin in (
        "", "null", "https://example.com", "https://evil.app.example.com", f"{APP}:443", f"{APP}.evil.test",
        "http://app.example.com", "http://localhost:3000", APP.upper(), f"{APP}\n", "https://x.example.de",
    ):  # fmt: skip
        assert not is_accepted_origin(config, origin)


def test_every_port_of_this_machine_is_accepted_in_development() -> None:
    config = build(webauthn_rp_id="localhost", dev=True)
    for origin in ("http://localhost", "http://localhost:3000", "http://localhost:65535"):
        assert is_accepted_origin(config, origin)
    for origin in (
        "https://localhost",
        "http://localhost:",
        "http://localhost:3000/",
        "http://localhost.evil:1",
    ):
        assert not is_accepted_origin(config, origin)


def test_passkeys_without_their_library_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.delitem(sys.modules, "authkit_issuer.security.webauthn_responses", raising=False)
    monkeypatch.setitem(sys.modules, "webauthn", None)
    monkeypatch.setitem(sys.modules, "webauthn.authentication.verify_authentication_response", None)
    Resources().passkeys(build())
    with pytest.raises(ConfigError, match=r"asgi-authkit\[passkeys\]"):
        Resources().passkeys(build(webauthn_rp_id="example.com"))
