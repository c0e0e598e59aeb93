"""The result of every check of a token: one record per check, as a table or as JSON.

Tokens are hostile input: a value that is shown is short, escaped, and never a piece of the encoded payload or
signature.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit, urlunsplit

from authkit_verify._policy.issuer_policy import IssuerPolicy
from authkit_verify.config import AcceptConfig, IssuerAccept
from authkit_verify.errors import TokenCode, TokenError

T = TypeVar("T")
Outcome = Literal["passed", "failed", "skipped", "unknown"]

MAX_SHOWN = 60
"""Characters shown of one value."""
MAX_ITEMS = 5
"""Values shown of a list."""
_RUN = 8  # this many characters in a row count as a piece of the token
_KINDS: dict[type[Any], str] = {
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    list: "a list",
    dict: "an object",
}
_LATEST = 253_402_300_799  # the last second of the year 9999


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """The result of one check."""

    name: str
    """The name of the check, such as ``expiry``; names do not change."""
    outcome: Outcome
    """``passed`` or ``failed``; ``skipped`` if the claim or the rule is absent; ``unknown`` if an input of
    the check is unreadable or unavailable."""
    seen: str
    """The value that was checked, shortened and escaped."""
    setting: str | None
    """The setting that decides, with its value; None if no setting does."""
    source: str
    """The RFC and section of the rule."""
    code: TokenCode | None = None
    """The code with which this check alone refuses the token."""
    report_only: bool = False
    """True for a rule of ``StricterRules``, which never decides."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """The results of all checks of a token."""

    checks: tuple[CheckResult, ...]
    """In the order that decides which code is reported."""

    @property
    def code(self) -> TokenCode | None:
        """The code with which the token is refused; None if it is accepted."""
        for check in self.checks:
            if check.code is not None and not check.report_only:
                return check.code
        return None

    @property
    def accepted(self) -> bool:
        """True if the token is accepted."""
        return self.code is None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "accepted": self.accepted,
            "code": self.code,
            "checks": [asdict(check) for check in self.checks],
        }

    def __str__(self) -> str:
        rows = [
            (
                f"{check.outcome}*" if check.report_only else check.outcome,
                check.name, check.source, check.seen, check.setting or "",
            )
            for check in self.checks
        ]  # fmt: skip
        verdict = "accepted" if self.code is None else f"refused: {self.code}"
        lines = [verdict, *table([("outcome", "check", "source", "what was seen", "decided by"), *rows])]
        if any(check.report_only for check in self.checks):
            lines.append("* report-only: it does not decide")
        return "\n".join(lines)


class CheckLog:
    """The results of the checks so far, in order."""

    def __init__(self) -> None:
        self.checks: list[CheckResult] = []

    @property
    def refused(self) -> bool:
        """True if any check so far refuses the token."""
        return any(check.code is not None and not check.report_only for check in self.checks)

    def add(
        self, name: str, outcome: Outcome, seen: str, setting: str | None, source: str,
        *, code: TokenCode | None = None,
    ) -> None:  # fmt: skip
        """Record the result of a check."""
        self.checks.append(
            CheckResult(name=name, outcome=outcome, seen=seen, setting=setting, source=source, code=code)
        )

    def unknown(self, name: str, reason: str, source: str, setting: str | None = None) -> None:
        """Record a check that could not run, with the reason."""
        self.add(name, "unknown", reason, setting, source)

    def run(self, name: str, seen: str, setting: str | None, source: str, check: Callable[[], T]) -> T | None:
        """Run a check and record its result; return what the check returns, or None if it fails."""
        try:
            value = check()
        except TokenError as error:
            self.add(name, "failed", f"{error.reason}; {seen}", setting, source, code=error.code)
            return None
        self.add(name, "passed", seen, setting, source)
        return value


class Redactor:
    """Shows values of a token without any part of the encoded token; of an opaque one all of it counts."""

    def __init__(self, token: object, *, opaque: bool = False) -> None:
        text = token if isinstance(token, str) else ""
        self._token_tail = text if opaque else text.partition(".")[2]

    def value(self, value: object) -> str:
        """Return a string quoted, a list of strings likewise, and of any other value only its JSON type."""
        if type(value) is str:
            return self._text(value)
        if type(value) is list:
            shown = ", ".join(
                self.value(item) if type(item) is str else json_type(item) for item in value[:MAX_ITEMS]
            )
            more = len(value) - MAX_ITEMS
            return f"[{shown}]" if more <= 0 else f"[{shown} and {more} more]"
        return json_type(value)

    def time(self, value: object) -> str:
        """Return a time in UTC, or the JSON type of any other value."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST:
            return json_type(value)
        return moment(value)

    def _text(self, value: str) -> str:
        head = value[:MAX_SHOWN]
        runs = (head[at : at + _RUN] for at in range(max(0, len(head) - _RUN + 1)))
        if any(run in self._token_tail for run in runs):
            return f"a string of {len(value)} characters that repeats a part of the token"
        return ascii(head) if head == value else f"{head!a} and {len(value) - MAX_SHOWN} characters more"


def json_type(value: object) -> str:
    """Return the JSON type of a value, with its article."""
    return "null or absent" if value is None else _KINDS.get(type(value), "not a JSON value")


def moment(seconds: float) -> str:
    """Return Unix seconds as a date and time in UTC."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def issuer_setting(accept: IssuerAccept, name: str, value: object) -> str:
    """Return a field of an ``IssuerAccept`` with its value."""
    return f"IssuerAccept(issuer={shortened(ascii(accept.issuer))}).{name} = {shortened(ascii(value))}"


def algorithms_setting(config: AcceptConfig, policies: Iterable[IssuerPolicy]) -> str:
    """Return the setting that decides which algorithms these policies accept."""
    own = [policy for policy in policies if policy.accept.algorithms is not None]
    if not own:
        return f"AcceptConfig.algorithms = {config.algorithms!r}"
    if len(own) == 1:
        return issuer_setting(own[0].accept, "algorithms", own[0].accept.algorithms)
    return "the algorithms of all issuers"


def address(url: str) -> str:
    """Return a URL without its query, which may hold a credential."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))


def shortened(text: str) -> str:
    """Return foreign text, cut to a length that fits into a line."""
    return text if len(text) <= 2 * MAX_SHOWN else f"{text[: 2 * MAX_SHOWN]}..."


def table(rows: list[tuple[str, ...]]) -> list[str]:
    """Return the rows as lines with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
