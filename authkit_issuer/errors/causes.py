"""Why something failed, as a log may say it."""

from __future__ import annotations

from authkit_issuer.errors.categories import AuthError


def cause(error: BaseException) -> str:
    """Return the reason, the class and the SQLSTATE of a failure.

    No text of the exception itself, which may quote an address, a code or a row.
    """
    if not isinstance(error, AuthError):
        return _kind(error)
    below = f" ({_kind(error.__cause__)})" if error.__cause__ is not None else ""
    return f"{error.reason or error.code}{below}"


def _kind(error: BaseException) -> str:
    state = getattr(error, "sqlstate", None)
    return f"{type(error).__name__}, SQLSTATE {state}" if state else type(error).__name__
