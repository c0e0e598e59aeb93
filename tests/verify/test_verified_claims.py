from __future__ import annotations

from typing import Any

import pytest

from authkit_verify import Claims
from authkit_verify._policy.verified_claims import build

BASE: dict[str, Any] = {"iss": "https://i.test", "sub": "u", "exp": 2_000_000_000.9}


def claims(**more: Any) -> Claims:
    return build(BASE | more, ("api",))


def test_every_claim_has_its_typed_field() -> None:
    made = claims(
        iat=1, jti="t", sid="s", email="a@b.test", email_verified=True, username="ann", auth_time=7.9,
        discord_username="ann#1", roles=["admin", "staff"], entitlements=["gold"], scope="read  write",
        amr=["pwd"], extra={"deep": [1, {"er": "x"}]},
    )  # fmt: skip
    assert (made.user_id, made.issuer, made.audience) == ("u", "https://i.test", ("api",))
    assert (made.issued_at, made.expires_at, made.auth_time) == (1, 2_000_000_000, 7)
    assert (made.token_id, made.session_id, made.email, made.email_verified) == ("t", "s", "a@b.test", True)
    assert (made.username, made.discord_username) == ("ann", "ann#1")
    assert (made.roles, made.entitlements, made.scopes) == (("admin", "staff"), ("gold",), ("read", "write"))
    assert made.amr == ("pwd",)
    assert made.raw["extra"]["deep"][1]["er"] == "x"


def test_absent_claims_are_none_or_empty_and_never_missing() -> None:
    made = claims()
    assert (made.email, made.username, made.org, made.token_id, made.issued_at) == (None,) * 5
    assert made.roles == made.org_roles == made.entitlements == made.scopes == made.amr == ()
    assert made.email_verified is False


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("email", 5, "email", None), ("email_verified", "true", "email_verified", False),
        ("roles", "", "roles", ()), ("roles", 1, "roles", ()),
        ("roles", ["a", 1, None, "b"], "roles", ("a", "b")), ("roles", {"admin": 1}, "roles", ()),
        ("scope", ["a", "b"], "scopes", ("a", "b")), ("scope", 1, "scopes", ()),
        ("auth_time", True, "auth_time", None),
        ("auth_time", "1", "auth_time", None), ("auth_time", 1e300, "auth_time", None),
        ("amr", "", "amr", ()), ("amr", {"pwd": 1}, "amr", ()),
    ],
)  # fmt: skip
def test_a_claim_of_another_type_stays_out_of_its_field(
    name: str, value: object, field: str, expected: object
) -> None:
    assert getattr(claims(**{name: value}), field) == expected


def test_scp_is_read_where_there_is_no_scope() -> None:
    assert claims(scp=["a"]).scopes == ("a",)
    assert claims(scp="a b").scopes == ("a", "b")
    assert claims(scope="x", scp="y").scopes == ("x",)


def test_scopes_are_separated_by_blanks_and_nothing_else() -> None:
    assert claims(scope=" a  b ").scopes == ("a", "b")
    assert claims(scope="a\tadmin b\u2003admin").scopes == ("a\tadmin", "b\u2003admin")


@pytest.mark.parametrize("org", ["acme", "", 7])
def test_roles_in_an_organization_are_never_global_roles(org: object) -> None:
    made = claims(org=org, roles=["admin"])
    assert made.roles == ()
    assert made.org_roles == ("admin",)
    assert not made.has_role("admin")


def test_a_null_organization_is_no_organization() -> None:
    assert claims(org=None, roles=["admin"]).roles == ("admin",)


def test_roles_and_entitlements_are_compared_whatever_their_case() -> None:
    made = claims(roles=["Admin"], entitlements=["Gold"])
    assert made.has_role("aDMIN")
    assert made.has_entitlement("GOLD")
    assert not made.has_role("adm")


def test_nothing_in_claims_can_be_changed() -> None:
    made = claims(roles=["user"], extra={"deep": [{"list": [1]}]})
    with pytest.raises(AttributeError):
        made.roles = ("admin",)  # type: ignore[misc]
    with pytest.raises(TypeError):
        made.raw["roles"] = ["admin"]  # type: ignore[index]
    with pytest.raises(AttributeError):
        made.raw["roles"].append("admin")
    with pytest.raises(TypeError):
        made.raw["extra"]["deep"][0]["list"] = 1
    with pytest.raises(AttributeError):
        made.raw["extra"]["deep"][0]["list"].append(2)


def test_a_copy_is_plain_and_the_callers_own() -> None:
    made = claims(roles=["user"], extra={"deep": [{"list": [1]}]})
    copy = made.to_dict()
    assert copy == BASE | {"roles": ["user"], "extra": {"deep": [{"list": [1]}]}}
    copy["roles"].append("admin")
    copy["extra"]["deep"][0]["list"].append(2)
    assert made.to_dict()["roles"] == ["user"]
    assert made.to_dict()["extra"] == {"deep": [{"list": [1]}]}


def test_a_printed_claim_set_shows_no_address() -> None:
    assert "a@b.test" not in repr(claims(email="a@b.test"))
