from __future__ import annotations

from authkit_verify import KeyState, Principal
from authkit_verify._asgi.principal import ANONYMOUS, admit, admit_anonymous, principal_of
from authkit_verify._policy.claims import build

FRESH = KeyState(source="fresh", age=0.0)


def principal(**claims: object) -> Principal:
    return Principal(build({"iss": "https://i.test", "sub": "u", "exp": 1} | claims, ()), FRESH)


def test_a_principal_is_named_by_user_name_then_address_then_id() -> None:
    assert principal(username="ann", email="a@b.test").display_name == "ann"
    assert principal(email="a@b.test").display_name == "a@b.test"
    assert principal().display_name == "u"
    assert principal().identity == "u"
    assert "a@b.test" not in repr(principal(email="a@b.test"))


def test_an_admitted_caller_is_where_frameworks_look() -> None:
    scope: dict[str, object] = {}
    caller = principal(scope="read")
    admit(scope, caller)
    assert scope["user"] is caller
    assert scope["auth"].scopes == ("read", "authenticated")  # type: ignore[attr-defined]
    assert scope["state"] == {"authkit": caller.claims, "authkit_keys": FRESH}
    assert principal_of(scope) is caller
    assert caller.scopes == ("read",)


def test_an_anonymous_request_replaces_no_user() -> None:
    scope: dict[str, object] = {}
    admit_anonymous(scope)
    assert scope["user"] is ANONYMOUS
    assert scope["state"] == {"authkit": None, "authkit_keys": None}
    assert principal_of(scope) is None
    admitted: dict[str, object] = {}
    caller = principal()
    admit(admitted, caller)
    admit_anonymous(admitted)
    assert admitted["user"] is caller


def test_a_principal_without_a_gate_has_what_the_token_says() -> None:
    caller = principal(roles=["staff"], email="a@b.test", discord_username="ann#1")
    assert (caller.roles, caller.email, caller.discord_username) == (("staff",), "a@b.test", "ann#1")
    assert principal(roles=["owner"], org="acme").roles == ()
