from __future__ import annotations

from authkit_verify import KeyState, Principal
from authkit_verify._asgi.principal import ANONYMOUS, admit, admit_anonymous, principal_of
from authkit_verify._policy.verified_claims import build

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


def test_requests_to_which_a_server_gives_one_state_share_no_caller() -> None:
    # As Hypercorn 0.17 does for the requests of one connection.
    shared: dict[str, object] = {"pool": "of the lifespan"}
    first, second, third, fourth = (dict[str, object](state=shared) for _ in range(4))
    fourth["user"] = object()  # of another middleware in front
    ann, bob = principal(sub="ann"), principal(sub="bob")
    admit(first, ann)
    admit(second, bob)
    admit_anonymous(third)
    admit_anonymous(fourth)
    seen = [scope["state"] for scope in (first, second, third, fourth)]
    assert [one["authkit"] for one in seen] == [ann.claims, bob.claims, None, None]  # type: ignore[index]
    assert [one["authkit_keys"] for one in seen] == [FRESH, FRESH, None, None]  # type: ignore[index]
    assert all(one["pool"] == "of the lifespan" for one in seen)  # type: ignore[index]


def test_a_layer_further_in_writes_into_the_state_that_a_layer_in_front_holds() -> None:
    state: dict[str, object] = {}
    scope: dict[str, object] = {"state": state}
    admit_anonymous(scope)
    admit(scope, principal(sub="ann"))
    admit(scope, caller := principal(sub="bob"))
    admit_anonymous(scope)
    assert scope["state"] is state
    assert state["authkit"] is caller.claims


def test_a_principal_without_a_gate_has_what_the_token_says() -> None:
    caller = principal(roles=["staff"], email="a@b.test", discord_username="ann#1")
    assert (caller.roles, caller.email, caller.discord_username) == (("staff",), "a@b.test", "ann#1")
    assert principal(roles=["owner"], org="acme").roles == ()
