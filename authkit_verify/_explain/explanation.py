"""The answer to "why was this token refused?": one record per check, as a table or as JSON.

Tokens are hostile input, so whatever is shown of one is short, escaped and never a piece of its payload or
signature as it was spelled.
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
_RUN = 8  # so many characters in a row are taken for a piece of the token
_KINDS: dict[type[Any], str] = {
    str: "a text",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    list: "a list",
    dict: "an object",
}
_LATEST = 253_402_300_799  # the last second of the year 9999


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """One check: what came of it, what was seen, the setting that decided and where the rule is from.

    ``skipped``: there was nothing to check, because the claim or the rule is absent. ``unknown``: it could
    not be judged, because what it needs cannot be read or had. ``code`` is what this check alone would refuse
    with. A ``report_only`` check never decides.
    """

    name: str
    outcome: Outcome
    seen: str
    setting: str | None
    source: str
    code: TokenCode | None = None
    report_only: bool = False


@dataclass(frozen=True, slots=True)
class Explanation:
    """Every check of a token, in the order that decides which code is reported."""

    checks: tuple[CheckResult, ...]

    @property
    def code(self) -> TokenCode | None:
        """The code the token is refused with, or None when it is accepted."""
        for check in self.checks:
            if check.code is not None and not check.report_only:
                return check.code
        return None

    @property
    def accepted(self) -> bool:
        """Tell whether the token is accepted."""
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
            lines.append("* reported only; it does not decide")
        return "\n".join(lines)


class CheckLog:
    """The checks so far, in their order."""

    def __init__(self) -> None:
        self.checks: list[CheckResult] = []

    @property
    def refused(self) -> bool:
        """Tell whether any check so far refuses the token."""
        return any(check.code is not None and not check.report_only for check in self.checks)

    def add(
        self, name: str, outcome: Outcome, seen: str, setting: str | None, source: str,
        *, code: TokenCode | None = None,
    ) -> None:  # fmt: skip
        """Note what came of a check."""
        self.checks.append(
            CheckResult(name=name, outcome=outcome, seen=seen, setting=setting, source=source, code=code)
        )

    def unknown(self, name: str, reason: str, source: str, setting: str | None = None) -> None:
        """Note that a check could not be made."""
        self.add(name, "unknown", reason, setting, source)

    def judge(
        self, name: str, seen: str, setting: str | None, source: str, check: Callable[[], T]
    ) -> T | None:
        """Make a check and note what came of it; return what it returns, or None when it fails."""
        try:
            value = check()
        except TokenError as error:
            self.add(name, "failed", f"{error.description}; {seen}", setting, source, code=error.code)
            return None
        self.add(name, "passed", seen, setting, source)
        return value


class Redactor:
    """Put what a token says into words that are safe to print beside it."""

    def __init__(self, token: object) -> None:
        self._token_tail = token.partition(".")[2] if isinstance(token, str) else ""

    def value(self, value: object) -> str:
        """Return a text quoted, a list of texts likewise, and of anything else only its kind."""
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
        """Return a time in UTC, or what is there instead of one."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST:
            return json_type(value)
        return moment(value)

    def _text(self, value: str) -> str:
        head = value[:MAX_SHOWN]
        runs = (head[at : at + _RUN] for at in range(max(0, len(head) - _RUN + 1)))
        if any(run in self._token_tail for run in runs):
            return f"a text of {len(value)} characters that repeats a part of the token"
        return ascii(head) if head == value else f"{head!a} and {len(value) - MAX_SHOWN} characters more"


def json_type(value: object) -> str:
    """Return what sort of JSON value this is."""
    return "nothing" if value is None else _KINDS.get(type(value), "something else")


def moment(seconds: float) -> str:
    """Return Unix seconds as a moment in UTC."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def issuer_setting(accept: IssuerAccept, name: str, value: object) -> str:
    """Name a field of an issuer's record and its value."""
    return f"IssuerAccept(issuer={shortened(ascii(accept.issuer))}).{name} = {shortened(ascii(value))}"


def algorithms_setting(config: AcceptConfig, policies: Iterable[IssuerPolicy]) -> str:
    """Name the setting that says which algorithms these rules take."""
    own = [policy for policy in policies if policy.accept.algorithms is not None]
    if not own:
        return f"AcceptConfig.algorithms = {config.algorithms!r}"
    if len(own) == 1:
        return issuer_setting(own[0].accept, "algorithms", own[0].accept.algorithms)
    return "the algorithms of all issuers"


def address(url: str) -> str:
    """Return an address without its query, which may hold a credential."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))


def shortened(text: str) -> str:
    """Return a text that is not ours, cut to a length that fits into a line."""
    return text if len(text) <= 2 * MAX_SHOWN else f"{text[: 2 * MAX_SHOWN]}..."


def table(rows: list[tuple[str, ...]]) -> list[str]:
    """Return the rows as lines with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
