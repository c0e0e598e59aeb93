"""The values that a configuration accepts of a claim, checked when it is built."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import EllipsisType

from authkit_verify.config.claims_mapping import check_decisive

RequiredValue = str | int | bool
RequiredValues = RequiredValue | Iterable[RequiredValue] | EllipsisType
"""The values that a required claim may have: one, a list of them, or ``...`` for any."""


def checked_values(
    required: Mapping[str, RequiredValues],
) -> dict[str, tuple[RequiredValue, ...] | EllipsisType]:
    """Return required claims with every list as a tuple. Raises ValueError for a name or value of no use."""
    if not isinstance(required, Mapping):
        raise ValueError("required_claims must be a mapping of claims to values")  # noqa: TRY004 - every mistake in a configuration is a ValueError
    for name in required:
        check_decisive("required_claims", name)
    return {name: _listed(name, values) for name, values in required.items()}


def _listed(name: str, values: RequiredValues) -> tuple[RequiredValue, ...] | EllipsisType:
    if isinstance(values, EllipsisType):
        return values
    several = isinstance(values, Iterable) and not isinstance(values, str | bytes | Mapping)
    listed: tuple[RequiredValue, ...] = tuple(values) if several else (values,)  # type: ignore[arg-type, assignment]
    # None in particular is a mistake: a setting that was left unset must not accept every value.
    if not listed or not all(isinstance(one, str | int) and one != "" for one in listed):
        raise ValueError(
            f"required_claims[{name!r}] must be a string, a whole number, a boolean, a list of these, or ... "
            f"for any value; not {values!r}"
        )
    return listed
