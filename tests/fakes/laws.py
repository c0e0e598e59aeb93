"""One test for a law that every row of a table keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

Row = TypeVar("Row")


def violations(rows: Iterable[Row], law: Callable[[Row], None], name: Callable[[Row], str]) -> list[str]:
    """Return every row that breaks the law, with what the law found."""
    broken = []
    count = 0
    for row in rows:
        count += 1
        try:
            law(row)
        except Exception as error:  # noqa: BLE001 - a law that cannot read a row is broken by it
            broken.append(f"{name(row)}: {type(error).__name__}: {error}")
    assert count, "a law over no rows proves nothing"
    return broken


def for_each(
    rows: Iterable[Row], name: Callable[[Row], str]
) -> Callable[[Callable[[Row], None]], Callable[[], None]]:
    """Make a law into one test over all rows, which lists every violation."""

    def over_the_rows(law: Callable[[Row], None]) -> Callable[[], None]:
        def test() -> None:
            broken = violations(rows, law, name)
            assert not broken, "\n".join([f"{len(broken)} rows break the law:", *broken])

        test.__doc__ = law.__doc__
        return test

    return over_the_rows
