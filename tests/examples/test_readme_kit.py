"""The tables of guards and of the testing kit name what there is."""

from __future__ import annotations

import re

import authkit_verify
from authkit_verify.testing import FakeIssuer
from fakes.readme import table


def test_every_guard_is_in_the_table_of_guards() -> None:
    guards = {name for name in authkit_verify.__all__ if name.startswith("require_")} | {"fresh_keys"}
    assert {re.match(r"`(\w+)", row[0])[1] for row in table("Guard", "Requires")} == guards  # type: ignore[index]


def test_everything_in_the_table_of_the_testing_kit_exists() -> None:
    rows = [row[0] for row in table("Call", "What happens")]
    named = [name for row in rows for name in re.findall(r"`(?:FakeIssuer\.)?(\w+)", row)]
    assert len(named) > 10
    issuer = FakeIssuer()
    assert [name for name in named if name != "FakeIssuer" and not hasattr(issuer, name)] == []
